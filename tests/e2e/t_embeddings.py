"""Embeddings: in the order of the input, in the form asked for, whatever the provider's shape. The
fake's vectors are [0.5, place of the input, - its length in JSON], the last input first."""

import base64
import json
import struct

from harness import test
from talk import check_headers, expect_error

PATH = "/v1/embeddings"
SMALL = "openai/text-embedding-3-small"


def embed(site, given="hi", model=SMALL, **more):
    return site.call("POST", PATH, site.auth(), dict({"model": model, "input": given}, **more))


def vectors(reply):
    assert reply.status == 200, reply.body
    data = reply.json()["data"]
    assert [d["index"] for d in data] == list(range(len(data))), data
    assert {d["object"] for d in data} == {"embedding"}, data
    return [d["embedding"] for d in data]


@test("smoke")
def texts_become_vectors_in_their_order(site):
    reply = embed(site, ["a", "bcd"])
    assert vectors(reply) == [[0.5, 0, -3], [0.5, 1, -5]], reply.body
    check_headers(reply)
    body = reply.json()
    assert body["object"] == "list" and body["model"] == SMALL, body
    assert body["usage"]["prompt_tokens"] == 7 and body["usage"]["cost"] > 0, body["usage"]
    assert site.fake.only()["path"] == "/v1/embeddings"


@test("lighttpd", "texts")
def vectors_come_as_bytes_when_asked(site):
    for model in (SMALL, "cohere/embed-v4.0", "hf/BAAI/bge-m3"):
        plain = vectors(embed(site, ["a", "bc"], model))
        coded = vectors(embed(site, ["a", "bc"], model, encoding_format="base64"))
        assert [list(struct.unpack("<3f", base64.b64decode(v))) for v in coded] == plain, model


@test("lighttpd", "texts")
def tokens_can_be_given(site):
    assert vectors(embed(site, [1, 2, 3])) == [[0.5, 0, -9]]
    assert len(vectors(embed(site, [[1, 2], [3]]))) == 2
    error = expect_error(embed(site, [[1, 2]], "cohere/embed-v4.0"), 400, "unsupported_field")
    assert error["param"] == "input", error


@test("lighttpd", "texts")
def providers_get_what_they_know(site):
    embed(site, ["a", "b"], "cohere/embed-v4.0", dimensions=256, input_type="search_query")
    seen = site.fake.only()
    assert seen["path"] == "/v2/embed", seen["path"]
    assert json.loads(seen["body"]) == {
        "model": "embed-v4.0",
        "texts": ["a", "b"],
        "input_type": "search_query",
        "embedding_types": ["float"],
        "output_dimension": 256,
    }, seen["body"]
    site.fake.reset()
    embed(site, "a", "hf/BAAI/bge-m3")
    seen = site.fake.only()
    assert seen["path"] == "/hf-inference/models/BAAI/bge-m3/pipeline/feature-extraction"
    assert json.loads(seen["body"]) == {"inputs": ["a"]}, seen["body"]
    site.fake.reset()
    embed(site, "a", dimensions=64, user="u", encoding_format="float")
    sent = json.loads(site.fake.only()["body"])
    assert sent == {
        "model": "text-embedding-3-small",
        "input": "a",
        "dimensions": 64,
        "encoding_format": "float",
    }, sent


@test("lighttpd", "texts")
def what_cannot_be_embedded_is_named(site):
    for more, field in (
        ({"given": ""}, "input"),
        ({"given": []}, "input"),
        ({"given": None}, "input"),
        ({"given": ["a", ""]}, "input[1]"),
        ({"given": ["a", 1]}, "input[1]"),
        ({"given": ["x"] * 2049}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
    ):
        error = expect_error(embed(site, **more), 400, "invalid_request")
        assert error["param"] == field, (field, error)
    for model, given, field in (
        ("cohere/embed-v4.0", ["x"] * 97, "input"),
        ("deepseek/deepseek-v4-pro", "a", "model"),
        ("demo/echo", "a", "model"),
    ):
        error = expect_error(embed(site, given, model), 400, "unsupported_field")
        assert error["param"] == field, (model, error)
    nobody = site.call("POST", PATH, None, {"model": SMALL, "input": "a"})
    expect_error(nobody, 401, "paid_model_auth_required")
    assert not site.fake.requests()


@test("lighttpd", "texts")
def a_list_that_lacks_vectors_is_no_answer(site):
    """Fails when embed.c does not count (tried)."""
    error = expect_error(embed(site, ["@fake cut=1 ", "b"]), 502, "invalid_response")
    assert "1 embeddings for 2 inputs" in error["message"], error
    expect_error(embed(site, "@fake status=503 "), 503, "upstream_error")
    assert len(vectors(embed(site))) == 1
