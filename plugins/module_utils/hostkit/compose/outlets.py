# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gives services an outlet: a network of their own, by which they leave the host and the firewall knows them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..outlet import bridge_name, ipv6_subnet, network_key, network_name
from .findings import Finding, closest, error
from .repair import Repairs

# Where people write it: the role firewall has the list of what each service may reach.
_VARIABLE = "firewall_egress_services"
_BRIDGE_OPTION = "com.docker.network.bridge.name"


def add_outlets(
    data: dict[str, Any], project_name: str, names: Collection[str], off: Collection[str], repairs: Repairs
) -> list[Finding]:
    """Add the outlets of these services to a project in long form, in place. ``off`` are services switched off."""
    findings: list[Finding] = []
    services: dict[str, dict[str, Any]] = data["services"]
    for name in sorted(names):
        if name in off:
            continue
        if name not in services:
            message = f"{_VARIABLE}.{name}: there is no service {name!r}.{closest(name, services)}"
            findings.append(error("option", message, "correct the name.", f"{_VARIABLE}.{name}"))
            continue
        problems = list(_obstacles(name, services[name], data.get("networks") or {}, project_name))
        findings += problems
        if not problems:
            _add(name, services[name], data, repairs)
    return findings


def _obstacles(
    name: str, service: Mapping[str, Any], networks: Mapping[str, Any], project_name: str
) -> Iterator[Finding]:
    path = f"services.{name}.networks"
    mode = service.get("network_mode")
    if mode:
        message = f"{name} has network_mode: {mode}, so what it may reach ({_VARIABLE}) cannot be kept apart."
        fix = f"take network_mode away, or {name} out of {_VARIABLE}."
        yield error("option", message, fix, f"services.{name}.network_mode", name)
        return
    for key, entry in (service.get("networks") or {}).items():
        if isinstance(entry, Mapping) and entry.get("gw_priority"):
            message = f"{name} leaves by {key} (gw_priority), past what it may reach ({_VARIABLE})."
            yield error("option", message, f"take gw_priority away, or {name} out of {_VARIABLE}.", path, name)
        stated = networks.get(key) or {}
        real = str(stated.get("name") or f"{project_name}_{key}")
        if real <= network_name(name) and stated.get("internal") is not True:
            message = (
                f"{name} leaves by {real}, which comes first in the alphabet, past what it may reach ({_VARIABLE})."
            )
            fix = f"give the network {key} a name that begins with a letter."
            yield error("option", message, fix, f"networks.{key}.name", name)


def _add(name: str, service: dict[str, Any], data: dict[str, Any], repairs: Repairs) -> None:
    networks: dict[str, Any] = data.setdefault("networks", {})
    joined = service.get("networks") or {"default": None}
    outlet: dict[str, Any] = {
        "name": network_name(name),
        "driver": "bridge",
        "driver_opts": {_BRIDGE_OPTION: bridge_name(name)},
    }
    # Without IPv6 on its outlet, it would leave by another network for IPv6 addresses.
    if any((networks.get(key) or {}).get("enable_ipv6") is True for key in joined):
        outlet |= {"enable_ipv6": True, "ipam": {"config": [{"subnet": ipv6_subnet(name)}]}}
    service["networks"] = {**joined, network_key(name): None}
    networks[network_key(name)] = outlet
    repairs.note(name, "networks", list(joined), list(service["networks"]), "outlet")
