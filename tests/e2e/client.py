"""An HTTP/1.1 client on a raw socket that notes when each byte came. It forgives nothing: what
it returns is what was on the wire. Every wait has an end."""

import json
import select
import socket
import time

TIMEOUT = 20.0


class Broken(Exception):
    """The answer is not HTTP, or did not come in time."""


class Reply:
    """Status, headers and body of an answer; `complete` is false when it was cut."""

    def __init__(self):
        self.status = 0
        self.headers = []
        self.body = b""
        self.complete = False

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def header(self, name):
        found = self.all(name)
        return found[0] if found else None

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as e:
            raise Broken(f"status {self.status}, body is no JSON ({e}): {self.body[:300]!r}") from e

    def error(self):
        """(status, error_type) after checking the one shape every error has."""
        top = self.json()
        inner = top["error"]
        for name in ("message", "type", "code", "param", "metadata"):
            assert name in inner, f"error lacks {name}: {top}"
        assert inner["message"], top
        assert inner["code"] == self.status, f"code {inner['code']} under status {self.status}"
        assert inner["type"] == top["error_type"], top
        return self.status, top["error_type"]


class Exchange:
    """One request on one connection, read piece by piece."""

    def __init__(self, port, timeout=TIMEOUT):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.method = ""
        self.raw = b""  # received, not yet used
        self.body = b""  # decoded, not yet used by events()
        self.head = None
        self.left = None  # bytes of a body or chunk still to come
        self.chunked = False
        self.ended = False
        self.complete = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def request(self, method, path, headers=None, body=None):
        self.method = method
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        given = {k.lower() for k in (headers or {})}
        if body is not None and "content-length" not in given and "transfer-encoding" not in given:
            lines.append(f"Content-Length: {len(body)}")
        if body is not None and "content-type" not in given:
            lines.append("Content-Type: application/json")
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
        if body:
            try:
                self.send(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # answered and closed before the end of the body

    def _more(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.sock], [], [], left)[0]:
            raise Broken(f"nothing came within {self.timeout} s")
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self.raw += data
        return bool(data)

    def read_head(self, timeout=None):
        deadline = time.monotonic() + (timeout or self.timeout)
        while self.head is None:
            end = self.raw.find(b"\r\n\r\n")
            if end < 0:
                if not self._more(deadline):
                    raise Broken(f"connection ended before a head: {self.raw[:200]!r}")
                continue
            lines = self.raw[:end].decode("latin-1").split("\r\n")
            self.raw = self.raw[end + 4 :]
            reply = Reply()
            parts = lines[0].split(" ", 2)
            if not parts[0].startswith("HTTP/1."):
                raise Broken(f"no status line: {lines[0]!r}")
            reply.status = int(parts[1])
            reply.headers = [tuple(x.strip() for x in li.split(":", 1)) for li in lines[1:]]
            if reply.status == 100:
                continue
            self.head = reply
            self.chunked = "chunked" in (reply.header("Transfer-Encoding") or "").lower()
            length = reply.header("Content-Length")
            if reply.status in (204, 304) or self.method == "HEAD":
                self.chunked, length = False, "0"
            self.left = None if self.chunked or length is None else int(length)
            if self.left == 0:
                self.ended = self.complete = True
        return self.head

    def _decode(self):
        """Moves what was received into self.body; True if something changed."""
        if self.ended or not self.raw:
            return False
        if not self.chunked:
            take = len(self.raw) if self.left is None else min(self.left, len(self.raw))
            self.body += self.raw[:take]
            self.raw = self.raw[take:]
            if self.left is not None:
                self.left -= take
                self.ended = self.complete = self.left == 0
            return True
        if self.left is None:
            end = self.raw.find(b"\r\n")
            if end < 0:
                return False
            self.left = int(self.raw[:end].split(b";")[0], 16)
            self.raw = self.raw[end + 2 :]
            if self.left == 0:
                self.ended = self.complete = True
            return True
        take = min(self.left, len(self.raw))
        self.body += self.raw[:take]
        self.raw = self.raw[take:]
        self.left -= take
        if self.left == 0 and len(self.raw) >= 2:
            self.raw = self.raw[2:]
            self.left = None
            return True
        return take > 0

    def _advance(self, deadline):
        """Waits for more body; False at its end."""
        while True:
            if self._decode():
                return True
            if self.ended:
                return False
            if not self._more(deadline):
                self.ended = True
                self.complete = self.complete or (not self.chunked and self.left is None)
                return False

    def read(self, timeout=None):
        """The rest of the answer."""
        head = self.read_head(timeout)
        deadline = time.monotonic() + (timeout or self.timeout)
        while self._advance(deadline):
            pass
        head.body = self.body
        head.complete = self.complete
        return head

    def events(self, timeout=None):
        """Yields (kind, text, time) for each SSE block: kind is "data" or "comment". Ends with
        the answer; what is left unterminated is yielded as "rest"."""
        self.read_head(timeout)
        while True:
            end = self.body.find(b"\n\n")
            if end >= 0:
                block, self.body = self.body[:end], self.body[end + 2 :]
                now = time.monotonic()
                for line in block.split(b"\n"):
                    if line.startswith(b":"):
                        yield "comment", line[1:].strip().decode(), now
                    elif line.startswith(b"data: "):
                        yield "data", line[6:].decode(), now
                    else:
                        yield "other", line.decode("utf-8", "replace"), now
                continue
            if not self._advance(time.monotonic() + (timeout or self.timeout)):
                if self.body:
                    yield "rest", self.body.decode("utf-8", "replace"), time.monotonic()
                return


def call(port, method, path, headers=None, body=None, timeout=TIMEOUT):
    """One request and its whole answer."""
    with Exchange(port, timeout) as x:
        x.request(method, path, headers, body)
        return x.read()


def raw_call(port, data, timeout=TIMEOUT, half_close=False):
    """Sends bytes as they are and reads the answer."""
    with Exchange(port, timeout) as x:
        x.send(data)
        if half_close:
            x.sock.shutdown(socket.SHUT_WR)
        return x.read()


class Told:
    """A whole event stream, taken apart."""

    def __init__(self, exchange, timeout=None):
        self.head = exchange.read_head(timeout)
        self.comments = []
        self.chunks = []  # parsed data events
        self.times = []  # of the chunks
        self.done = 0
        self.errors = []  # error objects
        self.after_end = []  # whatever came behind [DONE] or an error event
        self.odd = []  # lines that no SSE writer of ours may send
        for kind, text, at in exchange.events(timeout):
            if kind in ("other", "rest"):
                self.odd.append(text)
            elif kind == "comment":
                self.comments.append((text, at))
            elif self.done or self.errors:
                self.after_end.append(text)
            elif text == "[DONE]":
                self.done += 1
            else:
                chunk = json.loads(text)
                if "error" in chunk:
                    self.errors.append(chunk)
                else:
                    self.chunks.append(chunk)
                    self.times.append(at)
        self.complete = exchange.complete

    def text(self, index=0):
        return "".join(
            c["delta"].get("content") or ""
            for chunk in self.chunks
            for c in chunk["choices"]
            if c["index"] == index
        )

    def finish(self, index=0):
        return [
            c["finish_reason"]
            for chunk in self.chunks
            for c in chunk["choices"]
            if c["index"] == index and c.get("finish_reason")
        ]

    def usage(self):
        return [c["usage"] for c in self.chunks if c.get("usage")]
