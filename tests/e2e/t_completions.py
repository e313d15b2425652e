"""Completions of a text: the endpoint that came before chats, and FIM (kilo-contract.md section
29). What chats and these share is tried for chats."""

import json

from client import Exchange, Told
from harness import PROVIDER_KEY, test
from talk import SENTENCE, check_broken_stream, check_headers, expect_error

TEXT = "/v1/completions"
FIM = "/api/fim/completions"
INSTRUCT = "openai/gpt-3.5-turbo-instruct"
CODESTRAL = "codestral/codestral-2508"


def ask(cue="", model=INSTRUCT, **more):
    return dict({"model": model, "prompt": f"def add( @fake {cue}\n"}, **more)


def complete(site, cue="", path=TEXT, headers=None, **more):
    return site.call("POST", path, site.auth(headers), ask(cue, **more))


def fim(site, cue="", path=FIM, **more):
    return complete(site, cue, path, **dict({"model": CODESTRAL, "max_tokens": 64}, **more))


def stream(site, cue="", path=TEXT, **more):
    with Exchange(site.port) as x:
        x.request("POST", path, site.auth(), ask(cue, stream=True, **more))
        return Told(x)


def ended(told):
    assert told.head.status == 200, told.head.status
    assert told.complete and not told.errors and not told.odd, (told.errors, told.odd)
    assert told.done == 1 and not told.after_end, (told.done, told.after_end)


@test("smoke")
def a_text_is_completed(site):
    reply = complete(site)
    assert reply.status == 200, reply.body
    check_headers(reply)
    body = reply.json()
    assert body["object"] == "text_completion" and body["model"] == INSTRUCT, body
    assert body["choices"] == [
        {"index": 0, "text": SENTENCE, "logprobs": None, "finish_reason": "stop"}
    ], body
    assert body["usage"]["completion_tokens"] == 5, body["usage"]
    seen = site.fake.only()
    assert seen["path"] == "/v1/completions", seen["path"]
    assert seen["headers"]["Authorization"] == "***" + PROVIDER_KEY[-4:]
    told = stream(site, "tokens=9")
    ended(told)
    assert {c["object"] for c in told.chunks} == {"text_completion"}, told.chunks
    said = "".join(k["text"] for c in told.chunks for k in c["choices"])
    assert said == " ".join(f"t{i}" for i in range(9)), said


@test("lighttpd", "texts")
def a_text_of_several_prompts_has_all_its_answers(site):
    body = dict(ask(), prompt=["one @fake tokens=2\n", "two"], n=2)
    reply = site.call("POST", TEXT, site.auth(), body)
    assert [c["index"] for c in reply.json()["choices"]] == [0, 1, 2, 3], reply.body
    assert reply.json()["usage"]["completion_tokens"] == 8, reply.body
    sent = json.loads(site.fake.only()["body"])
    assert sent["prompt"] == body["prompt"] and sent["n"] == 2, sent


@test("lighttpd", "texts")
def the_figures_of_a_text_are_told_to_who_asks(site):
    told = stream(site, "tokens=4", stream_options={"include_usage": True})
    ended(told)
    assert told.chunks[-1]["choices"] == [] and told.usage()[0]["completion_tokens"] == 4
    assert told.chunks[-1]["object"] == "text_completion", told.chunks[-1]
    told = stream(site, "tokens=4")
    ended(told)
    assert not told.usage(), told.usage()


@test("lighttpd", "texts")
def a_text_that_is_cut_does_not_look_whole(site):
    for cue, kind in (("cut=3 tokens=9", "stream_error"), ("error_event=2", "upstream_error")):
        told = stream(site, cue)
        assert told.done == 0 and len(told.errors) == 1 and not told.after_end, (cue, told.errors)
        choice = told.errors[0]["choices"][0]
        assert choice["finish_reason"] == "error" and choice["text"] == "", choice
        assert "delta" not in choice, choice
    told = stream(site, "cut=3 tokens=9", FIM, model=CODESTRAL)
    check_broken_stream(told, "upstream_disconnect")
    expect_error(complete(site, "status=429 retry_after=2"), 429, "rate_limit_exceeded")


@test("lighttpd", "texts")
def between_two_texts(site):
    for path in (FIM, "/v1/fim/completions", "/api/v1/fim/completions"):
        site.fake.reset()
        reply = fim(site, path=path, suffix="return c", temperature=0.2, user="u", stop=["\n\n"])
        assert reply.status == 200, reply.body
        body = reply.json()
        assert body["object"] == "fim.completion", body
        choice = body["choices"][0]
        assert choice["text"] == choice["message"]["content"] == SENTENCE, choice
        assert choice["finish_reason"] == "stop", choice
        seen = site.fake.only()
        assert seen["path"] == "/codestral/v1/fim/completions", seen["path"]
        sent = json.loads(seen["body"])
        assert sent["model"] == "codestral-2508" and sent["suffix"] == "return c", sent
        assert sent["temperature"] == 0.2 and sent["stop"] == ["\n\n"] and "user" not in sent, sent
    told = stream(site, "tokens=6", FIM, model=CODESTRAL, suffix=")")
    ended(told)
    assert {c["object"] for c in told.chunks} == {"fim.completion.chunk"}, told.chunks
    assert told.text() == "t0 t1 t2 t3 t4 t5", told.text()
    assert told.finish() == ["stop"] and told.usage()[-1]["completion_tokens"] == 6, told.chunks
    assert json.loads(site.fake.requests()[-1]["body"])["max_tokens"] == 1000, "the default"


@test("lighttpd", "texts")
def what_is_between_texts_is_checked(site):
    """Fails when fim_route() forgets the limit (tried)."""
    nobody = site.call("POST", FIM, None, ask(model=CODESTRAL))
    assert expect_error(nobody, 401, "paid_model_auth_required")
    for more, field in (
        ({"max_tokens": 1001}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": "x"}, "stop"),
        ({"prompt": ["a"]}, "prompt"),
        ({"suffix": 7}, "suffix"),
    ):
        error = expect_error(fim(site, **more), 400, "invalid_request")
        assert error["param"] == field, (more, error)
    error = expect_error(fim(site, model="openai/gpt-4o-mini"), 400, "unsupported_field")
    assert error["metadata"]["reason"] == "unsupported_fim_model", error
    expect_error(fim(site, path="/v1/fim/nothing"), 400, "invalid_path")
    assert not site.fake.requests()


@test("lighttpd", "texts")
def a_suffix_makes_a_text_one_between_texts(site):
    reply = complete(site, model=CODESTRAL, suffix="end", seed=7)
    assert reply.json()["object"] == "text_completion", reply.body
    assert reply.json()["choices"][0]["text"] == SENTENCE, reply.body
    sent = json.loads(site.fake.only()["body"])
    assert sent["suffix"] == "end" and sent["random_seed"] == 7, sent
    for more in ({"n": 2}, {"echo": True}, {"logprobs": 3}):
        error = expect_error(complete(site, model=CODESTRAL, **more), 400, "unsupported_field")
        assert error["param"] in more, error


@test("lighttpd", "texts")
def the_demonstration_completes_texts(site):
    reply = complete(site, model="demo/echo")
    assert reply.status == 200 and reply.json()["object"] == "text_completion", reply.body
    assert reply.json()["choices"][0]["text"], reply.body


@test("lighttpd", "texts")
def a_completion_is_in_the_books(site):
    """Fails when paid_settle() does not settle (tried)."""
    reply = complete(site, "tokens=3")
    told = site.call("GET", "/v1/generation?id=" + reply.header("X-Generation-Id"), site.auth())
    assert told.status == 200, told.body
    assert told.json()["data"]["tokens_completion"] == 3, told.body
