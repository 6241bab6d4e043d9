# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The time after a rollout in which the release is still watched, and taken back when it does harm.

What is looked at: that containers stay up, their health checks, and the answers that the edge gives to those outside.
The bound is a burn rate, as in alerts on objectives (Google's SRE workbook, chapter 5): with 99.9 % of requests to be
answered, 14.4 times that share of failures is 1.44 %.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .edge.answers import Answers, Tally
from .engine import EngineError
from .journal import Journal
from .probes import complaints
from .readiness import Outcome
from .rollout_error import RolloutError
from .stack_state import Row, Start
from .start_first_trial import CHECKS

BURN_RATE, OBJECTIVE = 14.4, 0.999
WORST_SHARE = BURN_RATE * (1 - OBJECTIVE)
# Fewer failures than these say nothing: one bad request out of three is no trend.
LEAST_FAILURES = 5
# The newest so many seconds count.
WINDOW = 300.0
# What was so bad before already is not the fault of the release.
WORSE_THAN_BEFORE = 2.0
POLL, CHECK_GAP = 2.0, 15.0


@dataclass
class Bake:
    """Watches a release that is up for ``seconds``. Clock, sleep and looks are injected.

    ``look`` gives a row for each service, ``containers`` the inspected containers of those that moved, ``complaint``
    what a health check says of one now. ``before`` is what the edge answered before the rollout, and ``concerns`` says
    whether a site has to do with what moved.
    """

    look: Callable[[], Sequence[Row]]
    containers: Callable[[], Mapping[str, Sequence[Mapping[str, Any]]]]
    complaint: Callable[[Mapping[str, Any]], str]
    answers: Answers
    before: Tally
    concerns: Callable[[str], bool]
    seconds: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    journal: Journal
    _first: dict[str, Start] = field(default_factory=dict)
    _failed: dict[str, int] = field(default_factory=dict)
    _seen: deque[tuple[float, Tally]] = field(default_factory=deque)

    def run(self, fail: Callable[[Outcome], RolloutError]) -> None:
        """Watch to the end. Raises what ``fail`` makes of services that went bad, or RolloutError for bad answers."""
        self.journal.write("watching", seconds=self.seconds)
        # What was answered while services were on the move is not what the release is like.
        self.answers.news()
        began, checked = self.clock(), float("-inf")
        while (now := self.clock()) - began < self.seconds:
            outcome = self._fallen(now - began)
            if outcome is None and now - checked >= CHECK_GAP:
                checked, outcome = now, self._failing(now - began)
            if outcome:
                raise fail(outcome)
            self._judge_answers(now)
            self.sleep(min(POLL, self.seconds))
        self._judge_answers(self.clock())
        total = self._total()
        requests, failures = sum(total.requests.values()), sum(total.failures.values())
        self.journal.write("watched", seconds=round(self.clock() - began, 1), requests=requests, failures=failures)

    # ---- containers -----------------------------------------------------------------------------------------------

    def _fallen(self, seconds: float) -> Outcome | None:
        """Those that stopped, were started again, or whose health check went bad. Docker away for a moment: nobody."""
        try:
            rows = [row for row in self.look() if not row.job]
        except EngineError:
            return None
        for row in rows:
            self._first.setdefault(row.service, row.start)
        fallen = [
            row for row in rows if row.has_crashed or row.health == "unhealthy" or self._first[row.service] != row.start
        ]
        return Outcome(seconds, self.seconds, crashed=fallen) if fallen else None

    def _failing(self, seconds: float) -> Outcome | None:
        """Those whose health check, run by us, has failed three times in a row."""
        try:
            found = self.containers()
            rows = {row.service: row for row in self.look()}
        except EngineError:
            return None
        said = complaints(found, lambda _service, container: self.complaint(container))
        for service, text in said.items():
            self._failed[service] = self._failed.get(service, 0) + 1 if text else 0
        bad = [rows[name] for name, times in self._failed.items() if times >= CHECKS and name in rows]
        return Outcome(seconds, self.seconds, crashed=bad, said=said) if bad else None

    # ---- answers --------------------------------------------------------------------------------------------------

    def _judge_answers(self, now: float) -> None:
        self._seen.append((now, self.answers.news()))
        while self._seen and now - self._seen[0][0] > WINDOW:
            self._seen.popleft()
        total = self._total()
        for host in filter(self.concerns, sorted(total.failures)):
            share, before = total.ratio(host), self.before.ratio(host)
            enough = total.failures[host] >= LEAST_FAILURES
            if enough and share > WORST_SHARE and share > WORSE_THAN_BEFORE * before:
                raise RolloutError(
                    f"{host} answers with errors since the rollout: {total.failures[host]} of"
                    f" {total.requests[host]} requests failed ({share:.1%}; before it {before:.1%}; at most"
                    f" {WORST_SHARE:.2%} may). Fix: /var/log/caddy/access.log says which requests; mend the service"
                    " behind them, then run the same command again"
                )

    def _total(self) -> Tally:
        total = Tally()
        for _moment, tally in self._seen:
            total.requests.update(tally.requests)
            total.failures.update(tally.failures)
        return total
