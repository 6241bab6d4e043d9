# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text of the rules: nft takes whatever the settings allow, and only one table is named."""

from __future__ import annotations

import re
import subprocess
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.lines import source_matches
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.read import read_settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.render import (
    removal,
    render,
    render_fallback,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.settings import PRIVATE, HostView
from fakes import network_lab
from hypothesis import given, settings
from hypothesis import strategies as st

NETWORKS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.tuples(st.ip_addresses(v=4), st.integers(1, 32)).map(lambda pair: str(ip_network(pair, strict=False))),
    st.tuples(st.ip_addresses(v=6), st.integers(1, 128)).map(lambda pair: str(ip_network(pair, strict=False))),
)
LISTS = st.lists(NETWORKS, max_size=4)
SOURCES = st.one_of(st.just("any"), st.lists(NETWORKS, min_size=1, max_size=4))
PORTS = st.one_of(
    st.integers(1, 65535),
    st.tuples(st.integers(1, 65535), st.integers(1, 65535)).map(lambda pair: f"{min(pair)}-{max(pair)}"),
)
COMMENTS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters='"\\'), max_size=30)
OPEN = st.fixed_dictionaries(
    {"port": PORTS}, optional={"proto": st.sampled_from(["tcp", "udp"]), "from": SOURCES, "comment": COMMENTS}
)
EGRESS = st.fixed_dictionaries(
    {"to": st.one_of(st.sampled_from(["host", "internet", "any"]), st.lists(NETWORKS, min_size=1, max_size=4))},
    optional={
        "from": SOURCES,
        "ports": st.lists(PORTS, max_size=4),
        "proto": st.sampled_from(["tcp", "udp", "any"]),
        "comment": COMMENTS,
    },
)
SERVICE_EGRESS = EGRESS.map(lambda rule: {key: value for key, value in rule.items() if key != "from"})
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "open_ports": st.lists(OPEN, max_size=3),
        "egress": st.lists(EGRESS, max_size=3),
        "egress_closed": LISTS,
        "egress_services": st.dictionaries(st.sampled_from(["web", "a.b_c-d"]), st.lists(SERVICE_EGRESS, max_size=2)),
        "egress_default": st.sampled_from(["internet", "none"]),
        "trusted_networks": LISTS,
        "swarm_peers": LISTS,
        "dns_servers": LISTS,
        "ssh_from": SOURCES,
        "ssh_ports": st.lists(st.integers(1, 65535), max_size=2),
        "ssh_rate": st.integers(0, 100_000),
        "log_rate": st.integers(0, 100_000),
        "ping": st.booleans(),
        "trusted_interfaces": st.lists(st.sampled_from(["wg0", "tun*", "eth1.5"]), max_size=2),
    },
)


@given(OPTIONS)
@settings(max_examples=15)
def test_nft_takes_what_the_settings_allow(options: dict[str, Any]) -> None:
    reason = network_lab.missing()
    if reason:
        pytest.skip(f"the rules are not tried: {reason}")
    read, findings = read_settings(options)
    if findings:
        return
    text = render(read, HostView((22,), (ip_network("10.0.0.2"),)))
    # Loaded, listed and loaded again: what the host goes back to is a listing.
    listing = "nft -s -t list table inet hypercode"
    script = f'nft -f - && one="$({listing})" && echo "$one" | nft -f - && nft delete table inet hypercode &&'
    script += f' echo "$one" | nft -f - && test "$one" = "$({listing})"'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + text


def test_only_our_table_is_named() -> None:
    view = HostView((22,), ())
    for text in (render(read_settings({})[0], view), render_fallback(view), removal()):
        assert set(re.findall(r"table (\w+ \w+)", re.sub("#.*", "", text))) <= {"inet hypercode", "netdev hypercode"}
        assert "flush" not in re.sub("#.*", "", text)
        assert re.sub("#.*\n", "", text).startswith("table inet hypercode {}\ndelete table inet hypercode\n")


@pytest.mark.parametrize(
    ("networks", "text"),
    [
        (["0.0.0.0/1", "128.0.0.0"], "ip saddr 0.0.0.0-128.0.0.0 "),
        (["10.128.0.4/30", "10.0.0.0/9", "10.128.0.0"], "ip saddr { 10.0.0.0-10.128.0.0, 10.128.0.4/30 } "),
        (["10.0.0.0/9", "10.128.0.0/9"], "ip saddr 10.0.0.0/8 "),
        (["2001:db8::", "2001:db8::1/128", "2001:db8::2"], "ip6 saddr 2001:db8::-2001:db8::2 "),
    ],
)
def test_networks_that_touch_are_written_as_nft_lists_them(networks: list[str], text: str) -> None:
    """Else a host that went back to a listing would seem to have other rules than it has."""
    assert source_matches([ip_network(network) for network in networks]) == [text]


def test_the_same_settings_give_the_same_text() -> None:
    options = {"ssh_from": ["192.0.2.9", "192.0.2.1"], "open_ports": [{"port": 80}]}
    turned = {"open_ports": [{"port": 80}], "ssh_from": ["192.0.2.1", "192.0.2.9"]}
    view = HostView((22, 2222), ())
    assert render(read_settings(options)[0], view) == render(read_settings(turned)[0], view)
    assert "tcp dport { 22, 2222 } goto ssh" in render(read_settings(options)[0], view)


@pytest.mark.parametrize(
    ("address", "private"),
    [
        *((address, True) for address in ("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1")),
        *((address, True) for address in ("169.254.169.254", "127.0.0.1", "168.63.129.16", "100.100.100.200")),
        *((address, True) for address in ("fd00:ec2::254", "fe80::1", "fc00::1", "::1", "ff02::1", "224.0.0.251")),
        # The same behind NAT64.
        *((address, True) for address in ("64:ff9b::169.254.169.254", "64:ff9b::10.0.0.1", "64:ff9b::192.168.0.1")),
        *((address, True) for address in ("64:ff9b::172.16.5.5", "64:ff9b::100.64.0.1", "64:ff9b::127.0.0.1")),
        *((address, False) for address in ("8.8.8.8", "172.32.0.1", "172.15.0.1", "100.128.0.1", "11.0.0.1")),
        *((address, False) for address in ("2606:4700::1111", "64:ff9b::8.8.8.8", "64:ff9b::172.32.0.1")),
    ],
)
def test_what_is_no_internet(address: str, private: bool) -> None:
    found = ip_network(address)
    assert any(found.version == other.version and found.overlaps(other) for other in PRIVATE) == private


def test_the_unit_stands_before_the_network_and_before_docker() -> None:
    text = Path(__file__).resolve().parents[6].joinpath("plugins/module_utils/hostkit/firewall/unit.py").read_text()
    assert "DefaultDependencies=no" in text
    assert re.search(r"^Before=sysinit\.target network-pre\.target docker\.service", text, re.MULTILINE)
    assert re.search(r"^Wants=network-pre\.target", text, re.MULTILINE)
    assert re.search(r"^WantedBy=sysinit\.target", text, re.MULTILINE)
    assert not re.search(r"^ExecStop", text, re.MULTILINE)
