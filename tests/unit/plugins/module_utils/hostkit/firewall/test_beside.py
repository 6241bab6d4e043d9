# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A macvlan container under real packets: the host's other chains never see what reaches it."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.apply import Wanted
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.beside import render_beside
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.read import read_settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.render import removal
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.settings import HostView, Settings
from fakes import network_lab as net
from fakes.network_lab import Lab

VIEW = HostView((22,), (ip_network(net.RESOLVER),), ("eth0",))
BOTH = (net.BESIDE, net.BESIDE6)
Probe = tuple[str, str, str, int]


def rules(**options: Any) -> str:
    settings, findings = read_settings({"open_ports": [{"port": 443}, {"port": 161, "proto": "udp"}], **options})
    assert findings == []
    return Wanted.of(settings, VIEW).all_rules


@pytest.fixture(scope="module")
def served(lab: Lab) -> Lab:
    lab.listen("beside", tcp=(80, 443), udp=(53, 161))
    lab.listen("out", tcp=(80,))
    for address in (net.INTERNET, net.RESOLVER):
        lab.listen("out", udp=(53,), address=address)
    return lab


@pytest.fixture(autouse=True)
def opened(served: Lab) -> Iterator[None]:
    served.rules(removal())
    yield
    served.rules(removal())


def answers(lab: Lab, wanted: dict[Probe, str]) -> dict[Probe, str]:
    """What answers; asked again with patience where it is otherwise than wanted."""
    found = lab.probe(wanted, 0.25)
    return found if found == wanted else lab.probe(wanted, 2)


CLOSED: dict[Probe, str] = {
    **{("out", "tcp", at, 80): "silent" for at in BOTH},
    **{("out", "udp", at, 53): "silent" for at in BOTH},
    **{("out", "tcp", at, 443): "open" for at in BOTH},
    **{("out", "udp", at, 161): "open" for at in BOTH},
    # It reaches the outside. Of UDP it hears the name servers of the host, and nobody else.
    ("beside", "tcp", net.INTERNET, 80): "open",
    ("beside", "udp", net.RESOLVER, 53): "open",
    ("beside", "udp", net.INTERNET, 53): "silent",
}


def test_without_the_rules_of_the_interface_everything_is_open(served: Lab) -> None:
    wanted = dict.fromkeys(CLOSED, "open")
    assert answers(served, wanted) == wanted
    # The table that guards the host does not help.
    served.rules(rules(filter_macvlan=False))
    assert answers(served, wanted) == wanted


def test_only_open_ports_answer(served: Lab) -> None:
    served.rules(rules())
    assert answers(served, CLOSED) == CLOSED


def test_trusted_networks_get_in(served: Lab) -> None:
    served.rules(rules(trusted_networks=["198.51.100.0/24"]))
    wanted = {("out", "tcp", net.BESIDE, 80): "open", ("out", "tcp", net.BESIDE6, 80): "silent"}
    assert answers(served, wanted) == wanted


# --- around the rules -----------------------------------------------------------------------------------------------


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def split_syn() -> bool:
    """Ask for a connection in two pieces, the flags in the second one. Whether the container takes it up."""
    source, target = socket.inet_aton(net.CLIENT), socket.inet_aton(net.BESIDE)
    segment = struct.pack("!HHLLBBHHH", 40123, 80, 1, 0, 5 << 4, 0x02, 1024, 0, 0)
    total = _checksum(source + target + struct.pack("!BBH", 0, 6, len(segment)) + segment)
    segment = segment[:16] + struct.pack("!H", total) + segment[18:]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out,
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as back,
    ):
        for offset, more, piece in ((0, 0x2000, segment[:8]), (1, 0, segment[8:])):
            head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 77, more | offset, 64, 6, 0, source, target)
            out.sendto(head + piece, (net.BESIDE, 0))
        back.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                packet = back.recv(100)
                if packet[12:16] == target and packet[20 + 13] & 0x12 == 0x12:
                    return True
    return False


def shout() -> bool:
    """Ask everybody on the network. Whether the container answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        out.settimeout(0.5)
        out.sendto(b"anyone?", ("198.51.100.255", 53))
        with contextlib.suppress(TimeoutError):
            while True:
                if out.recvfrom(100)[1][0] == net.BESIDE:
                    return True
    return False


@pytest.mark.parametrize("way", [split_syn, shout])
def test_ways_around(served: Lab, way: Callable[[], bool]) -> None:
    assert served.inside("out", way), "without rules this has to work, else it proves nothing"
    served.rules(rules())
    assert not served.inside("out", way)


# --- the text -------------------------------------------------------------------------------------------------------


def test_each_line_can_be_loaded_by_itself(served: Lab) -> None:
    """At boot an interface may be missing; the others are guarded nevertheless."""
    view = HostView((22,), (), ("gone0", "eth0"))
    lines = render_beside(Settings(), view).splitlines()
    failed = []
    for line in lines:
        try:
            served.run("server", "nft", line)
        except AssertionError:
            failed.append(line)
    assert failed
    assert all(re.search(r"\bin_0\b", line) for line in failed)
    wanted: dict[Probe, str] = {("out", "tcp", net.BESIDE, 80): "silent", ("out", "tcp", net.SERVER, 9): "refused"}
    assert answers(served, wanted) == wanted


def test_no_interfaces_no_table() -> None:
    text = "add table netdev hypercode\ndelete table netdev hypercode\n"
    assert render_beside(Settings(), HostView()) == text
    assert render_beside(Settings(filter_macvlan=False), VIEW) == text
