# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts the process that makes the load, passes on how it goes, and returns what it measured."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .job import Job

GENERATOR = Path(__file__).with_name("generator.py")
_LINE = 300


class LoadError(Exception):
    """No load could be made. The text says why and the fix."""


def put_load(job: Job, show: Callable[[Mapping[str, Any]], None], program: Path = GENERATOR) -> dict[str, Any]:
    """Do the job; call `show` with each progress; return the result. Raises LoadError."""
    if importlib.util.find_spec("locust") is None:
        raise LoadError(
            "Locust, which makes the load, is not installed. Fix: pip install --require-hashes -r requirements.lock"
        )
    process = subprocess.Popen(
        # Without its own folder on the path: there nothing must hide a module of somebody else.
        [sys.executable, "-P", str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"},
        start_new_session=True,
    )
    timer = threading.Timer(job.seconds_at_most, _kill, [process])
    timer.start()
    try:
        result, said = _listen(process, job, show)
    finally:
        timer.cancel()
        _kill(process)
        process.wait()
    if result is None:
        raise LoadError(
            f"The process that makes the load ended without a result (exit code {process.returncode}): {said}. "
            "Fix: install the packages of this project again: pip install --require-hashes -r requirements.lock"
        )
    return result


def _listen(
    process: subprocess.Popen[bytes], job: Job, show: Callable[[Mapping[str, Any]], None]
) -> tuple[dict[str, Any] | None, str]:
    """Hand over the job and read until the end; the result, and the last line of what went wrong."""
    if process.stdin is None or process.stdout is None:
        return None, "it has no pipes"
    errors: list[bytes] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
    reader.start()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(job.as_input()).encode())
        process.stdin.close()
    result = None
    for line in process.stdout:
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if "progress" in document:
            show(document["progress"])
        result = document.get("result", result)
    process.wait()
    reader.join(timeout=2)
    last = next((text for text in reversed(b"".join(errors).decode(errors="replace").splitlines()) if text.strip()), "")
    if job.password:
        last = last.replace(job.password, "***")
    return result, last.strip()[:_LINE] or "it said nothing"


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
