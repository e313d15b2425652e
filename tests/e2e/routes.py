"""Several providers, which the fake plays at places of their own, and what must be true of an
answer whatever became of them."""

import itertools
import json
from decimal import ROUND_HALF_UP, Decimal

import servers
from client import call
from harness import PROVIDER_KEY, wait_for
from t_account import make_key
from talk import PATH, SENTENCE, ask, check_headers, stream

PLACES = ("openai", "vercel", "openrouter")  # in this order, when nothing else is said
MICRO = Decimal("0.000001")

# Models that nobody has failed at yet: what is known of a provider is known per model.
FRESH = 200
PROMPT_USD, COMPLETION_USD = Decimal("0.000001"), Decimal("0.000002")
_fresh = itertools.count(1)

ROUTES = {
    "OPENAI_BASE_URL": "http://127.0.0.1:{fake}/openai/v1",
    "OPENROUTER_API_KEY": PROVIDER_KEY,
    "OPENROUTER_BASE_URL": "http://127.0.0.1:{fake}/openrouter/v1",
    "AI_GATEWAY_API_KEY": PROVIDER_KEY,
    "VERCEL_BASE_URL": "http://127.0.0.1:{fake}/vercel/v1",
    "ZAI_BASE_URL": "http://127.0.0.1:{fake}/zai/v4",
    "ANTHROPIC_API_KEY": PROVIDER_KEY,
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:{fake}/anthropic/v1",
    "GEMINI_API_KEY": PROVIDER_KEY,
    "GOOGLE_BASE_URL": "http://127.0.0.1:{fake}/google/v1beta",
    "AWS_ACCESS_KEY_ID": "AKIDTEST",
    "AWS_SECRET_ACCESS_KEY": "secretfortests",
    "AWS_REGION": "eu-north-1",
    "BEDROCK_BASE_URL": "http://127.0.0.1:{fake}/bedrock",
    "TOGETHER_API_KEY": PROVIDER_KEY,
    "TOGETHER_BASE_URL": "http://127.0.0.1:{fake}/together/v1",
    "FIREWORKS_API_KEY": PROVIDER_KEY,
    "FIREWORKS_BASE_URL": "http://127.0.0.1:{fake}/fireworks/v1",
    "GATEWAY_HEARTBEAT": "0",  # one could go out before the answer, and take the status with it
    "GATEWAY_FIRST_TOKEN_TIMEOUT": "800ms",
    "GATEWAY_FIRST_BYTE_TIMEOUT": "3s",
    "GATEWAY_IDLE_TIMEOUT": "1500ms",
    "GATEWAY_DEADLINE": "12s",
    "GATEWAY_HEALTH_CHECK_INTERVAL": "1s",
}
HEDGE, INTERVAL = 0.8, 1.0  # the same in seconds
WHOLE_HEDGE = 3 * HEDGE  # a whole answer's first byte comes when it is finished


def profile(name, **more):
    """A set of settings with several providers; its name begins with "routes"."""
    servers.PROFILES[name] = dict(ROUTES, **more)
    servers.PREPARE[name] = add_models


def add_models(place):
    """Puts the fresh models into this place's catalogue: at OpenAI, at Vercel, and whatever a
    router knows."""
    rows = [f"openai/e2e-{i}" for i in range(1, FRESH + 1)]
    path = place.dir / "conf" / "models.json"
    catalogue = json.loads(path.read_text())
    if any(m["id"] == rows[0] for m in catalogue["models"]):
        return
    pattern = next(m for m in catalogue["models"] if m["id"] == "openai/gpt-4o-mini")
    catalogue["models"] += [
        dict(
            pattern, id=id, native_id=id.split("/")[1], name=id,
            price_prompt_usd_per_token=str(PROMPT_USD),
            price_completion_usd_per_token=str(COMPLETION_USD),
        )
        for id in rows
    ]
    place.write("conf/models.json", json.dumps(catalogue))
    same = json.loads((place.dir / "conf" / "equivalents.json").read_text())
    same["models"] += [
        {"id": id, "at": [{"provider": "vercel", "native_id": id, "same_price": True}]}
        for id in rows
    ]
    place.write("conf/equivalents.json", json.dumps(same))


profile("routes")


def fresh():
    return f"openai/e2e-{next(_fresh)}"


def at(**cues):
    """The cues of each place, for ask()."""
    return "\n@fake ".join(f"at={place} {cue}" for place, cue in cues.items())


def send(site, cue="", headers=None, model=None, timeout=20, **more):
    """A chat request; with a fresh model, unless one is named."""
    body = ask(cue, model=model or fresh(), **more)
    return call(site.port, "POST", PATH, headers or site.auth(), body, timeout=timeout)


def open_fresh(site, cue="", model=None, **more):
    return stream(site, cue, model=model or fresh(), **more)


def served(head):
    """Who was tried: [("openai", "503"), ("openrouter", "ok")]."""
    said = head.header("X-Attempts") or f"{head.header('X-Provider')}:ok"
    return [tuple(part.split(":")) for part in said.split(", ")]


def check_whole(reply, provider, text=SENTENCE, model=None):
    """A whole answer, which says who gave it."""
    assert reply.status == 200, (reply.status, reply.body[:400], reply.headers)
    check_headers(reply)
    body = reply.json()
    message = body["choices"][0]["message"]
    assert message["content"] == text, message
    assert reply.header("X-Provider") == provider, reply.headers
    if model:
        assert reply.header("X-Model") == body["model"] == model, (reply.headers, body["model"])
    return body


def counts(site, *places):
    """How often each was asked."""
    return tuple(len(site.fake.at(place)) for place in places or PLACES)


def gaps(seen):
    """Seconds between requests."""
    times = [r["at_ms"] / 1000 for r in seen]
    return [b - a for a, b in zip(times, times[1:])]


def cancelled(site, place, count=1):
    """Waits until the place's requests were cancelled; the last of them."""

    def look():
        seen = site.fake.at(place)
        return len(seen) == count and all(r["state"] == "cancelled" for r in seen) and seen

    return wait_for(f"{place} to be cancelled", 5, look)[-1]


def new_key(site):
    return make_key(site, "routes")


def generation(site, key, head):
    """What the books have of a request, once it is settled."""
    path = f"/v1/generation?id={head.header('X-Generation-Id')}"

    def look():
        reply = call(site.port, "GET", path, key)
        return reply.status == 200 and json.loads(reply.body, parse_float=Decimal)["data"]

    return wait_for("the settled request", 5, look)


def cost_of(usage):
    exact = usage["prompt_tokens"] * PROMPT_USD + usage["completion_tokens"] * COMPLETION_USD
    return exact.quantize(MICRO, ROUND_HALF_UP)


def spent(site, key):
    """USD on the books of this key alone."""
    reply = call(site.port, "GET", "/v1/key", key)
    return json.loads(reply.body, parse_float=Decimal)["data"]["usage"]


def health(site, provider):
    """The provider's entry in /v1/health/providers."""
    reply = call(site.port, "GET", "/v1/health/providers")
    assert reply.status == 200, reply.body[:300]
    return next(p for p in reply.json()["data"] if p["provider"] == provider)


def model_health(site, provider, model):
    """What is known of one model there; None = nothing."""
    name = model.split("/")[1]
    found = [m for m in health(site, provider)["models"] if m["model"].split("/")[-1] == name]
    return found[0] if found else None
