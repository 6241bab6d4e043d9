# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decides what a host needs to get to a wanted stack, and starts the rollout that does it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import stack_state
from .command import CommandResult
from .compose.emit import emit
from .compose.envfile import write_env
from .engine import Engine, run_docker
from .release import UNFINISHED, Release, Store, lock
from .rollout import run_release
from .stack_state import Row

HOST_COMMAND = Path("/usr/local/bin/hypercode")


@dataclass(frozen=True)
class Wanted:
    """What the controller asks for.

    `model` is the resolved Compose project as data, `services` its facts by service (class, limits, depends_on …),
    `order` the dependency levels, `secrets` name -> value for the env file, `about` what goes into release.json.
    """

    model: Mapping[str, Any]
    services: Mapping[str, Mapping[str, Any]]
    order: Sequence[Sequence[str]]
    secrets: Mapping[str, str]
    project: str
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def compose_text(self) -> str:
        return emit(self.model)

    @property
    def env_text(self) -> str:
        return write_env(self.secrets)


@dataclass(frozen=True)
class Plan:
    """What has to be done. `actions` is empty when the host is as wanted; `reason` is one line for a person."""

    actions: Mapping[str, str]
    reason: str
    release: Release | None = None  # an existing release folder that the rollout uses; None for a new one
    rows: Sequence[Row] = ()


class DeployError(Exception):
    """What is wanted cannot be deployed as it was handed over; the text says why and the fix."""


REFERENCE = re.compile(r"(?<!\$)(?:\$\$)*\$\{([A-Za-z_][A-Za-z0-9_]*)")


def check_secrets(wanted: Wanted) -> None:
    """Refuse a project that refers to a variable without a value: Compose would put nothing there and only warn."""
    missing = sorted({name for name in REFERENCE.findall(wanted.compose_text) if not wanted.secrets.get(name)})
    if missing:
        raise DeployError(
            f"These secrets have no value: {', '.join(missing)}. Nothing was changed. Fix: add them to stack_secrets"
        )


def make_plan(store: Store, engine: Engine, wanted: Wanted) -> Plan:
    """Compare the host with what is wanted: the release in use first, then the containers that really run."""
    check_secrets(wanted)
    current = store.current()
    rows = stack_state.read_rows(engine, wanted.project, _recorded(current, wanted)) if _docker(engine) else []
    if current and is_same(current, wanted):
        drifted = {row.service: f"repair: {row.drift}" for row in rows if row.needs_action}
        if not drifted:
            return Plan({}, "as wanted", current, rows)
        return Plan(drifted, "the containers differ from the release", current, rows)
    unfinished = store.unfinished()
    if unfinished and is_same(unfinished, wanted):
        return Plan(dict.fromkeys(wanted.services, "finish"), "an earlier rollout was cut off", unfinished, rows)
    return Plan(_changes(current, wanted), "a new release" if current else "the first release", None, rows)


def _docker(engine: Engine) -> bool:
    return stack_state.engine_is_there(engine)


def _recorded(current: Release | None, wanted: Wanted) -> Mapping[str, Mapping[str, Any]]:
    return current.read()["services"] if current else wanted.services


def is_same(release: Release, wanted: Wanted) -> bool:
    """True when a release folder holds exactly what is wanted, secrets included."""
    return (
        release.read_model() == wanted.model
        and release.read_env() == wanted.env_text
        and release.read().get("version") == wanted.about.get("version")
    )


def _changes(current: Release | None, wanted: Wanted) -> dict[str, str]:
    if current is None:
        return dict.fromkeys(wanted.services, "start")
    old, new = current.read_model().get("services", {}), wanted.model.get("services", {})
    changes = {name: "start" for name in new if name not in old}
    changes |= {name: "remove" for name in old if name not in new}
    for name in set(old) & set(new):
        if old[name].get("image") != new[name].get("image"):
            changes[name] = f"replace: {old[name].get('image')} -> {new[name].get('image')}"
        elif old[name] != new[name]:
            changes[name] = "replace: its configuration changed"
    if not changes:
        changes["(all)"] = "check: networks, volumes or secrets changed"
    return dict(sorted(changes.items()))


def prepare(store: Store, plan: Plan, wanted: Wanted) -> Release:
    """Return the release folder that the rollout works on, written or reset to be run again."""
    about = {
        "project": wanted.project,
        "services": {name: dict(meta) for name, meta in wanted.services.items()},
        "order": [list(level) for level in wanted.order],
        **wanted.about,
    }
    if plan.release is None:
        for stale in store.all():
            if stale.read().get("status") in UNFINISHED:
                stale.update(status="abandoned")
        return store.create(dict(wanted.model), wanted.compose_text, wanted.env_text, about)
    if plan.release.read().get("status") != "done":
        plan.release.update(status="prepared", **about)
    else:
        # A repair keeps the digests that this release was pulled with.
        plan.release.update(status="prepared", **dict(wanted.about))
    return plan.release


class Launcher:
    """Starts a rollout in a process of its own on the host, and waits for its end."""

    def __init__(
        self,
        run: Callable[..., CommandResult] = run_docker,
        sleep: Callable[[float], None] = time.sleep,
        host_command: Path = HOST_COMMAND,
    ) -> None:
        self._run = run
        self._sleep = sleep
        self._host_command = host_command

    def start(self, store: Store, release: Release, engine: Engine) -> None:
        """Start it under systemd, so that it ends well without the controller; in this process where that is not there."""
        if not self._host_command.exists() or not Path("/run/systemd/system").is_dir():
            run_release(store, release, engine)
            return
        self._run(
            [
                *("systemd-run", "--quiet", "--collect", f"--unit=hypercode-rollout-{release.id}"),
                *("--setenv=HOME=/root", str(self._host_command), "rollout", "apply", release.id),
            ],
            timeout=30,
        )

    def wait(self, store: Store, release: Release, timeout: float) -> dict[str, Any]:
        """Wait until the rollout ended; return its release.json. A time-out leaves it running."""
        waited = 0.0
        while True:
            about = release.read()
            if about["status"] not in UNFINISHED:
                return about
            with lock(store.paths) as free:
                # Free with an unfinished status, seen twice a moment apart: its process died.
                dead = free
            if dead and waited > 5 and release.read()["status"] in UNFINISHED:
                return release.read() | {"status": "died"}
            if waited > timeout:
                return about
            self._sleep(0.5)
            waited += 0.5
