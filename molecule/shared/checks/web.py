"""A client of sites, as strict as a browser where it is told to be: requests, load, WebSockets, handshakes."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a site answered. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Site:
    """A name at an address. Certificates are checked against ``roots`` (PEM); none means that any will do.

    An answer is waited for ``timeout`` seconds.
    """

    address: str
    name: str
    roots: str = ""
    timeout: float = 10

    def context(self) -> ssl.SSLContext:
        if self.roots:
            return ssl.create_default_context(cadata=self.roots)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def connect(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        plain = socket.create_connection((self.address, 443), timeout=self.timeout)
        return (context or self.context()).wrap_socket(plain, server_hostname=self.name)

    def certificate(self) -> bytes:
        """The certificate that is served, as DER."""
        with self.connect() as secured:
            return secured.getpeercert(binary_form=True) or b""

    def issuer(self) -> str:
        """Who signed the certificate that is served. It has to be a right one."""
        assert self.roots
        with self.connect() as secured:
            names: Any = (secured.getpeercert() or {}).get("issuer", ())
            return " ".join(str(value) for part in names for _key, value in part)

    def get(self, path: str = "/", *, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Answer:
        """One request over a connection of its own."""
        with self.connect() as secured:
            return exchange(secured, self.name, path, headers, body)

    def plain(self, path: str = "/") -> Answer:
        """One request over port 80."""
        with socket.create_connection((self.address, 80), timeout=10) as plain:
            return exchange(plain, self.name, path)


def exchange(
    connection: socket.socket, name: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """Send one request and read its answer."""
    client = http.client.HTTPConnection(name)
    client.sock = connection
    client.request("POST" if body is not None else "GET", path, body, {"Host": name, **(headers or {})})
    answer = client.getresponse()
    found = {key.lower(): value for key, value in answer.getheaders()}
    return Answer(answer.status, found, answer.read().decode(errors="replace"))


@dataclass
class Load:
    """Requests at a rate, each over a connection of its own, until it is ended or has sent enough."""

    site: Site
    rate: float
    workers: int = 8
    most: int = 1_000_000
    path: str = "/"
    keep: bool = False
    """Whether a worker keeps its connection, as browsers do."""
    sent: int = 0
    again: int = 0
    """Requests that were closed before any answer, and were sent once more, as RFC 9110 (9.2.2) lets a client do."""
    longest: float = 0.0
    """The longest that a request took, in seconds."""
    versions: set[str] = field(default_factory=set)
    """What was said in X-Version."""
    failures: list[str] = field(default_factory=list)
    failed_at: list[float] = field(default_factory=list)
    """When each of them failed, as time.monotonic() has it."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _end: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def running(self) -> Iterator[Load]:
        began = time.monotonic()
        threads = [threading.Thread(target=self._work, args=(began,)) for _ in range(self.workers)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._end.set()
            for thread in threads:
                thread.join()

    def wait(self, seconds: float) -> None:
        """Wait until all has been sent."""
        until = time.monotonic() + seconds
        while self.sent < self.most and time.monotonic() < until:
            time.sleep(0.1)

    def _work(self, began: float) -> None:
        context = self.site.context()
        kept: list[ssl.SSLSocket] = []
        while not self._end.is_set():
            with self._lock:
                if self.sent >= self.most:
                    return
                number = self.sent
                self.sent += 1
            time.sleep(max(0.0, began + number / self.rate - time.monotonic()))
            asked = time.monotonic()
            try:
                try:
                    status = self._ask(context, kept)
                except (http.client.RemoteDisconnected, ConnectionResetError):
                    with self._lock:
                        self.again += 1
                    kept.clear()
                    status = self._ask(context, kept)
                if status != 200:
                    self._failed(f"{number}: {status}")
            except (OSError, http.client.HTTPException) as error:
                kept.clear()
                self._failed(f"{number}: {type(error).__name__} {error}")
            self.longest = max(self.longest, time.monotonic() - asked)

    def _ask(self, context: ssl.SSLContext, kept: list[ssl.SSLSocket]) -> int:
        if self.keep:
            if not kept:
                kept.append(self.site.connect(context))
            return self._noted(exchange(kept[0], self.site.name, self.path))
        with self.site.connect(context) as secured:
            return self._noted(exchange(secured, self.site.name, self.path))

    def _noted(self, answer: Answer) -> int:
        self.versions.add(answer.headers.get("x-version", ""))
        return answer.status

    @property
    def kinds(self) -> dict[str, int]:
        """How often each kind of failure happened."""
        return dict(Counter(text.partition(": ")[2] for text in self.failures))

    def _failed(self, text: str) -> None:
        with self._lock:
            self.failures.append(text)
            self.failed_at.append(time.monotonic())


@dataclass
class WebSocket:
    """A WebSocket that listens in the background until it is closed; when it heard something last."""

    site: Site
    heard: float = 0.0
    closed: float = 0.0
    code: int = 0
    """What the close frame said (RFC 6455, 7.4.1); 0 where the connection ended without one."""

    def open(self) -> WebSocket:
        secured = self.site.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        fields = f"Host: {self.site.name}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        secured.sendall(f"GET /socket HTTP/1.1\r\n{fields}Sec-WebSocket-Key: {key}\r\n\r\n".encode())
        answer = secured.recv(65536)
        assert b" 101 " in answer, answer
        threading.Thread(target=self._listen, args=(secured,), daemon=True).start()
        return self

    def _listen(self, secured: ssl.SSLSocket) -> None:
        with contextlib.suppress(OSError):
            while data := secured.recv(4096):
                if b"tick" in data:
                    self.heard = time.monotonic()
                if b"\x88\x02" in data:
                    self.code = int.from_bytes(data.partition(b"\x88\x02")[2][:2], "big")
        self.closed = time.monotonic()


def until(what: str, seconds: float, check: object) -> float:
    """Wait until ``check()`` is true; how long that took."""
    began = time.monotonic()
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if callable(check) and check():
                return time.monotonic() - began
        assert time.monotonic() - began < seconds, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")
