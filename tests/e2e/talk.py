"""Chat requests and what must be true of every answer to one."""

from client import Exchange, Told

MODEL = "openai/gpt-4o-mini"
PATH = "/v1/chat/completions"
SENTENCE = "Hello from the fake provider."


def ask(cue="", model=MODEL, text="hi", **more):
    """A request body; cue goes behind @fake in the user's message."""
    said = f"{text} @fake {cue}" if cue else text
    return dict({"model": model, "messages": [{"role": "user", "content": said}]}, **more)


def chat(site, cue="", path=PATH, headers=None, timeout=20, **more):
    return site.call("POST", path, site.auth(headers), ask(cue, **more), timeout=timeout)


def open_stream(site, cue="", path=PATH, headers=None, timeout=20, **more):
    x = Exchange(site.port, timeout)
    x.request("POST", path, site.auth(headers), ask(cue, stream=True, **more))
    return x


def stream(site, cue="", **more):
    with open_stream(site, cue, **more) as x:
        return Told(x)


def check_stream(told, finish="stop", choices=1):
    """A whole, well-formed stream."""
    assert told.head.status == 200, told.head.body
    assert told.head.header("Content-Type").startswith("text/event-stream"), told.head.headers
    assert told.complete, "the answer was cut"
    assert not told.errors, told.errors
    assert not told.odd, told.odd
    assert told.done == 1, f"[DONE] came {told.done} times"
    assert not told.after_end, told.after_end
    assert told.comments and told.comments[0][0] == "ok", told.comments
    for name in ("id", "created", "model", "object"):
        assert len({c.get(name) for c in told.chunks}) == 1, f"{name} changes within the stream"
    assert told.chunks[0]["object"] == "chat.completion.chunk"
    for i in range(choices):
        assert told.finish(i) == [finish], told.finish(i)
        roles = [
            c["delta"]["role"]
            for chunk in told.chunks
            for c in chunk["choices"]
            if c["index"] == i and c["delta"].get("role")
        ]
        assert roles == ["assistant"], roles


def check_broken_stream(told, *types):
    """A stream that failed after its status line: one error event, no [DONE], an end."""
    assert told.head.status == 200, told.head.status
    assert told.complete, "HTTP must end properly, the event tells the failure"
    assert not told.odd, told.odd
    assert told.done == 0, "a cut answer looks complete"
    assert len(told.errors) == 1, f"{len(told.errors)} error events; chunks {told.chunks}"
    assert not told.after_end, told.after_end
    event = told.errors[0]
    assert event["choices"][0]["finish_reason"] == "error", event
    assert event["choices"][0]["delta"] == {"content": ""}, event
    for name in ("message", "type", "code"):
        assert event["error"].get(name), event
    assert event["error"]["type"] in types, f"{event['error']} is none of {types}"


def expect_error(reply, status, *types):
    assert reply.complete, "the answer was cut"
    got = reply.error()
    assert got[0] == status and got[1] in types, f"{got}, expected {status} {types}: {reply.body}"
    assert reply.header("Content-Type").startswith("application/json"), reply.headers
    check_headers(reply)
    return reply.json()["error"]


def check_headers(reply):
    """What every answer of the gateway carries, and what none may."""
    assert reply.header("X-Request-Id"), reply.headers
    assert reply.header("X-Content-Type-Options") == "nosniff", reply.headers
    theirs = reply.header("X-Ratelimit-Remaining-Requests") == "99"
    assert not theirs, "the provider's limit came through for ours"
    assert not reply.header("Service-Tier"), "a header of the provider came through"
