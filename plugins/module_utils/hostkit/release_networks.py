# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Networks of a release whose settings changed.

Docker cannot change a network that exists, and Compose 2.26 leaves it as it is: a network that was to become internal
would stay open, and nobody would be told. So it is found here, and made anew.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .engine import Engine
from .outlet import NETWORK_PREFIX
from .stack_state import PROJECT_LABEL


@dataclass(frozen=True)
class StaleNetwork:
    """A network of the project that is not as the release wants it. `services` are the ones that join it."""

    name: str
    reason: str
    services: tuple[str, ...]


def stale_networks(engine: Engine, project: str, model: Mapping[str, Any]) -> list[StaleNetwork]:
    """Compare the project's own networks with the engine's. External ones, and those not there yet, are left out."""
    stated = model.get("networks") or {}
    result = []
    for key in sorted({*stated, "default"}):
        entry = stated.get(key) or {}
        name = str(entry.get("name") or f"{project}_{key}")
        services = users_of(model, key)
        if entry.get("external") or not services:
            continue
        found = engine.network(name)
        if found is None or (found.get("Labels") or {}).get(PROJECT_LABEL) != project:
            continue
        reason = _difference(entry, found)
        if reason:
            result.append(StaleNetwork(name, reason, services))
    return result


def unused_outlets(engine: Engine, project: str, model: Mapping[str, Any]) -> list[str]:
    """Outlets of services that need none any more. Compose leaves networks that a project no longer has."""
    wanted = {(entry or {}).get("name") for entry in (model.get("networks") or {}).values()}
    names = (str(network["Name"]) for network in engine.networks(project))
    return sorted(name for name in names if name.startswith(NETWORK_PREFIX) and name not in wanted)


def users_of(model: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the services on a network, given its name in the Compose file."""
    found = []
    for name, service in model["services"].items():
        if not service.get("network_mode") and key in (service.get("networks") or ["default"]):
            found.append(name)
    return tuple(sorted(found))


def _difference(entry: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    # A network that is silent about `internal` is to be open. On the others it has no opinion where it is silent.
    stated = {"internal": False, **entry}
    for key, actual in (("internal", "Internal"), ("attachable", "Attachable"), ("enable_ipv6", "EnableIPv6")):
        if key in stated and bool(stated[key]) != bool(found.get(actual)):
            return f"{key} is {_said(found.get(actual))}, wanted is {_said(stated[key])}"
    driver = entry.get("driver")
    if driver and driver != "default" and driver != found.get("Driver"):
        return f"its driver is {found.get('Driver')}, wanted is {driver}"
    wanted = _subnets((entry.get("ipam") or {}).get("config"), "subnet")
    actual_subnets = _subnets((found.get("IPAM") or {}).get("Config"), "Subnet")
    if wanted and None not in wanted and wanted != actual_subnets:
        return "its subnets differ"
    return ""


def _said(value: object) -> str:
    return "true" if value else "false"


def _subnets(config: Any, key: str) -> set[object]:
    """The subnets in an address configuration; None stands for one that cannot be read, such as a reference."""
    found: set[object] = set()
    for item in config or []:
        if not isinstance(item, Mapping) or not item.get(key):
            continue
        try:
            found.add(ipaddress.ip_network(str(item[key]), strict=False))
        except ValueError:
            found.add(None)
    return found
