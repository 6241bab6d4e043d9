# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pieces of nft rules. Each match ends with a space, so that matches and a verdict can be put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from .settings import Network


def listed(words: Iterable[str]) -> str:
    """One word as it is, several as a set."""
    found = list(words)
    return found[0] if len(found) == 1 else f"{{ {', '.join(found)} }}"


def numbers(ports: Iterable[int]) -> str:
    """Ports as nft writes them."""
    return listed(str(port) for port in ports)


def by_family(networks: Iterable[Network]) -> dict[int, list[Network]]:
    """IP version -> its networks, joined where they touch: a set of nft holds no address twice."""
    networks = list(networks)
    four = list(collapse_addresses(network for network in networks if isinstance(network, IPv4Network)))
    six = list(collapse_addresses(network for network in networks if isinstance(network, IPv6Network)))
    return {version: list(found) for version, found in ((4, four), (6, six)) if found}


def address_texts(networks: Sequence[Network]) -> list[str]:
    """The networks of one family as nft lists them: those that touch and make no network together are a range."""
    runs: list[list[Network]] = []
    for network in networks:
        if runs and int(runs[-1][-1].broadcast_address) + 1 == int(network.network_address):
            runs[-1].append(network)
        else:
            runs.append([network])
    return [_address_text(run[0]) if len(run) == 1 else f"{run[0][0]}-{run[-1][-1]}" for run in runs]


def _address_text(network: Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def family_match(version: int, side: str, networks: Sequence[Network]) -> str:
    """``ip saddr { … } `` for one family."""
    word = "ip" if version == 4 else "ip6"
    return f"{word} {side} {listed(address_texts(networks))} "


def source_matches(networks: Sequence[Network]) -> list[str]:
    """The matches for these sources, one for each family; one that fits all when there are none."""
    return [family_match(version, "saddr", found) for version, found in by_family(networks).items()] or [""]


def pair_matches(sources: Sequence[Network], targets: Sequence[Network]) -> list[str]:
    """The matches for sources and targets of one family each. None stands for all."""
    if not targets:
        return source_matches(sources)
    if not sources:
        return [family_match(version, "daddr", found) for version, found in by_family(targets).items()]
    from_families, to_families = by_family(sources), by_family(targets)
    return [
        family_match(version, "saddr", from_families[version]) + family_match(version, "daddr", to_families[version])
        for version in from_families
        if version in to_families
    ]
