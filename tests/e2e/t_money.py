"""Who may spend what: limits, balances and the ledger, seen from outside."""

import hashlib
import json
import random
import re
import subprocess
import threading
import time
from decimal import ROUND_HALF_UP, Decimal

import servers
from client import Told, call
from harness import drop_table, handlers, test, wait_for
from t_account import make_key
from t_keys import tollgate
from talk import MODEL, PATH, ask, check_stream, expect_error, open_stream

BUY = "https://pay.example.com/credits"
FREE = "z-ai/glm-5:free"
# As conf/models.json has them for MODEL.
PROMPT_USD, COMPLETION_USD = Decimal("0.00000015"), Decimal("0.0000006")
MICRO = Decimal("0.000001")

servers.PROFILES["money"] = {
    "GATEWAY_BUY_CREDITS_URL": BUY,
    "GATEWAY_FREE_PER_HOUR": "3",
    "GATEWAY_TRUSTED_PROXIES": "127.0.0.1",
}


def send(site, headers, cue="", **more):
    return call(site.port, "POST", PATH, headers, ask(cue, **more))


def paid(site, headers, cue="", **more):
    """A request that is answered; the answer, with decimals exact."""
    reply = send(site, headers, cue, **more)
    assert reply.status == 200, (reply.status, reply.body[:300])
    return json.loads(reply.body, parse_float=Decimal)


def exact_cost(usage):
    return usage["prompt_tokens"] * PROMPT_USD + usage["completion_tokens"] * COMPLETION_USD


def billed(cost):
    return cost.quantize(MICRO, ROUND_HALF_UP)


def ledger(site):
    """{id: [requests of the ledger]}."""
    found = {}
    for text in tollgate(site, "ledger", "export").splitlines():
        line = json.loads(text, parse_float=Decimal)
        if line["type"] == "request":
            found.setdefault(line["id"], []).append(line)
    return found


def ledger_id(generation):
    return hashlib.sha256(generation.encode()).hexdigest()[:32]


def line_of(site, generation, seconds=5):
    """The one line of a request; who leaves early is settled a moment later."""
    name = ledger_id(generation)
    wait_for(f"the line of {generation}", seconds, lambda: name in ledger(site), 0.1)
    lines = ledger(site)[name]
    assert len(lines) == 1, lines
    return lines[0]


def mark(site):
    return f"{site.kind}-{time.time_ns()}"


def balance(site, *whose):
    shown = json.loads(tollgate(site, "credits", "show", *whose, "--json"))
    return Decimal(shown["balance_microdollars"]) * MICRO


def new_user(site, name, money=None):
    user = f"{name}-{mark(site)}"
    tollgate(site, "users", "create", user)
    if money:
        tollgate(site, "credits", "add", money, "--user", user)
    return user


def new_org(site, name, *policies, money="1usd"):
    """Short name and id."""
    slug = f"{name}-{mark(site)}"
    made = tollgate(site, "orgs", "create", slug, *policies)
    tollgate(site, "credits", "add", money, "--org", slug)
    return slug, re.search(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", made).group(0)


def new_member(site, org, name, *more):
    """Headers of a new member's key, in the name of the organisation."""
    user = new_user(site, name)
    tollgate(site, "orgs", "add-member", org, user, *more)
    return dict(make_key(site, name, "--user", user), **{"X-KiloCode-OrganizationId": org})


def no_credit(reply, has_url=True):
    error = expect_error(reply, 402, "usage_limit_exceeded")
    assert error["metadata"].get("buyCreditsUrl") == (BUY if has_url else None), error
    assert "may cost up to $" in error["message"], error
    return json.loads(reply.body, parse_float=Decimal)["error"]


def worst_case(error):
    return Decimal(re.search(r"may cost up to \$([0-9.]+)", error["message"]).group(1))


def refused_by_rate(reply):
    """ms until it succeeds."""
    expect_error(reply, 429, "rate_limit_exceeded")
    wait_ms = int(reply.header("retry-after-ms"))
    assert int(reply.header("Retry-After")) == -(-wait_ms // 1000), reply.headers
    assert reply.header("x-should-retry") == "true", reply.headers
    return wait_ms


def verify(site):
    said = tollgate(site, "ledger", "verify")
    assert "The books agree." in said, said
    return said


# ---- rates ----


@test()
def a_refused_request_succeeds_exactly_when_it_was_told(site):
    key = make_key(site, "rpm", "--rpm", "20")  # one in 3 s
    first = send(site, key)
    assert first.status == 200, first.body
    assert first.header("x-ratelimit-limit-requests") == "20", first.headers
    assert first.header("x-ratelimit-remaining-requests") == "19", first.headers
    assert re.fullmatch(r"[\d.]+m?s", first.header("x-ratelimit-reset-requests")), first.headers
    for _ in range(120):
        reply = send(site, key)
        if reply.status != 200:
            wait_ms = refused_by_rate(reply)
            assert 0 < wait_ms <= 3000, wait_ms
            if wait_ms > 2000:  # enough for the next request to come in time
                break
            time.sleep(0.1)
    assert reply.header("x-ratelimit-remaining-requests") == "0", reply.headers
    again = refused_by_rate(send(site, key))
    assert again <= wait_ms, "a refusal took something"
    time.sleep(wait_ms / 1000)
    assert send(site, key).status == 200
    refused_by_rate(send(site, key))


@test("lighttpd")
def tokens_are_reserved_before_and_counted_after(site):
    key = make_key(site, "tpm", "--tpm", "60000")  # 1,000 a second
    alone = send(site, key, max_tokens=60001)
    expect_error(alone, 429, "rate_limit_exceeded")
    assert alone.header("x-should-retry") == "false" and not alone.header("Retry-After")
    assert send(site, key, max_tokens=50000).status == 200  # says little
    reply = send(site, key, "tokens=59000", max_tokens=59500)  # what was not said is given back
    assert reply.status == 200, reply.body[:300]
    assert reply.header("x-ratelimit-limit-tokens") == "60000", reply.headers
    assert int(reply.header("x-ratelimit-remaining-tokens")) < 1000, reply.headers
    wait_ms = refused_by_rate(send(site, key, max_tokens=3000))
    assert 500 < wait_ms <= 3000, wait_ms
    time.sleep(wait_ms / 1000)
    assert send(site, key, max_tokens=3000).status == 200


@test("lighttpd nginx")
def only_so_many_requests_run_at_once(site):
    key = make_key(site, "at-once", "--concurrent", "2")
    with open_stream(site, "tokens=4 pace=300", headers=key) as one:
        with open_stream(site, "tokens=4 pace=300", headers=key) as two:
            assert one.read_head().status == two.read_head().status == 200
            assert refused_by_rate(send(site, key)) == 1000
            check_stream(Told(one))
            check_stream(Told(two))
    assert send(site, key).status == 200


# ---- money of a key and of a user ----


@test(profile="money")
def a_budget_ends_in_402_with_the_way_to_more(site):
    key = make_key(site, "budget", "--budget", "0.001usd/day")
    usage = paid(site, key, "tokens=1000", max_tokens=1000)["usage"]
    assert usage["completion_tokens"] == 1000, usage
    left = Decimal("0.001") - billed(exact_cost(usage))
    error = no_credit(send(site, key, max_tokens=1000))
    assert error["metadata"]["balance"] == left, (error, left)
    assert send(site, key, max_tokens=10).status == 200, "what fits is admitted"
    assert send(site, key, model=FREE).status == 200, "what is free costs no budget"


@test(profile="money")
def a_balance_is_spent_to_exactly_nothing(site):
    user = new_user(site, "poor")
    key = make_key(site, "poor", "--user", user)
    error = no_credit(send(site, key, max_tokens=100))
    assert error["metadata"]["balance"] == 0, error
    most = worst_case(error)
    tollgate(site, "credits", "set", f"{most - MICRO}usd", "--user", user)
    error = no_credit(send(site, key, max_tokens=100))
    assert error["metadata"]["balance"] == most - MICRO, error
    tollgate(site, "credits", "set", f"{most}usd", "--user", user)
    usage = paid(site, key, max_tokens=100)["usage"]
    left = most - billed(exact_cost(usage))
    assert balance(site, "--user", user) == left
    tollgate(site, "credits", "add", f"-{left}usd", "--user", user)
    assert balance(site, "--user", user) == 0
    assert no_credit(send(site, key, max_tokens=1))["metadata"]["balance"] == 0
    assert send(site, key, model=FREE).status == 200
    verify(site)


@test("smoke")
def without_an_address_to_pay_at_none_is_named(site):
    key = make_key(site, "broke", "--budget", "0usd/total")
    no_credit(send(site, key), has_url=False)


@test("lighttpd nginx fcgid")
def one_of_64_requests_gets_what_is_left_for_one(site):
    user = new_user(site, "one")
    key = make_key(site, "one", "--user", user)
    cue = {"cue": "ttft=300", "max_tokens": 50}
    most = worst_case(no_credit(send(site, key, **cue), has_url=False))
    tollgate(site, "credits", "add", f"{most}usd", "--user", user)
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.append(send(site, key, **cue))) for _ in range(64)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    codes = sorted(reply.status for reply in seen)
    assert codes == [200] + 63 * [402], codes
    if site.kind == "lighttpd":
        assert len(handlers("chat_completions")) == 2, "not shared by two processes"
    usage = next(r for r in seen if r.status == 200).json()["usage"]
    assert balance(site, "--user", user) == most - billed(exact_cost(usage))
    verify(site)


# ---- what an answer costs ----


@test()
def the_cost_in_an_answer_is_the_ledgers_and_the_catalogues(site):
    key = make_key(site, "cost")
    for tokens in (1, 7, 333):
        reply = send(site, key, f"tokens={tokens}", text="x" * tokens)
        usage = json.loads(reply.body, parse_float=Decimal)["usage"]
        check_cost(usage, tokens)
        check_line(line_of(site, reply.header("X-Generation-Id")), usage, "reported")
    more = {"stream_options": {"include_usage": True}}
    with open_stream(site, "tokens=21", headers=key, **more) as x:
        told = Told(x)
    check_stream(told)
    usages = json.loads(json.dumps(told.usage()), parse_float=Decimal)
    assert len(usages) == 1, usages
    check_cost(usages[0], 21)
    check_line(line_of(site, told.head.header("X-Generation-Id")), usages[0], "reported")


def check_cost(usage, tokens):
    assert usage["completion_tokens"] == tokens, usage
    assert usage["cost"] == exact_cost(usage), (usage, exact_cost(usage))
    details = usage["cost_details"]
    assert details["upstream_inference_prompt_cost"] == usage["prompt_tokens"] * PROMPT_USD, usage
    assert details["upstream_inference_completions_cost"] == tokens * COMPLETION_USD, usage


def check_line(line, usage, state):
    assert line["cost_usd"] == billed(exact_cost(usage)), (line, usage)
    for name in ("prompt_tokens", "completion_tokens"):
        assert line[name] == usage[name], (line, usage)
    assert line["usage"] == state and line["model"] == MODEL and line["price_version"], line
    assert line["reserved_usd"] is not None and line["status"] == 200, line


@test("lighttpd")
def a_free_answer_costs_nothing_and_says_what_it_is_worth(site):
    key = make_key(site, "free")
    reply = send(site, key, model=FREE)
    assert reply.json()["usage"]["cost"] == 0, reply.body
    line = line_of(site, reply.header("X-Generation-Id"))
    assert line["cost_usd"] == 0 and line["free"] is True, line


@test("lighttpd nginx")
def who_leaves_pays_for_what_was_relayed(site):
    key = make_key(site, "leaver")
    with open_stream(site, "tokens=200 pace=40", headers=key) as x:
        generation = x.read_head().header("X-Generation-Id")
        events = x.events()
        for _ in range(8):
            next(events)
    line = line_of(site, generation)
    assert line["usage"] == "partial" and line["client_gone"] is True, line
    assert line["prompt_tokens"] > 0 and 1 <= line["completion_tokens"] < 100, line
    assert line["cost_usd"] == billed(exact_cost(line)) > 0, line


@test("lighttpd")
def a_failing_provider_costs_nothing(site):
    key = make_key(site, "unlucky", "--budget", "1usd/day")
    for cue, tries in (("status=500", 2), ("reset", 2), ("body=garbage", 2), ("silence", 1)):
        reply = send(site, key, cue)
        assert reply.status >= 500, (cue, reply.status)
        line = line_of(site, reply.header("X-Generation-Id"))
        assert line["cost_usd"] == 0 and line["usage"] == "none", (cue, line)
        assert line["status"] == reply.status and line["attempts"] == tries, (cue, line)
    shown = call(site.port, "GET", "/v1/key", key).json()["data"]
    assert shown["limit_remaining"] == 1 and shown["usage"] == 0, shown


@test("lighttpd")
def a_cut_stream_is_billed_as_far_as_it_came(site):
    key = make_key(site, "cut")
    with open_stream(site, "tokens=50 cut=20", headers=key) as x:
        told = Told(x)
    assert len(told.errors) == 1, told.errors
    line = line_of(site, told.head.header("X-Generation-Id"))
    assert line["usage"] == "partial" and line["client_gone"] is False, line
    assert 0 < line["completion_tokens"] <= 50, line
    assert line["cost_usd"] == billed(exact_cost(line)) > 0, line


@test("lighttpd")
def an_answer_without_usage_is_estimated_never_free(site):
    key = make_key(site, "silent")
    for stream in (False, True):
        reply = send(site, key, "usage=none tokens=40", stream=stream)
        line = line_of(site, reply.header("X-Generation-Id"))
        assert line["usage"] == "estimated" and line["completion_tokens"] > 0, line
        assert line["cost_usd"] == billed(exact_cost(line)) > 0, line


# ---- organisations ----


@test()
def members_share_the_balance_and_have_limits_of_their_own(site):
    slug, org = new_org(site, "acme", "--member-daily", "0.5usd")
    ann = new_member(site, slug, "ann")
    ben = new_member(site, slug, "ben", "--daily", "0.0005usd")
    spent = billed(exact_cost(paid(site, ann, "tokens=900", max_tokens=900)["usage"]))
    spent += billed(exact_cost(paid(site, ben, max_tokens=100)["usage"]))
    assert balance(site, "--org", slug) == 1 - spent
    by_id = dict(ann, **{"X-KiloCode-OrganizationId": org})
    spent += billed(exact_cost(paid(site, by_id)["usage"]))
    assert balance(site, "--org", slug) == 1 - spent
    error = no_credit(send(site, ben, max_tokens=1000), has_url=False)
    assert "this member of the organisation" in error["message"], error
    assert send(site, ann, max_tokens=1000).status == 200
    alone = {"Authorization": ann["Authorization"]}
    no_credit(send(site, alone), has_url=False)  # the user's own balance is empty


@test("lighttpd fcgid")
def who_may_not_spend_in_an_organisation_is_told_why(site):
    slug, _ = new_org(site, "strict", "--models", "openai/*,z-ai/glm-4.7", "--deny-providers", "zai")
    manager = new_member(site, slug, "mgr", "--role", "billing_manager")
    member = new_member(site, slug, "mem")
    stranger = dict(make_key(site, "str"), **{"X-KiloCode-OrganizationId": slug})
    expect_error(send(site, manager), 403, "account_restricted")
    expect_error(send(site, stranger), 403, "account_restricted")
    unknown = dict(member, **{"X-KiloCode-OrganizationId": "no-such-org"})
    theirs = expect_error(send(site, stranger), 403, "account_restricted")
    nobodys = expect_error(send(site, unknown), 403, "account_restricted")
    assert theirs["message"] == nobodys["message"], "it shows that there is such an organisation"
    bad = dict(member, **{"X-KiloCode-OrganizationId": "not/an org"})
    expect_error(send(site, bad), 400, "invalid_request")
    expect_error(send(site, member, model="z-ai/glm-5"), 403, "model_not_allowed")
    expect_error(send(site, member, model="z-ai/glm-4.7"), 403, "provider_not_allowed")
    assert send(site, member).status == 200
    tollgate(site, "orgs", "edit", slug, "--disable")
    expect_error(send(site, member), 403, "account_restricted")


# ---- tokens of organisations ----


def token_of(site, key, org):
    path = f"/api/organizations/{org}/user-tokens"
    reply = call(site.port, "POST", path, key, {})
    assert reply.status == 200, reply.body[:300]
    return reply.json()["token"]


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


def cgi(site, program, conf, env, body=b""):
    """Runs a handler by itself, as a web server would run a CGI program. (status, body)"""
    user = site.place.user
    done = subprocess.run(
        [str(site.bin / f"{program}.fcgi")],
        input=body,
        capture_output=True,
        timeout=30,
        check=True,
        env=dict(
            {k: v for k, v in site.env.items() if k != "GATEWAY_CONF"},
            GATEWAY_CONF=str(conf), GATEWAY_INTERFACE="CGI/1.1", SERVER_PROTOCOL="HTTP/1.1",
            REQUEST_METHOD="POST", CONTENT_LENGTH=str(len(body)), REMOTE_ADDR="127.0.0.1",
            CONTENT_TYPE="application/json", **env,
        ),
        **({"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}),
    )
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    status = re.search(rb"^Status: (\d+)", head, re.M)
    return int(status.group(1)) if status else 200, rest


class Elsewhere:
    """Another deployment with a home of its own, fresh, and without keys."""

    def __init__(self, site):
        self.place, self.bin, self.kind = site.place, site.bin, site.kind
        self.home = site.place.dir / f"elsewhere-{time.time_ns()}"
        settings = dict(site.settings, GATEWAY_HOME=str(self.home), GATEWAY_API_KEYS="")
        self.env = site.env
        self.conf = site.place.write(
            f"{self.home.name}.conf", "".join(f"{k}={v}\n" for k, v in settings.items()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        drop_table(self.home)


@test("lighttpd")
def only_this_deployments_own_tokens_open_it(site):
    slug, org = new_org(site, "tok")
    user = new_user(site, "tok")
    tollgate(site, "orgs", "add-member", slug, user)
    name = f"tok-{mark(site)}"
    made = tollgate(site, "keys", "create", "--name", name, "--user", user)
    key = bearer(re.search(r"sk-tg-[\w-]+", made).group(0))
    token = token_of(site, key, org)
    spent = billed(exact_cost(paid(site, bearer(token))["usage"]))
    assert balance(site, "--org", slug) == 1 - spent
    head, claims, signature = token.split(".")
    none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"  # {"alg":"none","typ":"JWT"}
    flipped = "A" if signature[0] != "A" else "B"
    with Elsewhere(site) as other:
        theirs = foreign_token(other)
    for bad in (
        f"{head}.{claims}.{flipped}{signature[1:]}", f"{head}.{claims[:-2]}.{signature}",
        f"{head}.{claims}.", f"{none}.{claims}.", f"{none}.{claims}.{signature}", theirs,
    ):
        expect_error(send(site, bearer(bad)), 401, "authentication_required")
    tollgate(site, "keys", "revoke", name)
    expect_error(send(site, bearer(token)), 401, "authentication_required")


def foreign_token(other):
    """A token of another deployment."""
    tollgate(other, "users", "create", "eve")
    _, org = new_org(other, "evil")
    tollgate(other, "orgs", "add-member", org, "eve")
    made = tollgate(other, "keys", "create", "--name", "eve", "--user", "eve")
    path = f"/api/organizations/{org}/user-tokens"
    status, body = cgi(other, "account", other.conf, {
        "REQUEST_URI": path, "SCRIPT_NAME": path,
        "HTTP_AUTHORIZATION": "Bearer " + re.search(r"sk-tg-[\w-]+", made).group(0)}, b"{}")
    assert status == 200, body
    return json.loads(body)["token"]


@test("lighttpd")
def a_fresh_installation_is_closed(site):
    body = json.dumps(ask()).encode()
    env = {"REQUEST_URI": PATH, "SCRIPT_NAME": PATH}
    with Elsewhere(site) as fresh:
        for sent in (
            {}, {"HTTP_AUTHORIZATION": "Bearer "}, {"HTTP_AUTHORIZATION": "Bearer anonymous"},
            {"HTTP_X_API_KEY": ""}, {"HTTP_API_KEY": "x"},
            {"HTTP_AUTHORIZATION": f"Bearer {site.key}"},
        ):
            status, said = cgi(fresh, "chat_completions", fresh.conf, dict(env, **sent), body)
            assert status == 401, (sent, status, said)
    assert not site.fake.requests(), "the provider was called"


# ---- without a key ----


@test(profile="money")
def nobody_has_so_many_free_requests_an_hour(site):
    def anyone(address):
        return send(site, {"X-Forwarded-For": address}, model=FREE)

    mine = f"198.51.{random.randrange(256)}.{random.randrange(256)}"
    for left in (2, 1, 0):
        reply = anyone(mine)
        assert reply.status == 200, reply.body[:300]
        assert reply.header("x-ratelimit-limit-requests") == "3", reply.headers
        assert reply.header("x-ratelimit-remaining-requests") == str(left), reply.headers
    wait_ms = refused_by_rate(anyone(mine))
    # The hour is strict; it is counted in pieces of four minutes.
    assert 3590000 < wait_ms <= 3840000, wait_ms
    assert anyone(mine.replace("198.51", "203.0", 1)).status == 200
    net = f"2001:db8:{random.randrange(65536):x}:{random.randrange(65536):x}"
    for i in range(3):
        assert anyone(f"{net}::{i + 1}").status == 200
    refused_by_rate(anyone(f"{net}:ffff::9"))
    expect_error(send(site, {"X-Forwarded-For": mine}), 401, "paid_model_auth_required")


@test()
def a_strangers_word_about_its_address_is_not_believed(site):
    left = []
    for address in ("198.51.100.1", "198.51.100.2"):
        reply = send(site, {"X-Forwarded-For": address}, model=FREE)
        assert reply.status == 200, reply.body[:300]
        left.append(int(reply.header("x-ratelimit-remaining-requests")))
    assert left[1] == left[0] - 1, left
