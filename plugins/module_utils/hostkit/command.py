# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs one program without a shell and never raises: what happened is in the exit code, as a shell would say it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TIMED_OUT = 124
NOT_EXECUTABLE = 126
NOT_FOUND = 127

# What an operator's root shell has; cron and some logins leave the sbin folders out.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class CommandResult:
    """Exit code and what the program printed."""

    code: int
    stdout: str = ""
    stderr: str = ""


def run_command(
    argv: Sequence[str],
    *,
    timeout: float,
    environment: Mapping[str, str] | None = None,
    inherit: bool = True,
    text: str | None = None,
) -> CommandResult:
    """Run `argv` for at most `timeout` seconds, messages untranslated, `text` or nothing on its standard input.

    With `inherit` false the program sees nothing of this process's environment but HOME.
    """
    inherited = os.environ if inherit else {"HOME": os.environ.get("HOME", "/root")}
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**inherited, "LC_ALL": "C.UTF-8", "PATH": PATH, **(environment or {})},
            # A group of its own, so that what it started can be ended with it.
            start_new_session=True,
        )
    except FileNotFoundError:
        return CommandResult(NOT_FOUND, "", f"{argv[0]}: command not found")
    except OSError as error:
        return CommandResult(NOT_EXECUTABLE, "", f"{argv[0]} cannot be run: {error.strerror}")
    except ValueError as error:
        return CommandResult(NOT_EXECUTABLE, "", f"{argv[0]} cannot be run: {error}")
    with process:
        try:
            # What came in undecodable goes out as it was.
            data = None if text is None else text.encode("utf-8", errors="surrogateescape")
            stdout, stderr = process.communicate(data, timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            return CommandResult(TIMED_OUT, "", f"{argv[0]} did not end within {timeout:.0f} s")
        except BaseException:
            _kill(process)
            raise
    return CommandResult(process.returncode, _decoded(stdout), _decoded(stderr))


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started: a plugin that it left behind would go on working."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
