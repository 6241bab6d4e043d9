# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The trial of new containers: they have to stay up, and to pass three checks in a row, before they take over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .engine import EngineError
from .probes import complaints
from .readiness import Outcome, patient_look
from .stack_state import Row, Start

# So many checks in a row have to be passed; so many in a row that failed are enough to refuse.
CHECKS = 3
LEAST_GAP = 1.0


@dataclass
class Trial:
    """Watches new containers, by service, from the moment at which Docker calls them ready.

    ``look`` gives a row for each service, ``containers`` its inspected new containers, ``complaint`` says what is
    wrong with one now. All may raise EngineError for a while. Times are in seconds.
    """

    look: Callable[[], Sequence[Row]]
    containers: Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]]
    complaint: Callable[[str, Mapping[str, Any]], str]
    least: float
    timeout: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    poll_seconds: float = 0.5
    # service -> checks in a row that were passed, or failed and why the last one did
    _passed: dict[str, int] = field(default_factory=dict)
    _failed: dict[str, int] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)

    def run(self) -> Outcome:
        """Return how it ended: all good, or who fell, was refused, or could not be told from a good one in time."""
        began, checked = self.clock(), float("-inf")
        first: dict[str, Start] = {}
        while True:
            rows, engine = patient_look(self.look)
            now = self.clock()
            for row in rows:
                first.setdefault(row.service, row.start)
            fallen = [row for row in rows if _is_down(row) or first[row.service] != row.start]
            if fallen:
                return Outcome(now - began, self.timeout, crashed=fallen)
            if rows and now - checked >= max(LEAST_GAP, self.least / CHECKS):
                self._check()
                checked = now
            refused = [row for row in rows if self._failed.get(row.service, 0) >= CHECKS]
            if refused:
                return Outcome(now - began, self.timeout, crashed=refused, said=self._said)
            open_ones = [row for row in rows if not row.is_ready or self._passed.get(row.service, 0) < CHECKS]
            if rows and not open_ones and now - began >= self.least:
                return Outcome(now - began, self.timeout)
            if now - began >= self.least + self.timeout:
                return Outcome(now - began, self.timeout, late=open_ones, engine=engine, said=self._said)
            self.sleep(self.poll_seconds)

    def _check(self) -> None:
        try:
            found = self.containers()
        except EngineError:
            return
        for service, said in complaints(found, self.complaint).items():
            if said:
                self._said[service] = said
            self._passed[service] = 0 if said else self._passed.get(service, 0) + 1
            self._failed[service] = self._failed.get(service, 0) + 1 if said else 0


def _is_down(row: Row) -> bool:
    """Not where its health is not known: an engine that was started again looks anew, and says so until it has."""
    return row.state != "running" or row.health == "unhealthy"
