# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which services may run twice for a moment, so that the new container can start beside the old one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .compose.policy import REPLACE, ROLLOUT_EXTENSION


def in_place_reason(name: str, service: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]]) -> str:
    """Why a service has to be replaced in place, as the end of a sentence; empty when a second one may run beside it.

    ``service`` and ``services`` are those of a resolved Compose project. The Compose file decides where it says
    `x-hypercode-rollout`; a second container that Docker would refuse is never started.
    """
    return _impossible(name, service, services) or _unwise(service)


def hidden_volume(container: Mapping[str, Any], service: Mapping[str, Any]) -> str:
    """Where an inspected container has a volume that only its image asks for; a second one would begin an empty one."""
    stated = {str(volume.get("target")) for volume in service.get("volumes") or [] if isinstance(volume, Mapping)}
    for mount in container.get("Mounts") or []:
        if mount.get("Type") == "volume" and mount.get("RW", True) and mount.get("Destination") not in stated:
            return str(mount["Destination"])
    return ""


def _impossible(name: str, service: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]]) -> str:
    """What Docker itself would refuse, or what would break another container."""
    if service.get("container_name"):
        return f"it has a fixed name, {service['container_name']}"
    ports = [port for port in service.get("ports") or [] if not isinstance(port, Mapping) or port.get("published")]
    if ports:
        return f"it holds a port of the host, {_port(ports[0])}"
    mode = str(service.get("network_mode") or "")
    if mode == "host":
        return "it has the network of the host, where its ports are taken"
    if mode.startswith(("service:", "container:")):
        return f"it lives in the network of {mode.partition(':')[2]}"
    for key, stated in (service.get("networks") or {}).items():
        for word in ("ipv4_address", "ipv6_address", "mac_address"):
            if isinstance(stated, Mapping) and stated.get(word):
                return f"it has a fixed address in the network {key}"
    tied = [other for other, entry in services.items() if str(entry.get("network_mode") or "") == f"service:{name}"]
    return f"{tied[0]} lives in its network" if tied else ""


def _unwise(service: Mapping[str, Any]) -> str:
    """What two of them would fight over."""
    stated = service.get(ROLLOUT_EXTENSION)
    if stated:
        return "the Compose file says so" if stated == REPLACE else ""
    found = written(service)
    return f"it writes {_source(found[0])}, which only one may do" if found else ""


def written(service: Mapping[str, Any], kinds: Collection[str] = ("volume", "bind")) -> list[Mapping[str, Any]]:
    """The volumes of these kinds that a service may write to."""
    volumes = [volume for volume in service.get("volumes") or [] if isinstance(volume, Mapping)]
    return [volume for volume in volumes if volume.get("type") in kinds and not volume.get("read_only")]


def _port(port: Any) -> str:
    return str(port.get("published")) if isinstance(port, Mapping) else str(port)


def _source(volume: Mapping[str, Any]) -> str:
    if volume.get("type") == "bind":
        return f"the folder {volume.get('source')}"
    return f"the volume {volume['source']}" if volume.get("source") else f"a volume at {volume.get('target')}"
