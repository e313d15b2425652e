"""What `make run` does once the programs are built: conf/run.sh, in folders with blanks in their
names, since a clone may stand anywhere."""

import os
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager

from client import call
from harness import PROGRAMS, drop_table, free_port, handlers, kill, test, wait_for

READY = "Stop with Ctrl-C."


class Run:
    """conf/run.sh, begun. Its text is what a user sees."""

    def __init__(self, site, home, port=0, terminal=None, **settings):
        base = site.place.dir
        self.home, self.port = base / home, port or free_port()
        self.out = base / "log" / f"start-{self.port}.log"
        self.out.unlink(missing_ok=True)
        programs = base / "a clone" / "bin"
        if not programs.exists():
            shutil.copytree(base / "bin", programs)
            site.place.give(programs.parent)
        env = {k: v for k, v in site.env.items() if k != "GATEWAY_CONF"}
        env.update(settings, PORT=str(self.port), GATEWAY_HOME=str(self.home))
        more = {"stdout": terminal} if terminal else {}
        self.process = site.place.start(
            [base / "conf" / "run.sh", programs],
            env,
            log=self.out.name,
            # Whoever runs the tests in the background has them ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            **more,
        )

    def text(self):
        return self.out.read_text(errors="replace")

    def ready(self):
        def shown():
            assert self.process.poll() is None, self.text()
            return READY in self.text()

        wait_for("the text of the start", 60, shown)
        return self.text()

    def refused(self):
        assert self.process.wait(timeout=30) == 1, self.text()
        assert READY not in self.text(), self.text()
        return self.text()

    def end(self):
        kill(self.process.pid, signal.SIGINT)
        return self.process.wait(timeout=30)


@contextmanager
def running(site, home, **settings):
    run = Run(site, home, **settings)
    try:
        run.ready()
        yield run
    finally:
        run.end()
        drop_table(run.home)


def all_handlers():
    return {pid for name in PROGRAMS for pid in handlers(name)}


def key_in(text):
    return re.search(r"sk-tg-\w+", text).group(0)


@test("lighttpd", "demo")
def one_command_serves_and_ctrl_c_ends_all_it_started(site):
    before = all_handlers()
    with running(site, "my home") as run:
        text = run.text()
        assert f"http://127.0.0.1:{run.port}/v1\n" in text, text
        assert "DEMONSTRATION" in text and "demo/story:free" in text, text
        line = re.search(r"^  (curl -N .*?}')$", text, re.M | re.S).group(1)
        told = subprocess.run(["bash", "-c", line], capture_output=True, timeout=60).stdout.decode()
        assert told.count("data: {") > 20 and told.endswith("data: [DONE]\n\n"), told[-300:]
        assert all_handlers() - before, "no handler of its own"
        assert run.end() == 0, run.text()
        assert run.text().endswith("Stopped.\n"), run.text()
        assert all_handlers() == before, "a handler was left behind"
        try:
            call(run.port, "GET", "/health")
        except OSError:
            return
        raise AssertionError("the port is still served")


@test("lighttpd", "demo")
def a_second_start_has_the_key_of_the_first(site):
    keys = []
    for _ in range(2):
        with running(site, "kept " + "home" * 30) as run:
            keys.append(key_in(run.text()))
            assert oct((run.home / "first-key").stat().st_mode)[-3:] == "600"
    assert keys[0] == keys[1]


@test("lighttpd", "demo")
def what_stands_in_the_way_of_a_start_is_named(site):
    assert f"make run PORT={site.port + 1}" in Run(site, "busy", port=site.port).refused()
    with running(site, "taken") as first:
        text = Run(site, "taken").refused()
        assert str(first.home) in text and "in use" in text, text
    text = Run(site, "wrong", GATEWAY_HEARTBEAT="soon").refused()
    assert 'GATEWAY_HEARTBEAT: accepted is a duration' in text and '"soon"' in text, text
    (site.place.dir / "a file").write_text("")
    assert "choose another folder" in Run(site, "a file").refused()


@test("lighttpd", "demo")
def a_start_shows_what_can_be_asked(site):
    with running(site, "real", OPENAI_API_KEY="sk-x", MISTRAL_API_KEY="y") as run:
        assert "  Providers   mistral, openai\n" in run.text(), run.text()
        assert "demo/" not in run.text() and '"model":"' in run.text(), run.text()
    with running(site, "none", GATEWAY_DEMO="0") as run:
        assert "  Providers   none\n" in run.text() and "OPENAI_API_KEY" in run.text(), run.text()
        assert "curl" not in run.text(), "a request that cannot be answered was proposed"


@test("lighttpd", "demo")
def nothing_outlives_the_terminal_it_was_started_in(site):
    before = all_handlers()
    ours, theirs = os.openpty()
    run = Run(site, "lost", terminal=theirs)
    try:
        os.close(theirs)
        shown = b""
        while READY.encode() not in shown:
            part = os.read(ours, 4096)
            assert part, shown
            shown += part
    finally:
        os.close(ours)
    run.process.wait(timeout=30)
    assert all_handlers() == before, "a handler was left behind"
    drop_table(run.home)
