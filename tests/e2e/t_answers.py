"""What a user must be able to do: answers, streams, tools, images, and the way there."""

import json
import time

from client import Told, call
from harness import KEY, PROVIDER_KEY, test
from talk import (
    MODEL,
    PATH,
    SENTENCE,
    ask,
    chat,
    check_headers,
    check_stream,
    expect_error,
    open_stream,
    stream,
)

BASES = (
    "/v1",
    "/api/v1",
    "/api/gateway",
    "/api/gateway/v1",
    "/api/openrouter",
    "/api/openrouter/v1",
)
TOOLS = [
    {"type": "function", "function": {"name": n, "parameters": {"type": "object", "properties": {}}}}
    for n in ("weather", "clock")
]


@test("smoke")
def an_answer_comes_whole_with_its_headers(site):
    reply = chat(site)
    assert reply.status == 200, reply.body
    check_headers(reply)
    assert reply.header("Content-Type").startswith("application/json")
    assert reply.header("X-Provider") == "openai", reply.headers
    assert reply.header("X-Model") == MODEL, reply.headers
    assert reply.header("Cache-Control") == "no-store", reply.headers
    body = reply.json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["content"] == SENTENCE
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] == 5, body["usage"]
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + 5
    seen = site.fake.only()
    assert seen["path"] == "/v1/chat/completions"
    assert seen["headers"]["Authorization"] == "***" + PROVIDER_KEY[-4:]


@test("smoke")
def a_stream_comes_whole_in_order(site):
    told = stream(site, "tokens=50")
    check_stream(told)
    assert told.text() == " ".join(f"t{i}" for i in range(50)), told.text()
    assert told.head.header("X-Accel-Buffering") == "no" or site.kind == "nginx"
    assert told.head.header("X-Provider") == "openai"
    check_headers(told.head)


@test("smoke")
def tokens_arrive_as_they_are_made(site):
    """Each within a second of its making: a server that holds back shows all of them at the end,
    three seconds after the first."""
    told = stream(site, "tokens=10 pace=300")
    check_stream(told)
    made = site.fake.only()["event_ms"]
    late = [t * 1000 - m for t, m in zip(told.times, made)]
    assert len(told.times) >= 11, told.chunks
    assert max(late) < 1000, f"ms after the provider made them: {[round(x) for x in late]}"
    assert told.times == sorted(told.times)
    assert told.head.header("Content-Length") is None
    assert told.times[-1] - told.times[0] > 2.0


@test()
def the_usage_chunk_is_hidden_unless_asked_for(site):
    told = stream(site)
    check_stream(told)
    assert not told.usage(), told.usage()
    assert all(c["choices"] for c in told.chunks), "a chunk without choices came unasked"
    asked = json.loads(site.fake.only()["body"])
    assert asked["stream_options"]["include_usage"] is True
    told = stream(site, stream_options={"include_usage": True})
    check_stream(told)
    assert len(told.usage()) == 1, told.usage()
    assert told.chunks[-1]["choices"] == [], told.chunks[-1]
    assert told.usage()[0]["completion_tokens"] == 5
    told = stream(site, stream_options={"include_usage": False})
    check_stream(told)
    assert not told.usage()


@test()
def usage_told_twice_or_always_is_told_once(site):
    for cue in ("usage=twice", "usage=every"):
        told = stream(site, cue, stream_options={"include_usage": True})
        check_stream(told)
        last = told.chunks[-1]
        assert last["choices"] == [] and last["usage"]["completion_tokens"] == 5, (cue, last)
        assert sum(c["choices"] == [] for c in told.chunks) == 1, cue
        told = stream(site, cue)
        check_stream(told)
        assert all(c["choices"] for c in told.chunks), cue


@test()
def usage_that_the_provider_never_tells_is_estimated(site):
    told = stream(site, "usage=none", stream_options={"include_usage": True})
    check_stream(told)
    assert told.usage() and told.usage()[-1]["completion_tokens"] > 0, told.chunks[-1]


@test()
def the_request_goes_on_as_it_was_written(site):
    """Unknown fields, the order of members and the spelling of numbers survive. (Providers that
    refuse what they do not know, such as OpenAI itself, are spared unknown fields.)"""
    text = (
        '{"zeta": 1.50e2,\n "model":"z-ai/glm-4.7", "messages": [ {"role":"user",'
        '"content":"h\\u00e9 \\/"} ],"temperature":0.70, "y_unknown":9007199254740993,'
        '"x_unknown":{"b":1,"a":[1.0,2]}}'
    )
    reply = site.call("POST", PATH, site.auth(), text.encode())
    assert reply.status == 200, reply.body
    sent = site.fake.only()["body"]
    for part in (
        '"zeta":1.50e2',
        '"content":"h\\u00e9 \\/"',
        '"temperature":0.70',
        '"y_unknown":9007199254740993',
        '"x_unknown":{"b":1,"a":[1.0,2]}',
    ):
        assert part in sent, f"{part} is not in {sent}"
    assert json.loads(sent)["model"] == "glm-4.7"
    assert list(json.loads(sent))[:3] == ["zeta", "model", "messages"], sent


@test()
def tool_calls_stream_and_come_whole(site):
    reply = chat(site, "tools", tools=TOOLS)
    choice = reply.json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls", choice
    calls = choice["message"]["tool_calls"]
    assert [c["function"]["name"] for c in calls] == ["weather", "clock"]
    assert json.loads(calls[1]["function"]["arguments"]) == {"city": "Oslo"}
    told = stream(site, "tools", tools=TOOLS)
    check_stream(told, finish="tool_calls")
    built = {}
    for chunk in told.chunks:
        for c in chunk["choices"]:
            for t in c["delta"].get("tool_calls") or []:
                slot = built.setdefault(t["index"], {"id": "", "name": "", "arguments": ""})
                slot["id"] += t.get("id") or ""
                slot["name"] += t["function"].get("name") or ""
                slot["arguments"] += t["function"].get("arguments") or ""
    assert [built[i]["name"] for i in (0, 1)] == ["weather", "clock"], built
    assert json.loads(built[0]["arguments"]) == {"city": "Paris"}, built
    assert built[0]["id"] and built[0]["id"] != built[1]["id"]


@test()
def several_choices_and_logprobs(site):
    reply = chat(site, n=3, logprobs=True)
    choices = reply.json()["choices"]
    assert [c["index"] for c in choices] == [0, 1, 2]
    assert choices[2]["logprobs"]["content"][0]["token"] == "Hello"
    told = stream(site, n=3, logprobs=True)
    check_stream(told, choices=3)
    assert [told.text(i) for i in range(3)] == [SENTENCE] * 3
    tokens = [
        t["token"]
        for chunk in told.chunks
        for c in chunk["choices"]
        if c["index"] == 1 and c.get("logprobs")
        for t in c["logprobs"]["content"]
    ]
    assert "".join(tokens) == SENTENCE, tokens


@test()
def images_by_url_and_by_data_go_through(site):
    data = "data:image/png;base64," + "iVBORw0KGgo" * 2000
    parts = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "image_url", "image_url": {"url": data, "detail": "low"}},
    ]
    body = {"model": MODEL, "messages": [{"role": "user", "content": parts}]}
    assert site.call("POST", PATH, site.auth(), body).status == 200
    assert json.loads(site.fake.only()["body"])["messages"][0]["content"] == parts


@test()
def structured_output_goes_through(site):
    form = {
        "type": "json_schema",
        "json_schema": {
            "name": "sum",
            "schema": {"type": "object", "properties": {"result": {"type": "integer"}}},
        },
    }
    reply = chat(site, response_format=form)
    assert json.loads(reply.json()["choices"][0]["message"]["content"]) == {"result": 4}


@test()
def an_answer_may_end_for_its_length(site):
    told = stream(site, max_tokens=2)
    check_stream(told, finish="length")
    assert told.text() == "Hello from"


@test()
def a_large_request_arrives_whole(site):
    text = "x" * (2 << 20)
    reply = chat(site, text=text)
    assert reply.status == 200, reply.body[:300]
    assert site.fake.only()["body_bytes"] > 2 << 20


@test("smoke")
def every_base_path_leads_to_the_chat(site):
    for base in BASES:
        reply = chat(site, path=base + "/chat/completions")
        assert reply.status == 200, f"{base}: {reply.status} {reply.body[:200]}"
    assert chat(site, path="/v1/chat/completions?trace=1").status == 200


@test()
def a_request_id_is_echoed_when_it_is_one(site):
    reply = chat(site, headers={"X-Request-Id": "my-id.1:2_3"})
    assert reply.header("X-Request-Id") == "my-id.1:2_3"
    for bad in ("a b", "x" * 200, "<script>"):
        reply = chat(site, headers={"X-Request-Id": bad})
        made = reply.header("X-Request-Id")
        assert made and made != bad, made
    first, second = chat(site).header("X-Request-Id"), chat(site).header("X-Request-Id")
    assert first != second


@test()
def a_paid_model_wants_a_key(site):
    reply = call(site.port, "POST", PATH, {}, ask())
    error = expect_error(reply, 401, "paid_model_auth_required")
    assert error["metadata"]["reason"] == "PAID_MODEL_AUTH_REQUIRED", error
    assert not site.fake.requests()


@test("smoke")
def a_wrong_key_opens_nothing(site):
    for headers in (
        {"Authorization": "Bearer sk-tg-wrong-wrong-wrong-wrong-00"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Basic {KEY}"},
        {"X-Api-Key": "nonsense"},
    ):
        reply = call(site.port, "POST", PATH, headers, ask())
        expect_error(reply, 401, "authentication_required")
        challenge = reply.header("WWW-Authenticate") or ""
        assert challenge.startswith("Bearer") and "invalid_token" in challenge, reply.headers
    assert not site.fake.requests()


@test()
def a_key_may_come_as_x_api_key(site):
    for headers in ({"X-Api-Key": KEY}, {"Api-Key": KEY}, {"Authorization": f"bearer {KEY}"}):
        reply = call(site.port, "POST", PATH, headers, ask())
        assert reply.status == 200, (headers, reply.body)


@test()
def a_free_model_needs_no_key(site):
    reply = call(site.port, "POST", PATH, {}, ask(model="z-ai/glm-5:free"))
    assert reply.status == 200, reply.body
    assert reply.header("X-Provider") == "zai"
    assert site.fake.only()["path"].startswith("/v4/")


@test()
def any_model_of_a_configured_provider_may_be_asked_for(site):
    reply = chat(site, model="openai/gpt-of-next-year")
    assert reply.status == 200, reply.body
    assert json.loads(site.fake.only()["body"])["model"] == "gpt-of-next-year"


@test()
def connections_to_the_provider_are_kept(site):
    """Where a process serves many requests. A process per request cannot."""
    if site.kind == "cgi":
        return
    for _ in range(12):
        assert chat(site).status == 200
    assert site.fake.log()["connections"] <= 8, site.fake.log()["connections"]


@test("battery", "demo")
def the_demonstration_streams_without_any_provider(site):
    for model in ("demo/echo:free", "demo/story:free"):
        with open_stream(site, model=model, text="say something") as x:
            begun = time.monotonic()
            told = Told(x)
        check_stream(told)
        assert told.text(), told.chunks
        assert told.times[-1] - begun < 30
        assert told.head.header("X-Provider") == "demo"
    reply = call(site.port, "POST", PATH, {}, ask(model="demo/echo:free", text="parrot"))
    assert "parrot" in reply.json()["choices"][0]["message"]["content"]
    assert "usage" in reply.json()
