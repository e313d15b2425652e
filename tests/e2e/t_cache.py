"""Remembered answers: the same request is not made twice, and nobody gets another's."""

import json
import os
import random
import signal
import threading
import time
from decimal import Decimal

import routes
import servers
from client import Exchange, Told, call
from harness import handlers, test, wait_for
from t_account import make_key
from t_keys import tollgate
from t_log import lines_of
from t_money import balance, billed, exact_cost, line_of, new_member, new_org, new_user
from talk import PATH, ask, check_stream, expect_error

servers.PROFILES["cache-short"] = {"GATEWAY_CACHE_TTL": "2", "GATEWAY_CACHE_MAX_ANSWER": "1m"}
servers.PROFILES["cache-memory"] = {"GATEWAY_CACHE_TTL": "300", "GATEWAY_CACHE_BACKEND": "memory"}
servers.PROFILES["cache-global"] = {"GATEWAY_CACHE_TTL": "300", "GATEWAY_CACHE_SCOPE": "global"}
servers.PROFILES["cache-paced"] = {
    "GATEWAY_CACHE_TTL": "300",
    "GATEWAY_CACHE_REPLAY": "paced",
    "GATEWAY_CACHE_PACE": "50ms",
}
servers.PROFILES["cache-cool"] = {
    "GATEWAY_CACHE_TTL": "300",
    "GATEWAY_CACHE_MAX_TEMPERATURE": "0.5",
    "GATEWAY_CACHE_TOOL_CALLS": "on",
}
routes.profile("routes-cache", GATEWAY_CACHE_TTL="300", GATEWAY_COALESCE="on")
servers.PROFILES["coalesce-each"] = {
    "GATEWAY_CACHE_TTL": "0",
    "GATEWAY_COALESCE": "on",
    "GATEWAY_COALESCE_BILL": "each",
}

_count = [random.randrange(1 << 40)]


def fresh():
    """A text nobody has asked yet."""
    _count[0] += 1
    return f"question {_count[0]}"


def send(site, body, headers=None, timeout=20):
    return call(site.port, "POST", PATH, site.auth(headers), body, timeout=timeout)


def tell(site, body, headers=None, timeout=20):
    with Exchange(site.port, timeout) as x:
        x.request("POST", PATH, site.auth(headers), dict(body, stream=True))
        return Told(x)


def asked(site):
    return len(site.fake.requests())


def state(reply):
    head = getattr(reply, "head", reply)
    assert head.status == 200, (head.status, head.body[:300])
    return head.header("X-Cache")


def someone(site, name):
    """A user with money, and the headers of their key."""
    user = new_user(site, name, "1usd")
    return user, make_key(site, name, "--user", user)


def same_but_usage(a, b):
    a, b = dict(a), dict(b)
    a.pop("usage"), b.pop("usage")
    assert a == b, (a, b)


# ---- hits ----


@test(profile="cache")
def the_same_request_is_answered_from_the_cache(site):
    body = ask("tokens=20", text=fresh())
    first = send(site, body)
    assert state(first) == "MISS", first.headers
    assert len(first.header("X-Cache-Key")) == 32
    second = send(site, body)
    assert state(second) == "HIT", second.headers
    assert second.header("X-Cache-Key") == first.header("X-Cache-Key")
    assert 290 <= int(second.header("X-Cache-TTL")) <= 300, second.headers
    assert int(second.header("Age")) <= 10
    assert second.header("X-Provider") == "openai"
    assert second.header("X-Generation-Id") != first.header("X-Generation-Id")
    assert asked(site) == 1
    same_but_usage(first.json(), second.json())
    usage = second.json()["usage"]
    assert usage["cost"] == 0 and usage["completion_tokens"] == 20, usage


@test(profile="cache")
def field_order_numbers_and_defaults_do_not_matter(site):
    text = fresh()
    send(site, {"model": "openai/gpt-4o-mini", "temperature": 0.5, "max_tokens": 50, "top_p": 1,
                "messages": [{"role": "user", "content": text}]})
    again = (
        '{"messages":[{"content":' + json.dumps(text) + ',"role":"us\\u0065r"}],"max_tokens":5e1,'
        '"n":1,"temperature":5.0e-1,"user":"somebody","stream":false,"model":"openai/gpt-4o-mini"}'
    )
    assert state(send(site, again.encode())) == "HIT"
    assert asked(site) == 1
    for other in ({"temperature": 0.6}, {"seed": 3}, {"stop": "x"}, {"max_tokens": 51},
                  {"response_format": {"type": "json_object"}}):
        body = {"model": "openai/gpt-4o-mini", "temperature": 0.5, "max_tokens": 50,
                "messages": [{"role": "user", "content": text}], **other}
        assert state(send(site, body)) == "MISS", other


@test(profile="cache")
def streams_and_whole_answers_stand_in_for_each_other(site):
    body = ask("tokens=30", text=fresh())
    told = tell(site, dict(body, stream_options={"include_usage": True}))
    check_stream(told)
    assert state(told) == "MISS"
    again = tell(site, dict(body, stream_options={"include_usage": True}))
    check_stream(again)
    assert state(again) == "HIT"
    assert again.text() == told.text()
    assert [c["choices"] for c in again.chunks if c["choices"]] == [
        c["choices"] for c in told.chunks if c["choices"]]
    assert len(again.usage()) == 1 and again.usage()[0]["cost"] == 0, again.usage()
    assert again.usage()[0]["completion_tokens"] == told.usage()[0]["completion_tokens"]
    quiet = tell(site, body)
    check_stream(quiet)
    assert state(quiet) == "HIT" and not quiet.usage()
    whole = send(site, body)
    assert state(whole) == "HIT"
    assert whole.json()["object"] == "chat.completion"
    assert whole.json()["choices"][0]["message"]["content"] == told.text()
    assert whole.json()["choices"][0]["finish_reason"] == "stop"
    assert whole.json()["usage"]["completion_tokens"] == 30
    # and the other way
    body = ask("tokens=12", text=fresh())
    whole = send(site, body)
    told = tell(site, dict(body, stream_options={"include_usage": True}))
    check_stream(told)
    assert state(told) == "HIT"
    assert told.text() == whole.json()["choices"][0]["message"]["content"]
    assert len(told.usage()) == 1
    assert asked(site) == 2


@test("lighttpd", profile="cache")
def texts_and_embeddings_are_remembered_too(site):
    body = {"model": "openai/text-embedding-3-small", "input": fresh()}
    first = call(site.port, "POST", "/v1/embeddings", site.auth(), body)
    second = call(site.port, "POST", "/v1/embeddings", site.auth(), body)
    assert state(first) == "MISS" and state(second) == "HIT", second.headers
    assert first.json()["data"] == second.json()["data"]
    assert second.json()["usage"]["cost"] == 0
    assert asked(site) == 1


@test("lighttpd", profile="cache")
def a_hit_costs_nothing_and_says_what_it_saved(site):
    name, key = someone(site, "saver")
    before = balance(site, "--user", name)
    body = ask("tokens=40", text=fresh())
    first = call(site.port, "POST", PATH, key, body)
    paid = before - balance(site, "--user", name)
    assert paid > 0 and state(first) == "MISS"
    second = call(site.port, "POST", PATH, key, body)
    assert state(second) == "HIT"
    line = line_of(site, second.header("X-Generation-Id"))
    assert line["cache_hit"] is True and Decimal(line["cost_usd"]) == 0, line
    assert Decimal(line["saved_usd"]) == paid, line
    assert line["attempts"] == 0, line
    assert balance(site, "--user", name) == before - paid
    log = lines_of(site, second.header("X-Request-Id"))[0]
    assert log["cache"] == "hit" and log["cost_microusd"] == 0, log
    assert log["completion_tokens"] == 0, log


# ---- who shares ----


@test("lighttpd", profile="cache")
def two_tenants_never_share_an_answer(site):
    body = ask("tokens=3", text=fresh())
    keys = [someone(site, f"tenant{i}")[1] for i in range(2)] + [site.auth()]
    for n, key in enumerate(keys):
        reply = call(site.port, "POST", PATH, key, body)
        assert state(reply) == "MISS", reply.headers
        assert asked(site) == n + 1
        assert state(call(site.port, "POST", PATH, key, body)) == "HIT"


@test("lighttpd", profile="cache-global")
def with_a_global_scope_everybody_shares(site):
    body = ask("tokens=3", text=fresh())
    assert state(call(site.port, "POST", PATH, someone(site, "one")[1], body)) == "MISS"
    assert state(call(site.port, "POST", PATH, someone(site, "two")[1], body)) == "HIT"
    assert asked(site) == 1


# ---- what is never remembered ----


@test("lighttpd", profile="cache")
def errors_cut_answers_and_refusals_are_not_remembered(site):
    for cue in ("status=400", "body=error200", "declined"):
        body = ask(cue, text=fresh())
        for _ in range(2):
            reply = send(site, body)
            assert reply.header("X-Cache") == "MISS", (cue, reply.headers)
    body = ask("cut=3", text=fresh())
    for _ in range(2):
        told = tell(site, body)
        assert told.head.header("X-Cache") == "MISS" and not told.done, told.chunks
    # An event that could not be read may have had words in it.
    body = ask("noise=4 tokens=5", text=fresh())
    for _ in range(2):
        told = tell(site, body)
        assert state(told) == "MISS" and told.done, told.chunks


@test("lighttpd", profile="cache")
def answers_that_call_tools_are_not_remembered(site):
    body = dict(ask("tools", text=fresh()), tools=[
        {"type": "function", "function": {"name": n, "parameters": {"type": "object", "properties": {}}}}
        for n in ("weather", "clock")])
    for _ in range(2):
        reply = send(site, body)
        assert state(reply) == "MISS" and reply.json()["choices"][0]["finish_reason"] == "tool_calls"


@test("lighttpd", profile="cache-cool")
def settings_say_which_temperature_and_whether_tools(site):
    body = dict(ask("tokens=3", text=fresh()), temperature=0.9)
    assert [state(send(site, body)) for _ in range(2)] == ["BYPASS", "BYPASS"]
    body = dict(body, seed=7)
    assert [state(send(site, body)) for _ in range(2)] == ["MISS", "HIT"]
    body = dict(ask("tokens=3", text=fresh()), temperature=0.5)
    assert [state(send(site, body)) for _ in range(2)] == ["MISS", "HIT"]
    body = dict(ask("tools", text=fresh()), temperature=0, tools=[
        {"type": "function", "function": {"name": n, "parameters": {"type": "object", "properties": {}}}}
        for n in ("weather", "clock")])
    whole = [send(site, body) for _ in range(2)]
    assert [state(r) for r in whole] == ["MISS", "HIT"]
    same_but_usage(whole[0].json(), whole[1].json())
    told = tell(site, body)
    assert state(told) == "HIT" and told.finish() == ["tool_calls"]
    body = {"model": "openai/text-embedding-3-small", "input": fresh()}
    again = [call(site.port, "POST", "/v1/embeddings", site.auth(), body) for _ in range(2)]
    assert [state(r) for r in again] == ["MISS", "HIT"], "an embedding has no temperature"


@test("lighttpd", profile="cache")
def a_stand_in_is_not_remembered_as_the_model_that_was_asked(site):
    site.fake.reset()
    body = ask("status=503", text=fresh(), models=["openai/gpt-4o"])
    reply = send(site, body)
    assert reply.status in (200, 503), reply.body[:200]
    assert state(send(site, ask("tokens=3", text=fresh()))) == "MISS"


# ---- what the client wants ----


@test("lighttpd", profile="cache")
def the_client_says_what_it_wants_of_the_cache(site):
    body = ask("tokens=3", text=fresh())
    assert state(send(site, body, {"x-gateway-cache": "skip"})) == "BYPASS"
    assert state(send(site, body)) == "MISS"
    assert state(send(site, body, {"Cache-Control": "no-cache"})) == "BYPASS"
    assert state(send(site, body, {"Cache-Control": "max-age=1000"})) == "HIT"
    assert asked(site) == 3
    time.sleep(1.1)
    assert state(send(site, body, {"Cache-Control": "max-age=1"})) == "MISS"
    assert state(send(site, body, {"x-gateway-cache": "refresh"})) == "BYPASS"
    body = ask("tokens=3", text=fresh())
    assert state(send(site, body, {"Cache-Control": "no-store"})) == "MISS"
    assert state(send(site, body)) == "MISS"
    body = ask("tokens=3", text=fresh())
    expect_error(send(site, body, {"Cache-Control": "only-if-cached"}), 504, "not_cached")
    assert state(send(site, body, {"x-gateway-cache": "ttl=1h"})) == "MISS"
    assert int(send(site, body).header("X-Cache-TTL")) > 3000
    expect_error(send(site, body, {"x-gateway-cache": "wat"}), 400, "invalid_request")


@test("lighttpd", profile="cache")
def the_body_field_of_peers_is_taken_and_not_passed_on(site):
    body = ask("echo", text=fresh())
    reply = send(site, dict(body, cache={"ttl": 600, "no-store": False}))
    assert state(reply) == "MISS"
    assert "\"cache\"" not in reply.json()["choices"][0]["message"]["content"]
    assert state(send(site, body)) == "HIT"
    assert state(send(site, dict(body, cache={"no-cache": True}))) == "BYPASS"
    expect_error(send(site, dict(body, cache="maybe")), 400, "invalid_request")


# ---- time and size ----


@test("lighttpd", profile="cache-short")
def an_answer_is_forgotten_when_its_time_is_over(site):
    body = ask("tokens=3", text=fresh())
    assert state(send(site, body)) == "MISS"
    assert state(send(site, body)) == "HIT"
    time.sleep(2.2)
    assert state(send(site, body)) == "MISS"


@test("lighttpd", profile="cache-short")
def what_is_too_large_is_answered_and_not_remembered(site):
    body = ask("tokens=300000", text=fresh())
    for _ in range(2):
        assert state(send(site, body, timeout=60)) == "MISS"


@test("lighttpd", profile="cache-paced")
def a_paced_replay_takes_its_time_and_may_be_left(site):
    body = ask("tokens=20", text=fresh())
    check_stream(tell(site, body))
    told = tell(site, body)
    check_stream(told)
    assert state(told) == "HIT"
    assert told.times[-1] - told.times[0] > 0.8, told.times
    with Exchange(site.port) as x:
        x.request("POST", PATH, site.auth(), dict(body, stream=True))
        x.read_head()
    check_stream(tell(site, body))


@test("lighttpd", profile="cache-memory")
def answers_may_be_kept_in_memory(site):
    body = ask("tokens=3", text=fresh())
    assert [state(send(site, body)) for _ in range(2)] == ["MISS", "HIT"]


# ---- the operator ----


@test("lighttpd", profile="cache")
def the_operator_sees_and_purges(site):
    body = ask("tokens=3", text=fresh())
    stored = json.loads(tollgate(site, "cache", "stats", "--json"))["stored"]
    key = send(site, body).header("X-Cache-Key")
    assert state(send(site, body)) == "HIT"
    stats = json.loads(tollgate(site, "cache", "stats", "--json"))
    assert stats["stored"] == stored + 1, stats
    assert stats["entries"] >= 1 and stats["hits"] >= 1 and stats["misses"] >= 1, stats
    assert key[:12] in tollgate(site, "cache", "list")
    assert "gpt-4o-mini" in tollgate(site, "cache", "show", key)
    tollgate(site, "cache", "purge", "--key", key)
    assert key[:12] not in tollgate(site, "cache", "list")
    assert state(send(site, body)) == "MISS"


@test("lighttpd", profile="cache")
def a_damaged_cache_is_a_miss(site):
    body = ask("tokens=3", text=fresh())
    send(site, body)
    folder = site.place.dir / "home" / "cache"
    for path in folder.iterdir():
        if path.is_file() and path.stat().st_size > 100:
            with open(path, "r+b") as f:
                for at in range(64, path.stat().st_size, 97):
                    f.seek(at)
                    f.write(bytes([random.randrange(256)]))
    for _ in range(3):
        assert send(site, body).json()["choices"][0]["message"]["content"] == "t0 t1 t2"
    assert state(send(site, ask("tokens=3", text=fresh()))) == "MISS"


# ---- in flight ----


def together(n, f):
    """Calls f(i) in n threads at once; the results."""
    results, gate = [None] * n, threading.Barrier(n)

    def run(i):
        gate.wait()
        try:
            results[i] = f(i)
        except Exception as e:  # told by who looks at the results
            results[i] = e

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for r in results:
        if isinstance(r, Exception):
            raise r
    return results


@test("lighttpd", profile="cache")
def identical_requests_at_once_share_one_call(site):
    body = ask("tokens=20 ttft=600 pace=20", text=fresh())
    told = together(40, lambda i: tell(site, body) if i % 2 else send(site, body))
    assert asked(site) == 1, f"the provider was asked {asked(site)} times"
    texts = {t.text() if hasattr(t, "head") else t.json()["choices"][0]["message"]["content"]
             for t in told}
    assert texts == {" ".join(f"t{i}" for i in range(20))}, texts
    for t in told:
        if hasattr(t, "head"):
            check_stream(t)
    states = [state(t) for t in told]
    assert states.count("MISS") == 1 and set(states) <= {"MISS", "COALESCED", "HIT"}, states
    assert states.count("COALESCED") > 20, states


@test("fcgid nginx", profile="cache")
def processes_share_one_call_too(site):
    body = ask("tokens=10 ttft=1500", text=fresh())
    told = together(6, lambda i: tell(site, body))
    assert asked(site) == 1
    assert {t.text() for t in told} == {" ".join(f"t{i}" for i in range(10))}


@test("lighttpd", profile="cache")
def who_joins_late_gets_the_beginning_at_once(site):
    body = dict(ask("tokens=12 pace=200", text=fresh()), stream=True)
    with Exchange(site.port) as first, Exchange(site.port) as second:
        first.request("POST", PATH, site.auth(), body)
        first.read_head()
        time.sleep(1.2)
        begun = time.monotonic()
        second.request("POST", PATH, site.auth(), body)
        head = second.read_head()
        assert time.monotonic() - begun < 0.5
        assert head.header("X-Cache") == "COALESCED", head.headers
        late, early = Told(second), Told(first)
    check_stream_body(early), check_stream_body(late)
    assert late.text() == early.text()
    assert asked(site) == 1


def check_stream_body(told):
    assert told.done == 1 and not told.errors and not told.odd, told.errors


@test("lighttpd", profile="cache")
def when_the_first_client_leaves_the_call_goes_on_for_the_others(site):
    body = dict(ask("tokens=15 pace=100", text=fresh()), stream=True)
    with Exchange(site.port) as second:
        with Exchange(site.port) as first:
            first.request("POST", PATH, site.auth(), body)
            first.read_head()
            second.request("POST", PATH, site.auth(), body)
            second.read_head()
        told = Told(second)
    check_stream_body(told)
    assert told.text() == " ".join(f"t{i}" for i in range(15))
    assert asked(site) == 1
    assert state(send(site, {k: v for k, v in body.items() if k != "stream"})) == "HIT"


@test("lighttpd", profile="cache")
def a_first_client_that_takes_nothing_holds_back_nobody(site):
    # More than sockets and web server take, less than may be shared.
    body = dict(ask("tokens=25000", text=fresh()), stream=True)
    with Exchange(site.port) as first:
        first.request("POST", PATH, site.auth(), body)
        first.read_head()
        wait_for("the provider is asked", 5, lambda: asked(site))
        time.sleep(1)  # until its provider's transfer is paused for it
        begun = time.monotonic()
        told = tell(site, body)
        assert time.monotonic() - begun < 15, "GATEWAY_CLIENT_STALL is two minutes"
    check_stream(told)
    assert state(told) == "COALESCED"
    assert asked(site) == 1


@test("lighttpd", profile="routes-cache")
def nobody_follows_to_a_model_or_provider_that_is_not_theirs(site):
    """A leader's stand-in is the answer of those only who may have it, and asked for it."""
    slug, _ = new_org(site, "stand-in")
    leader = new_member(site, slug, "wide")
    other = new_member(site, slug, "narrow")
    large = "google/gemini-3-pro-preview"
    for stream in (True, False):
        site.fake.reset()
        cue = routes.at(openai="status=503", vercel="status=503", openrouter="status=503",
                        google="ttft=1500 tokens=5")
        body = ask(cue, model=routes.fresh(), text=fresh(), stream=stream)
        done = []

        def lead():
            done.append(call(site.port, "POST", PATH, leader, dict(body, models=[large])))

        first = threading.Thread(target=lead)
        first.start()
        wait_for("the stand-in is asked", 5, lambda: site.fake.at("google"))
        follower = call(site.port, "POST", PATH, other, body)
        first.join()
        assert done[0].status == 200 and done[0].header("X-Model") == large, done[0].headers
        assert follower.status == 503, (follower.status, follower.headers, follower.body[:300])
    site.healthy()


@test("lighttpd", profile="cache")
def the_leader_pays_and_followers_are_recorded_as_saved(site):
    name, key = someone(site, "crowd")
    before = balance(site, "--user", name)
    body = ask("tokens=20 ttft=500", text=fresh())
    replies = together(5, lambda i: call(site.port, "POST", PATH, key, body))
    cost = exact_cost(replies[0].json()["usage"])
    assert asked(site) == 1
    paid = before - balance(site, "--user", name)
    assert abs(paid - cost) < Decimal("0.000002"), (paid, cost)
    lines = [line_of(site, r.header("X-Generation-Id")) for r in replies]
    assert sorted(Decimal(li["cost_usd"]) > 0 for li in lines) == [False] * 4 + [True], lines
    assert sum(Decimal(li["saved_usd"]) > 0 for li in lines) == 4


@test("lighttpd", profile="coalesce-each")
def each_may_be_made_to_pay(site):
    name, key = someone(site, "each")
    before = balance(site, "--user", name)
    body = ask("tokens=20 ttft=500", text=fresh())
    replies = together(4, lambda i: call(site.port, "POST", PATH, key, body))
    assert asked(site) == 1
    lines = [line_of(site, r.header("X-Generation-Id")) for r in replies]
    costs = {Decimal(li["cost_usd"]) for li in lines}
    assert len(costs) == 1 and costs != {Decimal(0)}, lines
    told = [json.loads(r.body, parse_float=Decimal)["usage"]["cost"] for r in replies]
    assert {billed(Decimal(t)) for t in told} == costs, "each is told what it pays"
    assert before - balance(site, "--user", name) == 4 * costs.pop()
    body = dict(ask("tokens=20 ttft=500", text=fresh()), stream_options={"include_usage": True})
    for told in together(3, lambda i: tell(site, body)):
        check_stream(told)
        assert [c["usage"]["cost"] for c in told.chunks if c.get("usage")][0] > 0


@test("lighttpd", profile="cache")
def when_the_leaders_process_is_killed_the_others_are_answered_all_the_same(site):
    for round_ in range(3):
        site.fake.reset()
        body = ask(f"tokens=30 pace=50 ttft={200 * round_ + 50}", text=fresh())
        done = []

        def run(_):
            try:
                t = tell(site, body)
                done.append((t.head.status, t.text(), t.done, t.errors))
            except Exception as e:
                done.append(e)

        crowd = [threading.Thread(target=run, args=(i,)) for i in range(8)]
        for t in crowd:
            t.start()
            time.sleep(0.02)
        wait_for("the provider is asked", 5, lambda: asked(site) >= 1)
        time.sleep(random.uniform(0, 1))
        # Whoever leads dies, with the clients of its process.
        victims = handlers("chat_completions")
        os.kill(victims[0], signal.SIGKILL)
        for t in crowd:
            t.join(30)
        want = " ".join(f"t{i}" for i in range(30))
        for d in done:
            if isinstance(d, Exception):
                continue  # of the process that was killed
            status, text, marks, errors = d
            if status == 200 and marks:
                assert text == want and not errors, d
        site.healthy()
