"""The lists, health, and the methods and origins every program knows."""

from urllib.parse import quote

from client import call
from harness import test, wait_for
from t_answers import BASES
from t_keys import tollgate
from talk import MODEL, PATH, ask, chat, check_headers, expect_error, stream

LISTS = ("/v1/models", "/v1/providers", "/v1/models-by-provider")
EVERY_HANDLER = LISTS + (PATH, "/v1/completions", "/v1/embeddings", "/v1/key", "/health")


@test("smoke")
def models_are_listed_for_the_configured_providers(site):
    for base in BASES:
        reply = call(site.port, "GET", base + "/models")
        assert reply.status == 200, (base, reply.body[:200])
    check_headers(reply)
    body = reply.json()
    assert body["object"] == "list"
    by_id = {m["id"]: m for m in body["data"]}
    model = by_id[MODEL]
    assert model["object"] == "model" and model["owned_by"]
    for name in ("name", "created", "description", "context_length", "architecture", "pricing",
                 "top_provider", "supported_parameters"):
        assert name in model, f"{MODEL} lacks {name}"
    assert isinstance(model["pricing"]["prompt"], str)
    assert "input_modalities" in model["architecture"]
    assert not [i for i in by_id if i.startswith("anthropic/")], "not configured, yet listed"
    assert not [i for i in by_id if i.startswith("demo/")], "a provider is configured"
    every = call(site.port, "GET", "/v1/models?all=1").json()["data"]
    assert len(every) > len(body["data"])
    assert [m for m in every if m["id"].startswith("anthropic/")]


@test("battery", "demo")
def the_demonstration_is_listed_and_labelled(site):
    by_id = {m["id"]: m for m in call(site.port, "GET", "/v1/models").json()["data"]}
    for model in ("demo/echo:free", "demo/story:free"):
        label = by_id[model]["name"] + by_id[model]["description"]
        assert "demo" in label.lower(), by_id[model]


@test()
def one_model_is_found_by_its_id(site):
    reply = call(site.port, "GET", f"/v1/models/{MODEL}")
    assert reply.status == 200 and reply.json()["id"] == MODEL, reply.body[:300]
    reply = call(site.port, "GET", "/v1/models/" + quote(MODEL, safe=""))
    assert reply.status == 200 and reply.json()["id"] == MODEL, reply.body[:300]
    expect_error(call(site.port, "GET", "/v1/models/no/such-model"), 404, "model_not_found")


@test()
def providers_are_listed(site):
    body = call(site.port, "GET", "/v1/providers").json()
    slugs = {p["slug"]: p for p in body["data"]}
    for name in ("name", "displayName", "slug"):
        assert slugs["openai"][name]
    text = call(site.port, "GET", "/v1/providers").body
    assert b"sk-provider" not in text, "a provider's key is shown"


@test()
def models_are_listed_by_provider(site):
    body = call(site.port, "GET", "/v1/models-by-provider").json()
    mine = [p for p in body["providers"] if p["slug"] == "openai"]
    assert len(mine) == 1 and MODEL in [m["slug"] for m in mine[0]["models"]], mine
    assert body["total_providers"] == len(body["providers"])
    assert body["total_models"] == sum(len(p["models"]) for p in body["providers"])
    assert body["generated_at"]


def listed(site):
    """{id: model} of the models that are listed."""
    return {m["id"]: m for m in call(site.port, "GET", "/v1/models").json()["data"]}


@test()
def what_the_operator_says_of_a_model_counts_without_a_restart(site):
    other = next(i for i in sorted(listed(site)) if i.startswith("openai/gpt-5"))
    before = listed(site)[other]["pricing"]
    try:
        tollgate(site, "models", "set-price", other, "--prompt", "7.5", "--completion", "9")
        new = wait_for("the new price", 10, lambda: listed(site)[other]["pricing"] != before
                       and listed(site)[other]["pricing"])
        assert (new["prompt"], new["completion"]) == ("0.0000075", "0.000009"), new
        assert '"0.0000075"' in tollgate(site, "models", "show", other, "--json")
        tollgate(site, "models", "hide", other)
        wait_for("the model to be hidden", 10, lambda: other not in listed(site))
        wait_for("a 404 for it", 10,
                 lambda: call(site.port, "GET", f"/v1/models/{other}").status == 404)
        reply = wait_for("a refusal", 10, lambda: refused(site, other))
        expect_error(reply, 404, "model_not_found")
    finally:
        tollgate(site, "models", "unhide", other)
        tollgate(site, "models", "set-price", other, "--reset")
    wait_for("all as it was", 10, lambda: listed(site).get(other, {}).get("pricing") == before)


def refused(site, model):
    reply = call(site.port, "POST", PATH, site.auth(), ask(model=model))
    return reply if reply.status == 404 else None


@test()
def a_refresh_asks_the_providers_and_shows_what_would_change(site):
    site.fake.reset()
    before = listed(site)
    # The fake provider lists gpt-4o-mini only.
    out = tollgate(site, "models", "refresh", "--provider", "openai", "--dry-run")
    assert "- gone   openai/gpt-5 " in out and "gone   openai/gpt-4o-mini" not in out, out
    assert "Nothing was changed" in out, out
    asked = [r for r in site.fake.requests() if r["path"].endswith("/models")]
    assert len(asked) == 1, asked
    assert listed(site) == before


@test("smoke")
def a_list_is_not_sent_again_unchanged(site):
    for path in LISTS:
        reply = call(site.port, "GET", path)
        tag = reply.header("ETag")
        assert tag and reply.header("Cache-Control"), (path, reply.headers)
        again = call(site.port, "GET", path, {"If-None-Match": tag})
        assert again.status == 304 and not again.body, (path, again.status, again.body[:100])
        assert again.header("X-Request-Id"), (path, again.headers)
        assert again.header("ETag") == tag
        several = call(site.port, "GET", path, {"If-None-Match": f'"other", W/{tag}'})
        assert several.status == 304, (path, several.status)
        other = call(site.port, "GET", path, {"If-None-Match": '"other"'})
        assert other.status == 200, path


@test()
def head_answers_like_get_without_a_body(site):
    for path in LISTS + ("/health",):
        reply = call(site.port, "HEAD", path)
        check_headers(reply)
        # A reader that trusts Content-Length would wait for a body that never comes.
        assert reply.status == 200 and not reply.body, (path, reply.status)


@test()
def a_wrong_method_names_the_right_ones(site):
    for method, path, allowed in (
        ("GET", PATH, "POST"),
        ("PUT", PATH, "POST"),
        ("DELETE", PATH, "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/providers", "GET"),
        ("PUT", "/v1/models-by-provider", "GET"),
        ("DELETE", "/health", "GET"),
    ):
        reply = call(site.port, method, path, site.auth(), b"{}" if method in ("POST", "PUT") else None)
        expect_error(reply, 405, "method_not_allowed")
        assert allowed in (reply.header("Allow") or ""), (method, path, reply.headers)


@test()
def options_says_what_is_allowed(site):
    for path, allowed in ((PATH, "POST"), ("/v1/models", "GET"), ("/health", "GET")):
        reply = call(site.port, "OPTIONS", path)
        assert reply.status in (200, 204), (path, reply.status)
        check_headers(reply)
        assert allowed in (reply.header("Allow") or ""), (path, reply.headers)


@test()
def browsers_of_known_origins_may_call(site):
    asked = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    for path in EVERY_HANDLER:
        reply = call(site.port, "OPTIONS", path, asked)
        assert reply.status in (200, 204), (path, reply.status, reply.body)
        check_headers(reply)
        assert reply.header("Access-Control-Allow-Origin") == asked["Origin"], (path, reply.headers)
        assert "origin" in (reply.header("Vary") or "").lower(), (path, reply.headers)
    reply = call(site.port, "OPTIONS", PATH, asked)
    assert "POST" in reply.header("Access-Control-Allow-Methods")
    assert "authorization" in reply.header("Access-Control-Allow-Headers").lower()
    reply = call(site.port, "GET", "/v1/models", {"Origin": asked["Origin"]})
    assert reply.header("Access-Control-Allow-Origin") == asked["Origin"]
    for answer in (
        chat(site, headers={"Origin": asked["Origin"]}),
        stream(site, headers={"Origin": asked["Origin"]}).head,
        call(site.port, "POST", PATH, {"Origin": asked["Origin"]}, ask()),
        call(site.port, "DELETE", "/v1/providers", {"Origin": asked["Origin"]}),
    ):
        assert answer.header("Access-Control-Allow-Origin") == asked["Origin"], answer.headers
    stranger = dict(asked, Origin="https://evil.example.net")
    for method in ("OPTIONS", "GET"):
        reply = call(site.port, method, "/v1/models", stranger)
        assert not reply.header("Access-Control-Allow-Origin"), (method, reply.headers)


@test("battery", "closed")
def browsers_may_call_from_nowhere_unless_the_operator_says(site):
    origin = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    for path in EVERY_HANDLER:
        for method in ("OPTIONS", "GET"):
            reply = call(site.port, method, path, origin)
            told = [n for n, _ in reply.headers if n.lower().startswith("access-control-")]
            assert not told, (method, path, told)


@test("smoke")
def health_is_told_and_unknown_paths_are_refused(site):
    reply = call(site.port, "GET", "/health")
    assert reply.status == 200, reply.body
    assert reply.json()["status"] == "ok", reply.body
    expect_error(call(site.port, "GET", "/v1/nothing-here"), 400, "invalid_path")
    expect_error(call(site.port, "POST", "/api/gateway/nothing", {}, {}), 400, "invalid_path")


@test("lighttpd fcgid nginx cgi proxy")
def what_is_nobodys_is_not_found(site):
    expect_error(call(site.port, "GET", "/favicon.ico"), 404, "not_found")
    expect_error(call(site.port, "GET", "/etc/passwd"), 404, "not_found")
    expect_error(call(site.port, "GET", "/health.fcgi"), 404, "not_found")
