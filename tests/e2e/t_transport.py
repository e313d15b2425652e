"""The way to a provider: HTTP/2, whose certificate is believed, and which proxy is asked."""

import socket
import subprocess

import servers
from client import Told
from harness import free_port, test, wait_for
from talk import SENTENCE, chat, check_stream, expect_error, open_stream

TLS_PORT = free_port()
NAME = "x-ai/grok-4.5"  # at https://localhost, whom the certificate is for
ADDRESS = "cohere/command-a"  # the same server, called by its address
STREAMS = 30

servers.PROFILES["tls"] = {
    "GATEWAY_CA_FILE": "{place}/conf/tls-ca.pem",
    "XAI_BASE_URL": f"https://localhost:{TLS_PORT}/v1",
    "COHERE_BASE_URL": f"https://127.0.0.1:{TLS_PORT}/v1",
    "GATEWAY_HEARTBEAT": "0",
    "GATEWAY_RETRY_MAX": "0",
}


def make_certificate(place):
    """Of localhost, vouched for by an authority of our own."""
    ca, leaf = place.dir / "conf" / "tls-ca.pem", place.dir / "conf" / "tls.pem"
    asked = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-x509"]
    for more in (
        ["-subj", "/CN=our authority", "-keyout", f"{ca}.key", "-out", ca],
        ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
         f"{leaf}.key", "-out", leaf, "-CA", ca, "-CAkey", f"{ca}.key",
         "-addext", "basicConstraints=critical,CA:FALSE"],
    ):
        subprocess.run(asked + more, check=True, capture_output=True, timeout=60)
    place.give(place.dir / "conf")


servers.PREPARE["tls"] = make_certificate


class Front:
    """nginx with TLS before the fake provider. Notes protocol and connection of each request, and
    whether the TLS session was known ("r") or new (".")."""

    def __init__(self, site, speaks="http2", requests_each=1000):
        place = site.place
        self.notes = place.dir / "run" / "front.log"
        self.notes.unlink(missing_ok=True)
        conf = place.write("conf/front.conf", f"""
            worker_processes 1;
            pid {place.dir}/run/front.pid;
            events {{ worker_connections 1024; }}
            http {{
                log_format short "$server_protocol $connection $ssl_session_reused";
                keepalive_requests {requests_each};
                ssl_session_cache shared:tls:1m;
                access_log {self.notes} short;
                client_body_temp_path {place.dir}/run/front-body;
                proxy_temp_path {place.dir}/run/front-proxy;
                fastcgi_temp_path {place.dir}/run/front-fastcgi;
                uwsgi_temp_path {place.dir}/run/front-uwsgi;
                scgi_temp_path {place.dir}/run/front-scgi;
                server {{
                    listen 127.0.0.1:{TLS_PORT} ssl {speaks};
                    ssl_certificate {place.dir}/conf/tls.pem;
                    ssl_certificate_key {place.dir}/conf/tls.pem.key;
                    location / {{
                        proxy_pass http://127.0.0.1:{site.fake.port};
                        proxy_http_version 1.1;
                        proxy_buffering off;
                    }}
                }}
            }}
            """)
        self.process = place.start(
            ["nginx", "-e", "stderr", "-p", place.dir / "run", "-c", conf, "-g", "daemon off;"],
            log="front.log",
        )
        wait_for("the TLS server", 10, lambda: servers.serving(TLS_PORT))

    def requests(self):
        """[(protocol, connection, session)]"""
        return [tuple(line.split()) for line in self.notes.read_text().splitlines()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        servers.stop_process(self.process, 15)


@test("lighttpd nginx", "tls")
def streams_share_a_connection_where_the_provider_speaks_http2(site):
    """One for each process, however many streams are open at a time."""
    with Front(site) as front:
        assert SENTENCE in chat(site, model=NAME).body.decode()
        held = [open_stream(site, "tokens=10 pace=100", model=NAME) for _ in range(STREAMS)]
        for x in held:
            told = Told(x)
            check_stream(told)
            assert told.text().endswith("t9")
            x.close()
        wait_for("all requests to be noted", 5, lambda: len(front.requests()) > STREAMS)
        seen = front.requests()
    assert {protocol for protocol, _, _ in seen} == {"HTTP/2.0"}, seen
    processes = 2 if site.kind == "lighttpd" else 1
    assert len({connection for _, connection, _ in seen}) <= processes, seen


@test("nginx", "tls")
def connections_share_tls_sessions(site):
    """Each request needs a connection of its own here, and the first is still busy: the second and
    third need no whole handshake all the same."""
    with Front(site, speaks="", requests_each=1) as front:
        x = open_stream(site, "tokens=10 pace=100", model=NAME)
        for _ in range(2):
            assert SENTENCE in chat(site, model=NAME).body.decode()
        check_stream(Told(x))
        x.close()
        wait_for("the requests to be noted", 5, lambda: len(front.requests()) == 3)
        seen = front.requests()
    assert len({connection for _, connection, _ in seen}) == 3, seen
    assert sorted(session for _, _, session in seen) == [".", "r", "r"], seen


@test("battery", "tls")
def a_certificate_is_for_its_name_only(site):
    """The authority is trusted; the one who shows the certificate is not whom it names."""
    with Front(site) as front:
        for streams in (False, True):
            assert chat(site, model=NAME, stream=streams).status == 200
            reply = chat(site, model=ADDRESS, stream=streams)
            expect_error(reply, 502, "upstream_error")
        wait_for("the requests to be noted", 5, lambda: len(front.requests()) >= 2)
        assert len(front.requests()) == 2, front.requests()
    assert len(site.fake.requests()) == 2, "a stranger was asked"
    site.healthy()


@test()
def a_proxy_that_a_client_names_is_never_asked(site):
    """Under CGI a header Proxy becomes HTTP_PROXY in the environment of the program, which many
    libraries believe. The trap answers nobody: a request that is led there fails."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.setblocking(False)
        here = f"http://127.0.0.1:{trap.getsockname()[1]}"
        names = ("Proxy", "Http-Proxy", "Https-Proxy", "All-Proxy", "Gateway-Proxy")
        for streams in (False, True):
            reply = chat(site, headers={name: here for name in names}, stream=streams)
            assert reply.status == 200, reply.body
        try:
            trap.accept()
            raise AssertionError("the proxy was asked")
        except BlockingIOError:
            pass
    assert len(site.fake.requests()) == 2
