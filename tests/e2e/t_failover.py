"""The fault catalogue with several providers: whatever happens to some of them, the caller gets
one whole answer as long as one is well, and a true word when none is. Each test has a model of its
own, whose providers nobody has failed at yet."""

import base64
import time
import zlib

from client import Exchange, Told, call
from harness import test, wait_for
from routes import (
    HEDGE,
    PLACES,
    WHOLE_HEDGE,
    at,
    cancelled,
    check_whole,
    cost_of,
    counts,
    fresh,
    gaps,
    generation,
    new_key,
    open_fresh,
    profile,
    send,
    served,
    spent,
)
from talk import PATH, SENTENCE, ask, check_broken_stream, check_stream, expect_error, stream

WEB = "lighttpd fcgid"
TOKENS = "tokens=6"
SIX = "t0 t1 t2 t3 t4 t5"

# What the first provider does, how often it is asked, and what X-Attempts calls it.
FAULTS = (
    ("status=429", 1, "429"),
    ("status=429 retry_after=1", 1, "429"),
    ("status=429 retry_after=30", 1, "429"),
    ("status=500", 2, "500"),
    ("status=500 body=html", 2, "500"),
    ("status=500 body=empty", 2, "500"),
    ("status=502", 1, "502"),
    ("status=503", 1, "503"),
    ("status=503 body=html", 1, "503"),
    ("status=529", 1, "529"),
    ("status=401", 1, "401"),
    ("status=402", 1, "402"),
    ("status=403", 1, "403"),
    ("status=404", 1, "404"),
    ("reset", 1, "connect"),
    ("body=garbage", 1, "invalid"),
    ("body=html", 1, "invalid"),
    ("body=empty", 1, "invalid"),
    ("body=error200", 1, "error"),
    ("gzip", 1, "invalid"),
)
# The same, of streams that begin as if all were well.
STREAM_FAULTS = (
    ("cut=0", 1, "closed"),
    ("cut=0 clean", 1, "closed"),
    ("cut=1", 1, "closed"),
    ("nothing", 1, "closed"),
    ("malformed=1", 1, "invalid"),
    ("error_event=0", 1, "error"),
    ("reset_after=1", 1, "closed"),
)


def rescued_by_the_second(site, head, tries, name, cue):
    """A kept connection that is reset may have been given up long ago: it is dialled once more."""
    assert head.header("X-Provider") == "vercel", (cue, head.headers)
    assert served(head) == [("openai", name)] * tries + [("vercel", "ok")], (cue, head.headers)
    dialled = counts(site)[0]
    assert dialled == tries or (cue == "reset" and dialled == 2), (cue, counts(site))
    assert counts(site)[1:] == (1, 0), (cue, counts(site))


@test(WEB, "routes")
def a_fault_of_the_first_provider_is_nobodys_trouble(site):
    for cue, tries, name in FAULTS:
        site.fake.reset()
        model = fresh()
        reply = send(site, at(openai=cue), model=model)
        check_whole(reply, "vercel", model=model)
        rescued_by_the_second(site, reply, tries, name, cue)
    site.healthy()


@test(WEB, "routes")
def nor_is_it_in_a_stream(site):
    for cue, tries, name in FAULTS + STREAM_FAULTS:
        site.fake.reset()
        told = open_fresh(site, f"{TOKENS}\n@fake {at(openai=cue)}")
        check_stream(told)
        assert told.text() == SIX, (cue, told.text())
        rescued_by_the_second(site, told.head, tries, name, cue)
    site.healthy()


@test(WEB, "routes")
def providers_that_cannot_be_reached_are_passed_by(site):
    """Nobody listens; no such name; no TLS; a certificate that nobody trusts."""
    for model in (
        "mistralai/codestral-2508", "deepseek/deepseek-v4-pro", "x-ai/grok-4.5", "cohere/command-a",
    ):
        site.fake.reset()
        reply = send(site, model=model)
        second = "openrouter" if model.startswith("cohere") else "vercel"
        check_whole(reply, second, model=model)
        tried = served(reply)
        assert len(tried) == 2 and tried[1] == (second, "ok"), (model, tried)
        assert sum(counts(site)) == 1, counts(site)
    site.healthy()


@test(WEB, "routes")
def the_answer_names_its_provider(site):
    assert send(site).json()["provider"] == "openai"
    assert send(site, at(openai="status=503")).json()["provider"] == "vercel"
    told = open_fresh(site, at(openai="status=503"))
    assert {c["provider"] for c in told.chunks} == {"vercel"}, told.chunks[0]


@test(WEB, "routes")
def two_failing_providers_leave_the_third(site):
    for first, second in (("status=503", "reset"), ("body=garbage", "status=401"),
                          ("status=429", "status=429")):
        for streams in (False, True):
            site.fake.reset()
            cue = f"{TOKENS}\n@fake " + at(openai=first, vercel=second)
            if streams:
                told = open_fresh(site, cue)
                check_stream(told)
                text, head = told.text(), told.head
            else:
                head = send(site, cue)
                text = check_whole(head, "openrouter", SIX)["choices"][0]["message"]["content"]
            assert text == SIX, (first, second, text)
            assert all(counts(site)) and sum(counts(site)) <= 4, (first, second, counts(site))
            assert head.header("X-Provider") == "openrouter", head.headers
    site.healthy()


@test(WEB, "routes")
def a_single_500_is_forgiven(site):
    reply = send(site, at(openai="status=500 times=1"))
    check_whole(reply, "openai")
    assert served(reply) == [("openai", "500"), ("openai", "ok")], reply.headers
    assert counts(site) == (2, 0, 0)
    assert 0.09 < gaps(site.fake.at("openai"))[0] < 2, gaps(site.fake.at("openai"))


@test(WEB, "routes")
def attempts_are_bounded(site):
    """GATEWAY_RETRY_MAX is 3: four in all, then a true word."""
    cue = at(openai="status=500", vercel="status=500", openrouter="status=500")
    reply = send(site, cue)
    expect_error(reply, 503, "temporarily_unavailable")
    assert sum(counts(site)) == 4, counts(site)
    assert len(served(reply)) == 4, reply.headers


# ---- limits of rate ----


@test(WEB, "routes")
def a_short_wait_is_waited_out_where_nobody_else_is(site):
    alone = {"provider": {"only": ["openai"]}}
    reply = send(site, at(openai="status=429 retry_after=1 times=1"), **alone)
    check_whole(reply, "openai")
    assert counts(site) == (2, 0, 0)
    assert 0.95 < gaps(site.fake.at("openai"))[0] < 2.5, gaps(site.fake.at("openai"))
    site.fake.reset()
    reply = send(site, at(openai="status=429 times=2"), **alone)
    check_whole(reply, "openai")
    first, second = gaps(site.fake.at("openai"))
    assert 0.2 < first < 1.5 and 0.4 < second < 3, "it backs off"


@test(WEB, "routes")
def a_long_wait_is_passed_on(site):
    reply = send(site, at(openai="status=429 retry_after=40"), provider={"only": ["openai"]})
    expect_error(reply, 429, "rate_limit_exceeded")
    assert reply.header("Retry-After") == "40", reply.headers
    assert counts(site) == (1, 0, 0)
    site.healthy()


# ---- what nobody else would do better ----


@test(WEB, "routes")
def what_the_caller_did_wrong_goes_back_at_once(site):
    for cue, status in (("status=400", 400), ("status=413", 413), ("status=422", 422),
                        ("filter", 400)):
        for streams in (False, True):
            site.fake.reset()
            reply = send(site, cue, stream=streams)
            expect_error(reply, status, "upstream_error")
            assert counts(site) == (1, 0, 0), (cue, counts(site))
    site.healthy()


@test(WEB, "routes")
def an_answer_that_was_declined_is_an_answer(site):
    reply = send(site, "declined")
    assert reply.json()["choices"][0]["finish_reason"] == "content_filter", reply.body
    told = open_fresh(site, "declined")
    check_stream(told, "content_filter")
    assert counts(site) == (2, 0, 0)


@test(WEB, "routes")
def too_long_a_conversation_goes_to_another_model_or_back(site):
    for streams in (False, True):
        site.fake.reset()
        reply = send(site, "context", stream=streams)
        expect_error(reply, 400, "context_length_exceeded")
        assert counts(site) == (1, 0, 0), "the same model elsewhere would say the same"
    site.fake.reset()
    larger = "google/gemini-3-pro-preview"
    reply = send(site, at(openai="context"), models=[larger])
    check_whole(reply, "google", model=larger)
    assert counts(site, *PLACES, "google") == (1, 0, 0, 1)
    assert served(reply) == [("openai", "400"), ("google", "ok")], reply.headers
    site.healthy()


# ---- silence, and a second one beside a slow first ----


def begun_after(site, first, second):
    """Seconds between the first requests of two places."""
    return (site.fake.at(second)[0]["at_ms"] - site.fake.at(first)[0]["at_ms"]) / 1000


@test(WEB, "routes")
def a_silent_provider_is_overtaken(site):
    """Silent before its head, and behind it."""
    key = new_key(site)
    for quiet in ("ttft=30000", "silence"):
        for streams in (False, True):
            site.fake.reset()
            model, cue = fresh(), f"{TOKENS}\n@fake " + at(openai=quiet)
            if streams:
                told = stream(site, cue, model=model, headers=key)
                check_stream(told)
                head, text = told.head, told.text()
            else:
                head = send(site, cue, key, model=model)
                text = check_whole(head, "vercel", SIX)["choices"][0]["message"]["content"]
            assert text == SIX and head.header("X-Provider") == "vercel", (quiet, text)
            cancelled(site, "openai")
            assert counts(site) == (1, 1, 0), (quiet, counts(site))
            waited = begun_after(site, "openai", "vercel")
            limit = HEDGE if streams else WHOLE_HEDGE
            assert limit - 0.1 < waited < limit + 1, (quiet, waited)
            data = generation(site, key, head)
            assert data["provider_name"] == "vercel", data
            tries = {t["provider"]: t for t in data["attempts"]}
            assert tries["vercel"]["hedge"] and not tries["openai"]["hedge"], data
            assert tries["openai"]["outcome"] == "overtaken", data
    site.healthy()


@test(WEB, "routes")
def a_slow_provider_that_speaks_first_wins(site):
    key = new_key(site)
    told = stream(
        site, f"{TOKENS}\n@fake " + at(openai="ttft=1200", vercel="ttft=9000"), model=fresh(),
        headers=key, stream_options={"include_usage": True},
    )
    check_stream(told)
    assert told.text() == SIX and told.head.header("X-Provider") == "openai", told.head.headers
    cancelled(site, "vercel")
    assert counts(site) == (1, 1, 0)
    usage = told.usage()[0]
    data = generation(site, key, told.head)
    assert data["total_cost"] == cost_of(usage) and data["provider_name"] == "openai", data
    assert spent(site, key) == cost_of(usage), "the one that lost is not billed"


@test(WEB, "routes")
def alone_a_slow_provider_is_waited_for(site):
    reply = send(site, at(openai="ttft=1500"), provider={"only": ["openai"]})
    check_whole(reply, "openai")
    assert counts(site) == (1, 0, 0)


@test(WEB, "routes")
def a_second_that_fails_leaves_the_slow_first_its_time(site):
    told = open_fresh(
        site, at(openai="ttft=1500", vercel="status=503", openrouter="status=503"))
    check_stream(told)
    assert told.text() == SENTENCE and told.head.header("X-Provider") == "openai", told.text()
    assert site.fake.at("openai")[0]["state"] == "done"


@test(WEB, "routes")
def who_leaves_while_two_are_asked_cancels_both(site):
    if site.kind == "fcgid":
        return  # without heartbeats nothing tells of the leaving there
    with Exchange(site.port) as x:
        time.sleep(0.1)
        body = ask("ttft=30000", model=fresh(), stream=True)
        x.request("POST", PATH, site.auth(), body)
        wait_for("both to be asked", 5, lambda: counts(site)[:2] == (1, 1))
        time.sleep(0.1)
    cancelled(site, "openai")
    cancelled(site, "vercel")
    site.healthy()


# ---- all of them ----


@test(WEB, "routes")
def when_all_fail_the_answer_is_503_and_says_when(site):
    for cue in ("status=503", "reset", "status=401", "status=500", "body=garbage"):
        for streams in (False, True):
            site.fake.reset()
            begun = time.monotonic()
            reply = send(site, cue, stream=streams, provider={"only": ["openai", "vercel"]})
            error = expect_error(reply, 503, "temporarily_unavailable")
            assert "openai:" in error["message"] and "vercel:" in error["message"], error
            assert int(reply.header("Retry-After")) >= 1, (cue, reply.headers)
            assert time.monotonic() - begun < 12, "the deadline"
            assert all(counts(site, "openai", "vercel")), (cue, counts(site))
    site.fake.reset()
    reply = send(site, "status=429 retry_after=7")
    expect_error(reply, 429, "rate_limit_exceeded")
    assert reply.header("Retry-After") == "7" and counts(site) == (1, 1, 1), reply.headers
    site.healthy()


@test(WEB, "routes")
def all_silent_end_within_the_deadline(site):
    begun = time.monotonic()
    reply = send(site, "ttft=30000")
    expect_error(reply, 503, "temporarily_unavailable")
    took = time.monotonic() - begun
    assert took < 12, took
    assert counts(site) == (1, 1, 1), "never the same silent route"
    for place in PLACES:
        cancelled(site, place)
    site.healthy()


@test(WEB, "routes")
def alone_a_provider_keeps_its_true_status(site):
    for cue, status, kind in (
        ("status=503", 503, "upstream_error"), ("status=500", 500, "upstream_error"),
        ("status=401", 401, "upstream_error"), ("body=garbage", 502, "invalid_response"),
        ("reset", 503, "upstream_disconnect"), ("ttft=30000", 504, "timeout"),
    ):
        site.fake.reset()
        reply = send(site, cue, provider={"only": ["openai"]})
        expect_error(reply, status, kind)
        assert counts(site)[1:] == (0, 0)
    site.healthy()


# ---- what it costs ----


@test(WEB, "routes")
def only_the_answer_is_billed(site):
    key, total = new_key(site), 0
    for cue in ("status=500", "status=429", "reset", "body=garbage", "malformed=1"):
        told = stream(
            site, f"tokens=40\n@fake {at(openai=cue)}", model=fresh(), headers=key,
            stream_options={"include_usage": True},
        )
        check_stream(told)
        usage = told.usage()[0]
        assert usage["completion_tokens"] == 40, usage
        data = generation(site, key, told.head)
        assert data["total_cost"] == cost_of(usage), (cue, data, usage)
        assert data["provider_name"] == "vercel", data
        assert data["attempts"][-1]["outcome"] == "ok", data
        assert data["attempts"][0]["provider"] == "openai", data
        assert [t["outcome"] for t in data["attempts"][:-1]] == ["failed"] * (
            len(data["attempts"]) - 1), data
        total += cost_of(usage)
    assert spent(site, key) == total
    before = spent(site, key)
    expect_error(send(site, "status=503", key), 503, "temporarily_unavailable")
    assert spent(site, key) == before, "nothing was said, nothing is paid"


# ---- other dialects ----


@test(WEB, "routes")
def a_claude_is_the_same_in_three_dialects(site):
    """Bedrock first, then Anthropic, then whoever speaks OpenAI's."""
    model = "anthropic/claude-opus-4.1"
    for cues, provider in (
        ({}, "bedrock"),
        ({"bedrock": "status=503"}, "anthropic"),
        ({"bedrock": "reset", "anthropic": "status=529"}, "vercel"),
    ):
        for streams in (False, True):
            cue = f"{TOKENS}\n@fake {at(**cues)}" if cues else TOKENS
            if streams:
                told = stream(site, cue, model=model)
                check_stream(told)
                assert told.text() == SIX, told.text()
                assert told.head.header("X-Provider") == provider, told.head.headers
            else:
                check_whole(send(site, cue, model=model), provider, SIX, model)


@test(WEB, "routes")
def what_only_the_first_vendor_understands_is_left_out(site):
    """A Claude's conversation goes on at OpenAI's: thoughts, marks and ids included."""
    signature = base64.b64encode(b"sig:%08x" % zlib.crc32(b"Hm.")).decode()
    details = [{"type": "reasoning.text", "text": "Hm.", "signature": signature, "index": 0,
                "format": "anthropic-claude-v1"}]
    messages = [
        {"role": "system", "content": [
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello.", "reasoning": "Hm.",
         "reasoning_details": details},
        {"role": "user", "content": "and now? @fake " + at(
            anthropic="status=503")},
    ]
    second = fresh()
    reply = call(site.port, "POST", PATH, site.auth(), {
        "model": "anthropic/claude-opus-4", "messages": messages, "models": [second],
        "provider": {"only": ["anthropic", "openai"]}, "max_tokens": 100,
    })
    check_whole(reply, "openai", model=second)
    sent = site.fake.at("openai")[0]["body"]
    for word in ("reasoning", "signature", "cache_control", signature):
        assert word not in sent, sent
    site.healthy()


@test("lighttpd", "routes")
def texts_and_embeddings_go_elsewhere_as_well(site):
    """To whoever has the same model, in its own words."""
    for streams in (False, True):
        site.fake.reset()
        body = {"model": fresh(), "prompt": "say @fake " + at(openai="status=503"),
                "stream": streams}
        reply = call(site.port, "POST", "/v1/completions", site.auth(), body)
        assert reply.status == 200 and SENTENCE.split()[0] in reply.body.decode(), reply.body
        assert served(reply)[0] == ("openai", "503") and served(reply)[-1][1] == "ok", reply.headers
    site.fake.reset()
    body = {"model": "openai/text-embedding-3-small", "input": "a @fake status=500 times=1 "}
    reply = call(site.port, "POST", "/v1/embeddings", site.auth(), body)
    assert reply.status == 200 and len(reply.json()["data"]) == 1, reply.body
    assert served(reply) == [("openai", "500"), ("openai", "ok")], reply.headers


# ---- a primary that comes and goes ----


@test(WEB, "routes")
def a_flapping_primary_is_never_noticed(site):
    model = fresh()
    for i in range(20):
        cue = f"{TOKENS}\n@fake " + at(openai="status=503 every=2")
        if i % 2:
            told = stream(site, cue, model=model)
            check_stream(told)
            assert told.text() == SIX, told.text()
        else:
            reply = send(site, cue, model=model)
            assert reply.status == 200, reply.body
            assert reply.json()["choices"][0]["message"]["content"] == SIX, reply.body
    site.healthy()


# ---- with heartbeats: the head may be gone before anybody has answered ----

profile("routes-beats", GATEWAY_HEARTBEAT="200ms")


@test(WEB, "routes-beats")
def heartbeats_bridge_the_search_for_a_provider(site):
    told = open_fresh(site, f"{TOKENS}\n@fake " + at(
        openai="ttft=30000", vercel="ttft=700 status=503", openrouter="ttft=500"))
    check_stream(told)
    assert told.text() == SIX, told.text()
    beats = [text for text, _ in told.comments if text == "keep-alive"]
    assert len(beats) >= 4, told.comments
    cancelled(site, "openai")


@test(WEB, "routes-beats")
def who_leaves_is_found_out_whomever_is_asked(site):
    """Under Apache the heartbeats tell, whoever's turn it is to send them."""
    with Exchange(site.port) as x:
        x.request("POST", PATH, site.auth(), ask("ttft=30000", model=fresh(), stream=True))
        x.read_head()
        wait_for("both to be asked", 5, lambda: counts(site)[:2] == (1, 1))
    cancelled(site, "openai")
    cancelled(site, "vercel")
    site.healthy()


@test(WEB, "routes-beats")
def a_search_in_vain_ends_with_an_event(site):
    told = open_fresh(site, "ttft=700 status=503")
    check_broken_stream(told, "temporarily_unavailable")
    assert not told.chunks and told.comments[0][0] == "ok", told.comments
    assert all(counts(site)), counts(site)
    site.healthy()
