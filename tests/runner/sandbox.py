"""The tests of scripts/sandbox: a real sandbox is made, interrupted, deployed to and removed."""

from __future__ import annotations

import sys

from testbed import engine

from . import unit
from .context import Context, begin_log
from .outcome import Outcome, read_lines

TIMEOUT = 1800.0


def run(context: Context) -> Outcome:
    """Run them in order. A Docker engine that was started for this is stopped at the end."""
    log = begin_log(context.output / "sandbox.log")
    report = context.output / "sandbox.xml"
    report.unlink(missing_ok=True)
    context.console.clear()
    engine.install_tools()
    started = not engine.is_running()
    engine.start()
    try:
        code = context.run(
            [sys.executable, "-m", "pytest", "tests/sandbox", f"--junitxml={report}", "--tb=short", "-rfEs", "-x"],
            log,
            timeout=TIMEOUT,
        )
    finally:
        if started:
            context.console.clear()
            engine.stop_if_ours()
    return unit.judge(report, code, read_lines(log))
