"""Child processes: each in a process group of its own, its output in a log, all of them stopped together."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

POLL = 0.2
# What a group is sent, and how many seconds it gets to end.
LEFTOVER = 2.0
STEPS = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


class Stopped(Exception):
    """Nothing more is started: the user has stopped the run."""


class Children:
    """The processes that run now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopping = False

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        tick: Callable[[], None] | None = None,
        timeout: float = 1800,
    ) -> int:
        """Run a command with its output appended to the log; return its exit code, 124 after a time-out."""
        words = [str(word) for word in argv]
        log.parent.mkdir(parents=True, exist_ok=True)
        # A file, not a pipe: a process that a test leaves behind would keep a pipe open and the run waiting.
        with log.open("ab") as stream:
            stream.write(f"$ {shlex.join(words)}\n".encode())
            stream.flush()
            with self._lock:
                if self._stopping:
                    raise Stopped
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env={**plain_environment(), **(env or {})},
                    start_new_session=True,
                )
                self._running.add(process)
            try:
                return self._wait(process, stream.fileno(), tick, timeout)
            except BaseException:
                _stop({process})
                raise
            finally:
                with self._lock:
                    self._running.discard(process)

    def _wait(self, process: subprocess.Popen[bytes], log: int, tick: Callable[[], None] | None, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while process.poll() is None:
            if time.monotonic() > deadline:
                os.write(log, f"\nStopped: it did not finish within {timeout:.0f} s.\n".encode())
                _stop({process})
                return 124
            if tick:
                tick()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(POLL)
        return process.returncode

    def stop(self) -> None:
        """End every process group, gently first; no new process starts after this."""
        with self._lock:
            self._stopping = True
            running = set(self._running)
        _stop(running)


def _stop(processes: set[subprocess.Popen[bytes]]) -> None:
    for number, patience in STEPS:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        deadline = time.monotonic() + patience
        # What the children started may be dead and only waiting for an init that never looks.
        leftover = time.monotonic() + min(patience, LEFTOVER)
        while any(_group_lives(process) for process in processes) and time.monotonic() < deadline:
            if time.monotonic() > leftover and all(process.poll() is not None for process in processes):
                break
            time.sleep(0.05)


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    """Say whether anyone is left in the group: what the child started can outlive it."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def plain_environment() -> dict[str, str]:
    """Return the environment with every tool told to write plain text, at once."""
    forced = ("FORCE_COLOR", "CLICOLOR_FORCE", "ANSIBLE_FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in forced}
    return {**kept, "NO_COLOR": "1", "PY_COLORS": "0", "ANSIBLE_NOCOLOR": "1", "PYTHONUNBUFFERED": "1"}
