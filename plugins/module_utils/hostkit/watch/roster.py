# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which containers there are, and what the engine says of each. Only what has changed is asked for again.

Source of fields: Docker Engine API v1.41, ContainerList and ContainerInspect.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..backup.stack import NONE, kind_of
from ..engine import Engine, NotFound
from ..release import ReleaseError, Store
from ..stack_state import ONEOFF_LABEL, PROJECT_LABEL, SERVICE_LABEL, address_of
from . import counters

# "false" says that a container is never restarted by the daemon.
HEAL_LABEL = "hypercode.watch.heal"
HEALTH = ("healthy", "unhealthy", "starting", "none")
# Everything is asked for again this often, in seconds: a change by hand can be one that nothing tells of.
RENEW = 600.0
_DEFAULT_STOP = 10
_IN_BRACKETS = re.compile(r"\(([^)]*)\)")


@dataclass(frozen=True)
class Facts:
    """What counts of an inspected container. `started` in seconds since 1970, 0 when it never was."""

    id: str
    project: str
    service: str
    name: str
    state: str
    health: str
    restarts: int
    exit_code: int
    oom_killed: bool
    started: float
    memory_limit: int
    cpu_limit: float
    processes_limit: int
    stop_timeout: int
    # Whether it keeps data: then it is nothing to restart without being asked.
    keeps_data: bool
    heal_allowed: bool
    places: counters.Places | None
    # Its first process, and where the host reaches it; 0 and empty while it does not run.
    pid: int = 0
    address: str = ""
    image: str = ""
    # The command of its health check; empty where it has none.
    check: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def labels(self) -> dict[str, str]:
        """What tells it from others, in metrics and in the journal."""
        return {"project": self.project, "service": self.service, "container": self.name}


def facts_of(document: Mapping[str, Any], root: Path = Path("/")) -> Facts | None:
    """The facts of an inspected container; None for one that is no service's, such as that of `compose run`."""
    settings, state, host = document["Config"], document["State"], document.get("HostConfig") or {}
    labels = settings.get("Labels") or {}
    if not belongs(labels):
        return None
    pid = int(state.get("Pid") or 0)
    stop = settings.get("StopTimeout")
    own_network = not str(host.get("NetworkMode") or "").startswith(("host", "container:"))
    health = str((state.get("Health") or {}).get("Status") or "none")
    return Facts(
        id=str(document["Id"]),
        project=str(labels.get(PROJECT_LABEL) or ""),
        service=str(labels[SERVICE_LABEL]),
        name=str(document.get("Name") or "").removeprefix("/"),
        state=str(state.get("Status") or "unknown"),
        health=health if health in HEALTH else "none",
        restarts=int(document.get("RestartCount") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        started=seconds_of(str(state.get("StartedAt") or "")),
        memory_limit=int(host.get("Memory") or 0),
        cpu_limit=_cpus(host),
        processes_limit=max(0, int(host.get("PidsLimit") or 0)),
        stop_timeout=_DEFAULT_STOP if stop is None else int(stop),
        keeps_data=_keeps_data(document),
        heal_allowed=str(labels.get(HEAL_LABEL, "")).lower() != "false",
        places=counters.find(pid, root, own_network=own_network) if pid else None,
        pid=pid,
        address=address_of(document) if pid else "",
        image=str(settings.get("Image") or ""),
        check=tuple(str(word) for word in (settings.get("Healthcheck") or {}).get("Test") or ()),
    )


def belongs(labels: Mapping[str, str]) -> bool:
    """Whether these are the labels of a container of a service, and not of one that was run once by hand."""
    return SERVICE_LABEL in labels and str(labels.get(ONEOFF_LABEL, "")).lower() != "true"


def _cpus(host: Mapping[str, Any]) -> float:
    if host.get("NanoCpus"):
        return float(host["NanoCpus"]) / 1e9
    quota, period = int(host.get("CpuQuota") or 0), int(host.get("CpuPeriod") or 100_000)
    return quota / period if quota > 0 and period > 0 else 0.0


def _keeps_data(document: Mapping[str, Any]) -> bool:
    """It writes to a volume, one that only its image asks for too, or to the host; or it is a database by its image."""
    mounts = document.get("Mounts") or []
    if any(mount.get("Type") in ("volume", "bind") and mount.get("RW", True) for mount in mounts):
        return True
    return kind_of(str(document["Config"].get("Image") or "")) != NONE


def seconds_of(stamp: str) -> float:
    """Docker's time, such as 2026-11-30T12:00:00.123456789Z, in seconds since 1970; 0 for what is no time or none."""
    whole, _point, rest = stamp.removesuffix("Z").partition(".")
    try:
        seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return 0.0
    return max(0.0, seconds + (float(f"0.{rest[:9]}") if rest[:9].isdigit() else 0.0))


class Roster:
    """The containers of some Compose projects, as they were when they were looked at last."""

    def __init__(self, engine: Engine, projects: Sequence[str], root: Path = Path("/")) -> None:
        self._engine, self._projects, self._root = engine, projects, root
        self._signatures: dict[str, tuple[str, str]] = {}
        self._renewed: float | None = None
        self.known: dict[str, Facts] = {}
        # The containers of which the engine says what nobody expects. Of all others one still wants to know.
        self.odd: set[str] = set()

    def look(self, changed: Collection[str] | None, now: float) -> None:
        """Look again. `changed` are ids of which something was heard; None is for all. Raises EngineError.

        `now` is of a clock that only goes on.
        """
        if changed is None or self._renewed is None or now - self._renewed >= RENEW:
            changed, self._signatures, self._renewed = (), {}, now
        listed = {}
        for project in self._projects:
            label = [f"{PROJECT_LABEL}={project}"]
            for item in self._engine.get("/containers/json", all="1", filters={"label": label}):
                if belongs(item.get("Labels") or {}):
                    listed[str(item["Id"])] = _signature(item)
        for gone in self._signatures.keys() - listed.keys() | self.known.keys() - listed.keys():
            self._signatures.pop(gone, None)
            self.known.pop(gone, None)
        self.odd &= listed.keys()
        for found, signature in listed.items():
            if self._signatures.get(found) != signature or found in changed:
                self._inspect(found, signature)

    def _inspect(self, found: str, signature: tuple[str, str]) -> None:
        try:
            facts = facts_of(self._engine.get(f"/containers/{found}/json"), self._root)
        except NotFound:
            # It went between the two questions.
            facts = None
        except (AttributeError, KeyError, TypeError, ValueError):
            self.odd.add(found)
            self._signatures[found] = signature
            facts = None
        if facts is None:
            self.known.pop(found, None)
            return
        self.known[found] = facts
        # A container is on its way between two states at times: one without its groups is asked for again.
        if facts.places or not facts.running:
            self._signatures[found] = signature


def _signature(item: Mapping[str, Any]) -> tuple[str, str]:
    """What changes with the state or the health: `Up 2 hours (healthy)`, `Exited (137) 3 minutes ago`."""
    found = _IN_BRACKETS.search(str(item.get("Status") or ""))
    return str(item.get("State") or ""), found[1] if found else ""


@dataclass(frozen=True)
class Wanted:
    """What the release in use wants: how many containers of each service. Those that run once and end are `jobs`."""

    project: str = ""
    copies: Mapping[str, int] = field(default_factory=dict)
    jobs: frozenset[str] = frozenset()


class WantedReader:
    """Reads the release in use, again only when there is another one or it was written to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key: object = None
        self._found = Wanted()

    def read(self) -> Wanted:
        """What is wanted; nothing where nothing is deployed, and the last known where it cannot be read now."""
        try:
            release = self._store.current()
            if release is None:
                self._key, self._found = None, Wanted()
                return self._found
            key = (release.id, (release.folder / "release.json").stat().st_mtime_ns)
            if key != self._key:
                about = release.read()
                self._found = _wanted(about)
                self._key = key
        except (ReleaseError, OSError):
            pass
        return self._found


def _wanted(about: Mapping[str, Any]) -> Wanted:
    copies, jobs = {}, set()
    for name, meta in about["services"].items():
        stated = meta.get("replicas")
        copies[name] = stated if isinstance(stated, int) else 1
        if meta.get("job"):
            jobs.add(name)
    return Wanted(str(about["project"]), copies, frozenset(jobs))
