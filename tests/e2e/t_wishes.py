"""Who serves a request, when several could: weights, order, and what a request wishes, within what
policies allow."""

import json
import random
import threading

from client import call
from harness import test
from routes import (
    PLACES,
    at,
    check_whole,
    counts,
    fresh,
    new_key,
    open_fresh,
    profile,
    send,
    served,
)
from t_money import new_member, new_org
from talk import PATH, SENTENCE, ask, check_stream, expect_error

WEB = "lighttpd fcgid"
# At Fireworks and, for less, at Together; its maker is not configured.
KIMI = "moonshotai/kimi-k2.5"
LARGE, SMALL = "google/gemini-3-pro-preview", "anthropic/claude-haiku-4.5"


def tried(site, *places):
    """Which of the places were asked at all."""
    return {p for p in places or PLACES if site.fake.at(p)}


# ---- a chain of models ----


@test(WEB, "routes")
def a_chain_of_models_is_followed_to_its_end(site):
    for name in ("models", "fallbacks"):
        site.fake.reset()
        first = fresh()
        cue = at(openai="status=503", vercel="status=503", openrouter="status=503")
        reply = send(site, cue, model=first, **{name: [LARGE, SMALL]})
        check_whole(reply, "google", model=LARGE)
        assert tried(site) == set(PLACES), "all who have the first model come first"
        assert served(reply)[-1] == ("google", "ok"), reply.headers
    sent = json.loads(site.fake.at("google")[0]["body"])
    for word in ("models", "fallbacks", "provider"):
        assert word not in sent, sent
    site.healthy()


@test(WEB, "routes")
def models_alone_name_the_first_too(site):
    first, second = fresh(), fresh()
    reply = send(site, at(openai="status=404"), model=first, models=[first, second],
                 provider={"only": ["openai"]})
    expect_error(reply, 404, "upstream_error")
    assert [json.loads(r["body"])["model"] for r in site.fake.at("openai")] == [
        first.split("/")[1], second.split("/")[1]]


@test(WEB, "routes")
def vercels_form_means_the_same(site):
    gateway = {"models": [LARGE], "only": ["openai", "google"]}
    reply = send(site, at(openai="status=503"), providerOptions={"gateway": gateway})
    check_whole(reply, "google", model=LARGE)
    assert counts(site) == (1, 0, 0)
    assert "providerOptions" not in site.fake.at("openai")[0]["body"]
    site.fake.reset()
    reply = send(site, providerOptions={"gateway": {"order": ["openrouter", "openai"]}})
    check_whole(reply, "openrouter")


@test(WEB, "routes-chains")
def the_operators_chains_hold_for_everybody(site):
    cue = at(openai="status=503", vercel="reset", openrouter="status=500")
    told = open_fresh(site, f"tokens=5\n@fake {cue}", model="openai/gpt-4.1")
    check_stream(told)
    assert told.head.header("X-Model") == SMALL, told.head.headers
    assert {c["model"] for c in told.chunks} == {SMALL}, told.chunks[0]
    reply = send(site, cue, model="openai/gpt-4.1-mini")
    expect_error(reply, 503, "temporarily_unavailable")


profile("routes-chains", GATEWAY_FALLBACKS=f"openai/gpt-4.1={SMALL}", GATEWAY_RETRY_MAX="6")


# ---- providers ----


@test(WEB, "routes")
def order_only_and_ignore_say_who_is_asked(site):
    for wish, first in (
        ({"order": ["openrouter"]}, "openrouter"), ({"order": ["vercel", "openai"]}, "vercel"),
        ({"only": ["openrouter"]}, "openrouter"), ({"only": ["vercel"]}, "vercel"),
        # A router would have to be told, and Vercel's has no word for it.
        ({"ignore": ["openai"]}, "openrouter"), ({}, "openai"),
    ):
        site.fake.reset()
        reply = send(site, provider=wish)
        assert reply.header("X-Provider") == first, (wish, reply.headers)
        assert tried(site) == {first}, (wish, tried(site))
    site.fake.reset()
    reply = send(site, at(openrouter="status=503"), provider={"order": ["openrouter", "vercel"]})
    check_whole(reply, "vercel")


@test(WEB, "routes")
def without_fallbacks_there_is_one_chance(site):
    reply = send(site, at(openai="status=503"), provider={"allow_fallbacks": False})
    expect_error(reply, 503, "upstream_error")
    assert counts(site)[1:] == (0, 0)
    site.fake.reset()
    wish = {"order": ["openrouter"], "allow_fallbacks": False}
    expect_error(send(site, at(openrouter="status=401"), provider=wish), 401, "upstream_error")
    assert counts(site)[:2] == (0, 0)


@test(WEB, "routes")
def a_wish_that_leaves_nobody_is_refused_with_its_name(site):
    for wish, param in (
        ({"only": ["bedrock"]}, "provider.only"),
        ({"ignore": ["openai", "openrouter"]}, "provider.ignore"),
        ({"order": "openai"}, "provider.order"),
        ({"sort": "beauty"}, "provider.sort"),
        ({"allow_fallbacks": "yes"}, "provider.allow_fallbacks"),
        ({"max_price": {"prompt": 0.000001, "completion": 0.000001}}, "provider.max_price"),
    ):
        error = expect_error(send(site, provider=wish), 400, "invalid_request")
        assert error["param"].startswith(param), (wish, error)
    error = expect_error(send(site, models=["a"] * 30), 400, "invalid_request")
    assert error["param"].startswith("models"), error
    assert not site.fake.requests(), "nobody was to be asked"


def learn(site, model, cue):
    """Streams tell how soon the first token of each comes."""
    for place in PLACES:
        told = open_fresh(site, cue, model=model, provider={"only": [place]})
        check_stream(told)
        assert told.head.header("X-Provider") == place, told.head.headers


@test(WEB, "routes")
def sorted_by_price_and_latency(site):
    check_whole(send(site, model=KIMI), "fireworks", model=KIMI)
    check_whole(send(site, model=KIMI, provider={"sort": "price"}), "together", model=KIMI)
    model = fresh()
    cue = at(openai="ttft=300", vercel="ttft=150", openrouter="ttft=5")
    learn(site, model, cue)
    first = [send(site, cue, model=model, provider={"sort": "latency"}).header("X-Provider")
             for _ in range(10)]
    assert first.count("openrouter") >= 7, first


# ---- shares ----

profile("routes-weights", GATEWAY_PROVIDERS="openai,vercel,openrouter", GATEWAY_WEIGHTS="50,30,20")
profile("routes-cost", GATEWAY_STRATEGY="cost")
profile("routes-latency", GATEWAY_STRATEGY="latency")


def crowd(site, n, **more):
    """n requests, by six callers at once; the providers that served them."""
    left, seen = iter(range(n)), []
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                if next(left, None) is None:
                    return
            reply = send(site, **more)
            seen.append(reply.header("X-Provider") if reply.status == 200 else reply.body)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return seen


@test(WEB, "routes-weights")
def weights_are_shares(site):
    """Of 300 requests; a share of a half misses by 36 once in ten thousand runs."""
    seen = crowd(site, 300, model=fresh())
    assert len(seen) == 300 and set(seen) == set(PLACES), set(seen)
    for place, share in zip(PLACES, (150, 90, 60)):
        assert abs(seen.count(place) - share) < 36, {p: seen.count(p) for p in PLACES}


@test(WEB, "routes-weights")
def the_share_of_a_failing_provider_goes_to_the_others(site):
    seen = crowd(site, 60, model=fresh(), cue=at(openai="status=503"))
    assert set(seen) == {"vercel", "openrouter"}, set(seen)


@test(WEB, "routes-weights")
def a_conversation_stays_with_its_provider(site):
    model, seen = fresh(), {}
    for talk in range(12):
        headers = site.auth({"X-KiloCode-TaskId": f"task-{talk}"})
        seen[talk] = {send(site, headers=headers, model=model).header("X-Provider")
                      for _ in range(4)}
    assert all(len(names) == 1 for names in seen.values()), seen
    assert len(set.union(*seen.values())) > 1, "all conversations went the same way"
    names = {send(site, model=model, prompt_cache_key="one-conversation").header("X-Provider")
             for _ in range(8)}
    assert len(names) == 1, names
    away = at(**{names.pop(): "status=503"})
    reply = send(site, away, model=model, prompt_cache_key="one-conversation")
    assert reply.status == 200, "it moves when it must"


@test("lighttpd", "routes-cost")
def the_cheapest_comes_first(site):
    check_whole(send(site, model=KIMI), "together", model=KIMI)
    check_whole(send(site, at(together="status=503"), model=KIMI), "fireworks", model=KIMI)


@test(WEB, "routes-latency")
def the_quickest_comes_first(site):
    model = fresh()
    cue = at(openai="ttft=300", vercel="ttft=5", openrouter="ttft=150")
    learn(site, model, cue)
    first = [send(site, cue, model=model).header("X-Provider") for _ in range(10)]
    assert first.count("vercel") >= 7, first


# ---- what is allowed ----


@test(WEB, "routes")
def a_policy_wins_over_every_wish(site):
    slug, _ = new_org(site, "routes", "--deny-providers", "openai")
    member = new_member(site, slug, "routes")
    check_whole(send(site, headers=member), "vercel")
    reply = send(site, headers=member, provider={"order": ["openai", "openrouter"]})
    check_whole(reply, "openrouter")
    reply = send(site, headers=member, provider={"only": ["openai"]})
    expect_error(reply, 403, "provider_not_allowed")
    reply = send(site, at(vercel="status=503", openrouter="status=503"), member)
    assert reply.status == 503, reply.body
    assert counts(site)[0] == 0, "the denied provider was asked"
    slug, _ = new_org(site, "models", "--models", "openai/*")
    member = new_member(site, slug, "models")
    cue = at(openai="status=503", vercel="status=503", openrouter="status=503")
    reply = send(site, cue, member, models=[LARGE])
    assert reply.status in (403, 503), reply.body
    assert not site.fake.at("google"), "the denied model was asked for"


@test(WEB, "routes")
def who_has_no_key_never_falls_back_to_what_costs(site):
    free = "z-ai/glm-5:free"
    address = f"198.51.{random.randrange(256)}.{random.randrange(256)}"
    headers = {"X-Forwarded-For": address}
    body = ask(at(zai="status=503"), model=free)
    for more in ({}, {"models": ["openai/gpt-4o-mini"]}, {"fallbacks": ["z-ai/glm-5"]},
                 {"provider": {"order": ["vercel"]}}):
        site.fake.reset()
        reply = call(site.port, "POST", PATH, headers, dict(body, **more))
        assert reply.status in (400, 401, 503), (more, reply.status, reply.body)
        assert {r["path"].split("/")[1] for r in site.fake.requests()} <= {"zai"}, more
    reply = call(site.port, "POST", PATH, headers, ask(model=free))
    assert reply.status == 200 and reply.header("X-Provider") == "zai", reply.body


@test(WEB, "routes")
def whose_wishes_forbid_collection_is_kept_from_collectors(site):
    check_whole(send(site, provider={"data_collection": "deny"}), "openai")
    reply = send(site, provider={"zdr": True})
    assert reply.status in (200, 400), reply.body
    if reply.status == 200:
        assert reply.header("X-Provider") in ("vercel", "openrouter"), reply.headers
        sent = json.loads(site.fake.at(reply.header("X-Provider"))[-1]["body"])
        told = sent.get("provider", {}).get("zdr"), sent.get("providerOptions", {}).get(
            "gateway", {}).get("zeroDataRetention")
        assert True in told, sent


@test(WEB, "routes")
def routers_are_told_who_is_preferred(site):
    """Kilo's hints, unless the client has an order of its own."""
    claude = "anthropic/claude-sonnet-4"
    only = {"only": ["openrouter"]}
    check_whole(send(site, model=claude, provider=only), "openrouter", model=claude)
    sent = json.loads(site.fake.at("openrouter")[-1]["body"])
    assert sent["provider"]["order"] == ["amazon-bedrock"], sent["provider"]
    assert sent["model"] == claude, sent
    key = new_key(site)
    reply = send(site, headers=key, model=claude, provider=dict(only, order=["openrouter"]))
    check_whole(reply, "openrouter", SENTENCE)
