# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bad settings: each gives one finding with its place and its fix, and all come at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.read import OPTIONS, read_settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.settings import (
    OpenPort,
    Ports,
    Settings,
)
from ansible_collections.hypercode.deploy.plugins.modules.firewall_apply import ARGUMENTS

DEFAULTS = Path(__file__).resolve().parents[6] / "roles" / "firewall" / "defaults" / "main.yml"


def port(**entry: Any) -> dict[str, Any]:
    return {"open_ports": [entry]}


def egress(**entry: Any) -> dict[str, Any]:
    return {"egress": [entry]}


@pytest.mark.parametrize(
    ("options", "name", "words"),
    [
        # Ports.
        (port(port=70000), "firewall_open_ports[0].port", "70000. There is no such port"),
        (port(port=0), "firewall_open_ports[0].port", "no such port"),
        (port(port="http"), "firewall_open_ports[0].port", "'http', not a port"),
        (port(port=True), "firewall_open_ports[0].port", "'True', not a port"),
        (port(port=80.5), "firewall_open_ports[0].port", "'80.5', not a port"),
        (port(port="90-80"), "firewall_open_ports[0].port", "ends before it begins"),
        (port(), "firewall_open_ports[0].port", "empty, not a port"),
        (port(port=[80]), "firewall_open_ports[0].port", "a list, not a port"),
        (port(port=80, proto="sctp"), "firewall_open_ports[0].proto", "'sctp'"),
        (port(port=80, poto="tcp"), "firewall_open_ports[0]", "unknown key poto"),
        (port(port=80, comment='say "hi"'), "firewall_open_ports[0].comment", "does not fit"),
        (port(port=80, comment="a\nb"), "firewall_open_ports[0].comment", "does not fit"),
        (port(port=80, comment="x" * 101), "firewall_open_ports[0].comment", "does not fit"),
        ({"open_ports": [80]}, "firewall_open_ports[0]", "'80', not a mapping"),
        ({"open_ports": {"port": 80}}, "firewall_open_ports", "a mapping, not a list"),
        ({"open_ports": "80"}, "firewall_open_ports", "'80', not a list"),
        # Networks.
        (port(port=80, **{"from": ["10.0.0.300"]}), "firewall_open_ports[0].from[0]", "no address and no network"),
        (port(port=80, **{"from": ["10.0.0.0/33"]}), "firewall_open_ports[0].from[0]", "/33 is no length for IPv4"),
        (port(port=80, **{"from": ["2001:db8::/129"]}), "firewall_open_ports[0].from[0]", "no length for IPv6"),
        (port(port=80, **{"from": ["10.0.0.5/8"]}), "firewall_open_ports[0].from[0]", "a host and a network at once"),
        (port(port=80, **{"from": ["::ffff:10.0.0.1"]}), "firewall_open_ports[0].from[0]", "IPv4 address written as"),
        (port(port=80, **{"from": []}), "firewall_open_ports[0].from", "nobody would get in"),
        (port(port=80, **{"from": ["any", "10.0.0.0/8"]}), "firewall_open_ports[0].from", "'any' beside networks"),
        (port(port=80, **{"from": [10]}), "firewall_open_ports[0].from[0]", "'10', not a network"),
        (port(port=80, **{"from": ["10.0.0.1", "10.0.0.1/32"]}), "firewall_open_ports[0].from[1]", "is already"),
        ({"trusted_networks": ["0.0.0.0/0"]}, "firewall_trusted_networks", "the whole internet"),
        ({"trusted_networks": ["::/0"]}, "firewall_trusted_networks", "the whole internet"),
        ({"trusted_networks": "office"}, "firewall_trusted_networks[0]", "no address"),
        ({"swarm_peers": ["0.0.0.0/0"]}, "firewall_swarm_peers", "the whole internet"),
        ({"swarm_peers": ["node-2"]}, "firewall_swarm_peers[0]", "no address"),
        ({"ssh_from": []}, "firewall_ssh_from", "nobody would get in"),
        ({"dns_servers": ["dns.example"]}, "firewall_dns_servers[0]", "no address"),
        # Interfaces, numbers, words.
        ({"trusted_interfaces": ["*"]}, "firewall_trusted_interfaces[0]", "not the name of an interface"),
        ({"trusted_interfaces": ["a-name-that-is-too-long"]}, "firewall_trusted_interfaces[0]", "not the name"),
        ({"container_interfaces": ['x"; accept']}, "firewall_container_interfaces[0]", "not the name"),
        ({"trusted_interfaces": ["docker0"]}, "firewall_trusted_interfaces", "firewall_container_interfaces holds too"),
        ({"ssh_ports": ["22-24"]}, "firewall_ssh_ports[0]", "the range 22-24"),
        ({"ssh_ports": [0]}, "firewall_ssh_ports[0]", "no such port"),
        ({"ssh_rate": -1}, "firewall_ssh_rate", "'-1'"),
        ({"ssh_rate": "fast"}, "firewall_ssh_rate", "'fast'"),
        ({"log_rate": 1.5}, "firewall_log_rate", "'1.5'"),
        ({"ping": "maybe"}, "firewall_ping", "'maybe'"),
        ({"egress_default": "all"}, "firewall_egress_default", "'all'"),
        ({"replace": ["iptables"]}, "firewall_replace[0]", "'iptables'"),
        ({"opne_ports": []}, "firewall_opne_ports", "no setting of the firewall"),
        # What containers may reach.
        (egress(), "firewall_egress[0].to", "empty"),
        (egress(to="home"), "firewall_egress[0].to[0]", "'home', which is no address"),
        (egress(to="host", ports=["x"]), "firewall_egress[0].ports[0]", "not a port"),
        (egress(to="host", port=80), "firewall_egress[0]", "unknown key port"),
        (egress(to="host", proto="icmp"), "firewall_egress[0].proto", "'icmp'"),
        (egress(**{"to": ["fd00::1"], "from": ["172.20.0.0/16"]}), "firewall_egress[0]", "No packet is both"),
        ({"egress": [{"to": "host"}, {"to": ["host"]}]}, "firewall_egress[1]", "the same as firewall_egress[0]"),
        ({"egress_closed": ["web"]}, "firewall_egress_closed[0]", "no address"),
        # What single services may reach.
        ({"egress_services": ["web"]}, "firewall_egress_services", "a list, not a mapping"),
        ({"egress_services": {"we b": []}}, "firewall_egress_services.we b", "no name of a service"),
        ({"egress_services": {"web": "internet"}}, "firewall_egress_services.web", "not a list"),
        ({"egress_services": {"web": [{}]}}, "firewall_egress_services.web[0].to", "empty"),
        (
            {"egress_services": {"web": [{"to": "host", "from": "any"}]}},
            "firewall_egress_services.web[0]",
            "unknown key from",
        ),
        (
            {"egress_services": {"web": [{"to": "host"}, {"to": "host"}]}},
            "firewall_egress_services.web[1]",
            "the same as firewall_egress_services.web[0]",
        ),
    ],
)
def test_one_clear_finding(options: dict[str, Any], name: str, words: str) -> None:
    (finding,) = read_settings(options)[1]
    assert finding.name == name
    assert words in finding.message
    assert finding.message.startswith(name)
    assert finding.fix
    assert finding.severity == "error"


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({"port": 80}, {"port": "80"}, "stands there twice"),
        ({"port": 80, "from": ["10.0.0.0/8"]}, {"port": 80, "from": "10.0.0.0/8", "comment": "x"}, "twice"),
        ({"port": "80-90"}, {"port": 85}, "overlaps with 80-90/tcp from any"),
        ({"port": 80, "from": ["10.0.0.0/8"]}, {"port": 80, "from": ["10.1.0.0/16"]}, "overlaps"),
        ({"port": 80}, {"port": 80, "from": ["fd00::/8"]}, "overlaps"),
    ],
)
def test_entries_that_overlap(first: dict[str, Any], second: dict[str, Any], words: str) -> None:
    (finding,) = read_settings({"open_ports": [first, second]})[1]
    assert words in finding.message
    assert finding.rule in ("duplicate", "overlap")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"port": 443}, {"port": 443, "proto": "udp"}),
        ({"port": 80, "from": ["10.0.0.0/8"]}, {"port": 80, "from": ["192.0.2.0/24", "fd00::/8"]}),
        ({"port": "80-90"}, {"port": 91}),
    ],
)
def test_entries_that_stand_side_by_side(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert read_settings({"open_ports": [first, second]})[1] == []


def test_sshd_is_not_opened_a_second_time() -> None:
    (finding,) = read_settings({"ssh_ports": [2222], "open_ports": [{"port": "2000-3000"}]})[1]
    assert "holds port 2222, on which sshd listens" in finding.message
    assert read_settings({"ssh_ports": [2222], "open_ports": [{"port": 2222, "proto": "udp"}]})[1] == []


def test_everything_at_once() -> None:
    findings = read_settings(
        {
            "open_ports": [{"port": 0, "proto": "x", "from": ["a", "b"]}, {"port": 80}, {"port": 80}, 5],
            "ssh_from": ["10.0.0.1/8"],
            "egress": [{"to": ["x"], "from": ["y"], "ports": [0]}],
            "ping": "x",
        }
    )[1]
    assert [finding.name for finding in findings] == [
        "firewall_open_ports[0].port",
        "firewall_open_ports[0].proto",
        "firewall_open_ports[0].from[0]",
        "firewall_open_ports[0].from[1]",
        "firewall_open_ports[3]",
        "firewall_ssh_from[0]",
        "firewall_egress[0].from[0]",
        "firewall_egress[0].to[0]",
        "firewall_egress[0].ports[0]",
        "firewall_ping",
        "firewall_open_ports: the entry 80/tcp from any",
    ]


def test_what_is_right_is_read() -> None:
    settings, findings = read_settings(
        {"open_ports": [{"port": "8000 - 8010", "proto": "udp"}], "ping": "no", "ssh_rate": "5", "ssh_from": "any"}
    )
    assert findings == []
    assert settings.open_ports == (OpenPort(Ports(8000, 8010), "udp"),)
    assert (settings.ping, settings.ssh_rate, settings.ssh_from) == (False, 5, ())
    # An address alone stands for a list of one.
    assert str(read_settings({"ssh_from": "192.0.2.7"})[0].ssh_from[0]) == "192.0.2.7/32"


def test_module_role_and_core_have_the_same_defaults() -> None:
    role = {name.removeprefix("firewall_"): value for name, value in yaml.safe_load(DEFAULTS.read_text()).items()}
    module = {name: ARGUMENTS[name]["default"] for name in OPTIONS}
    assert {name: role[name] for name in OPTIONS if name != "open_ports"} == {
        name: value for name, value in module.items() if name != "open_ports"
    }
    assert {"enabled", "refuse_lockout", "confirm_timeout"} == set(role) - set(OPTIONS)
    assert read_settings(module) == (Settings(), [])
    assert read_settings({name: role[name] for name in OPTIONS})[1] == []
