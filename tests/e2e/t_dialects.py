"""One request in OpenAI's shape, at providers that speak another: Anthropic, Gemini, Bedrock. The
fake provider checks what it gets as strictly as the real ones do, so a wrong translation is a 400.
What is the same for all providers is tried elsewhere, and so is what several of them do together:
here each model has one provider, and one attempt."""

import json
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal

from client import Exchange, Told
from harness import test, wait_for
from t_account import make_key
from t_money import line_of
import talk
from talk import (
    PATH,
    SENTENCE,
    check_broken_stream,
    check_headers,
    check_stream,
    expect_error,
)

CLAUDE = "anthropic/claude-sonnet-4.6"
GEMINI = "google/gemini-3-pro-preview"
BEDROCK = "bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
VERTEX = "vertex/gemini-3-pro-preview"
MODELS = (CLAUDE, GEMINI, BEDROCK)
HOMES = {CLAUDE: "anthropic", GEMINI: "google", BEDROCK: "bedrock", VERTEX: "vertex"}

# USD of a token: prompt, completion, read from a cache, written; as conf/models.json has them, and
# as price_bedrock() sets them.
PRICES = {
    CLAUDE: ("0.000003", "0.000015", "0.0000003", "0.00000375"),
    BEDROCK: ("0.000003", "0.000015", "0.0000003", "0.00000375"),
    GEMINI: ("0.000002", "0.000012", "0.0000002", "0.000002"),
}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": name,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
    for name in ("weather", "clock")
]
FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "sum",
        "strict": True,
        "schema": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {
                "answer": {"type": "string"},
                "steps": {"type": "array", "items": {"type": "number"}},
            },
            "required": ["answer", "steps"],
            "additionalProperties": False,
        },
    },
}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJ"
    "RU5ErkJggg=="
)
THOUGHT = "Let me think."
UNASKED = {GEMINI: 7, VERTEX: 7}  # tokens of thoughts that nobody asked for


def ask(cue="", model=None, **more):
    """At this provider of the model, and at no other."""
    return talk.ask(cue, model=model, **at_home(model), **more)


def at_home(model):
    return {"provider": {"only": [HOMES[model]]}}


def chat(site, cue="", model=None, **more):
    return talk.chat(site, cue, model=model, **at_home(model), **more)


def stream(site, cue="", model=None, **more):
    return talk.stream(site, cue, model=model, **at_home(model), **more)


def open_stream(site, cue="", model=None, **more):
    return talk.open_stream(site, cue, model=model, **at_home(model), **more)


def said(site, model, cue="", **more):
    """The message of a whole answer."""
    reply = chat(site, cue, model=model, **more)
    assert reply.status == 200, (model, reply.status, reply.body[:500])
    check_headers(reply)
    choice = reply.json()["choices"][0]
    return choice["message"], choice["finish_reason"]


def streamed(site, model, cue="", finish="stop", **more):
    told = stream(site, cue, model=model, **more)
    assert told.head.status == 200, (model, told.head.status, told.odd)
    check_stream(told, finish)
    return told


def gathered(told):
    """The message that the chunks of a stream add up to."""
    message = {"role": "assistant", "content": "", "reasoning": "", "reasoning_details": []}
    calls = {}
    for chunk in told.chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["reasoning"] += delta.get("reasoning") or ""
            for detail in delta.get("reasoning_details") or []:
                last = message["reasoning_details"][-1:]
                same = [last[0][k] == detail[k] for k in ("type", "index")] if last else []
                if same == [True, True]:
                    for name in ("text", "signature"):
                        if detail.get(name):
                            last[0][name] = (last[0].get(name) or "") + detail[name]
                else:
                    message["reasoning_details"].append(dict(detail))
            for part in delta.get("tool_calls") or []:
                call = calls.setdefault(
                    part["index"], {"type": "function", "function": {"name": "", "arguments": ""}}
                )
                call.update({k: part[k] for k in ("id", "extra_content") if k in part})
                for name, piece in part["function"].items():
                    call["function"][name] += piece
    if calls:
        message["tool_calls"] = [calls[i] for i in sorted(calls)]
    return message


def check_calls(message):
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in message["tool_calls"]]
    want = [("weather", {"city": "Paris"}), ("clock", {"city": "Oslo"})]
    assert [(n, json.loads(a)) for n, a in calls] == want, message
    assert len({c["id"] for c in message["tool_calls"]}) == 2, message


def results(message):
    return [
        {"role": "tool", "tool_call_id": c["id"], "content": f"20 degrees {i}"}
        for i, c in enumerate(message["tool_calls"])
    ]


def send(site, messages, model, **more):
    body = dict({"messages": messages, "model": model}, **at_home(model), **more)
    return site.call("POST", PATH, site.auth(), body)


def second_turn(site, model, message, cue="tools", **more):
    """The results of the message's calls are taken, and answered."""
    first = {"role": "user", "content": f"hi @fake {cue}"}
    reply = send(site, [first, message, *results(message)], model=model, tools=TOOLS, **more)
    assert reply.status == 200, (model, reply.status, reply.body[:600])
    answer = reply.json()["choices"][0]
    assert answer["message"]["content"] == SENTENCE and answer["finish_reason"] == "stop", answer
    return answer["message"]


@test("battery", "dialects")
def every_dialect_answers_whole_and_streams(site):
    for model in (*MODELS, VERTEX):
        message, finish = said(site, model)
        assert message["content"] == SENTENCE and finish == "stop", (model, message)
        told = streamed(site, model, "tokens=9 pace=20", stream_options={"include_usage": True})
        assert told.text() == " ".join(f"t{i}" for i in range(9)), (model, told.text())
        tokens = 9 + UNASKED.get(model, 0)
        assert told.usage()[0]["completion_tokens"] == tokens, (model, told.usage())
        assert told.times[-1] - told.times[0] > 0.1, "the stream came all at once"
    paths = [r["path"] for r in site.fake.requests()]
    names = {r["headers"].get("Authorization", "")[:3] for r in site.fake.requests()}
    assert paths[0] == "/v1/messages" and paths[3].endswith(":streamGenerateContent?alt=sse"), paths
    assert paths[4].endswith("/converse") and "%3A" in paths[5] and names == {"", "***"}, paths


@test("lighttpd", "dialects")
def limits_end_an_answer_as_they_do_elsewhere(site):
    for model in MODELS:
        assert said(site, model, "tokens=50", max_tokens=5)[1] == "length", model
        streamed(site, model, "tokens=50", "length", max_tokens=5)
    message, finish = said(site, GEMINI, "blocked")
    assert finish == "content_filter" and not message["content"], message
    assert stream(site, "blocked", model=GEMINI).finish() == ["content_filter"]


def cost_of(model, usage):
    prompt, completion, read, written = (Decimal(p) for p in PRICES[model])
    details = usage["prompt_tokens_details"]
    cached, new = details["cached_tokens"], details.get("cache_write_tokens") or 0
    return (
        (usage["prompt_tokens"] - cached - new) * prompt
        + cached * read
        + new * written
        + usage["completion_tokens"] * completion
    )


@contextmanager
def price_bedrock(site):
    """Makes the model known, which the catalogue does not ship, at the price of its maker."""
    shipped = json.loads((site.place.dir / "conf" / "models.json").read_text())
    row = next(dict(m) for m in shipped["models"] if m["id"] == CLAUDE)
    row.update(
        id=BEDROCK, provider="bedrock", native_id=BEDROCK.removeprefix("bedrock/"),
        price_date=shipped["date"], source="bedrock",
    )
    found = {"version": 1, "date": shipped["date"], "models": [row], "gone": []}
    path = site.place.write("home/models.json", json.dumps(found))
    try:
        yield
    finally:
        path.unlink()


@test("lighttpd", "dialects")
def cached_and_written_tokens_are_counted_and_paid_for(site):
    """Fails when the gateway takes Anthropic's input_tokens for all of the prompt (tried)."""
    key = make_key(site, "dialects")
    with price_bedrock(site):
        # every process looks at its files once a second
        wait_for("the price", 5, lambda: all(is_priced(site) for _ in range(4)), 0.1)
        check_money(site, key)


def is_priced(site):
    return "cost" in chat(site, model=BEDROCK).json()["usage"]


def check_money(site, key):
    cue = "tokens=11 prompt=100 cached=2000 written=500"
    for model in MODELS:
        new = 0 if model == GEMINI else 500  # Google has no such figure
        thoughts = UNASKED.get(model, 0)
        for streams in (False, True):
            body = ask(cue, model=model, stream=streams, stream_options={"include_usage": True})
            with Exchange(site.port) as x:
                x.request("POST", PATH, key, body if streams else ask(cue, model=model))
                told = Told(x) if streams else None
                reply = x.read()
            shown = told.usage()[0] if streams else reply.json()["usage"]
            usage = json.loads(json.dumps(shown), parse_float=Decimal)
            assert usage["prompt_tokens"] == 2100 + new, (model, usage)
            assert usage["completion_tokens"] == 11 + thoughts, (model, usage)
            assert usage["total_tokens"] == 2111 + new + thoughts, (model, usage)
            told_of = usage.get("completion_tokens_details") or {}
            assert (told_of.get("reasoning_tokens") or 0) == thoughts, (model, usage)
            assert usage["prompt_tokens_details"]["cached_tokens"] == 2000, (model, usage)
            assert (usage["prompt_tokens_details"].get("cache_write_tokens") or 0) == new, usage
            line = line_of(site, reply.header("X-Generation-Id"))
            assert line["usage"] == "reported" and line["prompt_tokens"] == 2100 + new, line
            assert line["completion_tokens"] == 11 + thoughts, line
            cost = cost_of(model, usage)
            assert usage["cost"] == cost > 0, (model, usage, cost)
            micro = cost.quantize(Decimal("0.000001"), ROUND_HALF_UP)
            assert line["cost_usd"] == micro, (model, line, cost)


@test("lighttpd", "dialects")
def tools_are_called_and_their_results_answered(site):
    for model in MODELS:
        message, finish = said(site, model, "tools", tools=TOOLS)
        assert finish == "tool_calls", (model, message)
        check_calls(message)
        second_turn(site, model, message)
        told = streamed(site, model, "tools", "tool_calls", tools=TOOLS)
        message = gathered(told)
        check_calls(message)
        second_turn(site, model, message)
        message, _ = said(site, model, "tools noargs", tools=TOOLS)
        assert [c["function"]["arguments"] for c in message["tool_calls"]] == ["{}"], message
        message = gathered(streamed(site, model, "tools noargs", "tool_calls", tools=TOOLS))
        assert [c["function"]["arguments"] for c in message["tool_calls"]] == ["{}"], message
        second_turn(site, model, message)


@test("lighttpd", "dialects")
def thoughts_come_and_go_back_within_a_loop_of_tools(site):
    """The fake provider refuses a thought that is changed, and (Anthropic, Bedrock) a step that
    lacks its own while it is to think; fails when reasoning_details are not sent back (tried)."""
    for model in MODELS:
        for reasoning in ({"effort": "high"}, {"max_tokens": 2048}):
            more = {"tools": TOOLS, "reasoning": reasoning}
            whole, _ = said(site, model, "tools", **more)
            told = streamed(site, model, "tools", "tool_calls", **more)
            for message in (whole, gathered(told)):
                check_calls(message)
                assert message["reasoning"] == THOUGHT, (model, message)
                assert message["reasoning_details"], (model, message)
                site.fake.reset()
                answer = second_turn(site, model, message, reasoning=reasoning)
                sent = site.fake.only()["body"]
                # the model still thinks, so its thoughts were there
                assert answer["reasoning"] == THOUGHT, (model, answer, sent)
                if model != GEMINI:
                    assert THOUGHT in sent, sent
                assert "skip_thought" not in sent, sent


@test("lighttpd", "dialects")
def clients_that_lose_thoughts_are_served_all_the_same(site):
    for model in MODELS:
        message, _ = said(site, model, "tools", tools=TOOLS, reasoning={"effort": "high"})
        bare = {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {k: c[k] for k in ("id", "type", "function")} for c in message["tool_calls"]
            ],
        }
        second_turn(site, model, bare, reasoning={"effort": "high"})
        # as Google's own clients send them back
        if model == GEMINI:
            bare["tool_calls"] = message["tool_calls"]
            site.fake.reset()
            second_turn(site, model, bare)
            assert "skip_thought" not in site.fake.only()["body"]


@test("lighttpd", "dialects")
def answers_have_the_form_that_was_asked_for(site):
    for model in MODELS:
        want = {"answer": "four", "steps": [4]}
        message, finish = said(site, model, response_format=FORM)
        assert json.loads(message["content"]) == want and finish == "stop", (model, message)
        assert not message.get("tool_calls"), (model, message)
        told = streamed(site, model, response_format=FORM)
        assert json.loads(told.text()) == want, (model, told.text())


def with_image(model, url, **more):
    content = [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
    ]
    return dict({"model": model, "messages": [{"role": "user", "content": content}]}, **more)


@test("lighttpd", "dialects")
def images_reach_every_dialect(site):
    origin = f"http://127.0.0.1:{site.fake.port}"
    for model in MODELS:
        site.fake.reset()
        for url in (f"data:image/png;base64,{PIXEL}", f"{origin}/image.png"):
            reply = site.call("POST", PATH, site.auth(), with_image(model, url))
            assert reply.status == 200, (model, url[:40], reply.body[:500])
        bodies = [r["body"] for r in site.fake.requests() if r["method"] == "POST"]
        assert len(bodies) == 2 and all(PIXEL in b for b in bodies), (model, bodies)
        for url in (f"{origin}/big.png", f"{origin}/nothing.png", "http://10.1.2.3/image.png"):
            reply = site.call("POST", PATH, site.auth(), with_image(model, url))
            error = expect_error(reply, 400, "invalid_request")
            assert "image_url" in (error["param"] or ""), error


@test("lighttpd", "dialects")
def histories_of_all_sorts_are_taken(site):
    """As clients send them: the order and the gaps that strict providers refuse."""
    call = {"type": "function", "function": {"name": "weather", "arguments": ""}}
    calls = [dict(call, id="a.1"), dict(call, id="b|2")]
    texts = [{"type": "text", "text": "two"}, {"type": "text", "text": ""}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "one"},
        {"role": "user", "content": texts},
        {"role": "system", "content": "Be briefer."},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "b|2", "content": ""},
        {"role": "tool", "tool_call_id": "a.1", "content": "mild"},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": None, "tool_calls": [dict(call, id="never-answered")]},
        {"role": "user", "content": "go on"},
        {"role": "assistant", "content": "So it "},
        {"role": "user", "content": " "},
        {"role": "user", "content": "last"},
    ]
    for model in MODELS:
        for more in (
            {},
            {"tools": TOOLS},
            {"reasoning": {"effort": "low"}},
            {"temperature": 1.5, "top_p": 0.9},
            {"stop": ["END", " "], "user": "ann@example.com"},
        ):
            reply = send(site, messages, model=model, **more)
            assert reply.status == 200, (model, more, reply.body[:500])
            assert reply.json()["choices"][0]["message"]["content"] == SENTENCE, reply.body[:500]


@test("lighttpd", "dialects")
def leaving_in_mid_stream_cancels_the_request(site):
    """Fails when only a failing write tells that the client has gone (tried)."""
    for model in MODELS:
        site.fake.reset()
        with open_stream(site, "tokens=50 stall=12", model=model) as x:
            events = x.events()
            for _ in range(5):
                next(events)
        wait_for(
            f"{model} to be cancelled, before it would be for its silence",
            3,
            lambda: site.fake.only()["state"] == "cancelled",
        )


@test("lighttpd", "dialects")
def refusals_keep_their_status_in_every_dialect(site):
    for model in MODELS:
        for status, shown in ((400, 400), (403, 403), (404, 404), (500, 502), (503, 503)):
            for streams in (False, True):
                reply = chat(site, f"status={status}", model=model, stream=streams)
                error = expect_error(reply, shown, "upstream_error")
                assert error["metadata"]["provider_status"] == status, error
                assert error["metadata"]["provider"], error
                assert "fake provider refuses" in error["message"], (model, error)
        reply = chat(site, "status=429 retry_after=7", model=model)
        expect_error(reply, 429, "rate_limit_exceeded")
        if model != BEDROCK:  # Amazon does not say
            assert reply.header("Retry-After") == "7", (model, reply.headers)
    expect_error(chat(site, "status=529", model=CLAUDE), 503, "upstream_error")
    # a key that is not valid is a bad request there, and none of the caller's
    error = expect_error(chat(site, "status=400 badkey", model=GEMINI), 401, "upstream_error")
    assert "the gateway's own key" in error["message"], error


@test("lighttpd", "dialects")
def streams_that_fail_never_look_complete(site):
    """Fails when the end of the connection is taken for the end of the answer (tried)."""
    for model in MODELS:
        for cue, *kinds in (
            ("tokens=20 cut=12", "upstream_disconnect"),
            ("tokens=20 cut=12 clean", "upstream_disconnect"),
            ("tokens=20 pace=5 reset_after=12", "upstream_disconnect"),
            ("nofinish", "upstream_disconnect", "invalid_response"),
            ("tokens=20 malformed=12", "invalid_response"),
            ("tokens=20 error_event=12", "upstream_error", "invalid_response"),
        ):
            told = stream(site, cue, model=model)
            assert told.head.status == 200, (model, cue, told.head.status)
            try:
                check_broken_stream(told, *kinds)
            except AssertionError as e:
                raise AssertionError(f"{model} {cue}: {e}") from e
            assert told.text(), (model, cue, told.chunks)
    check_broken_stream(stream(site, "tokens=20 badcrc=12", model=BEDROCK), "invalid_response")
    check_broken_stream(
        stream(site, "tokens=20 restart=12", model=CLAUDE), "invalid_response", "upstream_error"
    )
    told = stream(site, "tokens=20 error_event=12 status=429", model=BEDROCK)
    check_broken_stream(told, "rate_limit_exceeded")


@test("lighttpd", "dialects")
def failures_before_the_first_event_have_a_status(site):
    for model in MODELS:
        for cue, status, kind in (
            ("nothing", 502, "upstream_disconnect"),
            ("error_event=0", 502, "upstream_error"),
            ("error_event=0 status=429", 429, "rate_limit_exceeded"),
            ("body=garbage", 502, "invalid_response"),
            ("body=html status=503", 503, "upstream_error"),
        ):
            reply = chat(site, cue, model=model, stream=True)
            assert b"<html" not in reply.body, reply.body
            try:
                expect_error(reply, status, kind)
            except AssertionError as e:
                raise AssertionError(f"{model} {cue}: {e}") from e
    reply = chat(site, "error_event=0 status=529", model=CLAUDE, stream=True)
    expect_error(reply, 503, "upstream_error")
    site.healthy()
