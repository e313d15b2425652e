"""Requests with the caller's own key at a provider, and looking after such keys."""

import json
import random
import string
import subprocess

import servers
from client import Told, call
from harness import PROVIDER_KEY, test
from t_account import make_key
from t_keys import tollgate
from t_money import balance, line_of, new_member, new_org, new_user
from talk import PATH, ask, check_stream, expect_error, open_stream

# Nobody listens at the router, so a key there fails, and the operator has none.
servers.PROFILES["byok"] = {"OPENROUTER_BASE_URL": "http://127.0.0.1:9/v1"}

NO_OPERATOR = "perplexity/sonar-e2e"  # the operator has no key for it, only an address


def secret_of(provider):
    return f"sk-own-{provider}-" + "".join(random.choices(string.ascii_letters, k=20))


def tail(secret):
    return "***" + secret[-4:]


def byok(site, secret, *args):
    """tollgate byok with a secret on its standard input."""
    user = site.place.user
    done = subprocess.run(
        [str(site.bin / "tollgate"), "byok", *args],
        input=secret.encode(),
        capture_output=True,
        timeout=20,
        check=False,
        cwd=site.place.dir,
        env=dict(site.env, GATEWAY_CONF=str(site.conf)),
        **({"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}),
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, (args, said)
    assert not secret or secret not in said, said
    return said


def send(site, headers, cue="", **more):
    return call(site.port, "POST", PATH, headers, ask(cue, **more))


def http(site, method, headers, path="/v1/byok", body=None, status=200):
    reply = call(site.port, method, path, headers, body)
    assert reply.status == status, (method, path, reply.status, reply.body[:300])
    assert reply.header("Cache-Control") == "no-store", reply.headers
    return reply


def poor(site, name):
    """A user without any money, and its key."""
    user = new_user(site, name)
    return user, make_key(site, name, "--user", user)


def nowhere(site, *secrets):
    """No file that is kept and no log has them in clear."""
    for folder in ("home", "log", "run"):
        for path in (site.place.dir / folder).rglob("*"):
            if not path.is_file():
                continue
            held = path.read_bytes()
            for secret in secrets:
                assert secret.encode() not in held, f"a provider key stands in {path.name}"


@test("lighttpd", profile="byok")
def a_key_of_ones_own_pays_for_itself(site):
    """Fails with 402 when paid_admit() reserves money for it (tried)."""
    user, key = poor(site, "own")
    secret = secret_of("openai")
    expect_error(send(site, key), 402, "usage_limit_exceeded")
    byok(site, secret, "add", "openai", "--user", user)
    site.fake.reset()
    reply = send(site, key)
    assert reply.status == 200, reply.body[:300]
    assert reply.header("X-Provider") == "openai", reply.headers
    assert site.fake.only()["headers"]["Authorization"] == tail(secret)
    usage = reply.json()["usage"]
    assert usage["cost"] == 0 and usage["prompt_tokens"] > 0, usage
    line = line_of(site, reply.header("X-Generation-Id"))
    assert line["byok"] is True and line["free"] is False, line
    assert line["cost_usd"] == 0 and line["upstream_cost_usd"] > 0, line
    assert line["completion_tokens"] == usage["completion_tokens"], line
    assert balance(site, "--user", user) == 0
    site.fake.reset()
    with open_stream(site, headers=key, stream_options={"include_usage": True}) as x:
        told = Told(x)
    check_stream(told)
    assert told.usage()[0]["cost"] == 0, told.usage()
    assert site.fake.only()["headers"]["Authorization"] == tail(secret)
    shown = call(site.port, "GET", f"/v1/generation?id={reply.header('X-Generation-Id')}", key)
    assert shown.json()["data"]["is_byok"] is True, shown.body
    byok(site, "", "disable", "openai", "--user", user)
    expect_error(send(site, key), 402, "usage_limit_exceeded")
    byok(site, "", "enable", "openai", "--user", user)
    assert send(site, key).status == 200
    byok(site, "", "remove", "openai", "--user", user)
    expect_error(send(site, key), 402, "usage_limit_exceeded")
    nowhere(site, secret)


@test("lighttpd", profile="byok")
def a_provider_without_the_operators_key_is_opened_by_ones_own(site):
    user, key = poor(site, "opens")
    secret = secret_of("perplexity")
    expect_error(send(site, key, model=NO_OPERATOR), 404, "unavailable_model")
    byok(site, secret, "add", "perplexity", "--user", user)
    reply = send(site, key, model=NO_OPERATOR)
    assert reply.status == 200 and reply.header("X-Provider") == "perplexity", reply.body[:300]
    assert site.fake.only()["headers"]["Authorization"] == tail(secret)
    expect_error(send(site, site.auth(), model=NO_OPERATOR), 404, "unavailable_model")
    expect_error(send(site, {}, model=NO_OPERATOR), 404, "unavailable_model")


@test("lighttpd", profile="byok")
def what_the_provider_says_of_the_key_is_marked_and_nobody_else_steps_in(site):
    user, key = poor(site, "refused")
    tollgate(site, "credits", "add", "5usd", "--user", user)  # it would be enough
    byok(site, secret_of("openai"), "add", "openai", "--user", user)
    for status in (401, 402, 403, 429):
        for stream in (False, True):
            site.fake.reset()
            reply = send(site, key, f"status={status} retry_after=7", stream=stream)
            error = expect_error(reply, status, "byok_error")
            assert error["message"].startswith("[BYOK] openai: "), error
            assert len(site.fake.requests()) == 1, "somebody else was asked"
            line = line_of(site, reply.header("X-Generation-Id"))
            assert line["byok"] is True and line["cost_usd"] == 0, line
            assert line["status"] == status and line["attempts"] == 1, line
    assert reply.header("Retry-After") == "7", reply.headers
    # With the operator's key the same is no affair of the caller's.
    other = make_key(site, "other")
    assert "[BYOK]" not in send(site, other, "status=401").body.decode()
    expect_error(send(site, other, "status=402"), 503, "upstream_error")


@test("lighttpd", profile="byok")
def limits_and_policies_hold_for_ones_own_key_too(site):
    user = new_user(site, "limited")
    byok(site, secret_of("openai"), "add", "openai", "--user", user)
    slow = make_key(site, "slow", "--user", user, "--rpm", "1")
    assert send(site, slow).status == 200
    expect_error(send(site, slow), 429, "rate_limit_exceeded")
    narrow = make_key(site, "narrow", "--user", user, "--models", "anthropic/*")
    expect_error(send(site, narrow), 403, "model_not_allowed")
    slug, _ = new_org(site, "strict", "--deny-providers", "openai")
    member = new_member(site, slug, "mem")
    byok(site, secret_of("openai"), "add", "openai", "--org", slug)
    expect_error(send(site, member), 403, "provider_not_allowed")


@test("lighttpd", profile="byok")
def an_organisations_key_and_a_members_own_are_two_things(site):
    slug, _ = new_org(site, "acme", money="0.000001usd")
    user = new_user(site, "ann")
    tollgate(site, "orgs", "add-member", slug, user)
    own = make_key(site, "ann", "--user", user)
    inside = dict(own, **{"X-KiloCode-OrganizationId": slug})
    mine, ours = secret_of("mine"), secret_of("ours")
    byok(site, mine, "add", "openai", "--user", user)
    expect_error(send(site, inside), 402, "usage_limit_exceeded")
    byok(site, ours, "add", "openai", "--org", slug)
    for headers, secret in ((inside, ours), (own, mine)):
        site.fake.reset()
        assert send(site, headers).status == 200
        assert site.fake.only()["headers"]["Authorization"] == tail(secret)
    byok(site, "", "remove", "openai", "--user", user)
    expect_error(send(site, own), 402, "usage_limit_exceeded")
    # Nobody else has any of it.
    site.fake.reset()
    assert send(site, site.auth()).status == 200
    assert site.fake.only()["headers"]["Authorization"] == tail(PROVIDER_KEY)


@test("lighttpd", profile="byok")
def the_operators_key_steps_in_only_where_that_was_allowed(site):
    """The caller's router cannot be reached; the operator has a key for the model."""
    user, key = poor(site, "falls")
    secret = secret_of("router")
    tollgate(site, "credits", "add", "1usd", "--user", user)
    byok(site, secret, "add", "openrouter-byok", "--user", user)
    expect_error(send(site, key), 503, "upstream_disconnect")
    assert not site.fake.requests(), "the operator's key was used"
    byok(site, secret, "add", "openrouter-byok", "--user", user, "--replace", "--allow-fallback")
    for stream in (False, True):
        site.fake.reset()
        reply = send(site, key, stream=stream)
        assert reply.status == 200 and reply.header("X-Provider") == "openai", reply.headers
        assert site.fake.only()["headers"]["Authorization"] == tail(PROVIDER_KEY)
        line = line_of(site, reply.header("X-Generation-Id"))
        # The caller's router is dialled twice.
        assert line["byok"] is False and line["attempts"] == 3 and line["cost_usd"] > 0, line
    # A caller without money gets no further than its own key.
    tollgate(site, "credits", "set", "0usd", "--user", user)
    site.fake.reset()
    reply = send(site, key)
    expect_error(reply, 503, "upstream_disconnect")
    assert not site.fake.requests(), "nobody pays for this"
    line = line_of(site, reply.header("X-Generation-Id"))
    assert line["byok"] is True and line["cost_usd"] == 0 and line["attempts"] == 2, line
    assert "The books agree." in tollgate(site, "ledger", "verify")


@test("lighttpd", profile="byok")
def another_master_key_is_no_interruption(site):
    user, key = poor(site, "rotates")
    secret = secret_of("openai")
    byok(site, secret, "add", "openai", "--user", user)
    assert send(site, key).status == 200  # its process knows the old one now
    home = site.place.dir / "home"
    before = (home / "byok.master").read_text()
    for _ in range(3):
        byok(site, "", "rotate-master")
        site.fake.reset()
        assert send(site, key).status == 200
        assert site.fake.only()["headers"]["Authorization"] == tail(secret)
    after = (home / "byok.master").read_text()
    assert len(after.split()) == 1 and after != before, "the old master key is still there"
    # Without it there is a clear word in the log, and none to the client.
    (home / "byok.master").rename(home / "byok.master.away")
    byok_error = send(site, make_key(site, "again", "--user", user))
    assert byok_error.status in (200, 503), byok_error.status  # 200: a process that knew it
    (home / "byok.master.away").rename(home / "byok.master")
    assert send(site, key).status == 200
    nowhere(site, secret)


@test("smoke")
def ones_own_keys_are_looked_after_over_http(site):
    ana, ben = make_key(site, "ana"), make_key(site, "ben")
    secret, second = secret_of("openai"), secret_of("second")
    assert http(site, "GET", ana).json() == []
    made = http(site, "POST", ana, body={"provider_id": "OpenAI", "api_key": secret})
    item = made.json()
    assert item["provider_id"] == "openai" and item["provider_name"] == "OpenAI", item
    assert item["masked_key"] == "..." + secret[-4:] and item["is_enabled"] is True, item
    assert item["allow_fallback"] is False and item["organization_id"] is None, item
    for path in ("/v1/byok", "/api/byok", "/api/gateway/byok", "/api/v1/byok"):
        listed = http(site, "GET", ana, path)
        assert listed.json() == [item] and secret.encode() not in listed.body, listed.body
        assert http(site, "GET", ben, path).json() == []
    one = f"/api/byok/{item['id']}"
    for method, body in (("PUT", {"api_key": second}), ("DELETE", None)):
        expect_error(http(site, method, ben, one, body, 404), 404, "not_found")
    assert send(site, ana).status == 200
    assert site.fake.only()["headers"]["Authorization"] == tail(secret)
    again = http(site, "POST", ana, "/api/byok", {"provider_id": "openai", "api_key": second}, 409)
    expect_error(again, 409, "invalid_request")
    changed = http(site, "PUT", ana, one, {"api_key": second, "allow_fallback": True}).json()
    assert changed["id"] == item["id"] and changed["allow_fallback"] is True, changed
    site.fake.reset()
    assert send(site, ana).status == 200
    assert site.fake.only()["headers"]["Authorization"] == tail(second)
    for bad in ({"provider_id": "nobody", "api_key": second}, {"provider_id": "xai"},
                {"provider_id": "xai", "api_key": "a b c d e f g"}, []):
        error = expect_error(http(site, "POST", ana, body=bad, status=400), 400, "invalid_request")
        assert second not in json.dumps(error), error
    unknown = http(site, "POST", ana, body={"provider_id": "no", "api_key": second}, status=400)
    assert "zai-coding" in unknown.json()["error"]["message"], unknown.body
    expect_error(http(site, "DELETE", ana, "/v1/byok", status=405), 405, "method_not_allowed")
    expect_error(http(site, "GET", ana, one, status=405), 405, "method_not_allowed")
    expect_error(http(site, "PUT", ana, "/v1/usage", {}, 405), 405, "method_not_allowed")
    for method, path in (("GET", "/v1/byok"), ("POST", "/api/byok"), ("PUT", one)):
        body = None if method == "GET" else {}
        reply = http(site, method, {}, path, body, 401)
        expect_error(reply, 401, "authentication_required")
    assert http(site, "DELETE", ana, one).json() == {"success": True}
    expect_error(http(site, "DELETE", ana, one, status=404), 404, "not_found")
    site.fake.reset()
    assert send(site, ana).status == 200
    assert site.fake.only()["headers"]["Authorization"] == tail(PROVIDER_KEY)
    nowhere(site, secret, second)


@test("lighttpd")
def in_an_organisation_the_role_decides_who_changes_keys(site):
    slug, org = new_org(site, "roles")
    owner = new_member(site, slug, "owner", "--role", "owner")
    manager = new_member(site, slug, "manager", "--role", "billing_manager")
    member = new_member(site, slug, "member")
    stranger = make_key(site, "stranger")
    body = {"provider_id": "openai", "api_key": secret_of("org")}
    theirs = f"/v1/byok?organizationId={org}"
    expect_error(http(site, "POST", member, body=body, status=403), 403, "account_restricted")
    expect_error(http(site, "POST", stranger, theirs, body, 404), 404, "not_found")
    expect_error(http(site, "GET", stranger, theirs, status=404), 404, "not_found")
    for bad in ("acme", "x" * 300):
        reply = http(site, "POST", owner, f"/v1/byok?organizationId={bad}", body, 400)
        assert reply.json()["error"]["param"] == "organizationId", reply.body
    item = http(site, "POST", owner, body=body).json()
    assert item["organization_id"] == org, item
    assert http(site, "GET", member).json() == [item]
    bare = {"Authorization": member["Authorization"]}
    assert http(site, "GET", bare, theirs).json() == [item]
    assert http(site, "GET", bare).json() == [], "an organisation's key is shown as a user's"
    one = f"/v1/byok/{item['id']}"
    expect_error(http(site, "DELETE", member, one, status=403), 403, "account_restricted")
    assert http(site, "PUT", manager, one, {"is_enabled": False}).json()["is_enabled"] is False
    assert http(site, "DELETE", manager, one).json() == {"success": True}
