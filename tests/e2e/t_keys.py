"""Keys that the operator makes, while the gateway runs."""

import re
import subprocess

from client import call
from harness import test
from talk import PATH, ask, expect_error


def tollgate(site, *args):
    """The operator's command, run as the gateway's user with the gateway's settings."""
    p = site.place.start(
        [site.bin / "tollgate", *args],
        dict(site.env, GATEWAY_CONF=str(site.conf)),
        log="tollgate.log",
        stdout=subprocess.PIPE,
    )
    out, _ = p.communicate(timeout=20)
    assert p.returncode == 0, (args, p.returncode, out)
    return out.decode()


@test("smoke")
def a_key_opens_from_its_making_to_its_revocation(site):
    name = f"e2e-{site.kind}"
    key = re.search(r"sk-tg-[\w-]+", tollgate(site, "keys", "create", "--name", name)).group(0)
    headers = {"Authorization": f"Bearer {key}"}
    assert call(site.port, "POST", PATH, headers, ask()).status == 200
    assert call(site.port, "POST", PATH, headers, ask(stream=True)).status == 200
    listed = tollgate(site, "keys", "list")
    assert name in listed and key not in listed, listed
    tollgate(site, "keys", "revoke", name)
    reply = call(site.port, "POST", PATH, headers, ask())
    expect_error(reply, 401, "authentication_required")
    for path in (site.place.dir / "home").rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), f"the key itself stands in {path.name}"
    site.healthy()
