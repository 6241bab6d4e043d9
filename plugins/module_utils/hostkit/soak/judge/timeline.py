# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The time of each line, by a clock that nobody sets.

Within one boot only `monotonic` counts. From one boot to the next the wall clock says how long the host was away.
So a wall clock that is set moves nothing: it is mentioned, and that is all.
"""

from __future__ import annotations

from typing import Any

from ..numbers import number

# A wall clock that moves by less against the other one is being adjusted, not set.
_SET = 2.0
# Nothing of a soak is later than that: 40 days.
LATEST = 40 * 86400.0


class Timeline:
    """Tells when a line was written, in seconds after the first."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.boots: list[tuple[float, str]] = []
        # Of each boot: what to add to `monotonic`.
        self._offsets: dict[str, float] = {}
        # Of each boot: the wall clock less the steady one.
        self._walls: dict[str, float] = {}
        self._latest = 0.0
        self._latest_wall = 0.0
        # Each time that the wall clock was set: when, and by how much.
        self.jumps: list[tuple[float, float]] = []
        self.backwards = 0

    def place(self, line: dict[str, Any]) -> float | None:
        """Seconds after the first line; None for a line without a time that makes sense."""
        wall, steady, boot = number(line.get("time")), number(line.get("monotonic")), line.get("boot")
        if wall is None or not 0 < wall < 1e11:
            return None
        if self.began is None:
            self.began = self._latest_wall = wall
        if steady is None or steady < 0 or not isinstance(boot, str) or not boot:
            at = wall - self.began
        elif boot in self._offsets:
            at = self._offsets[boot] + steady
            moved = (wall - steady) - self._walls[boot]
            if abs(moved) > _SET and at >= self._latest:
                self.jumps.append((at, moved))
                self._walls[boot] = wall - steady
        else:
            away = wall - self._latest_wall
            if away < 0 and self._offsets:
                self.backwards += 1
            at = self._latest + max(0.0, away)
            self._offsets[boot] = at - steady
            self._walls[boot] = wall - steady
            self.boots.append((at, boot))
        if not -LATEST < at < LATEST:
            return None
        if at >= self._latest:
            self._latest, self._latest_wall = at, wall
        return at

    def of_wall(self, wall: object, line: dict[str, Any], at: float) -> float | None:
        """The time of something that a line tells with a wall clock time of its own."""
        there, then = number(line.get("time")), number(wall)
        if there is None or then is None:
            return None
        return at + then - there
