"""Bad input, item by item; docs/errors.md has the same table."""

import socket
import time

from client import Broken, Exchange, call, raw_call
from harness import KEY, test
from t_log import lines_of
from talk import MODEL, PATH, ask, chat, expect_error

GOOD = b'{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}'


def refused(site, body, status=400, kind="invalid_request", says=(), param=None):
    reply = site.call("POST", PATH, site.auth(), body)
    error = expect_error(reply, status, kind)
    for part in says:
        assert part in error["message"], f"{part!r} is not in {error['message']!r}"
    if param:
        assert error["param"] == param, error
    assert not site.fake.requests(), "the provider was asked all the same"
    return reply


@test()
def an_empty_body_is_refused(site):
    refused(site, b"")
    site.healthy()


@test()
def what_is_not_json_is_refused_with_its_place(site):
    refused(site, b"hello", says=["byte 0"])
    refused(site, b'{"model":"x",}', says=["byte"])
    refused(site, b"[1,2]")
    refused(site, b'"text"')
    refused(site, GOOD + b"x", says=[f"byte {len(GOOD)}"])
    site.healthy()


@test()
def truncated_json_is_refused(site):
    for n in (1, 20, len(GOOD) - 1):
        refused(site, GOOD[:n])
    site.healthy()


@test()
def deep_nesting_is_refused_naming_its_limit(site):
    deep = b'{"model":"openai/gpt-4o-mini","messages":[],"x":' + b"[" * 200 + b"]" * 200 + b"}"
    refused(site, deep, says=["GATEWAY_MAX_DEPTH"])
    site.healthy()


@test()
def a_key_that_comes_twice_is_refused(site):
    refused(site, GOOD[:-1] + b',"model":"openai/gpt-4o"}', says=["byte 74", "byte 1"])
    refused(site, GOOD[:-1] + b',"x":{"a":1,"a":2}}', says=["byte"])
    site.healthy()


@test()
def bad_utf8_is_refused_with_its_place(site):
    at = GOOD.index(b"hi")
    for bad in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98"):
        refused(site, GOOD[:at] + bad + GOOD[at:], says=[f"byte {at}"])
    refused(site, GOOD.replace(b"hi", b"\\ud800"), says=["byte"])
    site.healthy()


@test()
def a_body_of_33_mib_is_refused(site):
    body = GOOD.replace(b"hi", b"x" * (33 << 20))
    refused(site, body, 413, "request_too_large", says=["GATEWAY_MAX_BODY"])
    site.healthy()


@test()
def a_body_of_33_mib_that_announces_no_length_is_refused(site):
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n"
    head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    filler = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    at = GOOD.index(b"hi")
    pieces = b"%x\r\n%s\r\n" % (at, GOOD[:at]) + filler * 33
    pieces += b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD) - at, GOOD[at:])
    reply = raw_call(site.port, head.encode() + pieces)
    error = expect_error(reply, 413, "request_too_large")
    assert "GATEWAY_MAX_BODY" in error["message"], error
    assert not site.fake.requests()
    site.healthy()


@test()
def a_body_longer_than_announced_is_cut_there(site):
    """The web server takes what was announced; what it leaves is broken JSON."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(GOOD) - 5}\r\n\r\n"
    expect_error(raw_call(site.port, head.encode() + GOOD), 400, "invalid_request")
    assert not site.fake.requests()
    site.healthy()


@test()
def a_body_shorter_than_announced_is_no_request(site):
    """Most servers never start the program (mod_fcgid says 500 in its own words); under CGI it
    sees the early end and refuses."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(GOOD) + 100}\r\n\r\n"
    try:
        reply = raw_call(site.port, head.encode() + GOOD, timeout=10, half_close=True)
        assert reply.status >= 400, reply.status
    except Broken:
        pass  # no answer within the time: the server still waits for the rest
    assert not site.fake.requests()
    site.healthy()


@test("cgi", "body")
def a_body_that_does_not_come_is_not_waited_for(site):
    """The other servers read the whole body before they start a program, and Apache sends a CGI's
    408 on when it has the body: but the program has gone by then."""
    name = {"X-Request-Id": "late-body", "Content-Length": str(len(GOOD) + 100)}
    with Exchange(site.port) as x:
        x.request("POST", PATH, site.auth(name))
        x.send(GOOD)
        line = lines_of(site, "late-body", 15)[0]
        assert (line["status"], line["error"]) == (408, "body_timeout"), line
    assert not site.fake.requests()
    site.healthy()


@test()
def a_chunked_request_body_is_read(site):
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (GOOD[:7], GOOD[7:30], GOOD[30:]))
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n"
    head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    reply = raw_call(site.port, head.encode() + pieces + b"0\r\n\r\n")
    assert reply.status == 200, reply.body
    site.healthy()


@test()
def a_body_that_dribbles_in_is_read(site):
    with Exchange(site.port) as x:
        x.request("POST", PATH, site.auth({"Content-Length": str(len(GOOD))}))
        for i in range(0, len(GOOD), 10):
            x.send(GOOD[i : i + 10])
            time.sleep(0.02)
        assert x.read().status == 200
    site.healthy()


@test()
def nul_and_line_ends_in_addresses_and_headers_do_no_harm(site):
    for target in ("/v1/models/a%00b", "/v1/chat/completions%00", "/v1/models/a%0d%0aX-Evil:%201"):
        reply = call(site.port, "GET", target)
        assert 400 <= reply.status < 500, (target, reply.status)
        assert not reply.header("X-Evil"), reply.headers
    for line in (b"X-Request-Id: a\0b", b"X-Request-Id: a\rX-Evil: 1", b"X-Request-Id: a\nX-Evil: 1"):
        data = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + line + b"\r\n\r\n"
        reply = raw_call(site.port, data)
        assert reply.status in (200, 400), (line, reply.status)
        assert not reply.header("X-Evil"), reply.headers
    for name in ("openai/a\r\nX-Evil: 1", "openai/a\0b", "x\ny"):
        reply = chat(site, model=name)
        assert reply.status in (400, 404), (name, reply.status, reply.body)
        reply.error()
        assert not reply.header("X-Evil"), reply.headers
    assert not site.fake.requests()
    site.healthy()


@test()
def an_unknown_model_is_not_found(site):
    error = expect_error(chat(site, model="nobody/no-such-model"), 404, "model_not_found")
    assert "nobody/no-such-model" in error["message"], error
    for model in ("", "   "):
        expect_error(chat(site, model=model), 404, "model_not_found")
    assert not site.fake.requests()
    site.healthy()


@test()
def a_model_without_its_provider_names_the_setting(site):
    error = expect_error(chat(site, model="anthropic/claude-haiku-4.5"), 404, "unavailable_model")
    assert "ANTHROPIC_API_KEY" in error["message"], error
    site.healthy()


@test()
def missing_messages_are_refused(site):
    refused(site, {"model": MODEL}, param="messages")
    refused(site, {"model": MODEL, "messages": []}, param="messages")
    site.healthy()


@test()
def wrong_types_are_refused_naming_the_field(site):
    for field, value in (
        ("messages", "hi"),
        ("messages", {"role": "user"}),
        ("messages", None),
        ("stream", "yes"),
        ("stream", 1),
        ("stream_options", 5),
        ("tools", "all"),
        ("n", "two"),
    ):
        body = ask()
        body[field] = value
        refused(site, body, param=field)
    site.healthy()


@test()
def two_credentials_open_nothing(site):
    """Joined by some servers, sent on twice by others: neither may be believed."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(GOOD)}\r\n"
    head += f"X-Api-Key: {KEY}\r\nX-Api-Key: other\r\n\r\n"
    reply = raw_call(site.port, head.encode() + GOOD)
    assert reply.status in (400, 401), reply.status
    assert not site.fake.requests()
    site.healthy()


@test()
def a_client_that_sends_nothing_holds_nobody_up(site):
    idle = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(5)]
    half = [Exchange(site.port) for _ in range(5)]
    for x in half:
        x.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    site.healthy()
    for x in idle + half:
        x.close()
