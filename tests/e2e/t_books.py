"""The books stay true whatever happens under way: keys end, money goes, processes are killed."""

import fcntl
import json
import random
import re
import signal
import threading
import time
from contextlib import ExitStack
from decimal import Decimal

from client import Broken, Exchange, Told
from harness import handlers, kill, test, wait_for
from t_account import make_key
from t_keys import tollgate
from t_money import (
    balance,
    bearer,
    billed,
    exact_cost,
    ledger,
    ledger_id,
    line_of,
    mark,
    new_member,
    new_org,
    new_user,
    no_credit,
    send,
    verify,
)
from talk import PATH, ask, check_stream, expect_error, open_stream


@test()
def an_answer_ends_when_it_is_in_the_books(site):
    key = make_key(site, "ended")
    assert send(site, key).status == 200
    for stream in (False, True):
        with Exchange(site.port) as x, ExitStack() as journal:
            # As whoever closes a segment does: settling has to wait.
            for path in (site.place.dir / "home").glob("journal.*"):
                fcntl.flock(journal.enter_context(open(path, "rb")), fcntl.LOCK_EX)
            x.request("POST", PATH, key, ask(stream=stream))
            try:
                x.read(timeout=0.8)
                raise AssertionError("the answer ended before it was written down")
            except Broken:
                journal.close()
            reply = x.read()
        assert reply.status == 200 and reply.complete, reply.body[:300]
        assert len(ledger(site)[ledger_id(reply.header("X-Generation-Id"))]) == 1


# ---- what changes under way ----


@test("lighttpd")
def a_key_ends_when_it_was_said_to(site):
    key = make_key(site, "brief", "--expires", "2s")
    assert send(site, key).status == 200
    wait_for("the key's end", 5, lambda: send(site, key).status == 401, 0.1)
    expect_error(send(site, key), 401, "authentication_required")


@test()
def a_revoked_key_is_refused_by_every_process_and_its_stream_goes_on(site):
    name = f"gone-{mark(site)}"
    made = tollgate(site, "keys", "create", "--name", name)
    key = bearer(re.search(r"sk-tg-[\w-]+", made).group(0))
    with open_stream(site, "tokens=30 pace=50", headers=key) as x:
        generation = x.read_head().header("X-Generation-Id")
        tollgate(site, "keys", "revoke", name)
        seen = []
        threads = [
            threading.Thread(target=lambda: seen.append(send(site, key).status)) for _ in range(8)
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert seen == 8 * [401], seen
        check_stream(Told(x))
    line = line_of(site, generation)
    assert line["completion_tokens"] == 30 and line["cost_usd"] == billed(exact_cost(line)), line


@test("lighttpd")
def an_emptied_organisation_pays_for_the_stream_that_runs(site):
    slug, _ = new_org(site, "dry")
    member = new_member(site, slug, "dry")
    with open_stream(site, "tokens=30 pace=50", headers=member) as x:
        generation = x.read_head().header("X-Generation-Id")
        tollgate(site, "credits", "set", "0usd", "--org", slug)
        no_credit(send(site, member), has_url=False)
        check_stream(Told(x))
    cost = line_of(site, generation)["cost_usd"]
    assert cost > 0 and balance(site, "--org", slug) == -cost
    no_credit(send(site, member), has_url=False)
    verify(site)


# ---- kills ----


class Callers:
    """Clients that ask again and again, and remember which answers they got whole."""

    def __init__(self, site, key, count):
        self.site, self.key, self.stop = site, key, False
        self.whole, self.broken = [], 0
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(count)]
        for t in self.threads:
            t.start()

    def run(self, i):
        while not self.stop:
            try:
                if i % 2:
                    with open_stream(self.site, "tokens=5 pace=2", headers=self.key) as x:
                        told = Told(x)
                    reply, whole = told.head, told.complete and told.done == 1
                else:
                    reply = send(self.site, self.key)
                    whole = reply.complete
            except (Broken, OSError, ValueError):
                reply, whole = None, False
            if whole and reply.status == 200:
                self.whole.append(reply.header("X-Generation-Id"))
            else:
                self.broken += 1
                time.sleep(0.01)

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join()


@test("lighttpd")
def what_was_answered_is_in_the_books_whoever_is_killed(site):
    user = new_user(site, "storm", "5usd")
    name = f"storm-{mark(site)}"
    made = tollgate(site, "keys", "create", "--name", name, "--user", user, "--concurrent", "1000")
    key = bearer(re.search(r"sk-tg-[\w-]+", made).group(0))
    callers = Callers(site, key, 8)
    kills = 0
    try:
        for _ in range(12):
            time.sleep(random.uniform(0.1, 0.6))
            for pid in handlers("chat_completions")[: random.randrange(3)]:
                kill(pid, signal.SIGKILL)
                kills += 1
    finally:
        callers.end()
    wait_for("the next answer", 5, lambda: send(site, key).status == 200)
    assert kills and len(callers.whole) > 50, (kills, len(callers.whole), callers.broken)
    wait_for("no open reservation", 10, lambda: "reservation " not in verify(site), 0.3)
    # lighttpd leaves a process that it found dead alone for a second; both must be back.
    wait_for("both processes", 10, lambda: len(handlers("chat_completions")) == 2)
    time.sleep(2)
    kill(handlers("chat_completions")[0], signal.SIGKILL)
    wait_for("an answer of the process that is left", 5, lambda: send(site, key).status == 200)
    lines = ledger(site)
    for generation in callers.whole:
        found = lines.get(ledger_id(generation), [])
        assert len(found) == 1, (generation, found)
    spent = sum(x["cost_usd"] for found in lines.values() for x in found if x["user"] == user)
    assert balance(site, "--user", user) == 5 - spent
    why = tollgate(site, "why", name)
    assert "balance of the user" in why and "requests at once" in why, why
    used = json.loads(tollgate(site, "usage", "--by", "key", "--key", name, "--format", "json"),
                      parse_float=Decimal)
    assert used["total"]["cost"] == spent, (used["total"], spent)
    assert used["total"]["requests"] >= len(callers.whole), used["total"]
