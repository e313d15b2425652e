"""Streams that die after text has gone out: the client sees one answer all the same, or is told
truly that it ends there."""

import json
from decimal import Decimal

from client import Exchange, Told
from harness import test, wait_for
from routes import (
    at,
    cancelled,
    check_whole,
    counts,
    fresh,
    generation,
    new_key,
    open_fresh,
    profile,
    send,
    spent,
)
from talk import PATH, ask, check_broken_stream, check_stream, stream

WEB = "lighttpd fcgid"
CLAUDE = "anthropic/claude-opus-4.5"
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}}}}
    for name in ("weather", "clock")
]

# What becomes of the first provider once text has gone out.
DEATHS = ("cut=6", "cut=6 clean", "cut=6 close", "reset_after=6", "stall=6", "malformed=7",
          "error_event=6", "nofinish")


def twelve(word="t"):
    return " ".join(f"{word}{i}" for i in range(12))


def broken_off(**cues):
    return f"tokens=12\n@fake {at(**cues)}"


@test(WEB, "routes")
def a_stream_that_dies_goes_on_where_it_ended(site):
    """Made again and spliced: these models do not go on from a text. Most likely the same is said
    where it was said before, so that is asked first."""
    for death in DEATHS:
        for times, asked in ((" times=1", (2, 0, 0)), ("", (2, 1, 0))):
            site.fake.reset()
            told = open_fresh(site, broken_off(openai=death + times))
            check_stream(told)
            assert told.text() == twelve(), (death, told.text())
            assert counts(site) == asked, (death, counts(site))
        assert told.head.header("X-Provider") == "openai", told.head.headers
    site.healthy()


@test(WEB, "routes")
def one_byte_at_a_time_it_is_the_same(site):
    told = open_fresh(site, broken_off(openai="cut=8 bytewise", vercel="bytewise"))
    check_stream(told)
    assert told.text() == twelve(), told.text()
    told = open_fresh(site, at(openai="echo cut=9", vercel="echo") + " gr\u00fc\u00dfe")
    assert told.done + len(told.errors) == 1, told.errors


@test(WEB, "routes")
def two_deaths_are_survived(site):
    told = open_fresh(site, broken_off(openai="cut=4 times=1\n@fake at=openai every=2 cut=8"))
    check_stream(told)
    assert told.text() == twelve(), told.text()
    assert counts(site) == (2, 1, 0)


@test(WEB, "routes")
def a_claude_goes_on_from_what_was_said(site):
    """The delivered text is the assistant's last message; what comes is simply the rest."""
    told = stream(site, broken_off(bedrock="cut=9"), model=CLAUDE,
                  stream_options={"include_usage": True})
    check_stream(told)
    assert told.text() == twelve(), told.text()
    assert counts(site, "bedrock", "anthropic") == (1, 1)
    last = json.loads(site.fake.at("anthropic")[0]["body"])["messages"][-1]
    assert last["role"] == "assistant", last
    said = last["content"] if isinstance(last["content"], str) else last["content"][0]["text"]
    assert said and twelve().startswith(said), said
    assert len(told.usage()) == 1, told.usage()
    site.healthy()


@test(WEB, "routes")
def a_rescued_answer_is_paid_once(site):
    """What the client is told it cost is what stands in the books, and no token counts twice. Of
    the part that was cut off nobody said how many there were: it is estimated."""
    for model, first, second, least in (
        (fresh(), "openai", "openai", 12),
        ("anthropic/claude-opus-4.5", "bedrock", "anthropic", 8),
    ):
        key = new_key(site)
        told = stream(site, broken_off(**{first: "cut=9 times=1"}), model=model, headers=key,
                      stream_options={"include_usage": True})
        check_stream(told)
        assert told.text() == twelve(), told.text()
        usage = json.loads(json.dumps(told.usage()), parse_float=Decimal)
        tokens = usage[0]["completion_tokens"]
        assert len(usage) == 1 and least <= tokens <= 12, usage
        data = generation(site, key, told.head)
        assert data["tokens_completion"] == tokens, (data, usage)
        assert data["provider_name"] == second, data
        assert [t["outcome"] for t in data["attempts"]] == ["cut", "ok"], data["attempts"]
        assert data["total_cost"] == spent(site, key) > 0, data
        assert abs(data["total_cost"] - usage[0]["cost"]) <= Decimal("0.000001"), (data, usage)


@test(WEB, "routes")
def who_repeats_what_was_said_is_not_passed_on(site):
    """It was asked to go on, and begins anew: the client has that already."""
    told = stream(site, broken_off(bedrock="cut=14", anthropic="repeats"), model=CLAUDE)
    check_stream(told)
    assert told.text() == twelve(), told.text()
    site.healthy()


@test(WEB, "routes")
def a_refused_prefill_is_nothing_the_caller_sees(site):
    told = stream(site, broken_off(vercel="cut=6 times=1\n@fake noprefill"),
                  model="anthropic/claude-sonnet-4.5",
                  provider={"order": ["vercel", "openrouter"], "only": ["vercel", "openrouter"]})
    check_stream(told)
    assert told.text() == twelve(), told.text()
    assert counts(site) == (0, 3, 1), counts(site)


@test(WEB, "routes")
def another_answer_is_never_spliced(site):
    told = open_fresh(site, broken_off(openai="cut=6", vercel="word=u", openrouter="word=v"))
    check_broken_stream(told, "upstream_disconnect")
    assert told.text() == "t0 t1 t2 t3 t4", told.text()
    assert counts(site) == (2, 1, 1), counts(site)
    site.fake.reset()
    told = open_fresh(site, broken_off(openai="cut=6 times=1\n@fake at=openai every=2 word=u"))
    check_stream(told)
    assert told.text() == twelve() and counts(site) == (2, 1, 0), told.text()
    site.healthy()


@test(WEB, "routes")
def when_nobody_can_rescue_it_the_end_is_an_error(site):
    key = new_key(site)
    told = stream(site, "tokens=12 cut=6", model=fresh(), headers=key)
    check_broken_stream(told, "upstream_disconnect")
    assert told.text() == "t0 t1 t2 t3 t4", told.text()
    assert counts(site) == (2, 1, 1), counts(site)
    assert "billed" in told.errors[0]["error"]["message"], told.errors
    data = generation(site, key, told.head)
    assert data["attempts"][0]["outcome"] == "cut", data["attempts"]
    assert data["total_cost"] == spent(site, key) > 0, data
    site.healthy()


@test(WEB, "routes")
def tool_calls_are_spliced_only_when_they_are_the_same(site):
    cue = f"tools\n@fake {at(openai='cut=4')}"
    told = open_fresh(site, cue, tools=TOOLS)
    check_stream(told, "tool_calls")
    calls = {}
    for chunk in told.chunks:
        for choice in chunk["choices"]:
            for part in choice["delta"].get("tool_calls") or []:
                call = calls.setdefault(part["index"], {"name": "", "arguments": "", "ids": []})
                call["ids"] += [part["id"]] if part.get("id") else []
                for name, piece in part["function"].items():
                    call[name] += piece
    assert [json.loads(c["arguments"]) for c in calls.values()] == [
        {"city": "Paris"}, {"city": "Oslo"}], calls
    assert [c["name"] for c in calls.values()] == ["weather", "clock"], calls
    assert all(len(c["ids"]) == 1 for c in calls.values()), calls
    told = open_fresh(site, f"tools\n@fake {at(openai='cut=4', vercel='noargs tokens=3')}",
                      tools=TOOLS, provider={"only": ["openai"]})
    check_broken_stream(told, "upstream_disconnect")
    site.healthy()


@test(WEB, "routes")
def more_than_one_choice_is_not_rescued(site):
    told = open_fresh(site, broken_off(openai="cut=9"), n=2)
    check_broken_stream(told, "upstream_disconnect")
    assert counts(site) == (1, 0, 0)


@test(WEB, "routes")
def a_missing_end_is_no_death(site):
    told = open_fresh(site, "tokens=12 nodone")
    check_stream(told)
    assert told.text() == twelve() and counts(site) == (1, 0, 0), told.text()


# ---- by setting ----

profile("routes-off", GATEWAY_RESCUE="off", GATEWAY_RETRY_MAX="3")
profile("routes-splice", GATEWAY_RESCUE="splice")
profile("routes-hold", GATEWAY_HOLD="4")


@test("lighttpd", "routes-off")
def rescue_can_be_switched_off(site):
    told = open_fresh(site, broken_off(openai="cut=6"))
    check_broken_stream(told, "upstream_disconnect")
    assert counts(site) == (1, 0, 0)


@test("lighttpd", "routes-splice")
def continuing_can_be_switched_off_alone(site):
    told = stream(site, broken_off(bedrock="cut=9"), model=CLAUDE)
    check_stream(told)
    assert told.text() == twelve(), told.text()
    assert counts(site, "bedrock", "anthropic") == (2, 1)
    sent = json.loads(site.fake.at("anthropic")[0]["body"])["messages"]
    assert sent[-1]["role"] == "user", sent


@test(WEB, "routes-hold")
def a_beginning_that_is_held_back_dies_unseen(site):
    """Even another answer will do: nobody has seen a token of the first."""
    told = open_fresh(site, broken_off(openai="cut=3", vercel="word=u"))
    check_stream(told)
    assert told.text() == twelve("u"), told.text()
    assert told.head.header("X-Provider") == "vercel", told.head.headers
    told = open_fresh(site, "tokens=12 pace=50")
    check_stream(told)
    assert told.text() == twelve(), told.text()
    assert told.times[-1] - told.times[4] > 0.2, "what is behind the beginning is not held"
    told = open_fresh(site, "tokens=2")
    assert told.text() == "t0 t1", "an answer shorter than that"
    check_whole(send(site, "tokens=2"), "openai", "t0 t1")


@test(WEB, "routes-hold")
def who_leaves_during_a_rescue_cancels_it(site):
    if site.kind == "fcgid":
        return  # without heartbeats nothing tells of the leaving there
    with Exchange(site.port) as x:
        body = ask(broken_off(openai="cut=8", vercel="ttft=30000", openrouter="ttft=30000"),
                   model=fresh(), stream=True)
        x.request("POST", PATH, site.auth(), body)
        for kind, text, _ in x.events():
            if kind == "data" and "t6" in text:
                break
        wait_for("the rescuer to be asked", 5, lambda: counts(site)[:2] == (2, 1))
    cancelled(site, "vercel")
    site.healthy()


@test(WEB, "routes")
def a_long_answer_survives_many_deaths(site):
    """Each dies further on than the last could reach; nothing is said twice."""
    with Exchange(site.port) as x:
        body = ask(
            "tokens=400\n@fake at=openai times=1 cut=100\n@fake at=openai every=2 stall=250",
            model=fresh(), stream=True,
        )
        x.request("POST", PATH, site.auth(), body)
        told = Told(x)
    check_stream(told)
    assert told.text() == " ".join(f"t{i}" for i in range(400)), told.text()[-80:]
