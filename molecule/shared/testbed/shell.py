"""Running commands and telling the user what happens, in one plain line a step."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path


class TestbedError(Exception):
    """Something the user can act on: what happened, where, and the fix."""

    __test__ = False


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    stdin: str | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 900,
) -> subprocess.CompletedProcess[str]:
    """Run a command, output captured. On failure raise TestbedError with the last lines that it printed."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            timeout=timeout,
            env={**os.environ, **(env or {})},
        )
    except FileNotFoundError as error:
        raise TestbedError(f"The command '{words[0]}' is not installed.") from error
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"'{' '.join(words[:4])}' did not finish within {timeout:.0f} s.") from error
    if check and done.returncode != 0:
        tail = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-15:])
        raise TestbedError(f"'{' '.join(words[:6])}' failed with exit code {done.returncode}:\n{tail}")
    return done


def docker(*words: str | Path, check: bool = True, stdin: str | None = None, timeout: float = 900) -> str:
    """Run the docker client; return what it printed, stripped."""
    # The classic builder: buildx is an extra package that a plain Debian machine does not have.
    return run(
        ["docker", *words], check=check, stdin=stdin, timeout=timeout, env={"DOCKER_BUILDKIT": "0"}
    ).stdout.strip()


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Say what is being done, and how long it took. What runs beside it says nothing: two make no readable line."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    start = time.monotonic()
    print(f"  {text} ...", end="", flush=True)
    try:
        yield
    except BaseException:
        print(" FAILED", flush=True)
        raise
    print(f" {time.monotonic() - start:.0f} s", flush=True)


def say(text: str) -> None:
    print(text, flush=True)


def fail(text: str) -> None:
    print(f"\nERROR  {text}", file=sys.stderr, flush=True)
