"""What every test stands on: the registry, temporary folders, processes and their end."""

import ctypes
import fcntl
import fnmatch
import os
import random
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = (
    "chat_completions",
    "completions",
    "embeddings",
    "models",
    "providers",
    "models_by_provider",
    "account",
    "health",
)
KEY = "sk-tg-e2e-0123456789abcdefABCDEF"
PROVIDER_KEY = "sk-provider-e2e-fedcba9876543210"
PR_SET_CHILD_SUBREAPER = 36

TESTS = []


def test(servers="battery", profile="default"):
    """Registers a test. servers: "battery" (the four of the battery), "smoke" (those and the
    rest), or names; profile: the settings its gateway runs with (see PROFILES in servers.py)."""

    def register(f):
        f.servers, f.profile = servers, profile
        TESTS.append(f)
        return f

    return register


def wait_for(what, seconds, f, pause=0.02):
    """The first true value of f(), else a failure that says what was waited for."""
    end = time.monotonic() + seconds
    while True:
        value = f()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for: {what}")
        time.sleep(pause)


_taken = []  # files of the ports we chose, locked for as long as we live


def _is_mine(port):
    """Takes the port among all that choose ports here: several runs choose at the same time, and
    a server binds what was chosen only later."""
    folder = Path(tempfile.gettempdir()) / f"tollgate-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = open(folder / str(port), "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return False
    _taken.append(lock)
    return True


def free_port():
    """A port nobody has now, below those that the system gives to outgoing connections: one of
    them would be taken again before a server binds it."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if _is_mine(port):
            return port


# ---- processes: everything below us is ours, daemons included, because we adopt orphans ----


def adopt_orphans():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def processes():
    """{pid: (ppid, name, state)} of this machine."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path(f"/proc/{entry}/stat").read_text()
        except OSError:
            continue
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        rest = stat[stat.rindex(")") + 2 :].split()
        found[int(entry)] = (int(rest[1]), name, rest[0])
    return found


def descendants():
    """Live processes that we, or what we started, started: {pid: name}."""
    table, ours, grew = processes(), {os.getpid()}, True
    while grew:
        more = {p for p, (parent, _, _) in table.items() if parent in ours} - ours
        ours |= more
        grew = bool(more)
    ours.discard(os.getpid())
    return {p: table[p][1] for p in ours if table[p][2] != "Z"}


def handlers(program):
    """Process ids of a handler."""
    found = []
    for pid in descendants():
        try:
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith(program + ".fcgi"):
                found.append(pid)
        except OSError:
            pass
    return sorted(found)


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def kill(pid, sig):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def end_processes(patience=8.0, keep=()):
    """Ends everything below us but the pids in keep (and what they started)."""
    for sig, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        end = time.monotonic() + seconds
        left = {p for p in descendants() if p not in keep}
        for pid in left:
            kill(pid, sig)
        while left and time.monotonic() < end:
            time.sleep(0.03)
            reap()
            left = {p for p in descendants() if p not in keep}
        if not left:
            return


def drop_table(home):
    """Removes what a GATEWAY_HOME has in shared memory, while the home is still there."""
    if home.exists():
        st = home.stat()
        name = f"tollgate-{st.st_uid}-{st.st_dev:x}-{st.st_ino:x}"
        for path in Path("/dev/shm").glob(name + "*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


class Workplace:
    """A temporary folder that belongs to an ordinary user, and processes run as that user: the
    servers are to work without root, and Apache refuses to run as root."""

    def __init__(self, programs):
        self.user = pwd.getpwnam("nobody") if os.getuid() == 0 else None
        self.dir = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
        for name in ("bin", "run", "home", "log", "conf", "web", "htdocs"):
            (self.dir / name).mkdir()
        for name in PROGRAMS:
            shutil.copy2(programs / f"{name}.fcgi", self.dir / "bin")
        shutil.copy2(programs / "tollgate", self.dir / "bin")
        for path in (ROOT / "conf").iterdir():
            if path.is_file():
                shutil.copy2(path, self.dir / "conf")
        self.give(self.dir)

    def give(self, path):
        os.chmod(path, 0o700 if path.is_dir() or os.access(path, os.X_OK) else 0o600)
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        if path.is_dir():
            for child in path.iterdir():
                self.give(child)

    def write(self, name, text):
        path = self.dir / name
        path.write_text(text)
        self.give(path)
        return path

    def start(self, argv, env=None, log="server.log", **more):
        """Starts a process in a group of its own; its output goes to log/NAME."""
        if self.user:
            more.update(user=self.user.pw_uid, group=self.user.pw_gid, extra_groups=[])
        full = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        full.update(env or {})
        with open(self.dir / "log" / log, "ab") as out:
            return subprocess.Popen(
                [str(a) for a in argv],
                env=full,
                cwd=self.dir,
                stdin=subprocess.DEVNULL,
                stdout=more.pop("stdout", out),
                stderr=out,
                start_new_session=True,
                **more,
            )

    def logs(self, limit=4000):
        parts = []
        for path in sorted((self.dir / "log").iterdir()):
            text = path.read_text(errors="replace")
            if text:
                parts.append(f"--- {path.name} (last {limit} characters)\n{text[-limit:]}")
        return "\n".join(parts)

    def sanitizer_reports(self):
        marks = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "ThreadSanitizer")
        return [
            line
            for path in sorted((self.dir / "log").iterdir())
            for line in path.read_text(errors="replace").splitlines()
            if any(m in line for m in marks)
        ]

    def remove(self):
        drop_table(self.dir / "home")
        shutil.rmtree(self.dir, ignore_errors=True)


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def run(self, label, f, evidence):
        start = time.monotonic()
        try:
            f()
        except Exception:  # pylint: disable=broad-except
            self.failed += 1
            print(f"FAILED {label}", flush=True)
            print("  " + traceback.format_exc(limit=-4).replace("\n", "\n  "))
            print("  " + evidence().replace("\n", "\n  "), flush=True)
            return False
        self.passed += 1
        print(f"ok {label} ({time.monotonic() - start:.1f} s)", flush=True)
        return True


def selected(f, only):
    name = f.__name__
    return not only or any(fnmatch.fnmatch(name, p) or p in name for p in only.split("|"))
