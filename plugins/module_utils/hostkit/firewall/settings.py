# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the firewall of a host is to do, once the settings have been judged."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeAlias, Union

from ..outlet import bridge_name

Network: TypeAlias = Union[IPv4Network, IPv6Network]  # noqa: UP007  Sanity takes the operands of | for values.

TABLE = "hypercode"
RIVALS = ("ufw", "firewalld", "nftables")
PROTOCOLS = ("tcp", "udp")

# Addresses from which a cloud hands its machines their identity and secrets, beside the private ranges below.
METADATA = tuple(
    ip_network(text)
    for text in ("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254")
)
# What is no internet: private, link-local, shared (CGNAT), loopback, multicast and reserved ranges, and the IPv4 ones
# among them again behind the well-known prefix of NAT64.
PRIVATE = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3"),
        *("::/127", "64:ff9b:1::/48", "fc00::/7", "fe80::/10", "ff00::/8"),
        *(
            "64:ff9b::/104",
            "64:ff9b::a00:0/104",
            "64:ff9b::6440:0/106",
            "64:ff9b::7f00:0/104",
            "64:ff9b::a83f:8110/128",
        ),
        *("64:ff9b::a9fe:0/112", "64:ff9b::ac10:0/108", "64:ff9b::c0a8:0/112", "64:ff9b::e000:0/99"),
    )
)


@dataclass(frozen=True)
class Ports:
    """A port, or a range of ports with both ends in it."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"

    def overlaps(self, other: Ports) -> bool:
        """Whether some port is in both."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class OpenPort:
    """A port that answers to the outside. No sources: to everybody."""

    ports: Ports
    proto: str
    sources: tuple[Network, ...] = ()
    comment: str = ""

    def __str__(self) -> str:
        return f"{self.ports}/{self.proto}"


@dataclass(frozen=True)
class EgressRule:
    """What containers may reach. No sources: all containers; no protocols: all; no ports: all.

    ``place`` is host, internet or any, and empty where ``networks`` says where to.
    """

    sources: tuple[Network, ...] = ()
    place: str = ""
    networks: tuple[Network, ...] = ()
    ports: tuple[Ports, ...] = ()
    protocols: tuple[str, ...] = ()
    comment: str = ""


@dataclass(frozen=True)
class ServiceEgress:
    """All that one service may reach. Its rules have no sources; no rules: nothing."""

    service: str
    rules: tuple[EgressRule, ...] = ()

    @property
    def bridge(self) -> str:
        """The interface by which this service's packets come, and no other's."""
        return bridge_name(self.service)


@dataclass(frozen=True)
class Settings:
    """Everything that the operator says. Where a field is a rate, 0 means none."""

    open_ports: tuple[OpenPort, ...] = ()
    trusted_networks: tuple[Network, ...] = ()
    trusted_interfaces: tuple[str, ...] = ()
    container_interfaces: tuple[str, ...] = ("docker0", "docker_gwbridge", "br-*", "veth*")
    ssh_ports: tuple[int, ...] = ()
    ssh_from: tuple[Network, ...] = ()
    ssh_rate: int = 30  # new connections in a minute, for each source
    swarm_peers: tuple[Network, ...] = ()
    ping: bool = True
    dns_servers: tuple[Network, ...] = ()
    egress: tuple[EgressRule, ...] = ()
    egress_default: str = "internet"
    egress_closed: tuple[Network, ...] = ()
    egress_services: tuple[ServiceEgress, ...] = ()
    log_rate: int = 10  # lines in a minute
    replace: tuple[str, ...] = ()
    filter_macvlan: bool = True

    @property
    def bridges(self) -> tuple[str, ...]:
        """Patterns of the interfaces of containers, outlets of services among them."""
        outlets = (egress.bridge for egress in self.egress_services)
        known = self.container_interfaces
        return (*known, *(name for name in outlets if not any(fnmatch.fnmatchcase(name, word) for word in known)))


@dataclass(frozen=True)
class HostView:
    """What the rules need to know of the host: where sshd listens, the name servers that containers ask, and the
    interfaces to the outside."""

    ssh_ports: tuple[int, ...] = (22,)
    resolvers: tuple[Network, ...] = ()
    interfaces: tuple[str, ...] = ()
