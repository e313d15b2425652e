"""Starts the gateway behind each web server, with the files of conf/ as they are shipped: only
paths and the port are substituted."""

import os
import socket
import subprocess
import time

from client import Broken, call
from harness import (
    KEY,
    PROGRAMS,
    PROVIDER_KEY,
    ROOT,
    end_processes,
    free_port,
    kill,
    reap,
    wait_for,
)

BATTERY = ("lighttpd", "fcgid", "nginx", "cgi")
SMOKE = ("fragment", "proxy", "htaccess-fcgid", "htaccess-cgi")
MODULES = "/usr/lib/apache2/modules"

# Short limits, so that every one of them is reached in a test.
SETTINGS = {
    "GATEWAY_API_KEYS": f"test={KEY}",
    "GATEWAY_CONNECT_TIMEOUT": "2s",
    "GATEWAY_FIRST_BYTE_TIMEOUT": "3s",
    "GATEWAY_IDLE_TIMEOUT": "3s",
    "GATEWAY_BODY_TIMEOUT": "4s",
    "GATEWAY_DEADLINE": "60s",
    "GATEWAY_HEARTBEAT": "400ms",
    "GATEWAY_CLIENT_STALL": "3s",
    "GATEWAY_DRAIN": "6s",
    "GATEWAY_CORS_ORIGINS": "https://app.example.com",
    "GATEWAY_MAX_EVENT": "1m",
    "GATEWAY_MAX_ANSWER": "8m",
    # Every request is to reach the fake provider, but where it is about caches.
    "GATEWAY_CACHE_TTL": "0",
    "GATEWAY_COALESCE": "off",
    "OPENAI_API_KEY": PROVIDER_KEY,
    "ZAI_API_KEY": PROVIDER_KEY,
    "MISTRAL_API_KEY": PROVIDER_KEY,
    "DEEPSEEK_API_KEY": PROVIDER_KEY,
    "DEEPSEEK_BASE_URL": "http://no-such-host.invalid/v1",
    "XAI_API_KEY": PROVIDER_KEY,
    "COHERE_API_KEY": PROVIDER_KEY,
}

# The providers that speak another dialect than OpenAI's. {fake} is the port of the fake provider,
# which knows this id and secret of Amazon's.
DIALECTS = {
    "ANTHROPIC_API_KEY": PROVIDER_KEY,
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:{fake}/v1",
    "GEMINI_API_KEY": PROVIDER_KEY,
    "GOOGLE_BASE_URL": "http://127.0.0.1:{fake}/v1beta",
    "AWS_ACCESS_KEY_ID": "AKIDTEST",
    "AWS_SECRET_ACCESS_KEY": "secretfortests",
    "AWS_REGION": "eu-north-1",
    "BEDROCK_BASE_URL": "http://127.0.0.1:{fake}",
    "VERTEX_ACCESS_TOKEN": PROVIDER_KEY,
    "VERTEX_BASE_URL": "http://127.0.0.1:{fake}/v1/projects/p/locations/l/publishers/google",
    "GATEWAY_FETCH_IMAGES": "on",
    "GATEWAY_FETCH_ALLOW": "127.0.0.1",
    "GATEWAY_FETCH_MAX": "64k",
}

PROFILES = {
    "default": {},
    # Claude and Gemini are at their makers only.
    "clients": dict(
        {k: v for k, v in DIALECTS.items() if not k.startswith(("AWS_", "VERTEX_"))},
        FIREWORKS_API_KEY=PROVIDER_KEY,
        FIREWORKS_BASE_URL="http://127.0.0.1:{fake}/fireworks/v1",
        TOGETHER_API_KEY=PROVIDER_KEY,
        TOGETHER_BASE_URL="http://127.0.0.1:{fake}/together/v1",
        GATEWAY_HEARTBEAT="2s",  # later than a second attempt is refused
        GATEWAY_BREAKER_MIN="1000",  # no fault is to change the way of the next request
        GATEWAY_HEALTH_CHECK_INTERVAL="1s",
    ),
    # A heartbeat could go out before a refusal.
    "dialects": dict(DIALECTS, GATEWAY_HEARTBEAT="0", GATEWAY_RETRY_MAX="0"),
    "threads": {"GATEWAY_THREADS": "4"},
    "drain": {"GATEWAY_DRAIN": "1s"},
    "body": {"GATEWAY_BODY_TIMEOUT": "500ms"},
    "demo": {"GATEWAY_DEMO": "on", "GATEWAY_DEMO_PACE": "20ms"},
    "quiet": {"GATEWAY_HEARTBEAT": "0"},
    "blanks": {"GATEWAY_HEARTBEAT_JSON": "on", "GATEWAY_RETRY_MAX": "0"},
    "closed": {"GATEWAY_CORS_ORIGINS": ""},
    "unset": {"GATEWAY_DRAIN": ""},
    "cache": {"GATEWAY_CACHE_TTL": "300", "GATEWAY_COALESCE": "on"},
    "once": {"GATEWAY_HEARTBEAT": "0", "GATEWAY_RETRY_MAX": "0"},
    "texts": {
        "CODESTRAL_API_KEY": PROVIDER_KEY,
        "CODESTRAL_BASE_URL": "http://127.0.0.1:{fake}/codestral/v1",
        "COHERE_BASE_URL": "http://127.0.0.1:{fake}/compatibility/v1",
        "HF_TOKEN": PROVIDER_KEY,
        "HUGGINGFACE_BASE_URL": "http://127.0.0.1:{fake}/v1",
        "GATEWAY_DEMO": "on",
        "GATEWAY_HEARTBEAT": "0",
    },
}

# What is done in the workplace before the gateway starts with a profile.
PREPARE = {}

# What a web server lets the gateway see and do (hosting-lab.md section 4).
SEES_HANGUP = {"lighttpd", "fragment", "nginx"}
MANY_PER_PROCESS = {"lighttpd", "fragment", "nginx", "proxy"}


class Fake:
    """The fake provider and its memory."""

    def __init__(self, place, program, port=0):
        self.program = program
        self.process = place.start(
            [program, "--port", str(port)], stdout=subprocess.PIPE, log="fake.log"
        )
        line = self.process.stdout.readline().decode()
        assert line.startswith("listening "), f"the fake provider said {line!r}"
        self.port = int(line.rsplit(":", 1)[1])

    def log(self):
        return call(self.port, "GET", "/_fake/log").json()

    def requests(self):
        return self.log()["requests"]

    def reset(self):
        call(self.port, "POST", "/_fake/reset")

    def at(self, place):
        """What the provider at this place saw since reset()."""
        return [r for r in self.requests() if r["path"].startswith(f"/{place}/")]

    def rule(self, place, cue):
        """All requests there are answered so from now on, until the next reset()."""
        assert call(self.port, "POST", f"/_fake/rule/{place}", None, cue.encode()).status == 200

    def only(self):
        """The one request since reset()."""
        seen = self.requests()
        assert len(seen) == 1, f"the provider saw {len(seen)} requests"
        return seen[0]


class BadTls:
    """A listener that speaks TLS with a certificate nobody trusts."""

    def __init__(self, place):
        pem = place.dir / "conf" / "untrusted.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=127.0.0.1", "-keyout", str(pem) + ".key", "-out", str(pem)],
            check=True, capture_output=True, timeout=60,
        )
        place.give(place.dir / "conf")
        self.port = free_port()
        self.process = place.start(
            ["openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{self.port}",
             "-cert", pem, "-key", str(pem) + ".key"], log="tls.log",
        )


class Site:
    """The gateway behind one web server with one set of settings."""

    def __init__(self, kind, profile, place, fake, bad_tls):
        self.kind, self.profile, self.place, self.fake = kind, profile, place, fake
        self.key = KEY
        self.port = free_port()
        self.run = place.dir / "run"
        self.bin = place.dir / "bin"
        self.log = place.dir / "log" / "gateway.jsonl"
        self.settings = dict(SETTINGS)
        self.settings.update({
            "GATEWAY_HOME": str(place.dir / "home"),
            "GATEWAY_CATALOGUE": str(place.dir / "conf"),
            "GATEWAY_LOG": str(self.log),
            "OPENAI_BASE_URL": f"http://127.0.0.1:{fake.port}/v1",
            "PERPLEXITY_BASE_URL": f"http://127.0.0.1:{fake.port}/v1",  # and no key
            "ZAI_BASE_URL": f"http://127.0.0.1:{fake.port}/v4",
            "MISTRAL_BASE_URL": f"http://127.0.0.1:{free_port()}/v1",
            "XAI_BASE_URL": f"https://127.0.0.1:{fake.port}/v1",
            "COHERE_BASE_URL": f"https://127.0.0.1:{bad_tls.port}/v1",
        })
        for name, value in PROFILES[profile].items():
            value = value.replace("{fake}", str(fake.port))
            self.settings[name] = value.replace("{place}", str(place.dir))
        PREPARE.get(profile, lambda _: None)(place)
        if profile == "demo":
            self.settings = {k: v for k, v in self.settings.items() if k.startswith("GATEWAY_")}
        self.conf = place.write(
            "gateway.conf", "".join(f"{k}={v}\n" for k, v in self.settings.items() if v)
        )
        self.env = {
            "GATEWAY_CONF": str(self.conf),
            "ASAN_OPTIONS": f"log_path={place.dir}/log/asan:detect_leaks=1:abort_on_error=0",
            "UBSAN_OPTIONS": f"log_path={place.dir}/log/ubsan:print_stacktrace=1",
        }
        getattr(self, "start_" + kind.split("-")[0])()
        self.await_health()

    # ---- requests ----

    def auth(self, more=None):
        return dict({"Authorization": f"Bearer {self.key}"}, **(more or {}))

    def call(self, method, path, headers=None, body=None, **more):
        return call(self.port, method, path, headers, body, **more)

    def healthy(self):
        """A request like any other is served; called after every fault."""
        body = {"model": "openai/gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
        reply = self.call("POST", "/v1/chat/completions", self.auth(), body)
        assert reply.status == 200, f"not healthy: {reply.status} {reply.body[:300]!r}"
        said = reply.json()["choices"][0]["message"]["content"]
        assert said == "Hello from the fake provider.", said

    def await_health(self):
        def up():
            reap()
            try:
                return call(self.port, "GET", "/health", timeout=5).status == 200
            except (OSError, Broken):
                return False

        try:
            wait_for(f"/health behind {self.kind}", 30, up, 0.05)
        except AssertionError as e:
            raise AssertionError(f"{e} (exit status {self.server.poll()})") from None

    def stop(self):
        end_processes(keep=self.kept)
        for path in self.run.iterdir():
            if path.is_socket():
                path.unlink()

    kept = ()

    # ---- substitution ----

    def fill(self, name, into=None):
        """A file of conf/ with this place's paths and port."""
        text = (ROOT / "conf" / name).read_text()
        for placeholder, value in (
            ("127.0.0.1:8080", f"127.0.0.1:{self.port}"),
            ("/opt/tollgate/libexec/tollgate", str(self.bin)),
            ("/etc/tollgate/gateway.conf", str(self.conf)),
            ("/var/lib/tollgate", str(self.place.dir / "home")),
            ("/run/tollgate", str(self.run)),
        ):
            text = text.replace(placeholder, value)
        return self.place.write(into or f"conf/filled-{name}", text)

    # ---- the servers ----

    def start_lighttpd(self):
        env = dict(self.env, PORT=str(self.port), TOLLGATE_BIN=str(self.bin),
                   TOLLGATE_RUN=str(self.run))
        self.server = self.place.start(
            ["lighttpd", "-D", "-f", self.place.dir / "conf" / "lighttpd.conf"], env
        )

    def start_fragment(self):
        fragment = self.fill("lighttpd-fragment.conf")
        main = self.place.write(
            "conf/system-lighttpd.conf",
            f'server.bind = "127.0.0.1"\nserver.port = {self.port}\n'
            f'server.document-root = "{self.place.dir}/htdocs"\n'
            f'server.upload-dirs = ( "{self.run}" )\n'
            f'include "{fragment}"\n',
        )
        self.server = self.place.start(["lighttpd", "-D", "-f", main], self.env)

    def start_nginx(self):
        self.spawn_handlers()
        conf = self.fill("nginx.conf")
        self.server = self.place.start(
            ["nginx", "-e", "stderr", "-p", self.run, "-c", conf, "-g", "daemon off;"]
        )

    def spawn_handlers(self):
        script = self.fill("spawn-fcgi.sh")
        self.place.give(script)
        os.chmod(script, 0o700)
        done = self.place.start([script, "start"], self.env).wait(timeout=20)
        assert done == 0, "spawn-fcgi.sh failed"

    def apache(self, site, modules, more=""):
        base = self.place.dir
        always = "mpm_event authz_core alias mime env setenvif reqtimeout"
        load = "".join(
            f"LoadModule {m}_module {MODULES}/mod_{m}.so\n" for m in (always + " " + modules).split()
        )
        conf = self.place.write(
            "conf/httpd.conf",
            f"ServerRoot {base}\nDefaultRuntimeDir {base}/run\nPidFile {base}/run/httpd.pid\n"
            f"ServerName localhost\n{load}ErrorLog {base}/log/apache.log\nLogLevel info\n"
            f"TypesConfig /dev/null\nDocumentRoot {base}/htdocs\n"
            "StartServers 2\nServerLimit 16\nThreadsPerChild 32\nMaxRequestWorkers 512\n"
            f"{more}Include {site}\n",
        )
        self.server = self.place.start(["apache2", "-DFOREGROUND", "-f", conf], self.env)

    def fcgid_main(self):
        passed = "".join(
            f"FcgidInitialEnv {k} {self.env[k]}\n" for k in ("ASAN_OPTIONS", "UBSAN_OPTIONS")
        )
        return (
            f"FcgidIPCDir {self.run}/fcgid\nFcgidProcessTableFile {self.run}/fcgid_shm\n" + passed
        )

    def start_fcgid(self):
        self.apache(self.fill("apache-fcgid.conf"), "fcgid", self.fcgid_main())

    def start_cgi(self):
        self.apache(
            self.fill("apache-cgi.conf"),
            "cgid",
            f"ScriptSock {self.run}/cgisock\nPassEnv ASAN_OPTIONS UBSAN_OPTIONS\n",
        )

    def start_proxy(self):
        self.spawn_handlers()
        self.apache(self.fill("apache-proxy-fcgi.conf"), "proxy proxy_fcgi")

    def start_htaccess(self):
        """A user's folder on a shared host: what AllowOverride FileInfo Options permits."""
        web = self.place.dir / "web"
        for name in PROGRAMS:
            target = web / f"{name}.fcgi"
            if not target.exists():
                os.link(self.bin / f"{name}.fcgi", target)
        self.fill("htaccess", "web/.htaccess")
        os.chmod(web / ".htaccess", 0o644)
        host = self.place.write(
            "conf/shared-host.conf",
            f"Listen 127.0.0.1:{self.port}\nDocumentRoot {web}\n<Directory {web}>\n"
            "AllowOverride FileInfo Options\nRequire all granted\n</Directory>\n",
        )
        more = f"ScriptSock {self.run}/cgisock\nPassEnv ASAN_OPTIONS UBSAN_OPTIONS\n"
        modules = "rewrite cgid"
        if self.kind.endswith("fcgid"):
            modules += " fcgid"
            more += self.fcgid_main()
        self.env.pop("GATEWAY_CONF")  # found in the folder above the programs
        self.apache(host, modules, more)


def serving(port):
    """Does something accept connections there?"""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def stop_process(process, sig, patience=10):
    kill(process.pid, sig)
    end = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    return process.poll()
