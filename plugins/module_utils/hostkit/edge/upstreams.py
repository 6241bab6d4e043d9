# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the containers of a service are, as small files that Caddy reads.

From version 2.8 on Caddy reads an address from a file at each request: a container that moves costs no reload, and a
request that finds nobody waits for the next address. Before 2.8 the address stands in the Caddyfile itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..compose.policy import SERVICE_LABEL
from ..stack_state import ONEOFF_LABEL, address_of
from ..stack_state import SERVICE_LABEL as COMPOSE_LABEL
from .layout import UPSTREAMS
from .render import RETRY_SECONDS
from .settings import upstream_name

# Addresses that a service has at least, the same one twice if need be: a second container, as in a rollout, is then no
# change for Caddy.
_SLOTS = 2
# What stands where nothing runs: no other program of the host can be reached by it, and it is refused at once.
NOBODY = "unix//run/caddy/nobody"


def addresses(
    containers: Sequence[Mapping[str, Any]], pinned: Mapping[str, Collection[str]] | None = None
) -> dict[str, list[str]]:
    """The addresses to send requests to, by service: of healthy containers, or where it has none, of all that run.

    ``pinned`` has for a service the ids of those that get its requests: meanwhile others start, or end.
    """
    found: dict[str, list[tuple[bool, str]]] = {}
    for container in containers:
        labels = container["Config"].get("Labels") or {}
        service = labels.get(SERVICE_LABEL) or labels.get(COMPOSE_LABEL)
        state = container["State"]
        address = address_of(container)
        if not service or labels.get(ONEOFF_LABEL, "").lower() == "true" or state["Status"] != "running" or not address:
            continue
        health = (state.get("Health") or {}).get("Status") or "none"
        chosen = service not in (pinned or {}) or container.get("Id") in (pinned or {})[service]
        good = health in ("healthy", "none") and chosen
        found.setdefault(service, []).append((good, address))
    return {
        service: sorted({address for good, address in places if good or not any(good for good, _address in places)})
        for service, places in found.items()
    }


def upstream_files(
    wanted: Mapping[str, Sequence[int]], places: Mapping[str, Sequence[str]], *, live: bool
) -> dict[str, str]:
    """The files of all services that a route leads to, by file name. ``live``: Caddy reads addresses from files."""
    found: dict[str, str] = {}
    for service, ports in sorted(wanted.items()):
        where = places.get(service, ())
        if live:
            # Too few are given out again from the first: each place of the Caddyfile has somebody.
            count = max(_SLOTS, len(where))
            slots = {f"{service}.{number}": where[number % len(where)] if where else NOBODY for number in range(count)}
            found |= slots
            where = [f"{{file.{UPSTREAMS}/{slot}}}" for slot in slots]
        found[f"{service}.caddy"] = _snippets(service, ports, where)
    return found


def _snippets(service: str, ports: Sequence[int], where: Sequence[str]) -> str:
    """What the Caddyfile imports. Without an address Caddy answers 503 there, and serves all else."""
    lines = [f"# Where {service} is now. Written by `hypercode edge sync`."]
    for port in ports:
        lines.append(f"({upstream_name(service, port)}) {{")
        if where:
            lines += ["\tto " + " ".join(f"{place}:{port}" for place in where), f"\tlb_try_duration {RETRY_SECONDS}s"]
        lines.append("}")
    return "\n".join(lines) + "\n"


def service_of(file: str) -> str:
    """The service that a file of this folder is about."""
    return file.rpartition(".")[0]
