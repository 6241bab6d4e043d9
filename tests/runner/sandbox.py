"""The tests of scripts/sandbox: a real sandbox is made, interrupted, deployed to and removed."""

from __future__ import annotations

import sys

from testbed import hosts

from . import beds, unit
from .context import Context, begin_log
from .outcome import Outcome, read_lines
from .scenarios import FIRST, SECOND

TIMEOUT = 1800.0


def run(context: Context) -> Outcome:
    """Run them in order. A Docker engine that was started for this is stopped at the end."""
    log = begin_log(context.output / "sandbox.log")
    report = context.output / "sandbox.xml"
    report.unlink(missing_ok=True)
    # Scenarios may run beside it, in the first range.
    with beds.ready(context, apart_from=FIRST):
        code = context.run(
            [sys.executable, "-m", "pytest", "tests/sandbox", f"--junitxml={report}", "--tb=short", "-rfEs", "-x"],
            log,
            env={hosts.RANGE_VARIABLE: SECOND},
            timeout=TIMEOUT,
        )
    return unit.judge(report, code, read_lines(log))
