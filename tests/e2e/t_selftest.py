"""`tollgate selftest --faults`, as an operator runs it at the gateway of their own host."""

import json
import re
import signal
import subprocess
import time

import servers
from client import call
from harness import PROVIDER_KEY, kill, test, wait_for
from t_keys import tollgate
from talk import PATH

WEB = "lighttpd fcgid"
MORE = {
    # Shorter than usual, and longer than a busy machine takes for what is healthy.
    "GATEWAY_FIRST_TOKEN_TIMEOUT": "3s",
    "GATEWAY_FIRST_BYTE_TIMEOUT": "9s",
    "GATEWAY_IDLE_TIMEOUT": "4s",
    "GATEWAY_HEARTBEAT": "0",
    # A router, which would have whatever nobody else has, and an order of the operator's own.
    "OPENROUTER_API_KEY": PROVIDER_KEY,
    "OPENROUTER_BASE_URL": "http://127.0.0.1:{fake}/v1",
    "GATEWAY_PROVIDERS": "openai,openrouter",
    "GATEWAY_WEIGHTS": "50,50",
    "GATEWAY_STRATEGY": "latency",
}
servers.PROFILES["selftest"] = MORE
servers.PROFILES["selftest-once"] = dict(MORE, GATEWAY_RETRY_MAX="0")
servers.PROFILES["selftest-off"] = dict(MORE, GATEWAY_RESCUE="off")
SLOW = {"silence", "slow-first-token", "stall"}


def start(site, *args):
    return site.place.start(
        [site.bin / "tollgate", "selftest", "--faults", *args,
         "--url", f"http://127.0.0.1:{site.port}/v1"],
        dict(site.env, GATEWAY_CONF=str(site.conf)),
        log="selftest.log",
        stdout=subprocess.PIPE,
    )


def run(site, *args):
    """(exit code, standard output)"""
    p = start(site, *args)
    out, _ = p.communicate(timeout=150)
    return p.returncode, out.decode()


def card(out):
    told = json.loads(out)
    faults = {f["name"]: f for f in told["faults"]}
    assert told["of"] == len(faults) > 30, out
    assert told["passed"] == sum(f["passed"] for f in told["faults"]), out
    return faults


def check_gone(site):
    """Nothing of the test is left, and nothing of it was seen by anybody else."""
    assert not (site.place.dir / "home" / "selftest.json").exists()
    keys = [line for line in tollgate(site, "keys", "list").splitlines() if "self-test" in line]
    assert keys and all("revoked" in line or "until" in line for line in keys), keys
    assert "revoked" in keys[-1], keys
    known = tollgate(site, "providers", "status", "--all", "--models")
    assert "selftest/" not in known and not re.search("^selftest", known, re.M), known
    assert site.fake.requests() == []
    text = site.log.read_text() + (site.place.dir / "log" / "selftest.log").read_text()
    assert not re.search(r"sk-tg-[0-9A-Za-z]{38}", text)


@test(WEB, profile="selftest")
def every_fault_is_passed_with_the_shipped_configuration(site):
    code, out = run(site, "--json")
    faults = card(out)
    assert code == 0, [f for f in faults.values() if not f["passed"]]
    assert SLOW < set(faults)
    check_gone(site)
    site.healthy()


@test("smoke", profile="selftest")
def the_quick_faults_are_passed_behind_every_server(site):
    code, out = run(site, "--quick")
    lines = out.splitlines()
    assert code == 0, out
    n = len(lines) - 1
    assert lines[-1] == f"{n} of {n} passed" and n > 30, out
    assert all(line.startswith("PASS  ") for line in lines[:-1]), out
    assert not any(name in out for name in SLOW)
    check_gone(site)


@test("lighttpd", profile="selftest")
def nobody_else_can_use_what_is_there_for_the_test(site):
    body = {"model": "selftest/healthy", "messages": [{"role": "user", "content": "hi"}]}
    p = start(site)
    try:
        # When an anonymous caller is told to bring a key, the model is there.
        wait_for(
            "the test's models", 20,
            lambda: call(site.port, "POST", PATH, None, body).status == 401, 0.1,
        )
        reply = call(site.port, "POST", PATH, site.auth(), body)
        assert reply.status == 403, (reply.status, reply.body)
        named = dict(body, model="selftest-a/healthy")
        assert call(site.port, "POST", PATH, site.auth(), named).status in (200, 404)
        asked = site.fake.requests()  # by the router, whose it is, as any name
        assert all("selftest-a/" in json.dumps(r) for r in asked), asked
        for path in ("/v1/models?all=1", "/v1/providers?all=1", "/v1/models-by-provider?all=1",
                     "/v1/health/providers"):
            listed = call(site.port, "GET", path, site.auth())
            assert listed.status == 200 and b"selftest" not in listed.body, path
    finally:
        out, _ = p.communicate(timeout=150)
    site.fake.reset()
    assert p.returncode == 0, out.decode()
    check_gone(site)


@test("lighttpd", profile="selftest")
def a_test_that_is_interrupted_leaves_nothing(site):
    there = site.place.dir / "home" / "selftest.json"
    for sig in (signal.SIGINT, signal.SIGTERM):
        p = start(site)
        wait_for("the test's models", 20, there.exists)
        kill(p.pid, sig)
        p.communicate(timeout=20)
        assert p.returncode == 128 + sig
        check_gone(site)
    # Nobody can clean up behind SIGKILL; the next test does.
    p = start(site)
    wait_for("the test's models", 20, there.exists)
    kill(p.pid, signal.SIGKILL)
    p.communicate(timeout=20)
    assert there.exists() and there.stat().st_mode & 0o777 == 0o600
    assert json.loads(there.read_text())["until_ms"] < (time.time() + 600) * 1000
    code, out = run(site, "--quick")
    assert code == 0, out
    assert not there.exists()


@test("lighttpd", profile="selftest")
def one_test_runs_at_a_time(site):
    there = site.place.dir / "home" / "selftest.json"
    p = start(site, "--quick")
    wait_for("the test's models", 20, there.exists)
    code, out = run(site, "--quick")
    assert code == 1 and not out, out
    p.communicate(timeout=150)
    assert p.returncode == 0


@test(WEB, profile="selftest-once")
def a_gateway_that_does_not_retry_fails(site):
    code, out = run(site, "--quick", "--json")
    faults = card(out)
    assert code == 1
    for name in ("429", "500-once", "503", "reset", "connection-refused", "outage"):
        assert not faults[name]["passed"], faults[name]
    for name in ("healthy", "content-refused", "stranger", "no-done"):
        assert faults[name]["passed"], faults[name]
    check_gone(site)
    code, out = run(site, "--quick")
    assert code == 1 and "FAIL  503 " in out, out


@test("lighttpd", profile="selftest-off")
def without_rescue_a_cut_has_an_honest_end(site):
    code, out = run(site, "--quick", "--json")
    faults = card(out)
    assert code == 0, [f for f in faults.values() if not f["passed"]]
    assert "without [DONE]" in faults["cut"]["what"], faults["cut"]
