from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.merge import merge_projects
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.normalize import normalize_service


def merge(base: dict[str, Any], over: dict[str, Any], tags: dict[str, str] | None = None) -> dict[str, Any]:
    """Two services in any form, merged."""
    long = [normalize_service(service, "services.x", "x") for service in (base, over)]
    assert all(findings == [] for _, findings in long)
    merged = merge_projects({"services": {"x": long[0][0]}}, {"services": {"x": long[1][0]}}, tags or {})
    result: dict[str, Any] = merged["services"].get("x")
    return result


@pytest.mark.parametrize(
    ("key", "base", "over", "expected"),
    [
        ("image", "a:1", "b:2", "b:2"),
        ("image", "a:1", None, "a:1"),
        ("command", ["a", "b"], ["c"], ["c"]),
        ("command", "a", ["c"], ["c"]),
        ("entrypoint", ["a"], "b", "b"),
        ("environment", ["A=1", "B=2"], {"B": 3, "C": None}, {"A": "1", "B": "3", "C": None}),
        ("environment", {"A": "1"}, ["A"], {"A": None}),
        ("labels", {"a": "1"}, ["b=2", "a"], {"a": "", "b": "2"}),
        ("expose", [80], ["80", 90], ["80", "90"]),
        ("dns", "1.1.1.1", ["8.8.8.8", "1.1.1.1"], ["1.1.1.1", "8.8.8.8"]),
        ("cap_add", ["A"], ["B", "A"], ["A", "B"]),
        ("tmpfs", "/tmp", ["/tmp:size=1m", "/run"], ["/tmp:size=1m", "/run"]),
        ("devices", ["/dev/a:/dev/x"], ["/dev/b:/dev/x"], ["/dev/b:/dev/x"]),
        ("extra_hosts", {"a": "1.1.1.1"}, ["b:2.2.2.2"], ["a:1.1.1.1", "b:2.2.2.2"]),
        ("networks", ["a"], {"b": {"aliases": ["x"]}, "a": None}, {"a": None, "b": {"aliases": ["x"]}}),
        ("networks", {"a": {"aliases": ["x"]}}, {"a": {"aliases": ["y"]}}, {"a": {"aliases": ["x", "y"]}}),
        (
            "ulimits",
            {"nofile": 1, "nproc": 2},
            {"nofile": 3},
            {"nofile": {"soft": 3, "hard": 3}, "nproc": {"soft": 2, "hard": 2}},
        ),
        ("secrets", ["a"], [{"source": "b", "target": "a"}], [{"source": "b", "target": "a"}]),
        ("env_file", "a.env", ["b.env"], [{"path": "a.env", "required": True}, {"path": "b.env", "required": True}]),
        ("x-own", {"a": 1}, {"b": 2}, {"b": 2}),
        ("build", ".", {"args": ["A=1"]}, {"context": ".", "args": {"A": "1"}}),
        (
            "healthcheck",
            {"test": ["CMD", "a", "b"], "interval": "5s"},
            {"test": "c", "retries": 2, "interval": None},
            {"test": ["CMD-SHELL", "c"], "interval": "5s", "retries": 2},
        ),
        (
            "logging",
            {"driver": "json-file", "options": {"max-size": "1m"}},
            {"options": {"max-file": "2"}},
            {"driver": "json-file", "options": {"max-size": "1m", "max-file": "2"}},
        ),
        ("logging", {"driver": "json-file", "options": {"max-size": "1m"}}, {"driver": "syslog"}, {"driver": "syslog"}),
        (
            "depends_on",
            ["a"],
            {"a": {"condition": "service_healthy"}, "b": {"condition": "service_started", "required": False}},
            {
                "a": {"condition": "service_healthy", "required": True},
                "b": {"condition": "service_started", "required": False},
            },
        ),
        (
            "deploy",
            {"resources": {"limits": {"cpus": "1", "memory": "1G"}}},
            {"resources": {"limits": {"memory": "2G"}}, "replicas": 2},
            {"resources": {"limits": {"cpus": "1", "memory": "2G"}}, "replicas": 2},
        ),
    ],
)
def test_merge_rules(key: str, base: Any, over: Any, expected: Any) -> None:
    assert merge({key: base}, {key: over})[key] == expected


def test_ports_join_and_equal_ones_stand_once() -> None:
    result = merge({"ports": ["80:80", "90:90"]}, {"ports": [{"target": 80, "published": 80}, "127.0.0.1:80:80"]})
    assert [(p.get("host_ip"), p["published"]) for p in result["ports"]] == [
        (None, "80"),
        (None, "90"),
        ("127.0.0.1", "80"),
    ]


def test_volumes_are_unique_by_target() -> None:
    result = merge({"volumes": ["a:/x", "b:/y"]}, {"volumes": ["c:/x:ro"]})
    assert [(v["source"], v["target"]) for v in result["volumes"]] == [("c", "/x"), ("b", "/y")]


def test_reset_and_override() -> None:
    base = {"image": "a:1", "ports": ["80:80"], "environment": {"A": "1", "B": "2"}, "command": "x"}
    tags = {
        "services.x.ports": "override",
        "services.x.command": "reset",
        "services.x.environment.A": "reset",
    }
    # A reset key is null, and so is not in the long form; the tag on it still counts.
    result = merge(base, {"ports": ["90:90"], "environment": {"A": None}, "command": None}, tags)
    assert [port["published"] for port in result["ports"]] == ["90"]
    assert result["environment"] == {"B": "2"}
    assert "command" not in result
    assert merge_projects({"services": {"x": {}}}, {"services": {"x": None}}, {"services.x": "reset"}) == {
        "services": {}
    }


def test_merging_leaves_its_inputs_alone() -> None:
    base = {"services": {"x": {"environment": {"A": "1"}, "ports": []}}, "networks": {"n": {"internal": True}}}
    over = {"services": {"x": {"environment": {"B": "2"}}}, "networks": {"n": {"labels": {}}, "m": None}}
    kept = copy.deepcopy((base, over))
    result = merge_projects(base, over, {})
    assert result["networks"] == {"n": {"internal": True, "labels": {}}, "m": None}
    result["services"]["x"]["environment"]["C"] = "3"
    result["networks"]["n"]["labels"]["z"] = 1
    assert (base, over) == kept


@pytest.mark.parametrize(
    ("service", "word"),
    [
        ({"ports": ["80:80:80:80"]}, "no port"),
        ({"ports": [{"published": 80}]}, "no usable target"),
        ({"volumes": ["a:b"]}, "absolute path"),
        ({"volumes": [{"type": "bind", "target": "/x"}]}, "no source"),
        ({"volumes": [{"source": "a"}]}, "lacks type or target"),
        ({"environment": ["A B=1"]}, "no name for a variable"),
        ({"healthcheck": {"test": ["curl", "x"]}}, "begins with CMD"),
        ({"env_file": [{"required": False}]}, "names no path"),
        ({"secrets": [{"target": "x"}]}, "has no source"),
    ],
)
def test_items_without_a_valid_form_are_findings(service: dict[str, Any], word: str) -> None:
    _, findings = normalize_service(service, "services.x", "x")
    assert len(findings) == 1
    assert word in findings[0].message
    assert findings[0].path.startswith("services.x.")
