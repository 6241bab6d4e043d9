# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says in words why services are not ready, and leaves evidence of it in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .engine import Engine, EngineError
from .evidence import collect
from .readiness import CRASH_RESTARTS, Outcome
from .redact import Redactor
from .rollout_error import RolloutError
from .stack_state import Row

AGAIN = "mend the service, then run the same command again"


@dataclass
class Reporter:
    """Collects evidence below `folder`. Nothing that it writes or says holds a secret."""

    engine: Engine
    folder: Path

    def collect(
        self, project: str, services: Sequence[str], redact: Redactor, notes: Mapping[str, str] | None = None
    ) -> str:
        """Collect evidence of the services; return the folder."""
        collect(self.engine, project, services, self.folder, redact=redact, notes=notes or {})
        return str(self.folder)

    def not_ready(self, project: str, outcome: Outcome, redact: Redactor) -> RolloutError:
        """Return the error for a wait that did not end well. It speaks of the worst service, and names the others."""
        bad = [*outcome.crashed, *outcome.late]
        evidence = self.collect(project, [row.service for row in bad], redact)
        if not bad:
            return RolloutError(outcome.engine or "Docker does not answer", evidence=evidence)
        worst = bad[0]
        others = f"Not ready either: {', '.join(row.service for row in bad[1:])}. " if bad[1:] else ""
        if outcome.said.get(worst.service):
            what, longer = f"is not trusted: {redact(outcome.said[worst.service])}. ", ""
        elif outcome.crashed:
            often = f"{worst.restarts} restart" + ("" if worst.restarts == 1 else "s")
            stopped = f"stopped with exit code {worst.exit_code} after {often}. "
            again = "crashes over and over" if worst.restarts >= CRASH_RESTARTS else "crashed and was started again"
            what, longer = f"{again}: {often}. " if worst.state == "running" else stopped, ""
        else:
            wait = f"within {outcome.timeout:.0f} s (state {worst.state}, health {worst.health})"
            what = f"did not end its work {wait}. " if worst.job else f"did not get healthy {wait}. "
            what += redact(self._last_probe(worst))
            longer = "; or raise stack_ready_timeout if it only needs longer"
        fix = f"Fix: read its log in {evidence}, {AGAIN}{longer}"
        message = f"{worst.service} {what}{others}{fix}"
        return RolloutError(message, service=worst.service, evidence=evidence)

    def _last_probe(self, row: Row) -> str:
        """Return what the health check said last, one line; it often names the fault."""
        if row.health not in ("starting", "unhealthy"):
            return ""
        try:
            state = self.engine.get(f"/containers/{row.container_id}/json")["State"]
            log = (state.get("Health") or {}).get("Log") or []
            lines = str(log[-1].get("Output") or "").strip().splitlines() if log else []
        except (EngineError, LookupError, AttributeError, TypeError):
            return ""
        return f"Its health check says: {lines[-1][:200]}. " if lines else ""
