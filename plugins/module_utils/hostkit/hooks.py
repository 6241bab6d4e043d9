# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands that a release wants run around a rollout, such as a migration of a database: each in its own container.

`before_rollout` runs with the new release before any service is touched, `after_rollout` once it is up, and
`before_rollback` with the release that is being left, before an older one comes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import evidence
from .command import TIMED_OUT, CommandResult
from .hook_list import AFTER, BACK, BEFORE, Hook, hooks_of
from .release import Release, Store
from .release_stack import ReleaseStack, last_words
from .rollout_error import RolloutError
from .stack_state import ONEOFF_LABEL

REMOVE_TIMEOUT = 60.0


# ---- running them ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HookRunner:
    """Runs the hooks of one release."""

    stack: ReleaseStack

    def run(self, point: str) -> None:
        """Run the hooks of a point, one after the other. Raises RolloutError for the first that fails."""
        for number, hook in enumerate(hooks_of(self.stack.about, point), start=1):
            self._run(point, number, hook)

    def _run(self, point: str, number: int, hook: Hook) -> None:
        stack = self.stack
        name = f"{stack.project}-hook-{point.replace('_', '-')}-{number}"
        # One that was cut off may be there still, and even at work.
        self._remove(name)
        began = stack.tools.clock()
        stack.journal.write("hook", point=point, service=hook.service, release=stack.release.id)
        try:
            done = stack.compose(
                *("run", "--rm", "--no-deps", "-T", "--name", name, hook.service, *hook.command), timeout=hook.timeout
            )
        finally:
            said = self._remove(name)
        seconds = round(stack.tools.clock() - began, 1)
        stack.journal.write("hook ended", point=point, service=hook.service, code=done.code, seconds=seconds)
        folder = self._record(f"hook-{point}-{number}-{hook.service}", done, said)
        if done.code:
            why = (
                f"did not end within {hook.timeout:.0f} s" if done.code == TIMED_OUT else f"failed: {last_words(done)}"
            )
            raise RolloutError(
                f"The {point} hook of {hook.service} {why}. Fix: read its output in {folder}, mend what it names, then "
                "run the same command again",
                service=hook.service,
                evidence=folder,
            )

    def _record(self, name: str, done: CommandResult, said: str) -> str:
        """Leave its output as evidence; return the folder. `said` is the log of one that had to be ended."""
        stack, report = self.stack, self.stack.report
        text = "".join(part for part in (done.stdout, done.stderr, said) if part)
        evidence.collect(stack.tools.engine, stack.project, [], report.folder, redact=stack.redact, notes={name: text})
        return str(report.folder)

    def _remove(self, name: str) -> str:
        """Remove the container of a hook where it is there still; return its log."""
        said = ""
        for container in self.stack.tools.engine.containers(self.stack.project):
            labels = container["Config"].get("Labels") or {}
            is_hook = str(container.get("Name", "")).removeprefix("/") == name
            if is_hook and str(labels.get(ONEOFF_LABEL, "")).lower() == "true":
                said = self.stack.tools.engine.logs(str(container["Id"]), evidence.LINES)
                self.stack.tools.run(["docker", "rm", "--force", str(container["Id"])], timeout=REMOVE_TIMEOUT)
        return said


# ---- around a rollout ------------------------------------------------------------------------------------------------


def is_way_back(release: Release, previous: Release | None) -> bool:
    """True when a release older than the one in use comes back."""
    return previous is not None and release.id < previous.id


def run_before(stack: ReleaseStack, previous: Release | None, left: Callable[[], ReleaseStack]) -> None:
    """Run what has to be before a service is touched. `left` makes the stack of the release in use, `previous`.

    Nothing is run for the repair of a release that is up already, nor before the first one: there is nothing yet that a
    command could work on.
    """
    if previous is None:
        if hooks_of(stack.about, BEFORE):
            stack.journal.write("hooks left out", point=BEFORE, reason="nothing runs yet")
    elif is_way_back(stack.release, previous):
        if hooks_of(previous.peek(), BACK):
            _or_untouched(left(), BACK)
    elif _is_new(stack, previous):
        _or_untouched(stack, BEFORE)


def run_after(stack: ReleaseStack, previous: Release | None) -> None:
    """Run what has to be once the release is up; a release that comes back had it already."""
    if not is_way_back(stack.release, previous) and _is_new(stack, previous):
        HookRunner(stack).run(AFTER)


def _is_new(stack: ReleaseStack, previous: Release | None) -> bool:
    # One that was cut off while it was watched had its hooks.
    is_other = stack.release != previous and not stack.about.get("proving")
    return is_other or not stack.about.get("in_use_since")


def _or_untouched(stack: ReleaseStack, point: str) -> None:
    try:
        HookRunner(stack).run(point)
    except RolloutError as error:
        raise RolloutError(
            f"{error}. No service was touched", service=error.service, evidence=error.evidence
        ) from error


def leave(stack: ReleaseStack, previous: ReleaseStack, store: Store) -> None:
    """Prepare the automatic way from a release that failed to the one before. Raises RolloutError where there is none.

    A release that is not reversible stays: its data is not fit for the one before. From then on it is the one in use,
    also after a reboot. A hook that fails here keeps nothing from coming back: something has to serve.
    """
    if is_way_back(stack.release, previous.release):
        # The newer one comes again, and its hook had made the data fit for the older one.
        if hooks_of(previous.about, BACK):
            _or_noted(previous, BEFORE)
        return
    if stack.about.get("reversible") is False:
        store.switch(stack.release)
        raise RolloutError(
            f"Release {stack.release.id} is not reversible (stack_reversible: false) and has begun, so it was not "
            "taken back: what serves, goes on. Fix: mend it and roll out again; or put the data back by hand, then "
            "hypercode rollout back --accept-data"
        )
    _or_noted(stack, BACK)


def _or_noted(stack: ReleaseStack, point: str) -> None:
    try:
        HookRunner(stack).run(point)
    except RolloutError as error:
        stack.journal.write("hook failed", point=point, reason=str(error))


def refuse_crossing(store: Store, current: Release, target: Release) -> str:
    """Say which release in between cannot be left backwards; empty when all can."""
    for release in reversed(store.all()):
        about = release.peek()
        has_begun = bool(about.get("begun")) or release.was_in_use or release == current
        is_between = target.id < release.id <= current.id and has_begun
        if is_between and about.get("reversible") is False:
            since = about.get("in_use_since") or about.get("created") or "it began"
            run = about.get("restore_point_run")
            point = f"; the restore point from before it is the backup {run} (hypercode backup list)" if run else ""
            return (
                f"Release {release.id} (version {about.get('version') or '-'}) is not reversible "
                f"(stack_reversible: false): what it did to the data since {since} does not fit the release before it"
                f"{point}"
            )
    return ""
