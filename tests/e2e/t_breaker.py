"""The circuit breaker that all processes share, seen from outside: an outage is asked about once
per interval, whoever asks."""

import signal
import threading
import time

import servers
from harness import PROVIDER_KEY, free_port, handlers, test, wait_for
from routes import (
    INTERVAL,
    at,
    check_whole,
    counts,
    fresh,
    gaps,
    health,
    model_health,
    open_fresh,
    profile,
    send,
    served,
)
from t_keys import tollgate
from talk import SENTENCE, chat, check_stream, expect_error

WEB = "lighttpd fcgid"

GONE = free_port()  # nobody listens there, until a test wants it
profile("routes-breaker", GATEWAY_BREAKER_MIN="3")
profile("routes-gone", OPENAI_BASE_URL=f"http://127.0.0.1:{GONE}/openai/v1")


class Crowd:
    """Callers that ask without a pause, each its next question when it has its answer."""

    def __init__(self, site, model, cue="", size=8, **more):
        self.site, self.model, self.cue, self.more = site, model, cue, more
        self.failures, self.providers = [], []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.work) for _ in range(size)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(60)

    def work(self):
        while not self.stop.is_set():
            try:
                reply = send(self.site, self.cue, model=self.model, **self.more)
                said = reply.json()["choices"][0]["message"]["content"]
                assert reply.status == 200 and said == SENTENCE, (reply.status, reply.body)
                self.providers.append((time.monotonic(), reply.header("X-Provider")))
            except Exception as e:  # pylint: disable=broad-except
                self.failures.append(repr(e)[:400])
            time.sleep(0.01)


@test(WEB, "routes-breaker")
def a_primary_that_is_down_is_asked_once_per_interval(site):
    """From eight processes at once under Apache, two with many threads under lighttpd."""
    model = fresh()
    check_whole(send(site, model=model), "openai")
    site.fake.rule("openai", "status=503")
    with Crowd(site, model, "ttft=120", size=12) as crowd:
        if site.kind == "fcgid":
            wait_for("eight processes", 15, lambda: len(handlers("chat_completions")) >= 8)
        wait_for("the breaker to open", 10,
                 lambda: (model_health(site, "openai", model) or {})["state"] != "closed")
        opened = time.monotonic()
        time.sleep(4.5 * INTERVAL)
        asked = [r for r in site.fake.at("openai") if r["at_ms"] / 1000 > opened]
        assert 2 <= len(asked) <= 5, f"{len(asked)} probes in 4.5 intervals"
        assert all(gap > 0.9 * INTERVAL for gap in gaps(asked)), gaps(asked)
        site.fake.rule("openai", "")
        back = time.monotonic()
        wait_for("the primary to be back", 2 * INTERVAL + 2,
                 lambda: model_health(site, "openai", model)["state"] == "closed")
        assert time.monotonic() - back < 2 * INTERVAL + 1
        time.sleep(0.3)
        whole = time.monotonic()
        time.sleep(0.5)
    assert not crowd.failures, crowd.failures[:5]
    after = {name for when, name in crowd.providers if when > whole}
    assert after == {"openai"}, after
    during = {name for when, name in crowd.providers if opened + 0.3 < when < back}
    assert during == {"vercel"}, during


@test(WEB, "routes-gone")
def a_primary_whose_host_is_gone_comes_back(site):
    """Connections are refused; then somebody listens there again."""
    model = fresh()
    with Crowd(site, model, size=4) as crowd:
        time.sleep(2 * INTERVAL)
        begun = time.monotonic()
        host = servers.Fake(site.place, site.fake.program, GONE)
        try:
            wait_for("the primary to be back", 2 * INTERVAL + 2,
                     lambda: crowd.providers[-1][1] == "openai", 0.05)
            assert time.monotonic() - begun < 2 * INTERVAL + 1
            crowd.end()
        finally:
            servers.stop_process(host.process, signal.SIGTERM)
    assert not crowd.failures, crowd.failures[:5]
    before = {name for when, name in crowd.providers if when < begun}
    assert before == {"vercel"}, before


@test(WEB, "routes-breaker")
def a_silent_primary_costs_its_time_only_while_it_is_unknown(site):
    model = fresh()
    site.fake.rule("openai", "ttft=30000")
    slow = 0
    for _ in range(8):
        begun = time.monotonic()
        told = open_fresh(site, model=model)
        check_stream(told)
        assert told.text() == SENTENCE, told.text()
        slow += time.monotonic() - begun > 0.5
    assert slow <= 5, f"{slow} of 8 waited"


@test(WEB, "routes-breaker")
def one_model_of_a_provider_may_be_down_alone(site):
    bad, good = fresh(), fresh()
    cue = at(openai="status=503")
    for _ in range(4):
        check_whole(send(site, cue, model=bad), "vercel")
    check_whole(send(site, model=bad), "vercel")
    check_whole(send(site, model=good), "openai")
    assert model_health(site, "openai", bad)["state"] == "open"
    assert model_health(site, "openai", good)["state"] == "closed"
    time.sleep(1.1 * INTERVAL)
    check_whole(send(site, model=bad), "openai")
    assert model_health(site, "openai", bad)["state"] == "closed"


@test(WEB, "routes-breaker")
def a_provider_that_limits_is_left_alone_as_long_as_it_says(site):
    model = fresh()
    check_whole(send(site, at(openai="status=429 retry_after=2"), model=model), "vercel")
    begun = time.monotonic()
    assert model_health(site, "openai", model)["state"] == "limited"
    for _ in range(3):
        check_whole(send(site, model=model), "vercel")
    time.sleep(max(0, begun + 2.2 - time.monotonic()))
    check_whole(send(site, model=model), "openai")


@test(WEB, "routes-breaker")
def when_all_are_down_the_answer_comes_at_once(site):
    model = fresh()
    for _ in range(4):
        reply = send(site, "status=503", model=model)
        assert reply.status == 503, reply.body
    site.fake.reset()
    begun = time.monotonic()
    reply = send(site, "status=503", model=model)
    assert reply.status == 503 and 1 <= int(reply.header("Retry-After")) <= 2, reply.headers
    assert time.monotonic() - begun < 3
    time.sleep(1.1 * INTERVAL)
    check_whole(send(site, model=model), "openai")


@test(WEB, "routes-breaker")
def an_operator_sees_and_steers_it(site):
    model = fresh()
    for _ in range(4):
        check_whole(send(site, at(openai="status=503"), model=model), "vercel")
    seen = health(site, "openai")
    assert seen["configured"] and not seen["drained"] and seen["error_rate"] > 0, seen
    entry = model_health(site, "openai", model)
    assert entry["state"] == "open" and 0 < entry["retry_in_ms"] <= 1000 * INTERVAL, entry
    assert model_health(site, "vercel", model)["state"] == "closed"
    assert health(site, "vercel")["state"] in ("healthy", "degraded"), health(site, "vercel")
    assert "openai" in tollgate(site, "providers", "status")
    tollgate(site, "providers", "resume", "openai")
    check_whole(send(site, model=model), "openai")
    tollgate(site, "providers", "drain", "openai")
    wait_for("openai to be drained", 5, lambda: chat(site).header("X-Provider") == "vercel", 0.2)
    assert health(site, "openai")["drained"]
    site.fake.reset()
    check_whole(send(site), "vercel")
    assert counts(site) == (0, 1, 0)
    error = expect_error(send(site, provider={"only": ["openai"]}), 404, "unavailable_model")
    assert "tollgate providers resume openai" in error["message"], error
    tollgate(site, "providers", "resume", "openai")
    wait_for("openai to be back", 5, lambda: chat(site).header("X-Provider") == "openai", 0.2)


@test("lighttpd", "routes-breaker")
def the_log_and_the_header_say_what_happened(site):
    reply = send(site, at(openai="status=503", vercel="reset"))
    assert served(reply) == [("openai", "503"), ("vercel", "connect"), ("openrouter", "ok")]
    name = reply.header("X-Request-Id")

    def line():
        return [x for x in site.log.read_text().splitlines() if name in x and "attempts" in x]

    said = wait_for("the line of the log", 5, line)[0]
    assert "openai:503, vercel:connect, openrouter:ok" in said, said


@test("smoke")
def health_is_public_and_without_secrets(site):
    for base in ("/v1", "/api/gateway", "/api/openrouter/v1"):
        reply = site.call("GET", base + "/health/providers")
        assert reply.status == 200 and reply.header("Cache-Control") == "no-store", reply.headers
        found = {p["provider"]: p for p in reply.json()["data"]}
        assert found["openai"]["configured"], found["openai"]
        for word in (PROVIDER_KEY, PROVIDER_KEY[-8:], "127.0.0.1"):
            assert word not in reply.body.decode(), word
    expect_error(site.call("POST", "/v1/health/providers", None, {}), 405, "method_not_allowed")
