# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the edge answers to those outside, read from its access log: how many requests of each site, how many failed."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from .layout import LOGS, Paths

ACCESS_LOG = f"{LOGS}/access.log"
# How much of the log is read to know how it was before, at most.
TAIL_BYTES = 4 * 2**20
FAILURE = 500


@dataclass
class Tally:
    """Requests and failed ones (status 500 and above), by site."""

    requests: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, host: str, status: int) -> None:
        self.requests[host] += 1
        if status >= FAILURE:
            self.failures[host] += 1

    def ratio(self, host: str) -> float:
        """The share of failed requests of a site, 0 to 1; 0 where nothing was asked."""
        return self.failures[host] / self.requests[host] if self.requests[host] else 0.0


class Answers:
    """Follows the access log from the moment at which it is made, also over its rotation.

    Requests for the path ``leave_out`` do not count: the edge answers load balancers there, and not always with 200.
    """

    def __init__(self, paths: Paths | None = None, leave_out: str = "") -> None:
        self._leave_out = leave_out
        self._path = (paths or Paths()).at(ACCESS_LOG)
        self._stream: BinaryIO | None = None
        self._open()
        self._rest = b""
        if self._stream:
            self._stream.seek(0, 2)

    def before(self, since: float) -> Tally:
        """What was answered from ``since`` (epoch seconds) until this was made, as far as the end of the log tells."""
        tally = Tally()
        with contextlib.suppress(OSError), self._path.open("rb") as stream:
            end = self._stream.tell() if self._stream else stream.seek(0, 2)
            stream.seek(max(0, end - TAIL_BYTES))
            data = stream.read(end - stream.tell())
            for line in data.split(b"\n"):
                self._count(line, tally, since)
        return tally

    def news(self) -> Tally:
        """What was answered since the last time that this was asked."""
        tally = Tally()
        for line in self._lines():
            self._count(line, tally)
        return tally

    def close(self) -> None:
        if self._stream:
            self._stream.close()
            self._stream = None

    def _open(self) -> None:
        with contextlib.suppress(OSError):
            self._stream = self._path.open("rb")

    def _lines(self) -> Iterator[bytes]:
        if self._stream:
            yield from self._read(self._stream)
        if self._has_moved():
            # What was still written to the old file has been read; the new one counts from its first line.
            self.close()
            self._rest = b""
            self._open()
            if self._stream:
                yield from self._read(self._stream)

    def _read(self, stream: BinaryIO) -> Iterator[bytes]:
        *lines, self._rest = (self._rest + stream.read()).split(b"\n")
        yield from lines

    def _count(self, line: bytes, tally: Tally, since: float = 0.0) -> None:
        """Add a line of the log; one that is no request, or torn, is left out."""
        try:
            entry = json.loads(line)
            asked, status, moment = entry["request"], int(entry["status"]), float(entry["ts"])
            host, path = str(asked["host"]), str(asked.get("uri", "")).partition("?")[0]
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if moment >= since and (not self._leave_out or path != self._leave_out):
            tally.add(_name_of(host), status)

    def _has_moved(self) -> bool:
        try:
            there = self._path.stat()
        except OSError:
            return False
        if self._stream is None:
            return True
        here = Path(f"/proc/self/fd/{self._stream.fileno()}").stat()
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino) or there.st_size < self._stream.tell()


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    name = host.lower()
    return name if name.endswith("]") else name.rpartition(":")[0] or name
