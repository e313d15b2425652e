"""Processes: restart, drain, and running out of threads and descriptors."""

import os
import signal
import threading
import time

from client import Broken, Exchange, Told
from harness import handlers, kill, test, wait_for
from talk import (
    PATH,
    SENTENCE,
    ask,
    chat,
    check_broken_stream,
    check_stream,
    expect_error,
    open_stream,
    stream,
)

CHAT = "chat_completions"


def chat_pids(site, at_least=1):
    return wait_for(
        f"{at_least} chat handlers", 10,
        lambda: [p for p in handlers(CHAT)] if len(handlers(CHAT)) >= at_least else None,
    )


def bring_back(site):
    """Under nginx nobody restarts a handler for us."""
    if site.kind == "nginx":
        wait_for("the handlers to leave", 12, lambda: not handlers(CHAT))
        site.spawn_handlers()
    wait_for("a healthy gateway", 15, lambda: ready(site), 0.1)


def ready(site):
    try:
        return chat(site).status == 200
    except (Broken, OSError):
        return False


class Load:
    """Requests without a pause from several threads, every one of them checked."""

    def __init__(self, site):
        self.site, self.failures, self.done = site, [], 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(6)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join(60)

    def work(self, i):
        while not self.stop.is_set():
            try:
                if i % 2:
                    told = stream(self.site, "tokens=15 pace=40")
                    check_stream(told)
                    assert told.text().endswith("t14"), told.text()
                else:
                    reply = chat(self.site)
                    assert reply.status == 200 and SENTENCE in reply.body.decode(), reply.body
                self.done += 1
            except Exception as e:  # pylint: disable=broad-except
                self.failures.append(repr(e)[:400])
            time.sleep(0.01)


@test("lighttpd")
def restarting_the_handlers_one_by_one_loses_nothing(site):
    old = chat_pids(site, 2)
    assert len(old) == 2, old
    with Load(site) as load:
        time.sleep(1)
        for pid in old:
            kill(pid, signal.SIGTERM)
            wait_for("the handler to leave", 15, lambda p=pid: p not in handlers(CHAT))
            chat_pids(site, 2)
            time.sleep(1)
        before = load.done
        time.sleep(1)
        assert load.done > before, "nothing was served after the restart"
    assert not load.failures, f"{len(load.failures)} of {load.done} failed: {load.failures[:3]}"
    assert load.done > 50, load.done
    assert not set(old) & set(handlers(CHAT))


@test("lighttpd nginx fcgid cgi")
def a_drain_lets_streams_finish(site):
    count = 8 if site.kind == "cgi" else 20  # where two seconds are all there is
    for sig in (signal.SIGTERM, signal.SIGUSR1):
        site.healthy()
        with open_stream(site, f"tokens={count} pace=100") as x:
            got = x.events()
            next(got)
            for pid in chat_pids(site):
                kill(pid, sig)
            told = Told(x)
        told.comments.insert(0, ("ok", 0))  # read above
        check_stream(told)
        assert told.text().endswith(f"t{count - 1}"), told.text()
        bring_back(site)


@test("lighttpd nginx fcgid cgi", "drain")
def what_outlasts_the_drain_ends_with_an_error_event(site):
    site.healthy()
    for cue in ("tokens=300 pace=100", "stall=3"):
        with open_stream(site, cue) as x:
            got = x.events()
            next(got)
            pids = chat_pids(site)
            begun = time.monotonic()
            for pid in pids:
                kill(pid, signal.SIGTERM)
            told = Told(x)
        took = time.monotonic() - begun
        check_broken_stream(told, "temporarily_unavailable")
        assert took < 4, f"GATEWAY_DRAIN is 1 s, it took {took:.1f} s"
        wait_for("the processes to leave", 5, lambda: not set(pids) & set(handlers(CHAT)))
        bring_back(site)


@test("lighttpd nginx fcgid cgi", "drain")
def a_whole_answer_that_outlasts_the_drain_is_refused(site):
    site.healthy()
    with Exchange(site.port) as x:
        x.request("POST", PATH, site.auth(), ask("silence"))
        wait_for("the provider to be asked", 5, lambda: len(site.fake.requests()) > 1)
        for pid in chat_pids(site):
            kill(pid, signal.SIGTERM)
        error = expect_error(x.read(), 503, "temporarily_unavailable")
        assert "restart" in error["message"], error
    bring_back(site)


@test("fcgid cgi", "unset")
def without_a_setting_the_drain_is_what_apache_allows(site):
    """SIGKILL comes 8 s after SIGTERM from mod_fcgid, and 3 s after it from mod_cgid: the drain is
    6 s and 2 s. Slow machines take longer to say so; GATEWAY_DRAIN is 30 s elsewhere."""
    drain = 6 if site.kind == "fcgid" else 2
    for cue in ("tokens=300 pace=100", "stall=3"):
        with open_stream(site, cue) as x:
            next(x.events())
            begun = time.monotonic()
            for pid in chat_pids(site):
                kill(pid, signal.SIGTERM)
            told = Told(x)
        took = time.monotonic() - begun
        check_broken_stream(told, "temporarily_unavailable", "timeout")
        assert took < drain + 4, took
        assert cue == "stall=3" or took > drain - 0.5, took
        bring_back(site)


@test("lighttpd nginx")
def an_idle_handler_leaves_at_once(site):
    site.healthy()
    pids = chat_pids(site)
    for pid in pids:
        kill(pid, signal.SIGTERM)
    wait_for("idle handlers to leave", 3, lambda: not set(pids) & set(handlers(CHAT)))
    bring_back(site)


@test("lighttpd nginx", "threads")
def without_a_thread_the_answer_is_503(site):
    """GATEWAY_THREADS is 4; lighttpd has two processes."""
    held = [open_stream(site, "tokens=20 pace=150") for _ in range(14)]
    refused, served = 0, 0
    for x in held:
        head = x.read_head()
        if head.status == 503:
            refused += 1
            reply = x.read()
            assert reply.error() == (503, "temporarily_unavailable"), reply.body
            assert int(reply.header("Retry-After")) >= 1, reply.headers
        else:
            check_stream(Told(x))
            served += 1
        x.close()
    assert refused >= 6 and served >= 4, (refused, served)
    site.healthy()


def limit_files(site, pid, n):
    """Run as the handlers' own user: root in a container may not."""
    done = site.place.start(["prlimit", "--pid", pid, f"--nofile={n}:"]).wait(timeout=10)
    assert done == 0, "prlimit failed"


@test("lighttpd nginx")
def without_descriptors_the_answer_is_503(site):
    """The limit is lowered under the running handlers; they must say so, and recover."""
    site.healthy()
    pids = chat_pids(site)
    for pid in pids:
        limit_files(site, pid, len(os.listdir(f"/proc/{pid}/fd")) + 12)
    held = []
    statuses = []
    try:
        for _ in range(80):
            x = Exchange(site.port, 15)
            x.request("POST", PATH, site.auth(), ask("tokens=30 pace=150", stream=True))
            held.append(x)
        for x in held:
            head = x.read_head()
            statuses.append(head.status)
            if head.status == 503:
                reply = x.read()
                assert reply.error()[0] == 503, reply.body
                assert reply.header("Retry-After"), (reply.headers, reply.body)
            else:
                told = Told(x)
                assert told.done or told.errors, "an answer ended without a word"
    finally:
        for x in held:
            x.close()
        for pid in handlers(CHAT):
            limit_files(site, pid, 1000)
    assert set(statuses) <= {200, 503} and 503 in statuses, statuses
    assert chat_pids(site), "the handlers died"
    assert set(pids) <= set(handlers(CHAT)), "a handler died"
    site.healthy()
    check_stream(stream(site))


@test()
def many_streams_at_once(site):
    n = 100 if site.kind in ("lighttpd", "nginx") else 12
    held = [open_stream(site, "tokens=10 pace=100", timeout=60) for _ in range(n)]
    for x in held:
        told = Told(x)
        check_stream(told)
        assert told.text().endswith("t9")
        x.close()


@test("battery")
def signals_of_the_pipe_kill_nobody(site):
    """Clients that go while the answer is being written."""
    if site.kind != "cgi":
        pids = set(chat_pids(site))
    for _ in range(10):
        x = open_stream(site, "tokens=2000")
        x.read_head()
        x.close()
    time.sleep(0.5)
    site.healthy()
    if site.kind in ("lighttpd", "nginx"):
        assert pids == set(handlers(CHAT)), "a handler died"
