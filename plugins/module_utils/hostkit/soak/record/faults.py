# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is broken on purpose during a soak, where that was asked for: each stateless container once, and the host."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...watch.roster import Facts

KILL, REBOOT = "kill", "reboot"
# The first and the last moment for it, and that of the reboot, as shares of the time.
BEGIN, END, REBOOT_AT = 0.25, 0.75, 0.6
# A service, or the host, has so long to be well again; less in a short soak.
PATIENCE = 600.0


def kill_process(pid: int) -> None:
    """End it as a crash does: Docker starts the container again, as it would not where Docker was asked to kill it."""
    os.kill(pid, signal.SIGKILL)


@dataclass
class Faults:
    """Decides what is broken when. `state` is kept between runs of the daemon. Times are seconds since the start."""

    wanted: Mapping[str, Any]
    duration: float
    state: dict[str, Any] = field(default_factory=dict)
    kill: Callable[[int], None] = kill_process

    def __post_init__(self) -> None:
        self.state.setdefault("killed", {})

    @property
    def patience(self) -> float:
        """How long to wait until something is well again, in seconds."""
        return min(PATIENCE, self.duration / 8)

    def due(
        self, elapsed: float, wall: float, known: Iterable[Facts], wanted: Collection[str], quiet: bool
    ) -> list[dict[str, Any]]:
        """Do what is to be done now; the details of the events that tell of it.

        `wanted` are the services that have to be there; `quiet`: nobody is at work on the stack.
        """
        known = list(known)
        events = self._recovered(elapsed, known, wanted)
        if events or self.state.get("broken") or not quiet:
            return events
        if self.wanted.get(REBOOT) and "reboot" not in self.state and elapsed >= REBOOT_AT * self.duration:
            self.state["reboot"] = {"at": elapsed, "wall": wall}
            self.state["broken"] = {"fault": REBOOT, "service": "", "at": elapsed, "wall": wall}
            return [{"event": "fault", "fault": REBOOT, "service": ""}]
        return self._kill_next(elapsed, wall, known) if self.wanted.get(KILL) else []

    def _kill_next(self, elapsed: float, wall: float, known: Iterable[Facts]) -> list[dict[str, Any]]:
        # As the watch judges who may be restarted without harm.
        able = sorted(
            (
                facts
                for facts in known
                if facts.running and facts.pid > 1 and not facts.keeps_data and facts.heal_allowed
            ),
            key=lambda facts: facts.name,
        )
        done: dict[str, float] = self.state["killed"]
        left = [facts for facts in able if facts.name not in done]
        if not left:
            return []
        step = (END - BEGIN) * self.duration / (len(left) + len(done))
        if elapsed < BEGIN * self.duration + len(done) * step or elapsed > END * self.duration:
            return []
        victim = left[0]
        done[victim.name] = elapsed
        try:
            self.kill(victim.pid)
        except OSError:
            return []
        self.state["broken"] = {
            "fault": KILL,
            "service": victim.service,
            "container": victim.id,
            "started": victim.started,
            "at": elapsed,
            "wall": wall,
        }
        return [{"event": "fault", "fault": KILL, "service": victim.service, "container": victim.name}]

    def _recovered(self, elapsed: float, known: Iterable[Facts], wanted: Collection[str]) -> list[dict[str, Any]]:
        broken = self.state.get("broken")
        if not broken:
            return []
        seconds = elapsed - float(broken["at"])
        well = [facts for facts in known if facts.running and facts.health in ("healthy", "none")]
        if broken["fault"] == KILL:
            good = any(
                facts.service == broken["service"]
                and not (facts.id == broken["container"] and facts.started <= broken["started"])
                for facts in well
            )
        else:
            good = bool(broken.get("booted")) and {facts.service for facts in well} >= set(wanted)
        if not good and seconds < self.patience:
            return []
        del self.state["broken"]
        recovered = round(seconds, 1) if good else None
        return [{"event": "fault", "fault": broken["fault"], "service": broken["service"], "recovered": recovered}]

    def booted(self) -> None:
        """The host was started again."""
        if (self.state.get("broken") or {}).get("fault") == REBOOT:
            self.state["broken"]["booted"] = True
