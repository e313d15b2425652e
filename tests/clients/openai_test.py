"""The `openai` package of Python, pointed at the gateway by its base URL alone.

Prints a line per test, then "N passed, N failed". Variables and cues: see stack.mjs.
"""
import asyncio
import json
import os
import sys
import time
import traceback
import urllib.request
import uuid

import openai
from pydantic import BaseModel

ORIGIN = os.environ["TOLLGATE_ORIGIN"]
KEY = os.environ["TOLLGATE_KEY"]
MODEL = os.environ["TOLLGATE_MODEL"]
TWICE = os.environ["TOLLGATE_TWICE_MODEL"]
FAKE = os.environ["FAKE_ORIGIN"]
SAYS = "Hello from the fake provider."

client = openai.OpenAI(base_url=f"{ORIGIN}/v1", api_key=KEY, max_retries=0)
chat = client.chat.completions
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
    for name in ("get_weather", "get_time")
]


def user(text):
    return [{"role": "user", "content": text}]


def seen_cancelled(word):
    end = time.monotonic() + 15
    while time.monotonic() < end:
        with urllib.request.urlopen(f"{FAKE}/_fake/log") as answer:
            for entry in json.load(answer)["requests"]:
                if word in (entry["body"] or "") and entry["state"] == "cancelled":
                    return
        time.sleep(0.02)
    raise AssertionError("the provider saw no cancel")


def refused(kind, **ask):
    try:
        chat.create(**ask)
    except kind as e:
        return e
    raise AssertionError(f"no {kind.__name__}")


def a_plain_completion_has_text_and_usage():
    answer = chat.create(model=MODEL, messages=user("hi"))
    assert answer.choices[0].message.content == SAYS
    assert answer.usage.completion_tokens > 0
    assert answer._request_id


def a_stream_arrives_as_it_is_made():
    times, text = [], ""
    for chunk in chat.create(
        model=MODEL, messages=user("@fake tokens=5 pace=100"), stream=True
    ):
        text += chunk.choices[0].delta.content or ""
        times.append(time.monotonic())
    assert text == "t0 t1 t2 t3 t4"
    assert times[-1] - times[0] >= 0.3


def the_async_client_streams_side_by_side():
    async def one(n):
        text = ""
        stream = await there.chat.completions.create(
            model=MODEL, messages=user(f"@fake tokens={n} pace=20"), stream=True
        )
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
        return text

    async def all_of_them():
        return await asyncio.gather(*(one(n) for n in range(1, 9)))

    there = openai.AsyncOpenAI(base_url=f"{ORIGIN}/v1", api_key=KEY, max_retries=0)
    texts = asyncio.run(all_of_them())
    assert texts == [" ".join(f"t{i}" for i in range(n)) for n in range(1, 9)]


def streamed_tool_calls_are_put_together():
    with chat.stream(model=MODEL, messages=user("@fake tools"), tools=TOOLS) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert [(c.function.name, json.loads(c.function.arguments)["city"]) for c in calls] == [
        ("get_weather", "Paris"),
        ("get_time", "Oslo"),
    ]


def structured_output_is_parsed_by_its_schema():
    class Answer(BaseModel):
        answer: str
        steps: list[int]

    got = chat.parse(model=MODEL, messages=user("2+2?"), response_format=Answer)
    assert got.choices[0].message.parsed == Answer(answer="four", steps=[4])


def leaving_a_stream_reaches_the_provider():
    word = f"mark-{uuid.uuid4()}"
    stream = chat.create(
        model=MODEL, messages=user(f"{word} @fake tokens=2000 pace=50"), stream=True
    )
    next(iter(stream))
    stream.close()
    seen_cancelled(word)


def errors_have_their_types():
    e = refused(openai.NotFoundError, model="no-such/model", messages=user("hi"))
    assert "no-such/model" in str(e) and e.request_id
    e = refused(openai.BadRequestError, model=MODEL, messages="hi")
    assert e.param == "messages"
    refused(openai.RateLimitError, model=MODEL, messages=user("@fake status=429 retry_after=9"))
    refused(openai.InternalServerError, model=MODEL, messages=user("@fake status=500"))


def a_wrong_key_is_an_authentication_error():
    stranger = openai.OpenAI(base_url=f"{ORIGIN}/v1", api_key="sk-tg-wrong", max_retries=0)
    try:
        stranger.chat.completions.create(model=MODEL, messages=user("hi"))
    except openai.AuthenticationError as e:
        assert e.status_code == 401
    else:
        raise AssertionError("let in")


def a_cut_stream_is_an_api_error():
    try:
        for _ in chat.create(model=MODEL, messages=user("@fake cut=2"), stream=True):
            pass
    except openai.APIError as e:
        assert e.message
    else:
        raise AssertionError("looked complete")


def a_stream_that_dies_is_one_answer_all_the_same():
    for death in ("cut=6", "reset_after=6", "error_event=6"):
        text = ""
        messages = user(f"hi @fake tokens=12\n@fake at=fireworks {death}")
        for chunk in chat.create(model=TWICE, messages=messages, stream=True):
            text += chunk.choices[0].delta.content or ""
        assert text == " ".join(f"t{i}" for i in range(12)), (death, text)


def models_are_listed_and_found():
    assert MODEL in [m.id for m in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL


def main():
    tests = [
        a_plain_completion_has_text_and_usage,
        a_stream_arrives_as_it_is_made,
        the_async_client_streams_side_by_side,
        streamed_tool_calls_are_put_together,
        structured_output_is_parsed_by_its_schema,
        leaving_a_stream_reaches_the_provider,
        errors_have_their_types,
        a_wrong_key_is_an_authentication_error,
        a_cut_stream_is_an_api_error,
        a_stream_that_dies_is_one_answer_all_the_same,
        models_are_listed_and_found,
    ]
    failed = 0
    for test in tests:
        try:
            test()
            print("ok", test.__name__)
        except Exception:  # pylint: disable=broad-except # a test may fail in any way
            failed += 1
            print("FAILED", test.__name__)
            traceback.print_exc(limit=3, file=sys.stdout)
    print(f"{len(tests) - failed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
