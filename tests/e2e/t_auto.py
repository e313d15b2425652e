"""Auto models and tool-call repair, as the provider sees them."""

import json
import time

from client import call
from harness import PROVIDER_KEY, test, wait_for
from routes import at, check_whole, fresh, generation, new_key, open_fresh, profile, send
from t_account import make_key
from t_money import new_user
from talk import PATH, SENTENCE, ask, check_stream, expect_error

WEB = "lighttpd fcgid"
PLANNING = ("plan", "general", "architect", "orchestrator", "ask", "debug")
CODING = ("build", "explore", "code", None, "poetry")
OPUS, SONNET = "anthropic/claude-opus-4.6", "anthropic/claude-sonnet-4.6"
KIMI, MINIMAX = "moonshotai/kimi-k2.5", "minimax/minimax-m2.7"

# One router serves them all, under the ids of the table, but for what its maker serves himself.
profile(
    "routes-auto",
    GATEWAY_PROVIDERS="openrouter,minimax",
    GATEWAY_TRUSTED_PROXIES="127.0.0.1",
    MINIMAX_API_KEY=PROVIDER_KEY,
    MINIMAX_BASE_URL="http://127.0.0.1:{fake}/minimax/v1",
)


def asked(site, model, mode=None, headers=None, **more):
    """(which model an auto model became, what the provider was sent)"""
    site.fake.reset()
    headers = dict(headers or site.auth(), **({"X-KiloCode-Mode": mode} if mode else {}))
    reply = call(site.port, "POST", PATH, headers, ask(model=model, **more))
    assert reply.status == 200, (model, mode, reply.status, reply.body[:300])
    sent = json.loads(site.fake.only()["body"])
    became = reply.header("X-Model")
    assert reply.json()["model"] == became, (reply.headers, reply.body)
    assert sent["model"] == became or reply.header("X-Provider") == "minimax", sent
    return became, sent


@test(WEB, "routes-auto")
def the_mode_chooses_the_model(site):
    for modes, frontier, balanced in ((PLANNING, OPUS, KIMI), (CODING, SONNET, MINIMAX)):
        for mode in modes:
            assert asked(site, "kilo-auto/frontier", mode)[0] == frontier, mode
            assert asked(site, "kilo-auto/balanced", mode)[0] == balanced, mode
    assert asked(site, "kilo-auto/frontier", " PLAN ")[0] == OPUS
    assert asked(site, "kilo-auto/free", "plan")[0] == "minimax/minimax-m2.5:free"


@test(WEB, "routes-auto")
def the_mode_sets_the_effort(site):
    for mode, verbosity in (("plan", "high"), ("general", "medium"), ("build", "medium"),
                            ("code", "low"), (None, "low")):
        _, sent = asked(site, "kilo-auto/frontier", mode, verbosity="high",
                        reasoning={"effort": "low"})
        assert sent["verbosity"] == verbosity, (mode, sent)
        assert sent["reasoning"] == {"enabled": True}, (mode, sent)
    assert asked(site, "kilo-auto/balanced", "plan")[1]["reasoning"] == {"enabled": True}
    assert "reasoning" not in asked(site, "kilo-auto/balanced", "code")[1]


@test(WEB, "routes-auto")
def other_names_mean_the_same(site):
    for name, model in (
        ("kilo/auto", SONNET), ("kilocode/kilo/auto", SONNET),
        ("kilocode/kilo-auto/frontier", SONNET), ("kilo/auto-free", "minimax/minimax-m2.5:free"),
    ):
        assert asked(site, name)[0] == model, name
    listed = {m["id"] for m in site.call("GET", "/v1/models").json()["data"]}
    assert {"kilo-auto/frontier", "kilo-auto/balanced", "kilo-auto/free",
            "kilo-auto/small"} <= listed, sorted(listed)[:20]
    expect_error(send(site, model="kilo-auto/huge"), 404, "model_not_found", "unavailable_model")


@test(WEB, "routes-auto")
def the_small_one_costs_only_who_has_money(site):
    rich = make_key(site, "rich", "--user", new_user(site, "rich", "1usd"))
    poor = make_key(site, "poor", "--user", new_user(site, "poor"))
    assert asked(site, "kilo-auto/small", headers=rich)[0] == "openai/gpt-5-nano"
    for headers in (poor, {"X-Forwarded-For": "198.51.100.77"}):
        free = asked(site, "kilo-auto/small", headers=headers)[0]
        assert free.endswith(":free"), free


@test(WEB, "routes-auto")
def the_books_know_the_model_that_answered(site):
    key = new_key(site)
    reply = send(site, headers=key, model="kilo-auto/frontier")
    check_whole(reply, "openrouter", model=SONNET)
    assert generation(site, key, reply)["model"] == SONNET
    name = reply.header("X-Request-Id")

    def line():
        return [x for x in site.log.read_text().splitlines() if name in x and "auto_model" in x]

    said = json.loads(wait_for("the line of the log", 5, line)[0])
    assert said["model"] == SONNET and said["auto_model"] == "kilo-auto/frontier", said


@test("lighttpd", "routes")
def an_auto_model_goes_on_with_its_next_when_it_fails(site):
    told = open_fresh(site, "tokens=3\n@fake " + at(
        bedrock="status=503", anthropic="status=503"), model="kilo-auto/frontier")
    check_stream(told)
    assert told.text() == "t0 t1 t2", told.text()


@test("lighttpd", "routes-auto")
def the_operators_own_are_like_the_others(site):
    """Read while the gateway runs; what a bad file says is left aside."""
    name = "home/auto_models.json"
    own = {"version": 1, "date": "2026-01-01", "groups": {"thinking": ["plan", "muse"]}, "models": [
        {"id": "acme/auto", "aliases": ["acme"], "name": "Acme", "rules": [
            {"modes": ["thinking"], "models": [OPUS]}, {"models": ["openai/gpt-4o-mini"]}]}]}
    site.place.write(name, json.dumps(own))
    wait_for("the file to be read", 6,
             lambda: send(site, model="acme").header("X-Model") == "openai/gpt-4o-mini", 0.2)
    assert asked(site, "acme/auto", "muse")[0] == OPUS
    assert asked(site, "acme")[0] == "openai/gpt-4o-mini"
    assert asked(site, "kilo-auto/frontier")[0] == SONNET, "those of the catalogue are still there"
    site.place.write(name, json.dumps(own).replace("models", "modells"))
    time.sleep(2.5)
    assert asked(site, "acme")[0] == "openai/gpt-4o-mini"
    (site.place.dir / name).unlink()


# ---- tool calls ----


def call_of(name):
    return {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def result_of(name, text="done"):
    return {"role": "tool", "tool_call_id": name, "content": text}


def conversation(*turns):
    return [{"role": "user", "content": "hi"}, *turns, {"role": "user", "content": "go on"}]


TOOLS = [{"type": "function", "function": {
    "name": "f", "parameters": {"type": "object", "properties": {}}}}]


def mended(site, place, messages, **more):
    """The messages as the provider got them."""
    body = dict({"model": fresh(), "messages": messages, "tools": TOOLS}, **more)
    reply = call(site.port, "POST", PATH, site.auth(), body)
    assert reply.status == 200, reply.body[:400]
    assert reply.json()["choices"][0]["message"]["content"] == SENTENCE, reply.body
    return json.loads(site.fake.at(place)[-1]["body"])["messages"]


def outline(messages):
    """Roles and ids, in order."""
    return [
        (m["role"], [c["id"] for c in m.get("tool_calls") or []], m.get("tool_call_id"))
        for m in messages
    ]


@test(WEB, "routes")
def broken_tool_conversations_are_mended(site):
    """The table of the contract: duplicates, orphans, and what is missing."""
    messages = conversation(
        {"role": "assistant", "content": None,
         "tool_calls": [call_of("c1"), call_of("c1"), call_of("c2")]},
        result_of("c2"), result_of("c2", "again"), result_of("zz"),
    )
    got = mended(site, "openai", messages)
    assert outline(got) == [
        ("user", [], None), ("assistant", ["c1", "c2"], None), ("tool", [], "c1"),
        ("tool", [], "c2"), ("user", [], None)], outline(got)
    assert "interrupted" in got[2]["content"] and got[3]["content"] == "done", got
    got = mended(site, "openai", [
        result_of("q"), {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call_of("c1")]},
        {"role": "assistant", "content": "text"}, result_of("c1"),
        {"role": "user", "content": "go on"},
    ])
    assert [m["role"] for m in got] == ["user", "assistant", "tool", "assistant", "user"], got


@test(WEB, "routes")
def mended_conversations_are_valid_in_every_dialect(site):
    """The fake refuses, as the real ones do, what does not fit."""
    messages = conversation(
        {"role": "assistant", "content": None, "tool_calls": [
            call_of("call.1"), call_of("call.2"), call_of("call.2")]},
        result_of("call.2"), result_of("gone"),
    )
    for model, place in (
        ("anthropic/claude-haiku-4.5", "bedrock"), ("google/gemini-2.5-flash", "google"),
    ):
        body = {"model": model, "messages": messages, "tools": TOOLS}
        reply = call(site.port, "POST", PATH, site.auth(), body)
        assert reply.status == 200, (model, reply.body[:400])
        assert reply.header("X-Provider") == place, reply.headers
    got = mended(site, "anthropic", messages, model="anthropic/claude-haiku-4.5",
                 provider={"only": ["anthropic"]})
    ids = [b["id"] for m in got if isinstance(m["content"], list)
           for b in m["content"] if b["type"] == "tool_use"]
    assert len(ids) == 2 and all("." not in i for i in ids), ids


@test(WEB, "routes")
def a_healthy_conversation_is_left_as_it_is(site):
    messages = conversation(
        {"role": "assistant", "content": None, "tool_calls": [call_of("c1")]}, result_of("c1"))
    assert mended(site, "openai", messages) == messages
