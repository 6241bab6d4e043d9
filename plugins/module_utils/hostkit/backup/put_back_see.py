# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at data services for a restore: whether they can be asked, who is connected to them, where their files are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..command import run_command
from ..engine import NotFound
from ..release_volumes import written_by
from ..stack_state import containers_by_service
from .config import BackupError
from .postgres import HOME, ask
from .redis import CLIENT
from .stack import POSTGRES, Container, Stack, container_of

# The states of a container that is not stopped.
UP = ("running", "restarting", "paused")
_CLIENTS = "SELECT DISTINCT host(client_addr) FROM pg_stat_activity WHERE client_addr IS NOT NULL;\n"
_ADDRESS = re.compile(r"\baddr=\[?([0-9a-fA-F.:]+?)\]?:\d+\b")


@dataclass(frozen=True)
class Seen:
    """The container of a service; `well` where it runs and its health check does not object.

    `up` where any container of the service writes, or will: one that crashes again and again is between two starts.
    """

    container: Container | None
    up: bool = False
    well: bool = False


def containers_of(stack: Stack, service: str) -> list[Mapping[str, Any]]:
    """All containers of a service, as the engine tells of them."""
    return list(containers_by_service(stack.engine.containers(stack.config.project)).get(service, []))


def policy_of(item: Mapping[str, Any]) -> str:
    """When Docker starts a container again by itself, as `docker update --restart` takes it; "no" where never."""
    policy = (item.get("HostConfig") or {}).get("RestartPolicy") or {}
    name, tries = str(policy.get("Name") or "no"), int(policy.get("MaximumRetryCount") or 0)
    return f"{name}:{tries}" if name == "on-failure" and tries else name


def look(stack: Stack, service: str) -> Seen:
    """Look at a service."""
    found = containers_of(stack, service)
    if not found:
        return Seen(None)
    item = next((item for item in found if item["State"]["Status"] == "running"), found[0])
    running = item["State"]["Status"] == "running"
    health = str((item["State"].get("Health") or {}).get("Status") or "")
    container = container_of(service, item)
    is_up = any(item["State"]["Status"] in UP for item in found)
    return Seen(container, is_up, running and health in ("", "none", "healthy"))


class Resting(Stack):
    """The stack for sources that need files only: a container that is stopped is as good."""

    def container(self, service: str, *, well: bool = True) -> Container:
        found = look(self, service).container
        return found or super().container(service, well=well)


def connected(stack: Stack, service: str, kind: str) -> list[str]:
    """The services of the stack that have a connection to this one now, whether or not they say that they need it."""
    seen = look(stack, service)
    if seen.container is None or not seen.well:
        return []
    if kind == POSTGRES:
        try:
            addresses = set(ask(stack, seen.container, HOME, _CLIENTS, timeout=60).split())
        except BackupError:
            return []
    else:
        done = run_command(stack.inside(seen.container, CLIENT, "CLIENT", "LIST"), timeout=60)
        addresses = set(_ADDRESS.findall(done.stdout))
    found = []
    for name, items in containers_by_service(stack.engine.containers(stack.config.project)).items():
        if name != service and any(addresses & _addresses(item) for item in items):
            found.append(name)
    return sorted(found)


def _addresses(container: Any) -> set[str]:
    networks = ((container.get("NetworkSettings") or {}).get("Networks") or {}).values()
    return {
        str(network[key])
        for network in networks
        for key in ("IPAddress", "GlobalIPv6Address")
        if network and network.get(key)
    }


def data_volumes(stack: Stack, service: str, kind: str) -> list[str]:
    """The volumes, by Docker's names, and folders of the host that hold a service's data."""
    return sorted(written_by(service, stack.data_only(service, kind), stack.config.project))


def folder_of_source(stack: Stack, source: str) -> Path | None:
    """Where a volume or a folder of the host is; None where there is no such volume."""
    if source.startswith("/"):
        return Path(source)
    try:
        return stack.volume_folder(source)
    except NotFound:
        return None


def major_of(version: str) -> int:
    """The major version in what Postgres says of itself, such as "pg_restore (PostgreSQL) 15.6 (Debian …)"."""
    found = re.search(r"(?:^|\s)(\d+)(?:\.|devel|beta|rc|\s|$)", version)
    return int(found[1]) if found else 0
