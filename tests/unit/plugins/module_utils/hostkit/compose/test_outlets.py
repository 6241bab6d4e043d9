from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.render import Result
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.outlet import (
    BRIDGE_LENGTH,
    bridge_name,
    ipv6_subnet,
    network_name,
)
from hypothesis import given
from hypothesis import strategies as st

Run = Callable[..., Result]
STACK = """
    services:
      web: {image: "a:1", networks: [back, data]}
      db: {image: "b:1", networks: {data: {aliases: [store]}}}
      alone: {image: "c:1"}
    networks:
      back: {}
      data: {internal: true}
    """


def test_a_service_leaves_by_a_network_of_its_own(run: Run) -> None:
    result = run(STACK, outlets=["web", "alone"])
    assert result.errors == []
    services, networks = result.compose["services"], result.compose["networks"]
    assert list(services["web"]["networks"]) == ["back", "data", "hypercode-outlet-web"]
    # What was meant without being written stays meant.
    assert list(services["alone"]["networks"]) == ["default", "hypercode-outlet-alone"]
    assert services["db"]["networks"] == {"data": {"aliases": ["store"]}}
    assert networks["hypercode-outlet-web"] == {
        "name": "00-hypercode-outlet-web",
        "driver": "bridge",
        "driver_opts": {"com.docker.network.bridge.name": bridge_name("web")},
    }
    assert [(entry["service"], entry["rule"]) for entry in result.repairs if entry["field"] == "networks"] == [
        ("alone", "outlet"),
        ("web", "outlet"),
    ]


def test_without_outlets_nothing_is_added(run: Run) -> None:
    assert "outlet" not in run(STACK).text


def test_with_ipv6_on_another_network_the_outlet_has_it_too(run: Run) -> None:
    result = run(STACK.replace("back: {}", "back: {enable_ipv6: true}"), outlets=["web", "alone"])
    networks = result.compose["networks"]
    assert networks["hypercode-outlet-web"]["enable_ipv6"] is True
    assert networks["hypercode-outlet-web"]["ipam"] == {"config": [{"subnet": ipv6_subnet("web")}]}
    assert "enable_ipv6" not in networks["hypercode-outlet-alone"]


def test_a_service_that_is_switched_off_needs_none(run: Run) -> None:
    result = run(STACK, outlets=["web"], services={"web": {"enabled": False}})
    assert result.errors == []
    assert "outlet" not in result.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("", ""), "firewall_egress_services.wbe: there is no service 'wbe'. Did you mean \"web\"?"),
        (("networks: [back, data]", "network_mode: host"), "web has network_mode: host"),
        (("networks: [back, data]", "networks: {back: {gw_priority: 1}}"), "web leaves by back (gw_priority)"),
        (("back: {}", "back: {name: 0-first}"), "web leaves by 0-first, which comes first in the alphabet"),
    ],
)
def test_what_cannot_be_kept_apart(run: Run, changes: tuple[str, str], words: str) -> None:
    result = run(STACK.replace(*changes), outlets=["web" if any(changes) else "wbe"])
    found = [finding for finding in result.errors if "firewall_egress_services" in finding.message]
    assert [words in finding.message and bool(finding.fix) for finding in found] == [True]


def test_an_internal_network_leads_nowhere_wherever_it_stands(run: Run) -> None:
    assert (
        run(STACK.replace("data: {internal: true}", "data: {internal: true, name: 0-in}"), outlets=["web"]).errors == []
    )


def test_names_of_the_outlet() -> None:
    # These are in the rules and the networks of hosts: another name would part the two until the next run of both.
    assert bridge_name("web") == "br-out-4b5e57f6"
    assert ipv6_subnet("web") == "fd6f:78ff:a3e2:c756::/64"
    assert network_name("web") == "00-hypercode-outlet-web"


@given(st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,60}", fullmatch=True), st.from_regex(r"[a-z]{1,9}", fullmatch=True))
def test_bridges_are_interfaces_and_differ(one: str, other: str) -> None:
    assert len(bridge_name(one)) == BRIDGE_LENGTH
    assert bridge_name(one).startswith("br-out-")
    assert (bridge_name(one) == bridge_name(other)) == (one == other)
    assert ipv6_subnet(one).startswith("fd")


def test_repairs_are_told(run: Run) -> None:
    (entry,) = [entry for entry in run(STACK, outlets=["web"]).repairs if entry["rule"] == "outlet"]
    expected: dict[str, Any] = {"before": ["back", "data"], "after": ["back", "data", "hypercode-outlet-web"]}
    assert {key: entry[key] for key in expected} == expected
