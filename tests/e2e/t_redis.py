"""Several hosts on one Redis: keys, budgets and answers in common, and nothing lost when it goes."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from decimal import Decimal

import servers
from client import call
from harness import Workplace, test, wait_for
from t_account import make_key
from t_cache import asked, fresh, state, together
from t_keys import tollgate
from t_money import MICRO, balance, new_user
from talk import PATH, ask, expect_error

PASSWORD = "zanzibar-redis-5512"
SOCKET = "run/redis.sock"


class Redis:
    """A redis-server with a disk, on a socket of its own."""

    def __init__(self, place):
        self.place, self.path = place, place.dir / SOCKET
        (place.dir / "redis").mkdir(exist_ok=True)
        place.give(place.dir / "redis")
        self.start()

    def start(self):
        self.path.unlink(missing_ok=True)
        self.process = self.place.start(
            ["redis-server", "--port", "0", "--unixsocket", self.path, "--unixsocketperm", "700",
             "--dir", self.place.dir / "redis", "--save", "", "--appendonly", "yes",
             "--appendfsync", "everysec", "--requirepass", PASSWORD], log="redis.log",
        )
        wait_for("redis answers", 10, lambda: self.says("PING") == "PONG")

    def says(self, *words):
        done = subprocess.run(
            ["redis-cli", "-s", self.path, "--no-auth-warning", "-a", PASSWORD, *words],
            capture_output=True, text=True, check=False, timeout=10,
        )
        return done.stdout.strip()

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


REDISES = {}


def start_redis(place):
    REDISES[place.dir] = Redis(place)


def profile(name, **settings):
    servers.PROFILES[name] = dict(
        {
            "GATEWAY_STORE": f"unix://:{PASSWORD}@{{place}}/{SOCKET}",
            "GATEWAY_STORE_TIMEOUT": "500ms",
            "GATEWAY_CACHE_TTL": "0",
        },
        **settings,
    )
    servers.PREPARE[name] = start_redis


profile("redis")
profile("redis-cache", GATEWAY_CACHE_TTL="300", GATEWAY_COALESCE="on")
profile("redis-open", GATEWAY_STORE_FAIL="open")


@contextmanager
def another_host(site, bin_dir=None):
    """A second host with the same Redis, secrets and provider."""
    place = Workplace(bin_dir or site.bin)
    name = f"{site.profile}-b"
    servers.PROFILES[name] = dict(
        servers.PROFILES[site.profile],
        GATEWAY_STORE=servers.PROFILES[site.profile]["GATEWAY_STORE"].replace(
            "{place}", str(site.place.dir)
        ),
    )
    pepper = site.place.dir / "home" / "pepper"
    if pepper.exists():
        shutil.copy2(pepper, place.dir / "home" / "pepper")
    place.give(place.dir)

    class NoTls:
        port = 1

    other = servers.Site("lighttpd", name, place, site.fake, NoTls)
    try:
        yield other
    finally:
        os.killpg(other.server.pid, signal.SIGTERM)
        try:
            other.server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(other.server.pid, signal.SIGKILL)
        reports = place.sanitizer_reports()
        texts = [p.read_text(errors="replace") for p in (place.dir / "log").iterdir()]
        place.remove()
        assert not reports, reports
        assert not any(PASSWORD in t for t in texts), "the password of Redis is in a log"


def with_user(site, name, money="1usd"):
    """A user with money, and a key. What this host had before Redis is moved there first."""
    tollgate(site, "store", "migrate", "gdbm", "redis")
    user = new_user(site, name, money)
    return user, make_key(site, name, "--user", user)


def send(site, key, body=None):
    return call(site.port, "POST", PATH, key, body or ask("tokens=20"))


def redis_of(site):
    return REDISES[site.place.dir]


# ---- in common ----


@test("lighttpd", profile="redis")
def keys_and_balances_are_in_common(site):
    user, key = with_user(site, "common", "1usd")
    with another_host(site) as other:
        wait_for("the key works on the other host", 5, lambda: send(other, key).status == 200, 0.2)
        assert send(site, key).status == 200
        assert balance(site, "--user", user) == balance(other, "--user", user)
        spent = Decimal(1) - balance(site, "--user", user)
        assert spent > 0, spent
        rows = json.loads(tollgate(other, "keys", "list", "--json"))
        row = [k for k in rows if k.get("user") == user][0]
        tollgate(other, "keys", "revoke", row["id"])
        expect_error(send(other, key), 401, "authentication_required")
        wait_for("it is refused on the first host", 4, lambda: send(site, key).status == 401, 0.1)


@test("lighttpd", profile="redis")
def a_budget_holds_over_all_hosts(site):
    user, key = with_user(site, "budget", "0.0005usd")
    with another_host(site) as other:
        wait_for("the key works there", 5, lambda: send(other, key).status != 401, 0.2)
        body = ask("tokens=50", max_tokens=60)
        replies = together(60, lambda i: send((site, other)[i % 2], key, body))
        codes = {r.status for r in replies}
        assert codes == {200, 402}, codes
        left = balance(site, "--user", user)
        assert left >= 0, left
        assert left == balance(other, "--user", user)


@test("lighttpd", profile="redis-cache")
def remembered_answers_are_in_common(site):
    user, key = with_user(site, "cache", "1usd")
    with another_host(site) as other:
        wait_for("the key works there", 5, lambda: send(other, key).status == 200, 0.2)
        body = ask("tokens=5", text=fresh())
        site.fake.reset()
        assert state(send(site, key, body)) == "MISS"
        assert state(send(other, key, body)) == "HIT"
        assert asked(site) == 1
        stats = json.loads(tollgate(other, "cache", "stats", "--json"))
        assert stats["entries"] >= 1, stats
        tollgate(other, "cache", "purge", "--all")
        assert state(send(site, key, body)) == "MISS"


@test("lighttpd", profile="redis-cache")
def identical_requests_on_two_hosts_share_one_call(site):
    user, key = with_user(site, "crowd", "1usd")
    with another_host(site) as other:
        wait_for("the key works there", 5, lambda: send(other, key).status == 200, 0.2)
        body = ask("tokens=20 ttft=1500", text=fresh())
        site.fake.reset()
        replies = together(12, lambda i: send((site, other)[i % 2], key, body))
        assert {r.status for r in replies} == {200}
        assert asked(site) == 1, [r.header("X-Cache") for r in replies]


# ---- Redis goes ----


@test("lighttpd", profile="redis")
def without_redis_what_costs_is_refused_and_nothing_is_lost(site):
    user, key = with_user(site, "gone", "1usd")
    assert send(site, key).status == 200
    redis = redis_of(site)
    before = balance(site, "--user", user)
    running = []

    def one():
        running.append(send(site, key, ask("tokens=20 pace=100")))

    thread = threading.Thread(target=one)
    thread.start()
    wait_for("it runs", 5, lambda: asked(site) == 2)
    redis.kill()
    thread.join(20)
    assert running[0].status == 200, "a request that was admitted is answered"
    refused = send(site, key)
    expect_error(refused, 503, "temporarily_unavailable")
    assert int(refused.header("Retry-After")) >= 1, refused.headers
    assert PASSWORD not in refused.body.decode()
    redis.start()
    wait_for("requests are served again", 10, lambda: send(site, key).status == 200, 0.2)
    cost = sum(
        Decimal(line["cost_usd"])
        for line in map(
            lambda t: json.loads(t, parse_float=Decimal), tollgate(site, "ledger", "export").splitlines()
        )
        if line["type"] == "request" and line.get("user") == user
    )
    wait_for(
        "what was settled meanwhile is in Redis, once", 15,
        lambda: balance(site, "--user", user) == Decimal(1) - cost, 0.2,
    )
    assert balance(site, "--user", user) < before


@test("lighttpd", profile="redis-open")
def an_operator_may_choose_to_go_on_without(site):
    user, key = with_user(site, "open", "1usd")
    assert send(site, key).status == 200
    redis = redis_of(site)
    redis.kill()
    assert send(site, key).status == 200
    redis.start()
    wait_for("it is counted afterwards", 15, lambda: balance(site, "--user", user) < 1 - 2 * MICRO, 0.2)


@test("lighttpd", profile="redis-cache")
def a_redis_that_hangs_holds_nobody_for_long(site):
    _, key = with_user(site, "hang")
    free = make_key(site, "nolimits")
    assert send(site, key).status == 200
    os.kill(redis_of(site).process.pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        expect_error(send(site, key), 503, "temporarily_unavailable")
        assert time.monotonic() - begun < 4
        # Who has no limits needs nobody's word; what they use is told later.
        assert send(site, free).status == 200
    finally:
        os.kill(redis_of(site).process.pid, signal.SIGCONT)
    wait_for("it is served again", 10, lambda: send(site, key).status == 200, 0.2)


@test("lighttpd", profile="redis")
def the_password_of_redis_is_in_no_log(site):
    assert PASSWORD not in tollgate(site, "config")
    assert PASSWORD not in tollgate(site, "store", "status")
    for path in (site.place.dir / "log").iterdir():
        assert PASSWORD not in path.read_text(errors="replace"), path
