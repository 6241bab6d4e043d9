# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What containers may reach: the internet; the host, the cloud's metadata and private networks only when allowed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .lines import by_family, family_match, listed, pair_matches, source_matches
from .settings import METADATA, PRIVATE, EgressRule, HostView, Network, ServiceEgress, Settings

_REFUSE = "goto refused_egress"


def egress(settings: Settings, host: HostView) -> list[str]:
    """New connections of containers that leave the host."""
    closed = source_matches(settings.egress_closed) if settings.egress_closed else []
    return [
        *_dns(settings, host),
        *(f"{_of(service)}goto egress_{_suffix(service)}" for service in settings.egress_services),
        *_leaving(settings.egress, closed, settings.egress_default),
    ]


def container_to_host(settings: Settings, host: HostView) -> list[str]:
    """New connections of containers to the host's own addresses."""
    return [
        # Containers find their gateway by these; they have no say in the host's routes and addresses.
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept",
        "icmpv6 type { nd-router-solicit, nd-router-advert, mld-listener-report, mld-listener-done,"
        " mld2-listener-report } drop",
        *_dns(settings, host),
        *(f"{_of(service)}goto host_{_suffix(service)}" for service in settings.egress_services),
        *_to_host(settings.egress),
    ]


def container_to_published(settings: Settings) -> list[str]:
    """Containers that go to another container by a published port of the host."""
    return [
        *(f"{_of(service)}goto published_{_suffix(service)}" for service in settings.egress_services),
        *_to_published(settings.egress),
    ]


def of_services(settings: Settings) -> Iterator[tuple[str, list[str]]]:
    """Name and rules of the chains of each service with a list of its own: that list, and nothing else."""
    for service in settings.egress_services:
        yield f"egress_{_suffix(service)}", _leaving(service.rules, [], "none")
        yield f"host_{_suffix(service)}", _to_host(service.rules)
        yield f"published_{_suffix(service)}", _to_published(service.rules)


def _suffix(service: ServiceEgress) -> str:
    return service.bridge.rpartition("-")[2]


def _of(service: ServiceEgress) -> str:
    """The match for what comes from one service."""
    return f'iifname "{service.bridge}" '


def _leaving(stated: Iterable[EgressRule], closed: Iterable[str], default: str) -> list[str]:
    stated = list(stated)
    rules = [rule for rule in stated if rule.place == "any" or rule.networks]
    return [
        # A rule gets at metadata only where it names that very range: a rule for all of 0.0.0.0/0 does not mean it.
        *(line for rule in rules for line in _allow(rule, _metadata_of(rule)) if _metadata_of(rule)),
        *_refuse(METADATA),
        *(line for rule in rules for line in _allow(rule, rule.networks)),
        *_refuse(PRIVATE),
        *(line for rule in stated if rule.place == "internet" for line in _allow(rule, ())),
        *(f"{match}{_REFUSE}" for match in closed),
        "accept" if default == "internet" else _REFUSE,
    ]


def _to_host(stated: Iterable[EgressRule]) -> list[str]:
    rules = [rule for rule in stated if rule.place in ("host", "any") or rule.networks]
    return [*(line for rule in rules for line in _allow(rule, rule.networks)), _REFUSE]


def _to_published(stated: Iterable[EgressRule]) -> list[str]:
    lines = []
    for rule in stated:
        if rule.place not in ("host", "any"):
            continue
        for match in source_matches(rule.sources):
            proto = f"meta l4proto {listed(rule.protocols)} " if rule.protocols else ""
            lines += [
                f"{match}meta l4proto {protocol} ct original proto-dst {ports} accept{_comment(rule)}"
                for protocol in rule.protocols
                for ports in rule.ports
            ] or [f"{match}{proto}accept{_comment(rule)}"]
    return [*lines, "goto refused_published"]


def _dns(settings: Settings, host: HostView) -> list[str]:
    """Docker answers for names of containers itself. For all others it asks the host's name servers *out of the
    container's network*, so these must be reachable, wherever they are. Only one on the host's loopback is asked from
    the host."""
    servers = (*settings.dns_servers, *host.resolvers)
    return [
        f"{match}meta l4proto {{ tcp, udp }} th dport 53 accept"
        for match in (pair_matches((), servers) if servers else [])
    ]


def _metadata_of(rule: EgressRule) -> tuple[Network, ...]:
    ranges = [
        network for network in PRIVATE if network.version == 4 and network.prefixlen == 16 and network.is_link_local
    ]
    allowed = (*METADATA, *ranges)
    return tuple(
        network
        for network in rule.networks
        if any(network.version == other.version and network.subnet_of(other) for other in allowed)  # type: ignore[arg-type]
    )


def _refuse(networks: tuple[Network, ...]) -> list[str]:
    return [f"{family_match(version, 'daddr', found)}{_REFUSE}" for version, found in by_family(networks).items()]


def _allow(rule: EgressRule, networks: tuple[Network, ...]) -> list[str]:
    if rule.ports and len(rule.protocols) == 1:
        ports = f"{rule.protocols[0]} dport {listed(str(ports) for ports in rule.ports)} "
    elif rule.ports:
        ports = f"meta l4proto {listed(rule.protocols)} th dport {listed(str(ports) for ports in rule.ports)} "
    else:
        ports = f"meta l4proto {listed(rule.protocols)} " if rule.protocols else ""
    return [f"{match}{ports}accept{_comment(rule)}" for match in pair_matches(rule.sources, networks)]


def _comment(rule: EgressRule) -> str:
    return f' comment "{rule.comment}"' if rule.comment else ""
