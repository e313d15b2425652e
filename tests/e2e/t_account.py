"""What a caller is told about its own key, and nothing else."""

import re
import time

from client import call
from harness import test, wait_for
from t_answers import BASES
from t_keys import tollgate
from talk import MODEL, PATH, ask, expect_error


def make_key(site, name, *more):
    out = tollgate(site, "keys", "create", "--name", f"{name}-{site.kind}-{time.time_ns()}", *more)
    return {"Authorization": "Bearer " + re.search(r"sk-tg-[\w-]+", out).group(0)}


def get(site, path, headers, status=200):
    reply = call(site.port, "GET", path, headers)
    assert reply.status == status, (path, reply.status, reply.body[:300])
    assert reply.header("Cache-Control") == "no-store", reply.headers
    return reply.json()


def spend(site, headers, more=None):
    """A request that is answered; its generation id."""
    reply = call(site.port, "POST", PATH, dict(headers, **(more or {})), ask())
    assert reply.status == 200, reply.body[:300]
    return reply.header("X-Generation-Id")


def settled(site, headers, generation):
    """The request's entry: it is written when its answer has gone out, a moment later."""
    path = f"/v1/generation?id={generation}"
    wait_for(
        "the settled request", 5,
        lambda: call(site.port, "GET", path, headers).status == 200,
    )
    return get(site, path, headers)["data"]


@test("smoke")
def a_request_is_found_by_its_key_alone(site):
    """Fails with 200 for the other key when account.c does not compare the keys (tried)."""
    ana, ben = make_key(site, "ana"), make_key(site, "ben")
    generation = spend(site, ana, {"X-Request-Id": "chosen-by-the-client"})
    data = settled(site, ana, generation)
    assert data["id"] == generation and data["model"] == MODEL, data
    assert data["provider_name"] == "openai" and data["status"] == 200, data
    assert data["tokens_prompt"] > 0 and data["tokens_completion"] > 0, data
    assert data["total_cost"] > 0 and data["usage_state"] == "reported", data
    theirs = expect_error(
        call(site.port, "GET", f"/v1/generation?id={generation}", ben), 404, "not_found")
    nobodys = expect_error(call(site.port, "GET", "/v1/generation?id=req_0", ben), 404, "not_found")
    assert theirs["message"] == nobodys["message"], "it shows that there is such a request"
    expect_error(call(site.port, "GET", "/v1/generation", ana), 400, "invalid_request")
    chosen = call(site.port, "GET", "/v1/generation?id=chosen-by-the-client", ana)
    expect_error(chosen, 404, "not_found")


@test("smoke")
def usage_credits_and_limits_are_the_keys_own(site):
    key, other = make_key(site, "own", "--rpm", "7", "--budget", "3usd/day"), make_key(site, "x")
    cost = settled(site, key, spend(site, key))["total_cost"]
    settled(site, other, spend(site, other))
    for base in BASES:
        data = get(site, base + "/key", key)["data"]
        assert data["usage"] == data["usage_daily"] == data["usage_weekly"] == cost, data
        assert data["limit"] == 3 and data["limit_reset"] == "daily", data
        assert abs(data["limit_remaining"] - (3 - cost)) < 1e-9, data
        assert data["rate_limit"]["requests"] == 7, data
    usage = get(site, "/v1/usage?by=model,day&since=1d", key)
    assert usage["total"]["requests"] == 1 and usage["total"]["cost"] == cost, usage
    assert [line["model"] for line in usage["data"]] == [MODEL], usage
    assert get(site, "/v1/credits", key)["data"]["total_usage"] == cost
    kilo = get(site, "/api/profile/usage?groupByModel=true", key)["usage"]
    assert [line["model"] for line in kilo] == [MODEL], kilo
    assert kilo[0]["total_cost"] == round(cost * 1e6) and kilo[0]["request_count"] == 1, kilo
    for bad in ("by=colour", "since=soon", "since=2026-01-02&until=2026-01-01",
                "since=1990-01-01"):
        expect_error(call(site.port, "GET", f"/v1/usage?{bad}", key), 400, "invalid_request")


@test("smoke")
def nobody_has_no_account(site):
    for path in ("/v1/usage", "/v1/credits", "/v1/key", "/v1/generation?id=x", "/api/profile",
                 "/api/profile/balance", "/api/profile/usage",
                 "/api/organizations/0d3f4c1e-6a51-4c07-9b0f-2f1f5c1f2a77"):
        reply = call(site.port, "GET", path)
        expect_error(reply, 401, "authentication_required")
        assert reply.header("Cache-Control") == "no-store", path
    expect_error(call(site.port, "POST", "/v1/usage", site.auth(), {}), 405, "method_not_allowed")


@test("smoke")
def a_member_sees_the_organisation_and_gets_a_token_for_it(site):
    mark = f"{site.kind}-{time.time_ns()}"
    tollgate(site, "users", "create", f"ann-{mark}")
    made = tollgate(site, "orgs", "create", f"org-{mark}", "--name", "Acme", "--models", "openai/*")
    org = re.search(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", made).group(0)
    tollgate(site, "orgs", "add-member", f"org-{mark}", f"ann-{mark}")
    tollgate(site, "credits", "add", "5usd", "--org", f"org-{mark}")
    tollgate(site, "credits", "add", "1usd", "--user", f"ann-{mark}")
    member, stranger = make_key(site, "m", "--user", f"ann-{mark}"), make_key(site, "s")
    profile = get(site, "/api/profile", member)
    assert profile["user"]["id"] == f"ann-{mark}", profile
    assert profile["organizations"] == [{"id": org, "name": "Acme", "role": "member"}], profile
    assert "organizations" not in get(site, "/api/profile", stranger)
    path = f"/api/organizations/{org}"
    data = get(site, path, member)
    assert data["id"] == org and data["settings"]["model_allow_list"] == ["openai/*"], data
    models = get(site, path + "/models", member)["data"]
    assert models and all(m["id"].startswith("openai/") for m in models), models
    assert get(site, path + "/defaults", member)["defaultModel"].startswith("openai/")
    for rest in ("", "/models", "/defaults"):
        expect_error(call(site.port, "GET", path + rest, stranger), 404, "not_found")
    expect_error(call(site.port, "POST", path + "/user-tokens", stranger, {}), 404, "not_found")
    expect_error(call(site.port, "GET", "/api/organizations/acme", member), 400, "invalid_request")
    expect_error(call(site.port, "GET", path + "/user-tokens", member), 405,
                 "method_not_allowed")
    reply = call(site.port, "POST", path + "/user-tokens", member, {})
    assert reply.status == 200 and reply.header("Cache-Control") == "no-store", reply.body[:300]
    token = reply.json()
    assert token["organizationId"] == org and token["expiresAt"].endswith("Z"), token
    bearer = {"Authorization": "Bearer " + token["token"]}
    assert get(site, "/api/profile/balance", bearer) == {"balance": 5, "isDepleted": False}
    cost = settled(site, bearer, spend(site, bearer))["total_cost"]
    left = get(site, "/api/profile/balance", bearer)["balance"]
    assert abs(left - (5 - cost)) < 1e-9, (left, cost)
    again = call(site.port, "POST", path + "/user-tokens", bearer, {})
    expect_error(again, 403, "account_restricted")
    # What the key did elsewhere is not the organisation's.
    outside = spend(site, member)
    settled(site, member, outside)
    hidden = call(site.port, "GET", f"/v1/generation?id={outside}", bearer)
    expect_error(hidden, 404, "not_found")
    assert get(site, "/v1/usage", bearer)["total"]["requests"] == 1
    assert get(site, "/v1/usage", member)["total"]["requests"] == 2
