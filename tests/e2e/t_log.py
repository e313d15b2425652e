"""The log: a line of JSON per request, and never a secret, a prompt or an answer."""

import json
import re
import subprocess
import threading

from client import call
from harness import KEY, PROVIDER_KEY, test, wait_for
from talk import MODEL, PATH, ask, chat, stream

PROMPT = "zanzibar-prompt-7731"
WRONG = "sk-tg-wrong-key-zanzibar-9912"


def lines_of(site, request_id, patience_s=5):
    """The log lines about a request."""

    def look():
        if not site.log.exists():
            return None
        found = [json.loads(li) for li in site.log.read_text().splitlines() if request_id in li]
        return found or None

    return wait_for(f"a log line about {request_id}", patience_s, look)


@test("smoke")
def every_request_is_one_line_of_json(site):
    reply = chat(site, headers={"X-Request-Id": "log-plain"})
    assert reply.status == 200
    found = lines_of(site, "log-plain")
    assert len(found) == 1, found
    line = found[0]
    assert line["status"] == 200, line
    assert line["model"] == MODEL, line
    assert line["provider"] == "openai", line
    assert line["prompt_tokens"] > 0 and line["completion_tokens"] == 5, line
    assert line["client"] == "127.0.0.1" and line["key_id"], line
    assert line["latency_ms"] >= 0 and line["bytes_in"] > 50 and line["bytes_out"] > 100, line
    assert line["cache"] in (None, "off", "miss", "bypass"), line
    assert line["method"] == "POST" and line["stream"] is False and line["error"] is None, line
    told = stream(site, "ttft=300", headers={"X-Request-Id": "log-stream"})
    assert told.done == 1
    line = lines_of(site, "log-stream")[0]
    assert line["ttft_ms"] >= 250, line
    assert line["latency_ms"] >= line["ttft_ms"], line
    assert line["bytes_out"] > 500, line
    call(site.port, "POST", PATH, {"X-Request-Id": "log-refused"}, ask())
    line = lines_of(site, "log-refused")[0]
    assert line["status"] == 401 and line["key_id"] == "anonymous", line
    assert line["error"] and not line["provider"], line
    call(site.port, "GET", "/v1/models", {"X-Request-Id": "log-list"})
    assert lines_of(site, "log-list")[0]["status"] == 200


@test("smoke")
def nothing_secret_is_ever_logged(site):
    headers = {"X-Request-Id": "log-secret"}
    chat(site, "echo", text=PROMPT, headers=headers)
    stream(site, "echo", text=PROMPT)
    stream(site, "cut=3", text=PROMPT)
    chat(site, "status=500", text=PROMPT)
    chat(site, "body=garbage", text=PROMPT)
    call(site.port, "POST", PATH, {"Authorization": f"Bearer {WRONG}"}, ask(text=PROMPT))
    site.call("POST", PATH, site.auth(), b'{"messages":["' + PROMPT.encode())
    chat(site, text=PROMPT, headers={"X-Request-Id": "log-last"})
    lines_of(site, "log-last")
    for path in sorted((site.place.dir / "log").iterdir()):
        text = path.read_text(errors="replace")
        for secret in (KEY, PROVIDER_KEY, WRONG, PROMPT, "Hello from the fake"):
            assert secret not in text, f"{secret[:14]}… stands in {path.name}"


@test("lighttpd")
def a_log_is_followed_over_its_rotation(site):
    site.healthy()
    told = []
    p = site.place.start(
        [site.bin / "tollgate", "logs", site.log, "--follow", "--lines", "0"],
        site.env, log="tollgate.log", stdout=subprocess.PIPE,
    )
    reader = threading.Thread(target=lambda: told.extend(iter(p.stdout.readline, b"")))
    reader.start()

    def shown(model):
        assert chat(site, model=model).status == 200
        return any(model.encode() in line and b" 200 " in line for line in told)

    try:
        wait_for("a line that is added", 10, lambda: shown("openai/gpt-before"), 0.2)
        site.log.rename(site.log.with_suffix(".old"))
        wait_for("a line of the new file", 10, lambda: shown("openai/gpt-after"), 0.2)
    finally:
        p.terminate()
        p.wait(10)
        reader.join(10)


@test("battery")
def every_line_of_the_log_is_json(site):
    site.healthy()
    for line in site.log.read_text().splitlines():
        entry = json.loads(line)
        assert re.match(r"^\d{4}-\d\d-\d\dT", entry["time"]), entry
        assert entry["level"] in ("info", "warn", "error"), entry
