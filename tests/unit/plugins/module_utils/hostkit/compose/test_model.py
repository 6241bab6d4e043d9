from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.model import (
    check_references,
    check_shape,
    dependencies,
)
from hypothesis import given
from hypothesis import strategies as st


def shape(service: Any) -> list[str]:
    findings = check_shape({"services": {"web": service}})
    assert all(f.fix and f.message and f.severity == "error" for f in findings)
    return [f.message for f in findings]


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({"imgae": "x"}, "'imgae' is no key of a service. Did you mean \"image\"?"),
        ({"image": 5}, "image must be text, and is a number"),
        ({"ports": {"80": "80"}}, "ports must be a list, and is a mapping"),
        ({"ports": "80:80"}, "ports must be a list, and is text"),
        ({"environment": [{"A": "1"}]}, "item 1 of environment is a mapping"),
        ({"environment": {"A": ["x"]}}, "environment.A must be"),
        ({"command": {"a": 1}}, "command must be text or a list"),
        ({"depends_on": {"db": "healthy"}}, "depends_on.db must be a mapping"),
        ({"depends_on": {"db": {"condition": "healthy"}}}, 'Did you mean "service_healthy"?'),
        ({"depends_on": {"db": {"conditon": "service_healthy"}}}, "unknown key 'conditon'"),
        (
            {"healthcheck": {"intervall": "5s"}},
            "healthcheck has the unknown key 'intervall'. Did you mean \"interval\"?",
        ),
        ({"healthcheck": {"interval": 5}}, "healthcheck.interval must be text"),
        ({"healthcheck": {"interval": "5"}}, "'5' is not a duration"),
        ({"deploy": {"resources": {"limit": {}}}}, 'Did you mean "limits"?'),
        ({"deploy": {"resources": []}}, "deploy.resources must be a mapping"),
        ({"deploy": {"resources": {"limits": {"memory": "lots"}}}}, "'lots' is not a size"),
        ({"mem_limit": "1X"}, "not a size"),
        ({"mem_reservation": "x"}, "not a size"),
        ({"pids_limit": "few"}, "not a whole number"),
        ({"cpus": "half"}, "not a number of processors"),
        ({"networks": {"a": ["x"]}}, "networks.a must be a mapping"),
        ({"restart": False}, "restart must be text, and is true or false"),
        ({"label_file": "x"}, "label_file is not supported yet"),
        ({"dns": [["x"]]}, "item 1 of dns is a list"),
        ({"cap_drop": [None]}, "item 1 of cap_drop is empty"),
        (None, "the service web is empty"),
        ("x", "the service web is text"),
    ],
)
def test_wrong_shapes(service: Any, words: str) -> None:
    messages = shape(service)
    assert len(messages) == 1, messages
    assert words in messages[0]


@pytest.mark.parametrize(
    "service",
    [
        {},
        {"command": None, "x-own": object()},
        {"environment": ["A=1", "B"], "ports": [80, "90:90", {"target": 1}], "user": 1000},
        {"healthcheck": {"retries": "3", "interval": "1m30s", "disable": True}, "memswap_limit": -1, "deploy": None},
        {"depends_on": {"a": {"condition": "service_started", "required": False}, "b": None}, "networks": {"n": None}},
        {"mem_limit": "${SECRET}", "cpus": 0.5, "stop_grace_period": "30s"},
    ],
)
def test_good_shapes(service: Any) -> None:
    assert shape(service) == []


def test_top_level() -> None:
    findings = check_shape({"service": {}, "x-a": 1, "networks": [], "volumes": {"a": "b"}, "services": {"a b": {}}})
    messages = "\n".join(f.message for f in findings)
    assert 'Did you mean "services"?' in messages
    assert "networks must be a mapping" in messages
    assert "volumes.a must be a mapping" in messages
    assert "'a b' is no name for a service" in messages
    assert len(findings) == 4


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["services", "image", "ports", "deploy", "resources", "limits", "healthcheck", "depends_on", "x"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
def test_no_document_makes_the_check_raise(data: Any) -> None:
    check_shape(data if isinstance(data, dict) else {"services": data})
    check_shape({"services": {"web": data}})


def rules(project: dict[str, Any], disabled: tuple[str, ...] = ()) -> list[tuple[str, str | None]]:
    project.setdefault("services", {})
    for service in project["services"].values():
        service.setdefault("image", "x:1")
    return [(f.rule, f.service) for f in check_references(project, disabled)]


def test_undefined_names() -> None:
    project = {
        "services": {
            "web": {
                "networks": {"front": None, "default": None},
                "volumes": [
                    {"type": "volume", "source": "dat", "target": "/d"},
                    {"type": "volume", "target": "/anonymous"},
                    {"type": "bind", "source": "/x", "target": "/x"},
                ],
                "secrets": [{"source": "s"}],
                "configs": [{"source": "c"}],
                "depends_on": {"dbb": {"condition": "service_started"}},
                "network_mode": None,
            },
            "db": {},
        },
        "volumes": {"data": None},
    }
    findings = check_references(project)
    undefined = [f.message for f in findings if f.rule == "reference-undefined"]
    assert len(undefined) == 5
    assert 'Did you mean "data"?' in " ".join(undefined)
    assert 'Did you mean "db"?' in " ".join(undefined)


def test_cycles_are_named() -> None:
    services = {
        "a": {"depends_on": {"b": {"condition": "service_started"}}},
        "b": {"links": ["c:alias"]},
        "c": {"network_mode": "service:a"},
    }
    (finding,) = [f for f in check_references({"services": services}) if f.rule == "dependency-cycle"]
    assert "a -> b -> c -> a" in finding.message


def test_services_that_cannot_run() -> None:
    assert ("image-missing", "a") in rules({"services": {"a": {"image": None}}})
    assert rules({"services": {"a": {"image": None, "build": {"context": "."}}}}) == []
    assert ("shape", "a") in rules({"services": {"a": {"networks": {"default": None}, "network_mode": "host"}}})
    needs = {"a": {"depends_on": {"off": {"condition": "service_started", "required": True}}}}
    assert rules({"services": needs}, ("off",)) == [("dependency-disabled", "a")]


def test_waiting_for_health_that_nobody_states_is_a_warning() -> None:
    services = {"a": {"depends_on": {"b": {"condition": "service_healthy"}}}, "b": {}}
    assert rules({"services": services}) == [("healthcheck-awaited", "a")]
    services["b"]["healthcheck"] = {"test": ["CMD", "x"]}
    assert rules({"services": services}) == []


def test_implied_dependencies() -> None:
    service = {
        "depends_on": {"a": {}},
        "links": ["b:x", "c"],
        "volumes_from": ["d:ro", "container:other"],
        "network_mode": "service:e",
        "pid": "host",
        "ipc": "service:f",
    }
    assert dependencies(service) == set("abcdef")
