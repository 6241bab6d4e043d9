# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says something to a program inside of a running container: over its standard input, never on a command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .command import CommandResult, run_command

# Gets the command and what to say to it.
Teller = Callable[[Sequence[str], str], CommandResult]
TIMEOUT = 60.0


def tell_program(argv: Sequence[str], text: str, *, timeout: float = TIMEOUT) -> CommandResult:
    """Run `argv` with `text` on its standard input. Never raises: what happened is in the exit code."""
    return run_command(argv, timeout=timeout, text=text)


def in_container(container_id: str, *words: str) -> list[str]:
    """Return the command that runs a program in a container and hands our standard input on to it."""
    return ["docker", "exec", "--interactive", container_id, *words]


def last_line(done: CommandResult) -> str:
    """Return the end of what a program said, as one short line without a full stop."""
    words = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return words[-1].strip()[:300].rstrip(".") if words else f"exit code {done.code}"
