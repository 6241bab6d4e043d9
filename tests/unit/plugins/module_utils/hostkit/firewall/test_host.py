# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is read from a host: sshd's ports, the session, name servers, the way out; made-up files below a folder."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.host import (
    configured_ports,
    cuts_off,
    listening_ports,
    outside_among,
    read_host,
    read_resolvers,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.judge import host_findings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.read import read_settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.rivals import (
    UNITS,
    active_rivals,
    rival_findings,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.settings import HostView
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.ssh_session import Session
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.units import UnitState

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
SESSION = Session("198.51.100.2", 40000, 22)


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def process(root: Path, pid: int, parent: int, name: str, environment: str = "", inodes: tuple[int, ...] = ()) -> None:
    write(root, f"proc/{pid}/stat", f"{pid} ({name[:15]}) S {parent} 1 1")
    write(root, f"proc/{pid}/environ", environment)
    write(root, f"proc/{pid}/comm", "sshd\n" if "sshd" in name else name)
    write(root, f"proc/{pid}/cmdline", name)
    (root / f"proc/{pid}/fd").mkdir()
    for inode in inodes:
        (root / f"proc/{pid}/fd/{inode}").symlink_to(f"socket:[{inode}]")


def sshd(answer: str, code: int = 0) -> Any:
    return lambda _argv: CommandResult(code, answer)


def test_ports_of_sshd(tmp_path: Path) -> None:
    assert configured_ports(sshd("port 22\nport 2222\naddressfamily any\n")) == [22, 2222]
    assert configured_ports(sshd("port 22\n", 1)) == []
    rows = [f"   {n}: 00000000:{port:04X} 00000000:0000 0A 0:0 00:0 0 0 0 {n}\n" for n, port in ((7, 2200), (8, 6010))]
    write(tmp_path, "proc/net/tcp", HEAD + "".join(rows))
    process(tmp_path, 50, 1, "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", inodes=(7,))
    # A session that waits on behalf of its user is not where one logs in.
    process(tmp_path, 60, 50, "sshd: deploy@notty", inodes=(8,))
    assert listening_ports(tmp_path) == [2200]
    assert read_host(tmp_path, sshd("port 22\n"), Session("::1", 1, 2022)).ssh_ports == (22, 2022, 2200)


def test_without_any_trace_of_sshd_it_is_port_22(tmp_path: Path) -> None:
    assert read_host(tmp_path, sshd("", 127), None) == HostView((22,), ())


def test_name_servers_are_those_that_docker_hands_on(tmp_path: Path) -> None:
    write(tmp_path, "etc/resolv.conf", "# x\nnameserver 127.0.0.53\nsearch a\nnameserver 10.0.0.2\nnameserver ::1\n")
    write(tmp_path, "run/systemd/resolve/resolv.conf", "nameserver fe80::1%eth0\nnameserver broken\nnameserver\n")
    write(tmp_path, "etc/docker/daemon.json", '{"dns": ["10.0.0.3", "10.0.0.2", 5]}')
    assert [str(network) for network in read_resolvers(tmp_path)] == ["10.0.0.2/32", "10.0.0.3/32", "fe80::1/128"]
    for broken in ("", "[]", "{", '{"dns": "10.0.0.9"}'):
        write(tmp_path, "etc/docker/daemon.json", broken)
        assert len(read_resolvers(tmp_path)) == 2


def test_a_bridge_that_leads_outside_is_no_container_bridge(tmp_path: Path) -> None:
    write(
        tmp_path,
        "proc/net/route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\n"
        "br-lan\t00000000\t0164A8C0\t0003\t0\t0\t0\t00000000\t0\n"
        "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\n",
    )
    zero = "0" * 32
    write(
        tmp_path,
        "proc/net/ipv6_route",
        f"{zero} 00 {zero} 00 {zero} 00000400 1 0 00000003 br-six\n"
        f"{zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200 br-no\n",
    )
    assert outside_among(tmp_path, ["docker0", "br-*"]) == ["br-lan", "br-six"]
    settings = read_settings({})[0]
    found = host_findings(settings, HostView(), None, tmp_path, [], "web1")
    assert [finding.name for finding in found] == ["firewall_container_interfaces"] * 2
    assert "web1 reaches the internet through br-lan" in found[0].message


@pytest.mark.parametrize(
    ("options", "client", "cut"),
    [
        ({}, "198.51.100.2", False),
        ({"ssh_from": ["198.51.100.0/24"]}, "198.51.100.2", False),
        ({"ssh_from": ["198.51.100.0/24"]}, "::ffff:198.51.100.2", False),
        ({"ssh_from": ["198.51.100.0/24"]}, "203.0.113.5", True),
        ({"ssh_from": ["198.51.100.0/24"]}, "2001:db8::5", True),
        ({"ssh_from": ["198.51.100.0/24"], "trusted_networks": ["203.0.113.0/24"]}, "203.0.113.5", False),
        # It may come through that interface: only a new connection can tell.
        ({"ssh_from": ["198.51.100.0/24"], "trusted_interfaces": ["wg0"]}, "203.0.113.5", False),
    ],
)
def test_who_would_be_cut_off(tmp_path: Path, options: dict[str, Any], client: str, cut: bool) -> None:
    settings = read_settings(options)[0]
    session = Session(client, 40000, 22)
    assert cuts_off(settings, session) is cut
    assert not cuts_off(settings, None)
    found = host_findings(settings, HostView(), session, tmp_path, [], "web1")
    assert [finding.rule for finding in found] == (["lockout"] if cut else [])
    if cut:
        assert f"{client}, from which you are connected to web1" in found[0].message
        assert f"Add {ip_network(client)} to firewall_ssh_from" in found[0].fix


def test_the_port_of_sshd_on_this_host_is_not_for_all(tmp_path: Path) -> None:
    settings = read_settings({"open_ports": [{"port": 2222}]})[0]
    (finding,) = host_findings(settings, HostView((22, 2222)), None, tmp_path, [], "web1")
    assert "holds port 2222, on which sshd listens" in finding.message


ON, OFF, GONE = UnitState("loaded", "active", "exited", "enabled"), UnitState("loaded", file="disabled"), UnitState()


@pytest.mark.parametrize(
    ("states", "ufw", "conf", "active"),
    [
        ((GONE, GONE, GONE), "yes", "flush ruleset\n", []),
        ((ON, OFF, OFF), "no", "flush ruleset\n", []),
        ((ON, GONE, GONE), "yes", "", ["ufw"]),
        ((GONE, ON, GONE), "", "", ["firewalld"]),
        ((GONE, UnitState("loaded", file="enabled"), GONE), "", "", ["firewalld"]),
        ((GONE, UnitState("masked", file="masked"), GONE), "", "", []),
        ((GONE, GONE, ON), "", "#!/usr/sbin/nft -f\n\nflush ruleset\n", ["nftables"]),
        ((GONE, GONE, ON), "", "# flush ruleset\n", []),
    ],
)
def test_other_firewalls(tmp_path: Path, states: Any, ufw: str, conf: str, active: list[str]) -> None:
    write(tmp_path, "etc/ufw/ufw.conf", f"# set to yes\nENABLED={ufw}\n")
    write(tmp_path, "etc/nftables.conf", conf)
    found = active_rivals(tmp_path, dict(zip(UNITS, states, strict=True)))
    assert found == active
    assert rival_findings(found, active, "web1") == []
    for finding in rival_findings(found, [], "web1"):
        assert "on web1" in finding.message
        assert f"firewall_replace: [{finding.name}]" in finding.fix
