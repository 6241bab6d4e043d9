# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waits until services are ready, with an injected clock, and says of each that is not how it stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .engine import EngineError
from .stack_state import Row, Start

# A service without a health check counts as ready when it has run for this long without a restart.
SETTLE_SECONDS = 3.0
# Docker restarts a failing container at once; that many restarts while we wait are a crash, not a hiccup.
CRASH_RESTARTS = 3
# A container that runs has no exit code. One that crashes over and over gets so long to stop again, for its exit code.
EXIT_CODE_SECONDS = 5.0


@dataclass(frozen=True)
class Outcome:
    """How the wait ended. `crashed` is not to get ready any more; `late` did not in time. Both empty: all are ready."""

    seconds: float
    timeout: float
    crashed: Sequence[Row] = ()
    late: Sequence[Row] = ()
    engine: str = ""
    # What is the matter with a service, as the end of a sentence, where its state does not tell.
    said: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return not (self.crashed or self.late or self.engine)


def patient_look(look: Callable[[], Sequence[Row]]) -> tuple[Sequence[Row], str]:
    """What ``look`` sees; nothing, and why, during a restart of the engine: containers live through that."""
    try:
        return look(), ""
    except EngineError as error:
        return (), str(error)


@dataclass
class Waiter:
    """Looks at services again and again. `look` returns a row for each; it may raise EngineError for a while."""

    look: Callable[[], Sequence[Row]]
    timeout: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    poll_seconds: float = 0.5
    # service -> (which start of the container it was, since when it runs)
    _running: dict[str, tuple[Start, float]] = field(default_factory=dict)
    _restarts: dict[str, int] = field(default_factory=dict)
    # service -> since when it is known to crash over and over
    _crashing: dict[str, float] = field(default_factory=dict)

    def wait(self, *, first_crash_ends: bool = True) -> Outcome:
        """Wait for all; with `first_crash_ends` only until the first one that crashed."""
        start = self.clock()
        while True:
            rows, engine = patient_look(self.look)
            now = self.clock()
            crashed = [row for row in rows if self._crashes(row, now)]
            late = [row for row in rows if row not in crashed and not self._is_settled(row, now)]
            if not engine and (not late or (crashed and first_crash_ends)):
                return Outcome(now - start, self.timeout, crashed)
            if now - start >= self.timeout:
                return Outcome(now - start, self.timeout, crashed, late, engine)
            self.sleep(self.poll_seconds)

    def _crashes(self, row: Row, now: float) -> bool:
        before = self._restarts.setdefault(row.service, row.restarts)
        if row.has_crashed or row.restarts - before < CRASH_RESTARTS:
            return row.has_crashed
        since = self._crashing.setdefault(row.service, now)
        return row.state != "running" or now - since >= EXIT_CODE_SECONDS

    def _is_settled(self, row: Row, now: float) -> bool:
        if not row.is_ready or row.service in self._crashing:
            self._running.pop(row.service, None)
            return False
        if row.health == "healthy" or row.job:
            return True
        if row.service not in self._running or self._running[row.service][0] != row.start:
            self._running[row.service] = (row.start, now)
        return now - self._running[row.service][1] >= SETTLE_SECONDS
