# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carries a plan out: starts the rollout or joins the one at work and waits for its end; or waits for what runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .credentials_exec import Teller, tell_program
from .deploy import PREPARING, Plan, busy, make_plan, prepare, settle
from .engine import Engine
from .launcher import Launcher, failure_of
from .release import Release, Store, lock_holder
from .rollout import Rollout, RolloutError
from .rollout_run import STARTING
from .wanted import Wanted

POLL = 0.5


class ConvergeError(Exception):
    """The host did not get to what is wanted. `about` is release.json, where there is a release."""

    def __init__(self, message: str, *, service: str = "", evidence: str = "", about: dict[str, Any]) -> None:
        super().__init__(message)
        self.service = service
        self.evidence = evidence
        self.about = about


@dataclass
class Converge:
    """Takes a host to what is wanted. `timeout` in seconds is for the whole rollout, which goes on when it passes."""

    store: Store
    engine: Engine
    wanted: Wanted
    timeout: float
    launcher: Launcher = field(default_factory=Launcher)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    rollout: Callable[..., Rollout] = Rollout
    tell: Teller = tell_program

    def run(self, plan: Plan) -> tuple[Plan, dict[str, Any]]:
        """Return the plan as it was carried out, and release.json.

        Raises ConvergeError with the reason; DeployError when another rollout is at work; EngineError without Docker.
        """
        if plan.blind:
            # Says what is the matter with Docker. Without it nothing is written.
            self.engine.version()
        holder, waited = self._wait_for_others()
        if holder or waited:
            # What was planned before is out of date.
            plan = self._plan_again()
        if holder:
            if plan.release is None or plan.release.id != holder:
                raise busy(holder)
            return plan, self._wait(plan.release)
        if plan.unread and not plan.actions:
            # A service that is still starting cannot be asked; so wait for it first.
            self._check_ready(plan)
            plan = self._plan_again()
            if plan.unread and not plan.actions:
                message = f"The containers are as wanted, and nothing was changed, but: {plan.unread[0]}"
                raise ConvergeError(message, about=plan.release.peek() if plan.release else {})
        if plan.actions:
            release = self._prepare(plan)
            self.launcher.start(self.store, release, self.engine)
            return plan, self._wait(release)
        return plan, self._confirm(plan)

    def _plan_again(self) -> Plan:
        return make_plan(self.store, self.engine, self.wanted, tell=self.tell)

    def _prepare(self, plan: Plan) -> Release:
        return prepare(self.store, plan, self.wanted)

    def _settle(self, release: Release) -> None:
        settle(self.store, release, self.wanted)

    def _wait_for_others(self) -> tuple[str | None, bool]:
        """Return whose rollout is at work, and whether there was a wait: for the start at boot, which is none."""
        start, waited = self.clock(), False
        while (holder := lock_holder(self.store.paths)) in (STARTING, PREPARING):
            if self.clock() - start >= self.timeout:
                break
            waited = True
            self.sleep(POLL)
        return holder, waited

    def _wait(self, release: Release) -> dict[str, Any]:
        about = self.launcher.wait(self.store, release, self.timeout)
        if about["status"] == "done":
            return about
        failure = about.get("failure") or {}
        raise ConvergeError(
            failure_of(about, self.store.paths, timeout=self.timeout),
            service=str(failure.get("service") or ""),
            evidence=str(failure.get("evidence") or ""),
            about=about,
        )

    def _confirm(self, plan: Plan) -> dict[str, Any]:
        """Wait until all that runs is ready, where the plan found nothing to do. Containers are left alone."""
        release = plan.release
        if release is None:
            return {}
        self._check_ready(plan)
        self._settle(release)
        return release.read()

    def _check_ready(self, plan: Plan) -> None:
        release = plan.release
        if release is None or all(row.is_good for row in plan.rows):
            return
        rollout = self.rollout(self.store, release, self.engine, clock=self.clock, sleep=self.sleep)
        try:
            rollout.stack(evidence="check").check_ready()
        except RolloutError as error:
            message = f"The containers are as wanted, and nothing was changed, but not all are well: {error}"
            raise ConvergeError(
                message, service=error.service, evidence=error.evidence, about=release.read()
            ) from error
