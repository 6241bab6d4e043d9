# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a program, or reads a file, and keeps no more of it than it has to: what is cut goes line by line."""

from __future__ import annotations

import contextlib
import os
import selectors
import stat
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..command import NOT_EXECUTABLE, NOT_FOUND, PATH, TIMED_OUT

MEBIBYTE = 2**20
_PIECE = 65536
_ERRORS = 65536


@dataclass(frozen=True)
class Output:
    """What a program printed, as far as it was kept. ``code`` is as of a shell."""

    code: int
    stdout: str = ""
    stderr: str = ""
    cut: bool = False


class _Tail:
    """The last bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size, self.cut = limit, 0, False
        self._pieces: deque[bytes] = deque()

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        while self._size - len(self._pieces[0]) >= self._limit:
            self._size -= len(self._pieces.popleft())
            self.cut = True

    def text(self) -> str:
        data = b"".join(self._pieces)
        if len(data) > self._limit:
            data, self.cut = data[-self._limit :], True
        return text_of(without_torn_line(data) if self.cut else data)


def without_torn_line(data: bytes) -> bytes:
    """What follows the first end of a line. The line before it was cut, and half a secret is not found."""
    return data.partition(b"\n")[2]


def text_of(data: bytes) -> str:
    """Bytes as text; what is no UTF-8 is marked."""
    return data.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def run_bounded(argv: Sequence[str], *, timeout: float = 15, limit: int = 2 * MEBIBYTE, path: str = "") -> Output:
    """Run ``argv`` for at most ``timeout`` seconds and keep the last ``limit`` bytes of its output. Never raises.

    It sees nothing of our environment. What it started stays in our process group, and is ended with the step.
    """
    environment = {"HOME": "/root", "LC_ALL": "C.UTF-8", "PATH": path or PATH}
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
    except FileNotFoundError:
        return Output(NOT_FOUND, "", f"{argv[0]}: command not found")
    except (OSError, ValueError) as error:
        return Output(NOT_EXECUTABLE, "", f"{argv[0]} cannot be run: {error}")
    kept: dict[object, _Tail] = {process.stdout: _Tail(limit), process.stderr: _Tail(_ERRORS)}
    late = not _read(process, kept, time.monotonic() + timeout)
    if late:
        process.kill()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()
    # One that the kernel does not let go is left behind.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=2)
    out, errors = kept[process.stdout], kept[process.stderr]
    text, said = out.text(), errors.text()
    if late:
        text = text[: text.rfind("\n") + 1]
        said = f"{argv[0]} did not end within {timeout:.0f} s"
    return Output(TIMED_OUT if late else process.returncode, text, said, out.cut or late)


def _read(process: subprocess.Popen[bytes], kept: dict[object, _Tail], until: float) -> bool:
    """Read until both ends are closed; False when time is up first."""
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            if stream:
                selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = until - time.monotonic()
            ready = selector.select(max(0.0, left))
            if left <= 0 or not ready:
                return False
            for key, _events in ready:
                piece = os.read(key.fd, _PIECE)
                if piece:
                    kept[key.fileobj].add(piece)
                else:
                    selector.unregister(key.fileobj)
    try:
        process.wait(timeout=max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def read_bounded(path: Path, *, limit: int = MEBIBYTE) -> tuple[bytes, bool]:
    """The last ``limit`` bytes of a regular file, whole lines, and whether that is a part only. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(f"{path} is no regular file")
        begin = max(0, about.st_size - limit)
        os.lseek(handle, begin, os.SEEK_SET)
        data = b""
        while len(data) < limit and (piece := os.read(handle, min(MEBIBYTE, limit - len(data)))):
            data += piece
    finally:
        os.close(handle)
    return (without_torn_line(data), True) if begin else (data, False)


def is_binary(data: bytes) -> bool:
    """Whether this is no text that could be masked."""
    return b"\0" in data or data.decode("utf-8", errors="replace").count("\ufffd") * 10 > max(len(data), 100)
