# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a step in a process of its own, which is ended when its time is up: what hangs holds nobody."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .entries import Absent, Entries, Entry, File, Problem

# More than this from one step is too much to be masked in memory.
MOST = 64 * 2**20
_KINDS: dict[str, type[Entry]] = {kind.__name__: kind for kind in (File, Problem, Absent)}
_PIECE = 2**20
Isolate = Callable[[Callable[[], Entries], float], list[Entry]]


def run_here(work: Callable[[], Entries], _limit: float) -> list[Entry]:
    """Run a step in this process. Never raises."""
    found: list[Entry] = []
    try:
        found.extend(work())
    except Exception as error:  # A step that fails is a line in the index.
        found.append(Problem(_said(error)))
    return found


def run_apart(work: Callable[[], Entries], limit: float) -> list[Entry]:
    """Run a step in its own process for at most ``limit`` seconds. What it gave until then counts. Never raises."""
    try:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        child = os.fork()
    except OSError as error:
        return [Problem(f"no process for it could be made: {error.strerror}")]
    if child == 0:
        _work_and_die(work, reading, writing)
    os.close(writing)
    try:
        data, why = _read(reading, limit)
    except BaseException:
        _end(child)
        raise
    finally:
        os.close(reading)
    _end(child)
    return [*_entries(data), *([Problem(why)] if why else [])]


def _work_and_die(work: Callable[[], Entries], reading: int, writing: int) -> None:
    code = 1
    try:
        os.close(reading)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        for entry in _safely(work):
            line = json.dumps({"kind": type(entry).__name__, **dataclasses.asdict(entry)}) + "\n"
            left = memoryview(line.encode())
            while left:
                left = left[os.write(writing, left) :]
        os.write(writing, b"end\n")
        code = 0
    finally:
        os._exit(code)


def _safely(work: Callable[[], Entries]) -> Iterable[Entry]:
    try:
        yield from work()
    except Exception as error:
        yield Problem(_said(error))


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _read(reading: int, limit: float) -> tuple[bytes, str]:
    until, data = time.monotonic() + limit, bytearray()
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            return bytes(data), f"it took longer than {limit:.0f} s"
        piece = os.read(reading, _PIECE)
        data += piece
        if len(data) > MOST:
            return bytes(data), "it gave more than can be looked through"
        if not piece:
            return bytes(data), "" if data.endswith(b"end\n") else "its process was ended"


def _entries(data: bytes) -> Iterable[Entry]:
    for line in data.split(b"\n"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            document: dict[str, Any] = json.loads(line)
            yield _KINDS[document.pop("kind")](**document)


def _end(child: int) -> None:
    """End a step and all that it has started. One that the kernel does not let go is left behind."""
    for process in [child, *_descendants(child)]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)
    for _try in range(200):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(child, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
                continue
        return


def _descendants(process: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name of a program stands in brackets and may hold anything.
            parent = int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    found, todo = [], [process]
    while todo:
        for child in parents.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found
