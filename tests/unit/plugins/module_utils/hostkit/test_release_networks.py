"""Networks that are not as the release wants them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release_networks import (
    stale_networks,
    users_of,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.stack_state import PROJECT_LABEL


class Networks:
    """The part of the engine that is asked."""

    def __init__(self, **found: dict[str, Any]) -> None:
        self.found = found

    def network(self, name: str) -> dict[str, Any] | None:
        return self.found.get(name)


THERE = {
    "Driver": "bridge",
    "Internal": False,
    "Attachable": False,
    "EnableIPv6": False,
    "Labels": {PROJECT_LABEL: "demo"},
    "IPAM": {"Config": [{"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.1"}]},
}


def reasons(entry: dict[str, Any] | None, **found: Any) -> list[str]:
    model = {"services": {"web": {"networks": {"back": None}}}, "networks": {"back": entry}}
    engine: Any = Networks(demo_back={**THERE, **found})
    return [network.reason for network in stale_networks(engine, "demo", model)]


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {},
        {"internal": False},
        {"attachable": False},
        {"driver": "bridge"},
        {"driver": "default"},
        {"enable_ipv6": False},
        {"ipam": {"config": [{"subnet": "10.1.0.0/24"}]}},
        {"ipam": {"config": [{"subnet": "10.1.0.7/24"}]}},
        {"ipam": {"config": [{"subnet": "${SUBNET}"}]}},
        {"ipam": {"config": [{"gateway": "10.1.0.1"}]}},
        {"external": True, "internal": True},
    ],
)
def test_as_wanted(entry: dict[str, Any] | None) -> None:
    assert reasons(entry) == []


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"internal": True}, "internal is false, wanted is true"),
        ({"attachable": True}, "attachable is false, wanted is true"),
        ({"enable_ipv6": True}, "enable_ipv6 is false, wanted is true"),
        ({"driver": "overlay"}, "its driver is bridge, wanted is overlay"),
        ({"ipam": {"config": [{"subnet": "10.2.0.0/24"}]}}, "its subnets differ"),
    ],
)
def test_another_one_is_wanted(entry: dict[str, Any], reason: str) -> None:
    assert reasons(entry) == [reason]


def test_what_compose_chose_itself_is_no_difference() -> None:
    """A network that is made anew for nothing takes the stack down for nothing."""
    assert reasons({}, Attachable=True, EnableIPv6=True, Driver="macvlan") == []


def test_no_longer_internal() -> None:
    assert reasons({}, Internal=True) == ["internal is true, wanted is false"]


@pytest.mark.parametrize("labels", [None, {}, {PROJECT_LABEL: "other"}])
def test_a_network_that_is_not_ours_is_left_alone(labels: Any) -> None:
    assert reasons({"internal": True}, Labels=labels) == []


def test_names_and_the_default_network() -> None:
    model = {"services": {"web": {}, "db": {"networks": ["back"]}, "tool": {"network_mode": "host"}}}
    assert (users_of(model, "default"), users_of(model, "back"), users_of(model, "none")) == (("web",), ("db",), ())
    model["networks"] = {"back": {"name": "shared", "internal": True}, "default": {"internal": True}, "unused": {}}
    engine: Any = Networks(shared=THERE, demo_default=THERE, demo_unused=THERE)
    assert [(found.name, found.services) for found in stale_networks(engine, "demo", model)] == [
        ("shared", ("db",)),
        ("demo_default", ("web",)),
    ]


def test_a_network_that_is_not_there_yet() -> None:
    engine: Any = Networks()
    assert stale_networks(engine, "demo", {"services": {"web": {}}, "networks": None}) == []
