# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rules under real packets: a server with containers behind Docker-like rules, knocked at from all sides."""

from __future__ import annotations

import contextlib
import fcntl
import struct
import termios
import time
from ipaddress import ip_network
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.apply import Wanted
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.read import read_settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.render import removal, render_fallback
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.settings import HostView
from fakes import network_lab as net
from fakes.network_lab import Lab

SETTINGS: dict[str, Any] = {
    "open_ports": [
        {"port": 443, "comment": "web"},
        {"port": 53, "proto": "udp"},
        {"port": "7000-7001", "from": [net.OTHER, net.OTHER6]},
        {"port": 7002, "from": [net.CLIENT, net.CLIENT6]},
    ],
    "egress": [
        {"to": [net.PRIVATE, net.PRIVATE6], "ports": [5432], "from": ["172.30.0.0/16", "fd30::/64"]},
        {"to": "host", "ports": [9100]},
        {"to": "0.0.0.0/0", "ports": [80], "from": ["172.31.0.0/16"]},
    ],
    "log_rate": 0,
}
VIEW = HostView((22,), (ip_network(net.RESOLVER),), ("eth0",))
Probe = tuple[str, str, str, int]

# Who knocks, with what, where, at which port; what it is without our rules, and with them.
TABLE: list[tuple[Probe, str, str]] = [
    # The host itself.
    *((("out", "tcp", at, 22), "open", "open") for at in (net.SERVER, net.SERVER6)),
    *((("out", "tcp", at, 443), "open", "open") for at in (net.SERVER, net.SERVER6)),
    *((("out", "udp", at, 53), "open", "open") for at in (net.SERVER, net.SERVER6)),
    *((("out", "tcp", at, 3306), "open", "silent") for at in (net.SERVER, net.SERVER6)),
    *((("out", "udp", at, 161), "open", "silent") for at in (net.SERVER, net.SERVER6)),
    *((("out", "tcp", at, 4444), "refused", "silent") for at in (net.SERVER, net.SERVER6)),
    *((("out", "tcp", at, 2377), "open", "silent") for at in (net.SERVER, net.SERVER6)),
    *((("out", "tcp", at, 7001), "open", "silent") for at in (net.SERVER, net.SERVER6)),
    *((("out", "tcp", at, 7002), "open", "open") for at in (net.SERVER, net.SERVER6)),
    # Ports that Docker publishes on 0.0.0.0 and on 127.0.0.1.
    *((("out", "tcp", at, 8080), "open", "silent") for at in (net.SERVER, net.SERVER6)),
    *((("out", "udp", at, 5353), "open", "silent") for at in (net.SERVER, net.SERVER6)),
    # Straight to the addresses of containers, on ports that are open on the host too.
    *((("out", "tcp", at, 80), "open", "silent") for at in (net.WEB, net.WEB6)),
    *((("out", "tcp", at, 443), "open", "silent") for at in (net.WEB, net.WEB6)),
    *((("out", "udp", at, 53), "open", "silent") for at in (net.WEB, net.WEB6)),
    # The host reaches its containers, and the outside.
    *(
        (("server", "tcp", at, 80), "open", "open")
        for at in (net.WEB, net.WEB6, net.SECOND, net.INTERNET, net.INTERNET6)
    ),
    *((("server", "udp", at, 53), "open", "open") for at in (net.WEB, net.WEB6, net.RESOLVER)),
    (("server", "tcp", net.METADATA, 80), "open", "open"),
    (("server", "tcp", "127.0.0.1", 9000), "open", "open"),
    # Containers reach each other and the internet.
    *((("web", "tcp", at, 80), "open", "open") for at in (net.SECOND, net.SECOND6, net.INTERNET, net.INTERNET6)),
    (("web", "udp", net.INTERNET, 53), "open", "open"),
    # They do not reach the cloud's metadata, private networks, or the host.
    *((("web", "tcp", at, 80), "open", "refused") for at in (net.METADATA, net.METADATA6, net.PRIVATE, net.PRIVATE6)),
    (("web", "tcp", net.SHARED, 80), "open", "refused"),
    *((("web", "tcp", at, 22), "open", "refused") for at in (net.SERVER, net.SERVER6, net.GATEWAY, net.GATEWAY6)),
    *((("second", "tcp", at, 443), "open", "closed") for at in (net.GATEWAY, net.GATEWAY6)),
    (("web", "udp", net.GATEWAY, 161), "open", "closed"),
    (("second", "tcp", net.SERVER, 8080), "open", "closed"),
    # Unless a rule allows it: by network and port, and the name servers for names alone.
    *((("web", "tcp", at, 5432), "open", "open") for at in (net.PRIVATE, net.PRIVATE6)),
    *((("second", "tcp", at, 5432), "open", "refused") for at in (net.PRIVATE, net.PRIVATE6)),
    *((("web", "tcp", at, 9100), "open", "open") for at in (net.GATEWAY, net.GATEWAY6)),
    *((("web", proto, net.RESOLVER, 53), "open", "open") for proto in ("udp", "tcp")),
    (("web", "tcp", net.RESOLVER, 80), "open", "refused"),
    # Even a rule for every address does not mean the metadata.
    (("second", "tcp", net.PRIVATE, 80), "open", "open"),
    (("second", "tcp", net.METADATA, 80), "open", "refused"),
]


def rules(view: HostView = VIEW, **changes: Any) -> str:
    settings, findings = read_settings({**SETTINGS, **changes})
    assert findings == []
    return Wanted.of(settings, view).all_rules


@pytest.fixture(scope="module")
def served(lab: Lab) -> Lab:
    """The lab with something that answers everywhere."""
    lab.rules(net.DOCKER)
    lab.listen("server", tcp=(22, 80, 2377, 3306, 7000, 7001, 7002, 9100), udp=(53, 161))
    lab.listen("web", tcp=(80, 443), udp=(53,))
    lab.listen("second", tcp=(80,))
    lab.listen("worker", tcp=(80,))
    lab.listen("out", tcp=(53, 80, 5432))
    # A host with many addresses answers from the one that it was asked at only when it listens on that one.
    for address in (net.INTERNET, net.RESOLVER):
        lab.listen("out", udp=(53,), address=address)
    lab.run("server", "sysctl", "-qw", f"net.ipv4.conf.{net.BRIDGE}.route_localnet=1")
    return lab


def wrong(lab: Lab, wanted: dict[Probe, str]) -> str:
    """What answers otherwise than wanted. Where something does, all is asked again with patience: it may be late."""
    # The kernel limits how often it says by ICMP that something is closed: a refused packet may go without an answer.
    fits = {"closed": ("refused", "silent")}
    for wait in (0.25, 2.5):
        answers = lab.probe(wanted, wait)
        found = [
            f"{probe}: {answers[probe]}, not {word}"
            for probe, word in wanted.items()
            if answers[probe] not in fits.get(word, (word,))
        ]
        if not found:
            break
    return "\n".join(found)


def test_without_our_rules_everything_is_open(served: Lab) -> None:
    # Else what is closed below would prove nothing.
    served.rules(removal())
    assert wrong(served, {probe: without for probe, without, _ in TABLE}) == ""


def test_what_passes_and_what_does_not(served: Lab) -> None:
    served.rules(rules())
    assert wrong(served, {probe: with_ours for probe, _, with_ours in TABLE}) == ""


def test_a_published_port_opens_by_the_number_that_is_published(served: Lab) -> None:
    served.rules(rules(open_ports=[{"port": 8080}, {"port": 5353, "proto": "udp", "from": ["198.51.100.0/24"]}]))
    wanted: dict[Probe, str] = {
        **{("out", "tcp", at, 8080): "open" for at in (net.SERVER, net.SERVER6)},
        **{("out", "tcp", at, 443): "silent" for at in (net.SERVER, net.SERVER6)},
        **{("out", "tcp", at, 80): "silent" for at in (net.WEB, net.SERVER)},
        ("out", "udp", net.SERVER, 5353): "open",
        ("out", "udp", net.SERVER6, 5353): "silent",
    }
    assert wrong(served, wanted) == ""


def test_trusted_networks_reach_ports_but_not_containers_themselves(served: Lab) -> None:
    served.rules(rules(trusted_networks=["198.51.100.0/24", "2001:db8:51::/64"]))
    wanted: dict[Probe, str] = {
        **{("out", "tcp", at, port): "open" for at in (net.SERVER, net.SERVER6) for port in (3306, 8080)},
        **{("out", "tcp", at, 80): "silent" for at in (net.WEB, net.WEB6)},
    }
    assert wrong(served, wanted) == ""


def test_swarm_ports_are_for_peers(served: Lab) -> None:
    for peer, answer in ((net.OTHER, "silent"), (net.CLIENT, "open")):
        served.rules(rules(swarm_peers=[peer]))
        assert wrong(served, {("out", "tcp", net.SERVER, 2377): answer}) == ""


def test_closed_networks_reach_only_what_is_listed(served: Lab) -> None:
    egress = [{"from": "172.30.0.0/16", "to": "internet", "ports": [53], "proto": "udp"}]
    for changes, others in (({"egress_closed": ["172.30.0.0/16"]}, "open"), ({"egress_default": "none"}, "refused")):
        served.rules(rules(egress=egress, **changes))
        wanted: dict[Probe, str] = {
            ("web", "udp", net.INTERNET, 53): "open",
            ("web", "tcp", net.INTERNET, 80): "refused",
            ("second", "tcp", net.INTERNET, 80): others,
        }
        assert wrong(served, wanted) == ""


# What the service `worker` reaches with the list below, and with none at all.
WORKER: list[tuple[Probe, str, str]] = [
    *((("worker", "tcp", at, 80), "open", "refused") for at in (net.INTERNET, net.INTERNET6)),
    *((("worker", "tcp", at, 5432), "refused", "refused") for at in (net.INTERNET, net.INTERNET6)),
    *((("worker", "tcp", at, 5432), "open", "refused") for at in (net.PRIVATE, net.PRIVATE6)),
    *((("worker", "tcp", at, 80), "refused", "refused") for at in (net.PRIVATE, net.METADATA, net.METADATA6)),
    (("worker", "tcp", net.WORKER_GATEWAY, 22), "open", "refused"),
    # The rule for all containers is none for this one.
    (("worker", "tcp", net.WORKER_GATEWAY, 9100), "refused", "refused"),
    (("worker", "tcp", net.SERVER, 8080), "open", "closed"),
    # Other containers, and names.
    (("worker", "tcp", net.WEB, 80), "open", "open"),
    (("worker", "udp", net.RESOLVER, 53), "open", "open"),
    # Nobody gets in by that network.
    *((("out", "tcp", at, 80), "silent", "silent") for at in (net.WORKER, net.WORKER6)),
]


@pytest.mark.parametrize("interfaces", [["docker0", "br-*", "veth*"], ["docker0", net.BRIDGE, "veth*"]])
def test_a_service_with_a_list_of_its_own_reaches_only_what_is_on_it(served: Lab, interfaces: list[str]) -> None:
    listed = [
        {"to": "internet", "ports": [80]},
        {"to": [net.PRIVATE, net.PRIVATE6], "ports": [5432]},
        {"to": "host", "ports": [22, 8080]},
    ]
    served.rules(rules(egress_services={"worker": listed}, container_interfaces=interfaces))
    assert wrong(served, {probe: with_list for probe, with_list, _ in WORKER}) == ""
    served.rules(rules(egress_services={"worker": []}, container_interfaces=interfaces))
    assert wrong(served, {probe: without for probe, _, without in WORKER}) == ""
    # The others are as before.
    assert wrong(served, {probe: with_ours for probe, _, with_ours in TABLE}) == ""


def test_what_is_connected_stays_connected(served: Lab) -> None:
    served.rules(removal())
    connections = [
        served.connect("out", net.SERVER, 22),
        served.connect("out", net.SERVER6, 22),
        served.connect("out", net.SERVER, 8080),
        served.connect("web", net.METADATA, 80),
    ]
    served.rules(rules(ssh_from=["192.0.2.1"]))
    served.rules(rules(ssh_from=["192.0.2.1"], ssh_rate=5))
    with contextlib.ExitStack() as stack:
        for connection in connections:
            stack.enter_context(connection).send(b"still here")
        deadline = time.monotonic() + 2
        # What was sent is taken by the other side's kernel: nothing is left to send again.
        while time.monotonic() < deadline and any(unacknowledged(connection) for connection in connections):
            time.sleep(0.02)
        assert [unacknowledged(connection) for connection in connections] == [0, 0, 0, 0]
        assert wrong(served, {("out", "tcp", net.SERVER, 22): "silent"}) == ""


def unacknowledged(connection: Any) -> int:
    return int(struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0])


@pytest.mark.parametrize(
    ("at", "source", "neighbour", "stranger"),
    [
        (net.SERVER, net.CLIENT, None, net.OTHER),
        (net.SERVER6, net.CLIENT6, "2001:db8:51::9", net.OTHER6),
    ],
)
def test_ssh_is_limited_for_each_source(
    served: Lab, at: str, source: str, neighbour: str | None, stranger: str
) -> None:
    if neighbour:
        with contextlib.suppress(AssertionError):
            served.run("out", "ip", "-6", "addr", "add", f"{neighbour}/64", "dev", "eth0", "nodad")
        with contextlib.suppress(AssertionError):
            served.run("server", "ip", "-6", "route", "add", "2001:db8:52::/64", "via", net.CLIENT6)
    served.rules(rules(ssh_rate=5))

    def tries(address: str, number: int) -> list[bool]:
        found = []
        for _ in range(number):
            try:
                served.connect("out", at, 22, source=address, wait=0.12).close()
                found.append(True)
            except TimeoutError:
                found.append(False)
        return found

    assert tries(source, 8) == [True] * 5 + [False] * 3
    assert tries(stranger, 1) == [True]
    # Another address of the same /64 is the same source.
    if neighbour:
        assert tries(neighbour, 1) == [False]


def test_a_packet_for_loopback_does_not_come_in_over_the_wire(served: Lab) -> None:
    for route in ("127.0.0.0/8", "127.0.0.1"):
        served.run("out", "ip", "route", "del", "local", route, "dev", "lo", "table", "local")
    served.run("out", "ip", "route", "add", "127.0.0.1/32", "via", net.SERVER, "dev", "eth0", "src", net.CLIENT)
    arrived = "table ip arrived {\n chain input {\n type filter hook input priority 0\n tcp dport 80 counter\n }\n}\n"
    served.run("web", "nft", "-f", "-", text=arrived)

    def knock() -> bool:
        served.probe([("out", "tcp", "127.0.0.1", 9000)], wait=0.2)
        return "packets 0 " not in served.run("web", "nft", "list", "table", "ip", "arrived")

    # Even where the number is open for something else.
    served.rules(rules(open_ports=[{"port": 9000}]))
    assert not knock()
    # An engine that does not guard its 127.0.0.1 ports itself lets a neighbour into the container: the test can fail.
    served.rules(removal())
    assert knock()


def test_other_tables_stay_as_they_are(served: Lab) -> None:
    before = {name: served.run("server", "nft", "list", "table", *name.split()) for name in ("ip nat", "inet filter")}
    served.rules(rules())
    served.rules(rules(ssh_rate=0, log_rate=3))
    served.rules(removal())
    assert {name: served.run("server", "nft", "list", "table", *name.split()) for name in before} == before
    assert "hypercode" not in served.run("server", "nft", "list", "tables")


def test_the_fallback_lets_sshd_answer_and_nothing_else(served: Lab) -> None:
    served.rules(render_fallback(VIEW))
    wanted: dict[Probe, str] = {
        **{("out", "tcp", at, 22): "open" for at in (net.SERVER, net.SERVER6)},
        **{("out", "tcp", at, port): "silent" for at in (net.SERVER, net.SERVER6) for port in (443, 3306, 8080)},
        ("out", "tcp", net.WEB, 80): "silent",
        ("web", "tcp", net.INTERNET, 80): "open",
        ("web", "tcp", net.SECOND, 80): "open",
    }
    assert wrong(served, wanted) == ""
