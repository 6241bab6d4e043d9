# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the rules as text for nft. The whole table is replaced in one transaction, and no other table is named."""

from __future__ import annotations

from collections.abc import Iterable

from .beside import beside_removal
from .egress import container_to_host, container_to_published, egress, of_services
from .lines import numbers, source_matches
from .noise import refused
from .settings import TABLE, HostView, OpenPort, Settings

_HEAD = f"""\
# Written by hypercode.deploy. Change the variables of the role firewall, not this file.
#
# The table {TABLE} is replaced in one step; other tables (Docker's, fail2ban's, yours) are not touched. Its chains come
# before the chains of Docker. A packet that is dropped here is gone, whatever Docker allows later; a packet that
# is accepted here still has to pass Docker's own rules.
table inet {TABLE} {{}}
delete table inet {TABLE}
table inet {TABLE} {{
"""
# For TCP not by ICMP, of which the kernel sends only so many.
_REJECT = ["meta l4proto tcp reject with tcp reset", "reject with icmpx type admin-prohibited"]


def render(settings: Settings, host: HostView) -> str:
    """The rules of a host, as a file that nft loads."""
    parts = [
        *_rate_sets(settings),
        _chain("prerouting", _prerouting(), "prerouting priority raw - 10; policy accept;"),
        _chain("input", _input(settings, host), "input priority filter - 10; policy drop;"),
        _chain("forward", _forward(settings), "forward priority filter - 10; policy drop;"),
        _chain("needed", _needed()),
        _chain("ssh", _ssh(settings)),
        _chain("published", _published(settings)),
        _chain("container_to_host", container_to_host(settings, host)),
        _chain("from_container", _from_container(settings)),
        _chain("container_to_published", container_to_published(settings)),
        _chain("egress", egress(settings, host)),
        *(_chain(name, rules) for name, rules in of_services(settings)),
        _chain("refused_input", refused(settings, "input", ["drop"])),
        _chain("refused_forward", refused(settings, "forward", ["drop"])),
        # Containers are told at once, so that nothing in them waits for a time-out.
        _chain("refused_egress", refused(settings, "egress", _REJECT)),
        # The kernel would send the reset of a connection that Docker redirects from the wrong address.
        _chain("refused_published", refused(settings, "egress", _REJECT[1:])),
    ]
    return f"{_HEAD}{chr(10).join(parts)}}}\n"


def render_fallback(host: HostView) -> str:
    """The few rules for a boot at which the real ones cannot be loaded: sshd answers, nothing else does."""
    rules = [
        'iifname "lo" accept',
        "ct state established,related accept",
        *_needed(),
        f"tcp dport {numbers(host.ssh_ports)} accept",
    ]
    containers = [f'iifname "{name}" accept' for name in Settings().container_interfaces]
    parts = [
        _chain("input", rules, "input priority filter - 10; policy drop;"),
        _chain(
            "forward",
            ["ct state established,related accept", *containers],
            "forward priority filter - 10; policy drop;",
        ),
    ]
    return f"{_HEAD}{chr(10).join(parts)}}}\n"


def removal() -> str:
    """What takes both tables away, whether they are there or not."""
    return f"table inet {TABLE} {{}}\ndelete table inet {TABLE}\n{beside_removal()}"


def _chain(name: str, rules: Iterable[str], hook: str = "") -> str:
    lines = [f"type filter hook {hook}"] if hook else []
    return "\n".join([f"\tchain {name} {{", *(f"\t\t{line}" for line in (*lines, *rules)), "\t}", ""])


def _rate_sets(settings: Settings) -> list[str]:
    """One entry for each source of new SSH connections; it goes away a minute after the last one."""
    if not settings.ssh_rate:
        return []
    return [
        f"\tset ssh_seen{version} {{\n\t\ttype ipv{version}_addr\n\t\tsize 65535\n"
        "\t\tflags dynamic,timeout\n\t\ttimeout 1m\n\t}\n"
        for version in (4, 6)
    ]


def _prerouting() -> list[str]:
    """A neighbour can send a packet for 127.0.0.1 over the wire, and Docker would lead it into a container."""
    return [
        'iifname != "lo" ip daddr 127.0.0.0/8 drop',
        'iifname != "lo" ip saddr 127.0.0.0/8 drop',
        'iifname != "lo" ip6 daddr ::1 drop',
        'iifname != "lo" ip6 saddr ::1 drop',
    ]


def _input(settings: Settings, host: HostView) -> list[str]:
    """To the host itself, and to containers in the host's network: these look the same."""
    ssh = f"tcp dport {numbers(sorted({*settings.ssh_ports, *host.ssh_ports}))}"
    peers = source_matches(settings.swarm_peers) if settings.swarm_peers else []
    return [
        'iifname "lo" accept',
        "ct state established,related accept",
        *(f'iifname "{name}" accept' for name in settings.trusted_interfaces),
        *(f'iifname "{name}" goto container_to_host' for name in settings.bridges),
        "jump needed",
        *(f"{match}accept" for match in _trusted(settings)),
        f"{ssh} goto ssh",
        # Between the nodes of a Swarm: management, gossip, the data of overlay networks, and the same encrypted.
        *(f"{match}tcp dport {{ 2377, 7946 }} accept" for match in peers),
        *(f"{match}udp dport {{ 4789, 7946 }} accept" for match in peers),
        *(f"{match}meta l4proto esp accept" for match in peers),
        *(rule for port in settings.open_ports for rule in _open_input(port)),
        *(["icmp type echo-request accept", "icmpv6 type echo-request accept"] if settings.ping else []),
        "goto refused_input",
    ]


def _needed() -> list[str]:
    """Without these a network does not work: errors, neighbours, routers, multicast groups, addresses by DHCP."""
    return [
        "icmp type { destination-unreachable, time-exceeded, parameter-problem } accept",
        "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept",
        "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255"
        " accept",
        "ip6 saddr { ::, fe80::/10 } icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done,"
        " mld2-listener-report } accept",
        "udp sport 67 udp dport 68 accept",
        "ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept",
    ]


def _ssh(settings: Settings) -> list[str]:
    """New connections to sshd. An IPv6 source counts by its /64: whoever has one address there has them all."""
    over = f"limit rate over {settings.ssh_rate}/minute burst {max(settings.ssh_rate, 5)} packets"
    limits = {
        "ip": f"update @ssh_seen4 {{ ip saddr {over} }} goto refused_input",
        "ip6": f"update @ssh_seen6 {{ ip6 saddr & ffff:ffff:ffff:ffff:: {over} }} goto refused_input",
    }
    rules = []
    for match in source_matches(settings.ssh_from):
        if settings.ssh_rate:
            # Only those who may connect at all are counted.
            rules += [f"{match}{limit}" for family, limit in limits.items() if match.split(" ")[0] in ("", family)]
        rules.append(f"{match}accept")
    return [*rules, *(["goto refused_input"] if settings.ssh_from else [])]


def _forward(settings: Settings) -> list[str]:
    """Into containers and out of them. What was not led to a published port by Docker's own rules gets nowhere."""
    return [
        "ct state established,related accept",
        *(f'iifname "{name}" accept' for name in settings.trusted_interfaces),
        *(f'iifname "{name}" goto from_container' for name in settings.bridges),
        "ct status dnat goto published",
        "goto refused_forward",
    ]


def _published(settings: Settings) -> list[str]:
    """A published port counts by the number that the client asked for, not by the one inside the container."""
    return [
        *(f"{match}accept" for match in _trusted(settings)),
        # One rule for each port: nft cannot read back a set of these.
        *(
            f"{match}meta l4proto {port.proto} ct original proto-dst {port.ports} accept{_comment(port)}"
            for port in settings.open_ports
            for match in source_matches(port.sources)
        ),
        "goto refused_forward",
    ]


def _from_container(settings: Settings) -> list[str]:
    """Between containers Docker's own rules decide; a published port of the host counts as the host."""
    return [
        "ct status dnat goto container_to_published",
        *(f'oifname "{name}" accept' for name in settings.bridges),
        "goto egress",
    ]


def _trusted(settings: Settings) -> list[str]:
    return source_matches(settings.trusted_networks) if settings.trusted_networks else []


def _open_input(port: OpenPort) -> list[str]:
    return [f"{match}{port.proto} dport {port.ports} accept{_comment(port)}" for match in source_matches(port.sources)]


def _comment(port: OpenPort) -> str:
    return f' comment "{port.comment}"' if port.comment else ""
