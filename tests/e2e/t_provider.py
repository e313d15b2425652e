"""Faults of a single provider, item by item; docs/errors.md has the same table. After each the
next request is served. Where the status is the point there is one attempt and there are no
heartbeats: on a slow machine one could go out first, and commit to 200. What further attempts and
providers make of the same faults is in t_failover.py and t_rescue.py."""

import time

from client import Told
from harness import test
from talk import (
    SENTENCE,
    chat,
    check_broken_stream,
    check_stream,
    expect_error,
    open_stream,
    stream,
)


def refused(site, cue, status, kind, **more):
    """Both ways of asking get the same refusal with its true status."""
    seen = []
    for streams in (False, True):
        reply = chat(site, cue, stream=streams, **more)
        error = expect_error(reply, status, kind)
        assert error["metadata"].get("provider"), error
        seen.append(reply)
    site.healthy()
    return seen


def broken(site, cue, *kinds, text=None):
    """A stream that began well and must not look whole."""
    told = stream(site, cue)
    check_broken_stream(told, *kinds)
    if text is not None:
        assert told.text() == text, told.text()
    site.healthy()
    return told


@test("battery", "once")
def a_refused_connection(site):
    refused(site, "", 503, "upstream_disconnect", model="mistralai/codestral-2508")


@test("battery", "once")
def a_host_name_that_does_not_exist(site):
    refused(site, "", 503, "upstream_disconnect", model="deepseek/deepseek-v4-pro")


@test("battery", "once")
def a_provider_that_speaks_no_tls(site):
    refused(site, "", 502, "upstream_error", model="x-ai/grok-4.5")


@test("battery", "once")
def a_certificate_nobody_trusts(site):
    refused(site, "", 502, "upstream_error", model="cohere/command-a")


@test("battery", "once")
def a_reset_before_the_head(site):
    refused(site, "reset", 503, "upstream_disconnect")


@test("battery", "once")
def refusals_keep_their_status(site):
    for status in (400, 401, 403, 404, 409, 422, 500, 502, 503, 529):
        for reply in refused(site, f"status={status}", status, "upstream_error"):
            if status in (409, 429) or status >= 500:  # what SDKs retry by themselves
                assert reply.header("X-Should-Retry") in ("true", "false"), reply.headers


@test("battery", "once")
def a_provider_without_credit_is_our_trouble(site):
    refused(site, "status=402", 503, "upstream_error")


@test("battery", "once")
def a_rate_limit_is_passed_on(site):
    for reply in refused(site, "status=429 retry_after=2", 429, "rate_limit_exceeded"):
        assert reply.header("Retry-After") == "2", reply.headers
    for reply in refused(site, "status=429", 429, "rate_limit_exceeded"):
        assert "fake provider refuses" in reply.json()["error"]["message"], reply.body


@test("battery", "once")
def html_is_never_passed_on(site):
    for status in (500, 503):
        for reply in refused(site, f"status={status} body=html", status, "upstream_error"):
            assert b"<html" not in reply.body, reply.body
    refused(site, "body=html", 502, "invalid_response")


@test("battery", "once")
def an_empty_refusal(site):
    refused(site, "status=500 body=empty", 500, "upstream_error")


@test("battery", "once")
def an_error_under_status_200(site):
    for streams in (False, True):
        reply = chat(site, "body=error200", stream=streams)
        error = expect_error(reply, 502, "upstream_error", "invalid_response")
        assert "fake provider refuses" in error["message"], error
    expect_error(chat(site, "error_event=0", stream=True), 502, "upstream_error", "invalid_response")
    site.healthy()


@test("battery", "once")
def garbage_under_status_200(site):
    refused(site, "body=garbage", 502, "invalid_response")
    refused(site, "body=empty", 502, "invalid_response")


@test()
def silence_after_the_head(site):
    begun = time.monotonic()
    expect_error(chat(site, "silence"), 504, "timeout")
    told = stream(site, "silence")
    check_broken_stream(told, "timeout")
    assert not told.chunks
    assert time.monotonic() - begun < 13, "the limit is 3 s for each of the two"
    site.healthy()


@test("battery", "once")
def without_heartbeats_a_silent_provider_is_504_for_streams_too(site):
    expect_error(chat(site, "silence", stream=True), 504, "timeout")
    expect_error(chat(site, "ttft=20000", stream=True), 504, "timeout")
    site.healthy()


@test()
def heartbeats_bridge_a_slow_first_token(site):
    told = stream(site, "ttft=2000")
    check_stream(told)
    beats = [at for text, at in told.comments if text == "keep-alive"]
    assert 2 <= len(beats) <= 6, told.comments
    assert told.text() == SENTENCE
    reply = chat(site, "ttft=2000")
    assert reply.status == 200 and reply.body.startswith(b"{"), reply.body[:50]


@test("battery", "blanks")
def white_space_bridges_the_wait_for_a_whole_answer_where_it_is_wanted(site):
    reply = chat(site, "ttft=1500")
    assert reply.status == 200 and reply.complete, reply.status
    blanks = len(reply.body) - len(reply.body.lstrip())
    assert 2 <= blanks <= 5 and not reply.body[:blanks].strip(b"\n"), reply.body[:20]
    assert reply.json()["choices"][0]["message"]["content"] == SENTENCE
    reply = chat(site, "silence")
    assert reply.status == 200 and reply.complete, "the status had gone out"
    assert reply.body.startswith(b"\n"), reply.body[:20]
    assert reply.json()["error_type"] == "timeout", reply.body
    site.healthy()


@test()
def heartbeats_bridge_a_pause_within_the_stream(site):
    told = stream(site, "tokens=3 pace=1500")
    check_stream(told)
    assert len([1 for text, _ in told.comments if text == "keep-alive"]) >= 6, told.comments


@test()
def the_providers_comments_are_not_passed_on(site):
    told = stream(site, "ttft=900 comments=200")
    check_stream(told)
    assert not [1 for text, _ in told.comments if "PROCESSING" in text], told.comments


@test()
def a_stream_cut_within_an_event(site):
    for how in ("", " clean", " close"):
        broken(site, "cut=3" + how, "upstream_disconnect", text="Hello from")
    expect_error(chat(site, "cut=1"), 502, "upstream_disconnect")
    site.healthy()


@test("battery", "once")
def a_stream_cut_before_its_first_event(site):
    for how in ("", " clean", " close"):
        reply = chat(site, "cut=0" + how, stream=True)
        expect_error(reply, 502, "upstream_disconnect", "invalid_response")
    site.healthy()


@test()
def a_stream_cut_within_a_character(site):
    for how in ("", " clean", " close"):
        told = broken(site, "cut_utf8" + how, "upstream_disconnect")
        assert told.text() == "Gr\u00fc\u00dfe", told.text()


@test()
def a_reset_within_the_stream(site):
    broken(site, "tokens=20 pace=20 reset_after=10", "upstream_disconnect")


@test()
def a_stream_that_stalls(site):
    broken(site, "stall=3", "timeout", text="Hello from")
    expect_error(chat(site, "stall=1"), 504, "timeout")
    site.healthy()


@test("battery", "once")
def a_malformed_event_is_never_passed_on(site):
    """It ends the stream: a token may be missing."""
    broken(site, "malformed=3", "invalid_response", text="Hello")
    expect_error(chat(site, "malformed=1", stream=True), 502, "invalid_response")
    site.healthy()


@test()
def an_error_within_the_stream(site):
    told = broken(site, "error_event=3", "upstream_error", "invalid_response", text="Hello from")
    assert "gave up" in told.errors[0]["error"]["message"], told.errors


@test("battery", "once")
def a_line_of_100_mib_without_an_end(site):
    expect_error(chat(site, "bigline=100m", stream=True), 502, "invalid_response")
    expect_error(chat(site, "bigline=100m"), 502, "invalid_response")
    site.healthy()


@test("battery", "once")
def a_gzip_bomb(site):
    refused(site, "gzip", 502, "invalid_response")


@test()
def a_missing_done_is_made_up_for(site):
    begun = time.monotonic()
    told = stream(site, "nodone")
    check_stream(told)
    assert told.text() == SENTENCE
    assert time.monotonic() - begun < 2, "the connection's end is the end"
    begun = time.monotonic()
    check_stream(stream(site, "nodone hold"))
    assert time.monotonic() - begun < 4, "all had finished"
    site.healthy()


@test()
def a_stream_without_a_finish_reason_is_not_whole(site):
    for cue in ("nofinish", "nofinish nodone", "nofinish nodone close"):
        broken(site, cue, "upstream_disconnect", "invalid_response", text=SENTENCE)


@test()
def one_byte_at_a_time(site):
    told = stream(site, "bytewise", stream_options={"include_usage": True})
    check_stream(told)
    assert told.text() == SENTENCE
    assert chat(site, "bytewise").json()["choices"][0]["message"]["content"] == SENTENCE


@test()
def other_ways_to_write_a_stream(site):
    for cue in ("crlf", "crlf bytewise", "close", "jsonstream"):
        told = stream(site, cue)
        check_stream(told)
        assert told.text() == SENTENCE, (cue, told.text())


@test()
def many_faults_at_once_leave_the_healthy_alone(site):
    """One pump carries all of them."""
    cues = ["stall=2", "cut=2", "silence", "status=500", "reset", "tokens=10 pace=100"]
    if site.kind in ("fcgid", "cgi"):
        cues = cues[3:]
    open_ones = [open_stream(site, cue) for cue in cues]
    check_stream(Told(open_ones[-1]))
    site.healthy()
    for x in open_ones:
        x.close()
