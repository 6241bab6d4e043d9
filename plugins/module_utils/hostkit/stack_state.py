# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The green board: what a release wants of each service, and what the engine really runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .engine import Engine, EngineError
from .release import Release

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
HASH_LABEL = "com.docker.compose.config-hash"
ONEOFF_LABEL = "com.docker.compose.oneoff"
# For a container that has the network of the host.
_HOST = "127.0.0.1"
# Which start of which containers: for each its id, when it was started, and how often Docker has started it again.
Start = tuple[tuple[str, str, int], ...]


@dataclass(frozen=True)
class Row:
    """One service: wanted and actual. `drift` says in words what differs; empty when nothing does.

    `job` is true for a service that runs once and ends, because others wait for its end.
    """

    service: str
    service_class: str
    image: str
    state: str
    health: str
    restarts: int
    exit_code: int
    container_id: str
    memory_limit_bytes: int
    started: str
    drift: str = ""
    memory_bytes: int | None = None
    job: bool = False
    # Where there are several containers, the starts of them all.
    starts: Start = ()

    @property
    def is_ready(self) -> bool:
        """Running, and healthy where the service has a health check; a job has to have ended well."""
        if self.job:
            return self.state == "exited" and self.exit_code == 0
        return self.state == "running" and self.health in ("healthy", "none")

    @property
    def has_crashed(self) -> bool:
        """Stopped for good, and not because its work was done."""
        return self.state in ("exited", "dead") and not self.is_ready

    @property
    def start(self) -> Start:
        """Which start of which container it is: Docker may have started it again by the time that one looks."""
        return self.starts or ((self.container_id, self.started, self.restarts),)

    @property
    def is_good(self) -> bool:
        """Ready, and just as the release wants it."""
        return self.is_ready and not self.drift

    @property
    def needs_action(self) -> bool:
        """True when only starting or recreating the container can make it right."""
        return bool(self.drift)

    def as_board(self) -> dict[str, Any]:
        """Return the row as the board shows it."""
        return {
            "service": self.service,
            "class": self.service_class,
            "state": self.state,
            "health": self.health,
            "ready": self.is_good,
            "restarts": self.restarts,
            "image": self.image,
            "memory_bytes": self.memory_bytes,
            "memory_limit_bytes": self.memory_limit_bytes,
            "note": self.drift,
        }


def containers_by_service(containers: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Group inspected containers by Compose service; one-off `compose run` containers are left out."""
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for container in containers:
        labels = container["Config"].get("Labels") or {}
        if labels.get(ONEOFF_LABEL, "").lower() == "true" or SERVICE_LABEL not in labels:
            continue
        grouped.setdefault(labels[SERVICE_LABEL], []).append(container)
    return grouped


def make_row(name: str, wanted: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> Row:
    """Compare one service with its containers. Of several, the one that is worst off stands for all."""
    image, service_class = str(wanted.get("image") or ""), str(wanted.get("class") or "")
    copies, job = _copies(wanted), bool(wanted.get("job"))
    if not found:
        return Row(name, service_class, image, "missing", "", 0, 0, "", 0, "", "no container", job=job)
    rows = [_row_of(name, service_class, image, wanted, container) for container in found]
    worst = min(rows, key=lambda row: (row.is_good, row.is_ready, not row.has_crashed))
    if len(rows) > 1:
        worst = replace(worst, starts=tuple(sorted(row.start[0] for row in rows)))
    if len(rows) == copies:
        return worst
    return replace(worst, drift=f"{_counted(len(rows))} instead of {copies if copies != 1 else 'one'}")


def _copies(wanted: Mapping[str, Any]) -> int:
    copies = wanted.get("replicas")
    return copies if isinstance(copies, int) else 1


def _counted(number: int) -> str:
    return f"{number} container" + ("" if number == 1 else "s")


def _row_of(name: str, service_class: str, image: str, wanted: Mapping[str, Any], container: Mapping[str, Any]) -> Row:
    state = container["State"]
    row = Row(
        service=name,
        service_class=service_class,
        image=image,
        state=str(state["Status"]),
        health=str((state.get("Health") or {}).get("Status") or "none"),
        restarts=int(container.get("RestartCount") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        container_id=str(container["Id"]),
        memory_limit_bytes=int(container["HostConfig"].get("Memory") or 0),
        started=str(state.get("StartedAt") or ""),
        job=bool(wanted.get("job")),
    )
    return replace(row, drift=_drift(row, wanted, container))


def _drift(row: Row, wanted: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    if row.state != "running" and not row.is_ready:
        return f"exited, exit code {row.exit_code}" if row.state == "exited" else row.state
    if wanted.get("image_id") and container["Image"] != wanted["image_id"]:
        return "runs another image than the release"
    labels = container["Config"].get("Labels") or {}
    if wanted.get("config_hash") and labels.get(HASH_LABEL) != wanted["config_hash"]:
        return "runs with another configuration than the release"
    return ""


def read_rows(engine: Engine, project: str, services: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Read the board of a project: a row for each service that is wanted, then one for each that is not."""
    return make_rows(engine.containers(project), services)


def make_rows(containers: Sequence[Mapping[str, Any]], services: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """The same for containers that were looked at already."""
    grouped = containers_by_service(containers)
    # A service that is scaled to nothing, and is not there, is nothing to show.
    shown = {name: wanted for name, wanted in services.items() if grouped.get(name) or _copies(wanted)}
    rows = [make_row(name, wanted, grouped.get(name, [])) for name, wanted in shown.items()]
    for name in sorted(set(grouped) - set(services)):
        row = make_row(name, {}, grouped[name])
        image = str(grouped[name][0]["Config"].get("Image") or "")
        rows.append(replace(row, image=image, drift="not in this release"))
    return rows


def with_memory(engine: Engine, rows: Sequence[Row]) -> list[Row]:
    """Add what each running container uses."""
    return [
        replace(row, memory_bytes=engine.memory_bytes(row.container_id)) if row.state == "running" else row
        for row in rows
    ]


def read_board(engine: Engine, project: str, release: Release | None, *, memory: bool = False) -> list[Row]:
    """Read the board of the release in use; without a release, of whatever carries the project's name."""
    services = release.read()["services"] if release else {}
    rows = read_rows(engine, project, services)
    return with_memory(engine, rows) if memory else rows


def summary(rows: Sequence[Row]) -> str:
    """Return one line: how many are as they should be, and which are not."""
    good = [row for row in rows if row.is_good]
    text = f"{len(good)} of {len(rows)} services healthy"
    bad = [f"{row.service} ({row.drift or row.health})" for row in rows if not row.is_good]
    return text if not bad else f"{text}; not: {', '.join(bad)}"


def engine_is_there(engine: Engine) -> bool:
    """True when a Docker engine answers on this host."""
    try:
        engine.version()
    except EngineError:
        return False
    return True


def address_of(container: Mapping[str, Any]) -> str:
    """Where the host reaches a container: of several networks the first by name, always the same one."""
    if (container.get("HostConfig") or {}).get("NetworkMode") == "host":
        return _HOST
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    for _name, network in sorted(networks.items()):
        if network.get("IPAddress"):
            return str(network["IPAddress"])
    for _name, network in sorted(networks.items()):
        if network.get("GlobalIPv6Address"):
            return f"[{network['GlobalIPv6Address']}]"
    return ""
