# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The green board: what a release wants of each service, and what the engine really runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .engine import Engine, EngineError
from .release import Release

SERVICE_LABEL = "com.docker.compose.service"
HASH_LABEL = "com.docker.compose.config-hash"
ONEOFF_LABEL = "com.docker.compose.oneoff"


@dataclass(frozen=True)
class Row:
    """One service: wanted and actual. `drift` says in words what differs; empty when nothing does."""

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

    @property
    def is_ready(self) -> bool:
        """Running, and healthy where the service has a health check."""
        return self.state == "running" and self.health in ("healthy", "none")

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
    """Compare one service with its containers."""
    service_class = str(wanted.get("class", ""))
    image = str(wanted.get("image", ""))
    if not found:
        return Row(name, service_class, image, "missing", "", 0, 0, "", 0, "", drift="no container")
    container = found[0]
    state = container["State"]
    labels = container["Config"].get("Labels") or {}
    return Row(
        service=name,
        service_class=service_class,
        image=image,
        state=str(state["Status"]),
        health=str((state.get("Health") or {}).get("Status", "none")),
        restarts=int(container.get("RestartCount", 0)),
        exit_code=int(state.get("ExitCode", 0)),
        container_id=str(container["Id"]),
        memory_limit_bytes=int(container["HostConfig"].get("Memory", 0)),
        started=str(state.get("StartedAt", "")),
        drift=_drift(wanted, container, labels, len(found)),
    )


def _drift(wanted: Mapping[str, Any], container: Mapping[str, Any], labels: Mapping[str, str], count: int) -> str:
    if count > 1:
        return f"{count} containers instead of one"
    status = container["State"]["Status"]
    if status != "running":
        return f"{status}, exit code {container['State'].get('ExitCode', 0)}" if status == "exited" else str(status)
    if wanted.get("image_id") and container["Image"] != wanted["image_id"]:
        return "runs another image than the release"
    if wanted.get("config_hash") and labels.get(HASH_LABEL) != wanted["config_hash"]:
        return "runs with another configuration than the release"
    return ""


def read_rows(engine: Engine, project: str, services: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Read the board of a project: a row for each service that is wanted, then one for each that is not."""
    grouped = containers_by_service(engine.containers(project))
    rows = [make_row(name, wanted, grouped.get(name, [])) for name, wanted in services.items()]
    for name in sorted(set(grouped) - set(services)):
        row = make_row(name, {}, grouped[name])
        rows.append(
            Row(
                **{**row.__dict__, "image": grouped[name][0]["Config"].get("Image", ""), "drift": "not in this release"}
            )
        )
    return rows


def with_memory(engine: Engine, rows: Sequence[Row]) -> list[Row]:
    """Add what each running container uses."""
    return [
        Row(**{**row.__dict__, "memory_bytes": engine.memory_bytes(row.container_id)})
        if row.state == "running"
        else row
        for row in rows
    ]


def read_board(engine: Engine, project: str, release: Release | None, *, memory: bool = False) -> list[Row]:
    """Read the board of the release in use; without a release, of whatever carries the project's name."""
    services = release.read().get("services", {}) if release else {}
    rows = read_rows(engine, project, services)
    return with_memory(engine, rows) if memory else rows


def summary(rows: Sequence[Row]) -> str:
    """Return one line: how many are as they should be, and which are not."""
    good = [row for row in rows if row.is_ready and not row.drift]
    text = f"{len(good)} of {len(rows)} services healthy"
    bad = [f"{row.service} ({row.drift or row.health})" for row in rows if row not in good]
    return text if not bad else f"{text}; not: {', '.join(bad)}"


def engine_is_there(engine: Engine) -> bool:
    try:
        engine.version()
    except EngineError:
        return False
    return True
