# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts `hypercode limits` under systemd, so that it goes on while the controller does something else, and ends it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .command import CommandResult, run_command
from .limits_watch import Bounds

UNIT = "hypercode-limits-watch"
HOST_COMMAND = Path("/usr/local/bin/hypercode")
REPORT = Path("/var/lib/hypercode/load_test/limits.json")
# So long may the first look at all containers take.
PATIENCE = 30.0
POLL = 0.2


class WatchError(Exception):
    """The watch cannot be started, or has left no report. The text says why and the fix."""


@dataclass(frozen=True)
class WatchUnit:
    """The watch as a transient unit. Runner, clock, sleep and places are injected."""

    run: Callable[..., CommandResult] = run_command
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    host_command: Path = HOST_COMMAND
    report: Path = REPORT

    def start(self, seconds: float, bounds: Bounds) -> None:
        """Start it, to end by itself after so long; return when it has looked at every container. Raises WatchError."""
        if not self.host_command.exists():
            raise WatchError("The host command is missing, which watches the limits. Fix: run site.yml for this host")
        if self._is_active():
            raise WatchError(
                f"Another load test watches this host. Fix: wait for its end, or on the host: systemctl stop {UNIT}"
            )
        self.report.unlink(missing_ok=True)
        done = self.run(
            [
                *("systemd-run", "--quiet", "--collect", f"--unit={UNIT}", str(self.host_command), "limits"),
                *("--seconds", f"{seconds:g}", "--memory-share", f"{bounds.memory:g}"),
                *("--throttled-share", f"{bounds.throttled:g}", "--report", str(self.report)),
            ],
            timeout=30,
        )
        if done.code != 0:
            reason = " ".join(done.stderr.split()).rstrip(".") or f"exit code {done.code}"
            raise WatchError(f"systemd did not start the watch: {reason}. Fix: see systemctl status, then run it again")
        until = self.clock() + PATIENCE
        while not self.report.exists():
            if self.clock() > until or not self._is_active():
                raise WatchError(
                    "The watch has not begun. Fix: run site.yml, where the programs on the host are older than this "
                    f"playbook; else, on the host, journalctl --unit {UNIT} says why"
                )
            self.sleep(POLL)

    def stop(self) -> dict[str, Any]:
        """End it and return its report. Raises WatchError where it was cut off before it could write one."""
        self.run(["systemctl", "stop", f"{UNIT}.service"], timeout=100)
        try:
            found = json.loads(self.report.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            found = {}
        if "held" not in found:
            raise WatchError(
                f"The watch ended without a report, so nobody knows whether the limits held. Fix: on the host, "
                f"journalctl --unit {UNIT} says why; then run it again"
            )
        return dict(found)

    def _is_active(self) -> bool:
        return self.run(["systemctl", "is-active", "--quiet", f"{UNIT}.service"], timeout=30).code == 0
