# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What containers may reach: the internet; the host, the cloud's metadata and private networks only when allowed."""

from __future__ import annotations

from .lines import by_family, family_match, listed, pair_matches, source_matches
from .settings import METADATA, PRIVATE, EgressRule, HostView, Network, Settings

_REFUSE = "goto refused_egress"


def egress(settings: Settings, host: HostView) -> list[str]:
    """New connections of containers that leave the host."""
    rules = [rule for rule in settings.egress if rule.place == "any" or rule.networks]
    return [
        *_dns(settings, host),
        # A rule gets at metadata only where it names that very range: a rule for all of 0.0.0.0/0 does not mean it.
        *(line for rule in rules for line in _allow(rule, _metadata_of(rule)) if _metadata_of(rule)),
        *_refuse(METADATA),
        *(line for rule in rules for line in _allow(rule, rule.networks)),
        *_refuse(PRIVATE),
        *(line for rule in settings.egress if rule.place == "internet" for line in _allow(rule, ())),
        *(f"{match}{_REFUSE}" for match in (source_matches(settings.egress_closed) if settings.egress_closed else [])),
        "accept" if settings.egress_default == "internet" else _REFUSE,
    ]


def container_to_host(settings: Settings, host: HostView) -> list[str]:
    """New connections of containers to the host's own addresses."""
    rules = [rule for rule in settings.egress if rule.place in ("host", "any") or rule.networks]
    return [
        # Containers find their gateway by these; they have no say in the host's routes and addresses.
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept",
        "icmpv6 type { nd-router-solicit, nd-router-advert, mld-listener-report, mld-listener-done,"
        " mld2-listener-report } drop",
        *_dns(settings, host),
        *(line for rule in rules for line in _allow(rule, rule.networks)),
        _REFUSE,
    ]


def container_to_published(settings: Settings) -> list[str]:
    """Containers that go to another container by a published port of the host."""
    lines = []
    for rule in settings.egress:
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
