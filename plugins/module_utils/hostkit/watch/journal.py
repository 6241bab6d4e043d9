# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal of the daemon: JSON lines, a file for each day (UTC), never more than so many bytes and days of them.

What stands in it: docs/watch.md. A disk that is full is no reason to stop: lines are counted as lost, and when there
is room again a gap says so.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCHEMA = 1
_NAME = re.compile(r"journal-(\d{8})(?:\.(\d{1,6}))?\.jsonl")
# A part of a day is no larger than that share of all, so that a single long day can be cut too.
_PARTS = 8
_DAY = 86400.0
# How much is read at once when one looks for the last line.
_PIECE = 65536


@dataclass
class Journal:
    """Appends to the files in `folder`. `clock` is in seconds since 1970, `monotonic` in seconds since boot."""

    folder: Path
    boot: str
    days: int
    max_bytes: int
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    # Lines that could not be written, since the daemon was started.
    errors: int = 0

    def __post_init__(self) -> None:
        self._lost, self._lost_since, self._why = 0, 0.0, ""
        self._path: Path | None = None
        self._size = 0

    def line(self, kind: str, **details: Any) -> dict[str, Any]:
        """A line of now, to be written."""
        stamps = {"time": round(self.clock(), 3), "monotonic": round(self.monotonic(), 3), "boot": self.boot}
        return {"schema": SCHEMA, "kind": kind, **stamps, **details}

    def write(self, lines: Sequence[dict[str, Any]]) -> bool:
        """Append lines, all of them or none. False when that was not possible: they are counted and gone."""
        if not lines:
            return True
        batch = list(lines)
        if self._lost:
            gap = {"from": round(self._lost_since, 3), "to": round(self.clock(), 3), "lost": self._lost}
            batch.insert(0, self.line("gap", reason="journal", detail=self._why, **gap))
        try:
            self._append(b"".join(_encoded(line) for line in batch))
        except OSError as error:
            # Its folder may be gone: at the next line it is made again.
            self._path = None
            if not self._lost:
                self._lost_since, self._why = self.clock(), error.strerror or str(error)
            self._lost += len(lines)
            self.errors += len(lines)
            return False
        self._lost = 0
        return True

    def _append(self, data: bytes) -> None:
        path = self._file(len(data))
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            size = os.lseek(handle, 0, os.SEEK_END)
            # A line that was torn by a power cut ends here, so that this one can be read.
            if size and os.pread(handle, 1, size - 1) != b"\n":
                data = b"\n" + data
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(handle, left) :]
                os.fsync(handle)
            except OSError:
                # Nothing of it stays: what is counted as lost must not be read one day.
                with suppress(OSError):
                    os.ftruncate(handle, size)
                raise
            self._size = size + len(data)
        finally:
            os.close(handle)

    def _file(self, more: int) -> Path:
        """The file to append to. At a new one, those that are too old or too many are removed."""
        day = time.strftime("%Y%m%d", time.gmtime(self.clock()))
        part = self.max_bytes // _PARTS
        if self._path is None or _key(self._path)[0] != day or self._size + more > part:
            self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            files = journal_files(self.folder)
            newest = next((path for path in reversed(files) if _key(path)[0] == day), None)
            if newest is None:
                self._path = self.folder / f"journal-{day}.jsonl"
            elif newest.stat().st_size + more > part:
                self._path = self.folder / f"journal-{day}.{_key(newest)[1] + 1}.jsonl"
            else:
                self._path = newest
            self._prune(files)
        return self._path

    def _prune(self, files: Sequence[Path]) -> None:
        oldest = time.strftime("%Y%m%d", time.gmtime(self.clock() - self.days * _DAY))
        room = self.max_bytes - self.max_bytes // _PARTS
        for path in reversed(files):
            if path == self._path:
                continue
            size = path.stat().st_size
            room -= size
            if room < 0 or _key(path)[0] < oldest:
                room += size
                path.unlink(missing_ok=True)

    def last(self) -> dict[str, Any] | None:
        """The last whole line there is; None when there is none."""
        for path in reversed(journal_files(self.folder)):
            line = last_line(path)
            if line:
                return line
        return None


def _key(path: Path) -> tuple[str, int]:
    """Day and part of a file, which is their order."""
    found = _NAME.fullmatch(path.name)
    return (found[1], int(found[2] or 0)) if found else ("", 0)


def journal_files(folder: Path) -> list[Path]:
    """The files of a journal, the oldest first."""
    try:
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    except OSError:
        return []
    return sorted(found, key=_key)


def read_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """Every line of the journal that can be read, the oldest first. Torn ones are left out. It takes little memory."""
    for path in journal_files(folder):
        with suppress(OSError), path.open("rb") as stream:
            for text in stream:
                line = decoded(text)
                if line is not None:
                    yield line


def last_line(path: Path) -> dict[str, Any] | None:
    """The last whole line of a file; None when there is none, or no file."""
    with suppress(OSError), path.open("rb") as stream:
        end, tail = stream.seek(0, os.SEEK_END), b""
        while end > 0:
            begin = max(0, end - _PIECE)
            stream.seek(begin)
            tail = stream.read(end - begin) + tail
            end = begin
            # What stands before the first end of a line may be the rest of one.
            for text in reversed(tail.split(b"\n")[1 if begin else 0 :]):
                line = decoded(text)
                if line is not None:
                    return line
    return None


def decoded(text: bytes) -> dict[str, Any] | None:
    """A line of a journal; None for one that is torn or something else."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and isinstance(line.get("kind"), str) else None


def _encoded(line: dict[str, Any]) -> bytes:
    # Only ASCII: whatever a container is called, a line is one line.
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
