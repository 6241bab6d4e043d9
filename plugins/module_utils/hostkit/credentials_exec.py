# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says something to a program inside of a running container: over its standard input, never on a command line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence

from .command import NOT_EXECUTABLE, NOT_FOUND, PATH, TIMED_OUT, CommandResult

# Gets the command and what to say to it.
Teller = Callable[[Sequence[str], str], CommandResult]
TIMEOUT = 60.0


def tell_program(argv: Sequence[str], text: str, *, timeout: float = TIMEOUT) -> CommandResult:
    """Run `argv` with `text` on its standard input. Never raises: what happened is in the exit code."""
    try:
        done = subprocess.run(
            list(argv),
            input=text.encode("utf-8", errors="surrogateescape"),
            capture_output=True,
            timeout=timeout,
            env={**os.environ, "LC_ALL": "C.UTF-8", "PATH": PATH},
            start_new_session=True,
            check=False,
        )
    except FileNotFoundError:
        return CommandResult(NOT_FOUND, "", f"{argv[0]}: command not found")
    except OSError as error:
        return CommandResult(NOT_EXECUTABLE, "", f"{argv[0]} cannot be run: {error.strerror}")
    except subprocess.TimeoutExpired:
        return CommandResult(TIMED_OUT, "", f"{argv[0]} did not end within {timeout:.0f} s")
    return CommandResult(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def in_container(container_id: str, *words: str) -> list[str]:
    """Return the command that runs a program in a container and hands our standard input on to it."""
    return ["docker", "exec", "--interactive", container_id, *words]


def last_line(done: CommandResult) -> str:
    """Return the end of what a program said, as one short line without a full stop."""
    words = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return words[-1].strip()[:300].rstrip(".") if words else f"exit code {done.code}"
