# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Going back to a release that was in use before: which one, what it does to each service, and the move itself.

The move is a rollout of the older folder, so it has the same gate on health, and the same way back when it fails. It
asks no registry as long as the images are on the host.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import plan_text, stack_state
from .compose.envfile import EnvFileError, load_env
from .converge import Converge
from .credentials_apply import Comparison, compare, credentials_of, values_of
from .credentials_exec import Teller, tell_program
from .deploy import LOCK_WAIT, PREPARING, DeployError, Plan, busy, is_intact, joined
from .engine import Engine
from .hook_list import AFTER, BACK, BEFORE, hook_lines
from .hooks import is_way_back, refuse_crossing
from .plan_changes import changes_between
from .release import ID, UNFINISHED, Release, ReleaseError, Store, lock, lock_holder
from .release_images import recorded_reference
from .stack_state import Row
from .wanted import Wanted

# How a rollout is done is the operator's wish of today; what a release consists of is as it was.
CARRIED = ("ready_timeout", "keep_releases", "start_first", "min_healthy", "drain_timeout", "bake", "restore_point")


@dataclass(frozen=True)
class Request:
    """Where to go back to: the id of a release, a version, or nothing for the release before.

    `project` may be empty, for that of the release in use. `accept_data` says that the data was put back to what the
    older release understands.
    """

    to: str = ""
    project: str = ""
    who: str = ""
    why: str = ""
    accept_data: bool = False


# ---- which release ---------------------------------------------------------------------------------------------------


def find_release(store: Store, to: str = "") -> tuple[Release, str]:
    """Return the release that is meant, and why in words. Raises DeployError when there is none to go back to."""
    current = store.current()
    if current is None:
        where = f"{store.paths.current} points at {store.lost()}, which is gone" if store.lost() else ""
        raise _refusal(where or "Nothing is deployed on this host", "run site.yml; it deploys a release")
    release, reason = _named(store, current, to) if to else _before(store, current)
    if not is_intact(release):
        raise _refusal(f"The record of release {release.id} is damaged", _choice(store))
    return release, reason


def _named(store: Store, current: Release, to: str) -> tuple[Release, str]:
    fitting = [release for release in store.all() if to in (release.id, version_of(release))]
    usable = [release for release in fitting if release.was_in_use or release == current]
    if current in usable:
        return current, f"release {current.id} is in use already"
    if usable:
        return usable[-1], f"back to release {usable[-1].id}"
    what = "release" if ID.fullmatch(to) else "version"
    if fitting:
        raise _refusal(f"The {what} '{to}' never came up on this host ({fitting[-1].status})", _choice(store))
    raise _refusal(f"This host has no {what} '{to}'", _choice(store))


def _before(store: Store, current: Release) -> tuple[Release, str]:
    """The release before the current one. Asked again after it went back, or after a failed update, it stays."""
    if any(release.id > current.id for release in store.all()):
        return current, f"this host is back on release {current.id} already. To go further back, name a release"
    before = str(current.read().get("previous") or "")
    if not before:
        raise _refusal(f"Release {current.id} is the first on this host, so there is none before it", _choice(store))
    found = next((release for release in store.all() if release.id == before), None)
    if found is None or not found.was_in_use:
        raise _refusal(f"The release before this one ({before}) is not on this host any more", _choice(store))
    return found, f"back to release {found.id}"


def version_of(release: Release) -> str:
    """The version as text; empty where it has none or the record is damaged."""
    return str(release.peek().get("version") or "")


def _choice(store: Store) -> str:
    """The fix: which releases can be gone back to."""
    here = store.current()
    kept = [release for release in store.all() if release.was_in_use and release != here]
    found = ", ".join(f"{release.id} (version {version_of(release) or '-'})" for release in kept)
    return f"name one of these: {found}" if found else "set stack_version to the version you want, and run site.yml"


def _refusal(what: str, fix: str) -> DeployError:
    return DeployError(f"{what}. Nothing was changed. Fix: {fix}")


# ---- what it does ----------------------------------------------------------------------------------------------------


def make_plan(store: Store, engine: Engine, request: Request, *, tell: Teller = tell_program) -> Plan:
    """Say service by service what going back does. Writes nothing.

    Raises DeployError for what cannot be gone back to, EngineError when Docker fails in the middle.
    """
    target, reason = find_release(store, request.to)
    current = store.current()
    about = target.read()
    _check_project(request, current, about)
    problem = refuse_crossing(store, current, target) if current and not request.accept_data else ""
    if problem:
        fix = (
            "put the data back by hand to how it was before that, from a restore point of then; then say so with "
            "-e rollback_accept_data=true (on the host: hypercode rollout back --accept-data)"
        )
        raise _refusal(problem, fix)
    is_there = stack_state.engine_is_there(engine)
    recorded = current.peek().get("services") if current else None
    rows = stack_state.read_rows(engine, str(about["project"]), recorded or about["services"]) if is_there else []
    known = _compare(target, current, rows, engine, tell)
    if target == current:
        actions, reason = _here(target, rows, reason)
    elif current and is_intact(current):
        before, after = _models(current, target)
        wanted = wanted_of(target, after, start_first=bool(current.read().get("start_first")))
        actions = changes_between(current, wanted, before)
    else:
        actions = dict.fromkeys(about["services"], "check: the record of the release in use is damaged")
    return Plan(joined(actions, known.actions), reason, target, rows, not is_there, known.unread)


def _check_project(request: Request, current: Release | None, about: Mapping[str, Any]) -> None:
    project = str(about["project"])
    wanted = request.project or str((current.peek() if current else {}).get("project") or project)
    if project != wanted:
        raise _refusal(
            f"Release {about.get('id')} is of the project '{project}', and not of '{wanted}'",
            "name a release of that project",
        )


def _here(release: Release, rows: list[Row], reason: str) -> tuple[dict[str, str], str]:
    """What is left to do where the host is on the release already."""
    if release.status in UNFINISHED:
        return dict.fromkeys(release.read()["services"], "finish"), "an earlier move was cut off"
    drifted = {row.service: f"repair: {row.drift}" for row in rows if row.needs_action}
    return drifted, "the containers differ from the release" if drifted else reason


def _compare(target: Release, current: Release | None, rows: list[Row], engine: Engine, tell: Teller) -> Comparison:
    values = values_of(target) or {}
    credentials = [found for found in credentials_of(target) if values.get(found.secret)]
    return compare(credentials, values, rows, engine, tell, before=values_of(current))


def _models(current: Release, target: Release) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both projects; where the same tag means two images, with the digests."""
    before, after = copy.deepcopy(current.read_model()), copy.deepcopy(target.read_model())
    old, new = current.read()["services"], target.read()["services"]
    for name, service in after["services"].items():
        other = before["services"].get(name)
        if not other or other.get("image") != service.get("image"):
            continue
        pair = [recorded_reference(facts.get(name) or {}) for facts in (old, new)]
        if all(pair) and pair[0] != pair[1]:
            other["image"], service["image"] = pair
    return before, after


def target_of(plan: Plan) -> Release:
    """The release that a plan of this module goes to."""
    if plan.release is None:
        raise _refusal("There is no release to go back to", "run site.yml; it deploys a release")
    return plan.release


def plan_lines(store: Store, plan: Plan) -> list[str]:
    """Return what is done, in its order, a line each: hooks and services; at the end, how long it will take."""
    current, target = store.current(), target_of(plan)
    about = target.peek()
    first: list[str] = []
    last: list[str] = []
    if current and current != target:
        left = current.peek()
        about |= _carried(left)
        if is_way_back(target, current):
            # It has proved itself, so it is not watched.
            about, first = about | {"bake": 0}, hook_lines(left, BACK)
        else:
            first, last = hook_lines(about, BEFORE), hook_lines(about, AFTER)
    return plan_text.plan_lines(plan.actions, about.get("order") or [], about, first, last)


def _carried(left: Mapping[str, Any]) -> dict[str, Any]:
    return {key: left[key] for key in CARRIED if key in left}


def diff_of(store: Store, plan: Plan) -> list[dict[str, str]]:
    """Return compose.yaml before and after, and the plan. Secrets stay references."""
    current, target = store.current(), plan.release
    lines = "".join(f"{line}\n" for line in plan_lines(store, plan))
    path = str(store.paths.current / "compose.yaml")
    return [
        {"before": _text(current), "after": _text(target), "before_header": path, "after_header": path},
        {"prepared": f"plan ({plan.reason}):\n{lines}"},
    ]


def _text(release: Release | None) -> str:
    """compose.yaml with the digests that were recorded."""
    try:
        return release.compose_file.read_text(encoding="utf-8") if release else ""
    except (OSError, ValueError):
        return ""


def wanted_of(release: Release, model: Mapping[str, Any] | None = None, **about: Any) -> Wanted:
    """Return a release as what is wanted. Raises ReleaseError."""
    recorded = release.read()
    try:
        secrets = dict(load_env(release.read_env()))
    except (EnvFileError, ValueError) as error:
        raise ReleaseError(f"{release.env_file} cannot be used: {error}. Fix: name another release") from error
    return Wanted(
        model=release.read_model() if model is None else model,
        services=recorded["services"],
        order=recorded["order"],
        secrets=secrets,
        project=str(recorded["project"]),
        about=recorded | about,
    )


# ---- the move --------------------------------------------------------------------------------------------------------


@dataclass
class GoBack(Converge):
    """Takes a host back, as `request` says. `wanted` is the release that it goes to."""

    request: Request = field(default_factory=Request)

    def _plan_again(self) -> Plan:
        return make_plan(self.store, self.engine, self.request, tell=self.tell)

    def _prepare(self, plan: Plan) -> Release:
        return prepare(self.store, target_of(plan), self.request)

    def _settle(self, release: Release) -> None:
        """Nothing is written where the host is there already."""


def prepare(store: Store, target: Release, request: Request) -> Release:
    """Make an older release ready to be run again. Raises DeployError when another rollout is at work."""
    with lock(store.paths, wait_seconds=LOCK_WAIT, holder=PREPARING) as held:
        if not held:
            raise busy(lock_holder(store.paths) or "unknown")
        store.abandon_others(target)
        current, about = store.current(), target.read()
        changes: dict[str, Any] = {"status": "prepared"}
        if current and current != target:
            changes |= {
                **_carried(current.peek()),
                "previous": current.id,
                # It stays one that can be gone back to, also when this try fails.
                "in_use_since": about.get("in_use_since") or about.get("finished") or about.get("created"),
                "back": {
                    "from": current.id,
                    "who": request.who,
                    "why": request.why,
                    "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                },
            }
        target.update(**changes)
        return target
