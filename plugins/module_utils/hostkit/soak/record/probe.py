# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks all the time, in a thread of its own: one connection for each request, none of which waits for another one.

It speaks HTTP/1.1 by itself: a request is a few hundred bytes, and this is there for a day.
"""

from __future__ import annotations

import heapq
import math
import os
import selectors
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...backup.stack import POSTGRES, REDIS
from .targets import HTTPS, Place, Target

# How much of an answer is looked at, and for how long one waits for the rest of it, politely.
_MOST, _REST = 65536, 2.0
# Requests under way at once: of all, and of one target. What is beyond is not asked at all, and counts for nothing.
AT_ONCE, EACH = 128, 16
_BASE = math.log(1.1)
# Asked so before anything else, a Postgres says whether it can do TLS (SSLRequest), and a Redis answers something.
_POSTGRES = b"\0\0\0\x08\x04\xd2\x16\x2f"
_REDIS = b"PING\r\n"
_TLS_READS, _TLS_WRITES = "SSLWantReadError", "SSLWantWriteError"


@dataclass
class Count:
    """What came of the requests to one target."""

    requests: int = 0
    failures: int = 0
    latency: dict[int, int] = field(default_factory=dict)

    def add(self, seconds: float) -> None:
        """One that did not fail."""
        self.requests += 1
        bucket = bucket_of(seconds)
        self.latency[bucket] = self.latency.get(bucket, 0) + 1


def bucket_of(seconds: float) -> int:
    """The number i that stands for up to 1.1 ** i milliseconds."""
    return math.ceil(math.log(max(seconds, 1e-6) * 1000) / _BASE)


@dataclass(frozen=True)
class Failure:
    """A request that failed. Whether it counts is for others to say: who was asked may be gone, as was meant."""

    target: Target
    place: Place | None
    at: float
    why: str


class _Ask:
    """One request, from the first byte to the last. Times by the monotonic clock."""

    def __init__(self, target: Target, place: Place, began: float, timeout: float, tls: Any) -> None:
        self.target, self.place, self.began, self.ends = target, place, began, began + timeout
        self._out = _words(target)
        self._in = b""
        self.seconds: float | None = None
        family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
        self.socket: Any = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        # It stays the same, whatever wraps the socket, and when it is closed.
        self.number = int(self.socket.fileno())
        self._tls = tls
        self._shaken = tls is None
        self.waits_for = selectors.EVENT_WRITE
        try:
            self.socket.connect((place.address, target.port))
        except BlockingIOError:
            pass
        except OSError:
            self.socket.close()
            raise

    def go_on(self, now: float) -> bool:
        """Do what can be done now; True when it is over. OSError when it has failed."""
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        try:
            if not self._shaken:
                self._shake()
            if self._out:
                self._out = self._out[self.socket.send(self._out) :]
                self.waits_for = selectors.EVENT_WRITE if self._out else selectors.EVENT_READ
                if self._out:
                    return False
            return self._take(now)
        except OSError as error:
            if not _waits(error):
                raise
            # TLS may want to read before it can write, and the other way round.
            writes = type(error).__name__ == _TLS_WRITES or (bool(self._out) and type(error).__name__ != _TLS_READS)
            self.waits_for = selectors.EVENT_WRITE if writes else selectors.EVENT_READ
            return False

    def _shake(self) -> None:
        if self._tls is not None:
            self.socket = self._tls.wrap_socket(
                self.socket, server_hostname=self.target.host, do_handshake_on_connect=False
            )
            self._tls = None
        self.socket.do_handshake()
        self._shaken = True

    def _take(self, now: float) -> bool:
        self.waits_for = selectors.EVENT_READ
        while True:
            try:
                piece = self.socket.recv(16384)
            except OSError as error:
                if self.seconds is None or _waits(error):
                    raise
                return True
            self._in += piece
            if self.seconds is None and self._judge():
                self.seconds, self.ends = now - self.began, min(self.ends, now + _REST)
            if not piece and self.seconds is None:
                raise OSError("the connection was closed without an answer")
            if not piece or len(self._in) > _MOST or (self.seconds is not None and self._whole()):
                return True

    def _judge(self) -> bool:
        """Whether the answer is there. OSError for a bad one."""
        if self.target.kind == REDIS:
            if self._in and self._in[:1] not in b"+-":
                raise OSError("no answer of a Redis")
            return b"\r\n" in self._in
        if self.target.kind == POSTGRES:
            if self._in and self._in[:1] not in b"SN":
                raise OSError("no answer of a Postgres")
            return bool(self._in)
        if b"\r\n\r\n" not in self._in:
            return False
        words = self._in[:64].split(b" ", 2)
        if not words[0].startswith(b"HTTP/") or len(words) < 2 or not words[1][:3].isdigit():
            raise OSError("no answer in HTTP")
        status = int(words[1][:3])
        if status >= 500:
            raise OSError(f"status {status}")
        return True

    def _whole(self) -> bool:
        if self.target.kind in (REDIS, POSTGRES):
            return True
        head, _end, body = self._in.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            name, _colon, value = line.partition(b":")
            if name.lower() == b"content-length" and value.strip().isdigit():
                return len(body) >= int(value)
        return False

    def close(self) -> None:
        self.socket.close()


def _waits(error: OSError) -> bool:
    """Whether it only has to wait. The names are those of the module ssl, which is imported where it is used."""
    return isinstance(error, BlockingIOError | InterruptedError) or type(error).__name__ in (_TLS_READS, _TLS_WRITES)


def _words(target: Target) -> bytes:
    if target.kind == REDIS:
        return _REDIS
    if target.kind == POSTGRES:
        return _POSTGRES
    head = f"GET {target.path} HTTP/1.1\r\nHost: {target.host}\r\n"
    return (head + "User-Agent: hypercode-soak\r\nAccept: */*\r\nConnection: close\r\n\r\n").encode()


class Prober:
    """Asks each target every `interval` seconds, spread over that time, until it is ended."""

    def __init__(self, interval: float, timeout: float, wake: threading.Event | None = None) -> None:
        self.interval, self.timeout = interval, timeout
        # Set when something failed.
        self.wake = wake or threading.Event()
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._targets: dict[tuple[str, str], Target] = {}
        self._due: list[tuple[float, tuple[str, str]]] = []
        self._counts: dict[tuple[str, str], Count] = {}
        self._failures: list[Failure] = []
        self._turn: dict[tuple[str, str], int] = {}
        # Those that have answered well once.
        self.proven: set[tuple[str, str]] = set()
        self._asks: dict[int, _Ask] = {}
        self._tls: Any = None
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self.run, name="probes", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.ended.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def set_targets(self, targets: Iterable[Target]) -> None:
        """Ask these from now on. One that is new is asked soon, each at a moment of its own."""
        found = {target.key: target for target in targets}
        now = time.monotonic()
        with self._lock:
            fresh = [key for key in found if key not in self._targets]
            for number, key in enumerate(fresh):
                heapq.heappush(self._due, (now + self.interval * number / max(1, len(fresh)), key))
            self._targets = found
            self._due = [entry for entry in self._due if entry[1] in found]
            heapq.heapify(self._due)

    def take(self) -> dict[tuple[str, str], Count]:
        """What came since the last time."""
        with self._lock:
            counts, self._counts = self._counts, {}
        return counts

    def failures(self) -> list[Failure]:
        """The requests that failed since the last time, none of which is counted yet."""
        with self._lock:
            failures, self._failures = self._failures, []
        return failures

    def count_failures(self, failures: Sequence[Failure]) -> None:
        """These count."""
        with self._lock:
            for failure in failures:
                count = self._counts.setdefault(failure.target.key, Count())
                count.requests += 1
                count.failures += 1

    # --- the thread -------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Ask until it is ended."""
        while not self.ended.is_set():
            now = time.monotonic()
            self._begin(now)
            for key, _events in self._selector.select(self._pause(now)):
                self._go_on(self._asks[key.fd])
            self._give_up(time.monotonic())
        for ask in list(self._asks.values()):
            self._drop(ask)
        self._selector.close()

    def _pause(self, now: float) -> float:
        with self._lock:
            until = min(self._due[0][0] if self._due else now + 0.5, now + 0.5)
        ends = min((ask.ends for ask in self._asks.values()), default=until)
        return max(0.0, min(until, ends) - now)

    def _begin(self, now: float) -> None:
        while True:
            with self._lock:
                if not self._due or self._due[0][0] > now:
                    return
                due, key = heapq.heappop(self._due)
                # One that is late is not asked twice at once to make up for it.
                heapq.heappush(self._due, (max(due + self.interval, now), key))
                target = self._targets[key]
            self._ask(target, now)

    def _ask(self, target: Target, now: float) -> None:
        under_way = sum(ask.target.key == target.key for ask in self._asks.values())
        if len(self._asks) >= AT_ONCE or under_way >= EACH:
            return
        if not target.places:
            self._fail(target, None, "nobody is there")
            return
        turn = self._turn[target.key] = self._turn.get(target.key, -1) + 1
        place = target.places[turn % len(target.places)]
        try:
            ask = _Ask(target, place, now, self.timeout, self._context() if target.kind == HTTPS else None)
        except OSError as error:
            self._fail(target, place, error.strerror or str(error))
            return
        self._asks[ask.number] = ask
        self._selector.register(ask.number, ask.waits_for)

    def _context(self) -> Any:
        """Whose certificate it is, is looked at elsewhere: here the question is whether it answers."""
        if self._tls is None:
            import ssl  # noqa: PLC0415  It takes 4 MB, and only who has an edge needs it.

            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
        return self._tls

    def _go_on(self, ask: _Ask) -> None:
        before = ask.waits_for
        try:
            over = ask.go_on(time.monotonic())
        except (OSError, ValueError) as error:
            # A name that no TLS takes is a ValueError.
            self._drop(ask)
            if ask.seconds is None:
                why = getattr(error, "strerror", None) or str(error) or type(error).__name__
                self._fail(ask.target, ask.place, why)
            else:
                self._succeed(ask)
            return
        if over:
            self._drop(ask)
            self._succeed(ask)
        elif ask.waits_for != before:
            self._selector.modify(ask.number, ask.waits_for)

    def _give_up(self, now: float) -> None:
        for ask in [ask for ask in self._asks.values() if ask.ends <= now]:
            self._drop(ask)
            if ask.seconds is not None:
                self._succeed(ask)
            else:
                self._fail(ask.target, ask.place, f"no answer within {self.timeout:g} s")

    def _drop(self, ask: _Ask) -> None:
        self._selector.unregister(ask.number)
        self._asks.pop(ask.number, None)
        ask.close()

    def _succeed(self, ask: _Ask) -> None:
        with self._lock:
            self.proven.add(ask.target.key)
            self._counts.setdefault(ask.target.key, Count()).add(ask.seconds or 0.0)

    def _fail(self, target: Target, place: Place | None, why: str) -> None:
        with self._lock:
            if target.declared or target.key in self.proven:
                self._failures.append(Failure(target, place, time.monotonic(), why))
                self.wake.set()
