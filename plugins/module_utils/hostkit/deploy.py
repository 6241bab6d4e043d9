# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decides what a host needs to get to a wanted stack, and prepares the release that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import image_content_check, stack_state
from .credentials_apply import Comparison, compare, values_of
from .credentials_exec import Teller, tell_program
from .engine import Engine
from .image_content_cache import ContentCache
from .image_content_rules import Verdict
from .launcher import Launcher, LaunchError
from .plan_changes import ALL, changes_between
from .plan_words import explain
from .release import DAMAGED, Release, ReleaseError, Store, lock, lock_holder
from .release_networks import StaleNetwork, stale_networks
from .stack_state import Row
from .wanted import DeployError, Wanted, check_credentials, check_wanted, required_in, service_facts

__all__ = ["DeployError", "LaunchError", "Launcher", "Plan", "Wanted", "check_secrets", "make_plan", "prepare"]

LOCK_WAIT = 5.0
# Who holds the lock for the moment that it takes to write a release.
PREPARING = "a rollout that is being prepared"
# What the controller may say anew about a release that stays as it is.
SETTINGS = (
    "ready_timeout",
    "keep_releases",
    "start_first",
    "min_healthy",
    "drain_timeout",
    "bake",
    "restore_point",
    "local_images",
    "credentials",
    "package_rules",
    "hooks",
    "reversible",
)
# What the first pull and the first start found out about a service; it counts for as long as the release does.
RECORDED = ("image", "digest", "image_id", "fetched", "config_hash", "python_packages", "watched_packages")


@dataclass(frozen=True)
class Plan:
    """What has to be done. `actions` is empty when the host is as wanted; `reason` is one line for a person.

    `release` is an existing release folder that the rollout uses, None for a new one. `blind` says that Docker did not
    answer, so that what runs is not known. `unread` has a sentence for each running service that could not be asked
    which secret it knows.
    """

    actions: Mapping[str, str]
    reason: str
    release: Release | None = None
    rows: Sequence[Row] = ()
    blind: bool = False
    unread: Sequence[str] = ()


def check_secrets(wanted: Wanted) -> None:
    """Refuse a project that refers to a variable without a value: Compose would put nothing there and only warn."""
    missing = sorted(name for name in required_in(wanted.model) if not wanted.secrets.get(name))
    if missing:
        raise DeployError(
            f"These secrets have no value: {', '.join(missing)}. Nothing was changed. Fix: add them to stack_secrets"
        )


def make_plan(store: Store, engine: Engine, wanted: Wanted, *, tell: Teller = tell_program) -> Plan:
    """Compare the host with what is wanted: the release in use first, then the containers that really run.

    Writes nothing. Raises DeployError for what cannot be deployed, EngineError when Docker fails in the middle.
    """
    check_wanted(wanted)
    check_secrets(wanted)
    check_credentials(wanted)
    current = store.current()
    is_usable = current is not None and is_intact(current)
    is_there = stack_state.engine_is_there(engine)
    _check_project(current, engine if is_there else None, wanted)
    recorded = current.read()["services"] if current and is_usable else service_facts(wanted)
    rows = stack_state.read_rows(engine, wanted.project, recorded) if is_there else []
    known = compare(wanted.credentials, wanted.secrets, rows, engine, tell, before=values_of(current))
    if current and is_usable and is_same(current, wanted):
        return _same_release(store, current, wanted, rows, known, blind=not is_there)
    unfinished = store.unfinished()
    if unfinished and is_same(unfinished, wanted):
        actions = joined(dict.fromkeys(wanted.services, "finish"), known.actions)
        return Plan(actions, "an earlier rollout was cut off", unfinished, rows, not is_there, known.unread)
    stale = stale_networks(engine, wanted.project, wanted.model) if is_there else []
    actions, reason = _new_release(store, current if is_usable else None, current, wanted, stale)
    return Plan(joined(actions, known.actions), reason, None, rows, not is_there, known.unread)


def _same_release(
    store: Store, current: Release, wanted: Wanted, rows: Sequence[Row], known: Comparison, *, blind: bool
) -> Plan:
    """Plan for the release that is in use already: its containers, its secrets, and what is in its images."""
    verdict = known_contents(store, current, wanted)
    if verdict.refused:
        raise DeployError(f"The release in use is refused. {verdict.message('Nothing was changed')}")
    drifted = {row.service: f"repair: {row.drift}" for row in rows if row.needs_action}
    reason = "as wanted"
    if current.peek().get("proving"):
        drifted.setdefault(ALL, "check: it was cut off while it was still being watched")
        reason = "the release has not proved itself yet"
    if verdict.unknown:
        reason = "nobody looked into its images yet"
    if known.actions:
        reason = "a service has another password than the release"
    if drifted:
        reason = "the containers differ from the release"
    if verdict.unknown:
        drifted[ALL] = f"check: look into the images of {', '.join(verdict.unknown)}"
    return Plan(joined(drifted, known.actions), reason, current, rows, blind, known.unread)


def known_contents(store: Store, release: Release, wanted: Wanted) -> Verdict:
    """Judge the images of a release by the rules that are wanted, as far as somebody looked into them already."""
    services = {name: meta for name, meta in release.read()["services"].items() if name in wanted.services}
    return image_content_check.judge_known(ContentCache(store.paths.images), wanted.package_rules, services)


def joined(actions: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Return both as one: a service that has an action already has two then."""
    both = dict(actions)
    for service, action in more.items():
        both[service] = f"{both[service]}; {action}" if service in both else action
    return both


def _new_release(
    store: Store, usable: Release | None, current: Release | None, wanted: Wanted, stale: Sequence[StaleNetwork]
) -> tuple[dict[str, str], str]:
    if usable:
        changes = changes_between(usable, wanted)
        return explain(changes, usable.read_model(), wanted.model, wanted.project, stale), "a new release"
    if current:
        text = "check: the record of the release in use is damaged"
        return dict.fromkeys(wanted.services, text), f"the record of release {current.id} is damaged"
    if store.lost():
        text = "check: the release in use is gone from the disk"
        return dict.fromkeys(wanted.services, text), f"{store.paths.current} points at {store.lost()}, which is gone"
    return dict.fromkeys(wanted.services, "start"), "the first release"


def _check_project(current: Release | None, engine: Engine | None, wanted: Wanted) -> None:
    """Refuse another project name while the old project's containers are there: both would run side by side."""
    if current is None or engine is None or current.status == DAMAGED:
        return
    old = str(current.read()["project"])
    if old == wanted.project or not engine.containers(old):
        return
    raise DeployError(
        f"The stack on this host is the project '{old}', and its containers are still there; wanted is "
        f"'{wanted.project}'. Its data is in volumes of the old name. Nothing was changed. "
        f"Fix: set stack_project back to '{old}'; or, to leave the old one for good, first run on the host: "
        f"docker compose --project-name {old} down"
    )


def is_intact(release: Release) -> bool:
    """True when everything that a release needs can be read."""
    try:
        release.read()
        release.read_model()
        release.read_env()
    except ReleaseError:
        return False
    return True


def is_same(release: Release, wanted: Wanted) -> bool:
    """True when a release folder holds exactly what is wanted, secrets included. A damaged one is never the same."""
    try:
        about = release.read()
        return (
            release.read_model() == wanted.model
            and release.read_env() == wanted.env_text
            and about["project"] == wanted.project
            and str(about.get("version", "")) == wanted.version
        )
    except ReleaseError:
        return False


def prepare(store: Store, plan: Plan, wanted: Wanted) -> Release:
    """Return the release folder that the rollout works on, written or made ready to be run again.

    What an earlier run recorded of it (the digests) stays. Raises DeployError when another rollout is at work.
    """
    with lock(store.paths, wait_seconds=LOCK_WAIT, holder=PREPARING) as held:
        if not held:
            raise busy(lock_holder(store.paths) or "unknown")
        store.abandon_others(plan.release)
        if plan.release is None:
            about = {
                "project": wanted.project,
                "services": service_facts(wanted),
                "order": [list(level) for level in wanted.order],
                **wanted.about,
                "version": wanted.version,
            }
            return store.create(dict(wanted.model), wanted.compose_text, wanted.env_text, about)
        refresh(plan.release, wanted, status="prepared")
        return plan.release


def refresh(release: Release, wanted: Wanted, *, status: str) -> None:
    """Bring what the controller says about an existing release up to date; write only where something differs."""
    about = release.read()
    services = service_facts(wanted)
    for name, meta in services.items():
        old = about["services"].get(name) or {}
        meta.update({key: old[key] for key in RECORDED if key in old})
    changes: dict[str, Any] = {"services": services, "order": [list(level) for level in wanted.order], "status": status}
    changes |= {key: wanted.about[key] for key in SETTINGS if key in wanted.about}
    if about.get("reversible") is False:
        # What it did to the data is done, whatever is said of it later.
        changes["reversible"] = False
    if any(about.get(key) != value for key, value in changes.items()):
        release.update(**changes)


def settle(store: Store, release: Release, wanted: Wanted) -> None:
    """Note that the release in use is well: an attempt to repair it may have been cut off, or failed and it healed."""
    with lock(store.paths, wait_seconds=LOCK_WAIT, holder=PREPARING) as held:
        if not held:
            return  # Whoever is at work now writes down how it ends.
        refresh(release, wanted, status="done")
        if release.read().get("failure"):
            release.update(failure=None)
        changes = image_content_check.changes_to(
            release.read(), wanted.package_rules, known_contents(store, release, wanted)
        )
        if changes:
            release.update(**changes)


def busy(holder: str) -> DeployError:
    """Return the error for a host on which somebody else is at work."""
    return DeployError(
        f"Another rollout is at work on this host ({holder}). Nothing was changed. "
        "Fix: wait until `hypercode rollout status` says that it ended, then run the same command again"
    )
