# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules for containers that sit on the host's own network, beside it: macvlan and ipvlan.

Their packets leave the interface before the host's input and forward chains see them. Only the ingress hook of the
interface itself comes earlier. Nothing is tracked there, so these rules know no connections: a TCP segment that opens
one is refused by its flags, and of UDP only what cannot be anything but an answer is let through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .lines import source_matches
from .noise import refused
from .settings import TABLE, HostView, Network, Settings

_TABLE = f"netdev {TABLE}"


def beside_removal() -> str:
    """What takes the table away, whether it is there or not."""
    return f"add table {_TABLE}\ndelete table {_TABLE}\n"


def render_beside(settings: Settings, host: HostView) -> str:
    """The table of the ingress hooks, one command a line: at boot one interface may be missing, the others not."""
    if not settings.filter_macvlan or not host.interfaces:
        return beside_removal()
    lines = [
        *_chain("refused", refused(settings, "beside", ["drop"])),
        *_chain("beside", _beside(settings, host)),
    ]
    for number, name in enumerate(host.interfaces):
        hook = f' {{ type filter hook ingress device "{name}" priority -500; policy accept; }}'
        lines += _chain(f"in_{number}", _interface(name), hook)
    return "".join([beside_removal(), f"add table {_TABLE}\n", *(f"{line}\n" for line in lines)])


def _chain(name: str, rules: Iterable[str], hook: str = "") -> list[str]:
    return [f"add chain {_TABLE} {name}{hook}", *(f"add rule {_TABLE} {name} {rule}" for rule in rules)]


def _interface(name: str) -> list[str]:
    return [
        # The host's own addresses, also those of published ports: the other table decides.
        "fib daddr type local accept",
        # Another hardware address than the interface's: macvlan.
        "meta pkttype other goto beside",
        # Such a container hears broadcasts, too. The host itself is asked for the same ports in its input chain.
        "fib daddr type { broadcast, multicast } meta l4proto udp goto beside",
        # The interface's hardware address and an address that is reached through that interface: ipvlan. What the host
        # would hand on to a bridge goes to the forward chain.
        f'fib daddr oif "{name}" goto beside',
    ]


def _beside(settings: Settings, host: HostView) -> list[str]:
    servers = (*settings.dns_servers, *host.resolvers)
    return [
        # ARP and the like.
        "meta protocol != { ip, ip6 } accept",
        *(f"{match}accept" for match in _from(settings.trusted_networks)),
        # A piece of a packet may hide the flags that say that it opens a connection.
        "ip frag-off & 0x3fff != 0 goto refused",
        "exthdr frag exists goto refused",
        *(
            f"{match}{port.proto} dport {port.ports} accept"
            for port in settings.open_ports
            for match in source_matches(port.sources)
        ),
        "tcp flags & (syn | ack) == syn goto refused",
        *(f"{match}udp sport 53 accept" for match in _from(servers)),
        "udp sport 67 udp dport 68 accept",
        "meta l4proto { tcp, icmp, ipv6-icmp, igmp } accept",
        "goto refused",
    ]


def _from(networks: Sequence[Network]) -> list[str]:
    return source_matches(networks) if networks else []
