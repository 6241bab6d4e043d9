# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Leads what a program writes into one or more repositories, and looks at every end of it.

A dump that breaks off looks like one that is short. So no repository hears of its end before the program's exit code,
and what it said, are known to be good.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from .config import BackupError
from .restic import Restic, Sink, output_of, start

CHUNK = 1 << 20


@dataclass(frozen=True)
class Streamed:
    """What went through: size in bytes, hex digest, duration in seconds, and the snapshot in each repository."""

    size: int
    sha256: str
    seconds: float
    snapshots: dict[str, str]
    failures: dict[str, str]


@dataclass(frozen=True)
class Deadline:
    """The moment at which all has to end, on the monotonic clock."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The deadline that is so many seconds away."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        return max(0.1, self.at - time.monotonic())

    def passed(self) -> bool:
        return time.monotonic() >= self.at


@dataclass(frozen=True)
class Producer:
    """A program whose output is saved. `cut` gets the size and what the program said, and returns how many bytes at the
    end (`tail` at most) are none of the data; it raises BackupError where what it said is not good.
    """

    argv: Sequence[str]
    what: str
    tail: int = 0
    cut: Callable[[int, str], int] = lambda _size, _said: 0
    begins: bytes = b""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


def save_stream(
    producer: Producer, repositories: Sequence[Restic], file: str, words: Sequence[str], deadline: Deadline
) -> Streamed:
    """Save the output of a program in every repository. BackupError where it is not whole: no snapshot is made."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = start(producer.argv, producer.environment, stderr=said)
        sinks: list[Sink] = []
        try:
            for restic in repositories:
                sinks.append(restic.open_backup(file, words))
            with watchdog(deadline, process, sinks):
                size, digest = _pump(producer, process, sinks, said)
                if deadline.passed():
                    raise BackupError(f"{producer.what} took too long and was ended. Fix: raise backup_timeout_hours")
                return _finish(sinks, size, digest, began)
        except BaseException:
            for sink in sinks:
                sink.abort()
            raise
        finally:
            end(process)


def _pump(
    producer: Producer, process: subprocess.Popen[bytes], sinks: Sequence[Sink], said: IO[bytes]
) -> tuple[int, str]:
    """Hand all on but the end, judge, then hand on the end. Returns size and digest."""
    digest, size, held, first = hashlib.sha256(), 0, b"", b""

    def hand_on(data: bytes) -> None:
        digest.update(data)
        for sink in sinks:
            sink.write(data)
        if sinks and all(sink.failure for sink in sinks):
            raise sinks[0].failure or BackupError("restic has ended")

    stream = output_of(process)
    while chunk := stream.read(CHUNK):
        size += len(chunk)
        first = (first + chunk)[: len(producer.begins)] if len(first) < len(producer.begins) else first
        held += chunk
        ready = len(held) - producer.tail
        if ready > 0:
            hand_on(held[:ready])
            held = held[ready:]
    code = process.wait()
    said.seek(0)
    words = said.read(1 << 16).decode(errors="replace").strip()
    if code != 0:
        last = words.splitlines()[-1][:300].rstrip(".") if words else f"exit code {code}"
        raise BackupError(f"{producer.what} broke off: {last}. Fix: see to that, then run it again")
    if size == 0 or first != producer.begins:
        raise BackupError(f"{producer.what} gave {size} bytes that are no such dump. Fix: see docker logs of it")
    cut = producer.cut(size, words)
    if cut:
        held = held[:-cut]
        size -= cut
    hand_on(held)
    return size, digest.hexdigest()


def _finish(sinks: Sequence[Sink], size: int, digest: str, began: float) -> Streamed:
    snapshots: dict[str, str] = {}
    failures: dict[str, str] = {}
    for sink in sinks:
        try:
            snapshots[sink.restic.name] = sink.finish()
        except BackupError as error:
            failures[sink.restic.name] = str(error)
    return Streamed(size, digest, round(time.monotonic() - began, 2), snapshots, failures)


@contextlib.contextmanager
def watchdog(deadline: Deadline, process: subprocess.Popen[bytes], sinks: Sequence[Sink] = ()) -> Iterator[None]:
    """At the deadline end all of them, whatever they wait for."""

    def strike() -> None:
        _kill(process)
        for sink in sinks:
            sink.kill()

    timer = threading.Timer(deadline.left(), strike)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started."""
    _kill(process)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def read_back(restic: Restic, snapshot: str, path: str, write: Callable[[bytes], object], deadline: Deadline) -> str:
    """Read one file of a snapshot, hand it to `write`, return its digest. BackupError when it cannot be read whole."""
    digest = hashlib.sha256()
    process = restic.open_dump(snapshot, path)
    try:
        with watchdog(deadline, process):
            stream = output_of(process)
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                write(chunk)
            code = process.wait()
    finally:
        end(process)
    if code != 0:
        raise BackupError(
            f"{path} cannot be read back from the repository '{restic.name}' (restic ended with {code}). "
            "Fix: hypercode backup verify --all tells how much of it is damaged"
        )
    return digest.hexdigest()


def write_back(restic: Restic, snapshot: str, path: str, target: Path, deadline: Deadline) -> str:
    """Read one file of a snapshot into a new file (0600); return its digest."""
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as stream:
        return read_back(restic, snapshot, path, stream.write, deadline)
