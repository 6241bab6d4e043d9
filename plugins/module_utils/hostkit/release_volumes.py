# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What services write, when a release drops one of them or gives it another name.

No volume is ever removed. But two containers that write the same files break them: a database that has another name in
the new release must not start beside the old one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .stack_state import containers_by_service

_KINDS = ("volume", "bind")


@dataclass(frozen=True)
class Displaced:
    """A running container whose service the release does not have, and which service is about to write its files."""

    container: str
    service: str
    by: str
    source: str


def written_by(name: str, model: Mapping[str, Any], project: str, *, reads: bool = False) -> frozenset[str]:
    """What a service of a resolved project writes: volumes by the names that Docker has for them, folders by path.

    With `reads`, what it can only read too.
    """
    volumes = model.get("volumes") or {}
    found = set()
    for entry in model["services"][name].get("volumes") or []:
        if not isinstance(entry, Mapping) or not entry.get("source") or (entry.get("read_only") and not reads):
            continue
        source = str(entry["source"])
        if entry.get("type") == "bind":
            found.add(source)
        elif entry.get("type") == "volume":
            found.add(volume_name(source, volumes.get(source) or {}, project))
    return frozenset(found)


def volume_name(key: str, stated: Mapping[str, Any], project: str) -> str:
    """The name that Docker has for a volume of a project, from its entry in the Compose file."""
    return str(stated.get("name") or (key if stated.get("external") else f"{project}_{key}"))


def displaced(containers: Sequence[Mapping[str, Any]], model: Mapping[str, Any], project: str) -> list[Displaced]:
    """Find what has to stop before the release starts, among all inspected containers of the project."""
    grouped = containers_by_service(containers)
    coming: dict[str, str] = {}
    for name in sorted(model["services"]):
        held = {source for item in grouped.get(name, []) for source in _mounted(item)}
        coming.update(dict.fromkeys(written_by(name, model, project) - held, name))
    found = []
    for name, items in sorted(grouped.items()):
        for item in items if name not in model["services"] else []:
            taken = sorted(_mounted(item) & set(coming))
            if taken:
                found.append(Displaced(str(item["Id"]), name, coming[taken[0]], taken[0]))
    return found


def _mounted(container: Mapping[str, Any]) -> frozenset[str]:
    """What a container writes; nothing where it does not run."""
    if container["State"]["Status"] not in ("running", "paused", "restarting"):
        return frozenset()
    mounts = [mount for mount in container.get("Mounts") or [] if mount.get("RW") and mount.get("Type") in _KINDS]
    return frozenset(str(mount.get("Name") if mount["Type"] == "volume" else mount.get("Source")) for mount in mounts)
