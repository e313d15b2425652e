"""Questions that mean the same. The embedder is the fake provider at a place of its own; its vectors
know words of four letters and more, in any order, so a question turned round is the same to it,
and so are "2+2" and "2+3"."""

import json
import random
import time

import servers
from client import call
from harness import PROVIDER_KEY, test
from t_cache import send, someone, state, tell
from t_log import lines_of
from t_money import balance, line_of
from talk import PATH, ask, check_stream

EMBEDDER = {
    "GATEWAY_CACHE_TTL": "300",
    "GATEWAY_CACHE_TOOL_CALLS": "on",
    "GATEWAY_SEMANTIC_CACHE": "on",
    "GATEWAY_SEMANTIC_THRESHOLD": "0.9",
    "GATEWAY_SEMANTIC_TIMEOUT": "5s",
    "GATEWAY_EMBEDDING_MODEL": "mistral/mistral-embed",
    "MISTRAL_API_KEY": PROVIDER_KEY,
    "MISTRAL_BASE_URL": "http://127.0.0.1:{fake}/embedder/v1",
}
servers.PROFILES["semantic"] = EMBEDDER
servers.PROFILES["semantic-short"] = dict(EMBEDDER, GATEWAY_SEMANTIC_TIMEOUT="200ms")
servers.PROFILES["semantic-sleepy"] = servers.PROFILES["semantic-short"]
servers.PROFILES["semantic-nobody"] = dict(
    EMBEDDER, GATEWAY_EMBEDDING_MODEL="deepseek/deepseek-chat"
)

def words():
    """Words that nobody has asked about yet."""
    return " ".join("".join(random.choices("bcdfghjklm", k=8)) for _ in range(8))


def embed_by(site, cue="vectors=words"):
    site.fake.rule("embedder", f"@fake {cue}")


def embedded(site):
    return len(site.fake.at("embedder"))


def asked(site):
    return sum(r["path"].endswith("/chat/completions") for r in site.fake.requests())


def similar(reply):
    assert state(reply) == "SEMANTIC", (state(reply), reply.headers)
    return float(reply.header("X-Cache-Similarity"))


def learn(site, text, **more):
    """Asks what nobody has asked; its answer is remembered."""
    first = send(site, ask(text=text, **more))
    assert state(first) == "MISS", state(first)
    return first


@test("lighttpd", profile="semantic")
def a_question_in_other_words_is_answered_from_memory(site):
    embed_by(site)
    topic = words()
    first = learn(site, f"Tell me of {topic}")
    second = send(site, ask(text=f"{topic}: tell me of it"))
    assert 0.9 <= similar(second) <= 1
    assert second.json()["choices"] == first.json()["choices"]
    assert asked(site) == 1 and embedded(site) == 2
    same = send(site, ask(text=f"Tell me of {topic}"))
    assert state(same) == "HIT" and asked(site) == 1 and embedded(site) == 2
    other = send(site, ask(text=f"Tell me of {words()}"))
    assert state(other) == "MISS" and asked(site) == 2


@test("lighttpd", profile="semantic")
def a_stream_is_answered_so_too(site):
    embed_by(site)
    topic = words()
    first = learn(site, f"Tell me of {topic}")
    told = tell(site, ask(text=f"Of {topic} tell me"))
    check_stream(told)
    assert state(told) == "SEMANTIC"
    assert told.text() == first.json()["choices"][0]["message"]["content"]
    assert asked(site) == 1


@test("lighttpd", profile="semantic")
def it_costs_nothing_and_says_what_it_saved(site):
    embed_by(site)
    name, key = someone(site, "meaning")
    topic = words()
    first = call(site.port, "POST", PATH, key, ask("tokens=40", text=f"Tell me of {topic}"))
    assert state(first) == "MISS"
    before = balance(site, "--user", name)
    second = call(site.port, "POST", PATH, key, ask("tokens=40", text=f"{topic}, tell me"))
    similar(second)
    assert balance(site, "--user", name) == before
    assert second.json()["usage"]["cost"] == 0
    assert line_of(site, second.header("X-Generation-Id"))["cache_hit"] is True
    log = lines_of(site, second.header("X-Request-Id"))[0]
    assert log["cache"] == "semantic" and log["cost_microusd"] == 0, log


@test("lighttpd", profile="semantic")
def near_misses_are_guarded(site):
    embed_by(site)
    for first, second in (
        ("What makes 2+2 of {}?", "What makes 2+3 of {}?"),
        ("Say whether {} is so", "Say whether {} is not so"),
        ("Translate 'cat' for {}", "Translate 'dog' for {}"),
        ("Does {} go up?", "Does {} go down?"),
    ):
        topic = words()
        learn(site, first.format(topic))
        reply = send(site, ask(text=second.format(topic)))
        assert state(reply) == "MISS", (first, second)
    assert asked(site) == 8


@test("lighttpd", profile="semantic")
def what_is_asked_about_now_is_asked_anew(site):
    embed_by(site)
    topic = words()
    learn(site, f"Tell the latest of {topic}")
    assert state(send(site, ask(text=f"Of {topic} tell the latest"))) == "MISS"
    assert embedded(site) == 0 and asked(site) == 2


@test("lighttpd", profile="semantic")
def all_but_the_question_must_be_the_same(site):
    embed_by(site)
    topic = words()
    learn(site, f"Tell me of {topic}")
    turned = f"Of {topic} tell me"
    for more in (
        {"temperature": 0.5},
        {"max_tokens": 9},
        {"model": "openai/gpt-4o"},
        {"messages": [{"role": "system", "content": "Be brief."},
                      {"role": "user", "content": turned}]},
    ):
        body = dict(ask(text=turned), **more)
        assert state(send(site, body)) == "MISS", more


@test("lighttpd", profile="semantic")
def another_tenants_question_is_not_found(site):
    embed_by(site)
    (_, one), (_, two) = someone(site, "near-one"), someone(site, "near-two")
    topic = words()
    reply = call(site.port, "POST", PATH, one, ask(text=f"Tell me of {topic}"))
    assert state(reply) == "MISS"
    turned = ask(text=f"Of {topic} tell me")
    assert state(call(site.port, "POST", PATH, two, turned)) == "MISS"
    assert state(call(site.port, "POST", PATH, one, turned)) == "SEMANTIC"


@test("lighttpd", profile="semantic")
def answers_with_tool_calls_are_not_shared(site):
    embed_by(site)
    topic = words()
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    first = ask("tools", text=f"Tell me of {topic}", tools=tools)
    assert state(send(site, first)) == "MISS"
    assert state(send(site, first)) == "HIT"
    second = ask("tools", text=f"Of {topic} tell me", tools=tools)
    assert state(send(site, second)) == "MISS"


@test("lighttpd", profile="semantic-short")
def an_embedder_that_misbehaves_is_a_miss(site):
    for cue in ("vectors=nan", "vectors=zeros", "vectors=none", "status=500", "silence", "cut=0",
                "dims=7 vectors=words"):
        embed_by(site, cue)
        secret = f"Private {words()}"
        assert state(send(site, ask(text=secret))) == "MISS", cue
        same = send(site, ask(text=secret))
        assert state(same) == "HIT", cue  # the very same question needs no embedder
        assert secret not in site.log.read_text(), cue
        embed_by(site)  # or it would be left alone for a while
        topic = words()
        learn(site, f"Tell me of {topic}")
    assert embedded(site) > 7, embedded(site)


@test("lighttpd", profile="semantic-sleepy")
def an_embedder_that_sleeps_is_left_alone_for_a_while(site):
    embed_by(site, "silence")
    for _ in range(12):
        begun = time.monotonic()
        assert state(send(site, ask(text=f"Tell me of {words()}"))) == "MISS"
        assert time.monotonic() - begun < 3
    assert asked(site) == 12
    assert 3 <= embedded(site) < 12, embedded(site)
    assert "semantic cache: " in site.log.read_text()


@test("lighttpd", profile="semantic-nobody")
def a_model_that_makes_no_vectors_is_told_once(site):
    for _ in range(5):
        assert state(send(site, ask(text=f"Tell me of {words()}"))) == "MISS"
    told = {}
    for line in site.log.read_text().splitlines():
        if "GATEWAY_EMBEDDING_MODEL" in line:
            pid = json.loads(line)["pid"]
            told[pid] = told.get(pid, 0) + 1
    assert told and set(told.values()) == {1}, told


@test("lighttpd", profile="semantic")
def a_client_may_want_nothing_but_the_very_same(site):
    embed_by(site)
    topic = words()
    learn(site, f"Tell me of {topic}")
    body = dict(ask(text=f"Of {topic} tell me"), cache={"mode": "simple"})
    assert state(send(site, body)) == "MISS"
