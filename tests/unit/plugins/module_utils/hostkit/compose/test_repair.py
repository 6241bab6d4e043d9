"""Class policy and repairs, through the whole renderer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.render import Result

Run = Callable[..., Result]

TIMING = {"interval": "60s", "timeout": "10s", "retries": 5, "start_period": "90s", "start_interval": "5s"}
POLICY: dict[str, dict[str, Any]] = {
    "agent": {
        "healthcheck": TIMING,
        "limits": {"cpus": 1, "memory": "1G", "pids": 256},
        "restart": "on-failure:3",
        "logging": {"driver": "json-file", "options": {"max-size": "20m", "max-file": "5"}},
        "security": {
            "read_only": True,
            "init": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "tmpfs": ["/tmp", "/run"],
        },
        "stop_grace_period": "30s",
        "needs_outside": True,
    },
    "orchestrator": {"healthcheck": TIMING, "limits": {"cpus": 1.5, "memory": "1.5G"}, "restart": "on-failure:3"},
    "core": {"healthcheck": TIMING, "limits": {"cpus": 1.5, "memory": "1.5G"}, "restart": "on-failure:3"},
    "infra": {"restart": "unless-stopped"},
}


def one(run: Run, body: str, **options: Any) -> tuple[dict[str, Any], Result]:
    """Render a single service ``web`` of class agent, unless the options say otherwise."""
    options = {"policy": POLICY, "default_class": "agent", **options}
    result = run(
        f"services: {{web: {{image: 'a:1', {body}}}}}\nnetworks: {{in: {{internal: true}}}}\nvolumes: {{v: }}",
        **options,
    )
    assert result.errors == [], [f.text() for f in result.errors]
    return result.compose["services"]["web"], result


def repairs(result: Result) -> dict[str, tuple[Any, Any, str]]:
    return {entry["field"]: (entry["before"], entry["after"], entry["rule"]) for entry in result.repairs}


def test_the_class_fills_in_what_the_file_leaves_open(run: Run) -> None:
    web, result = one(run, "healthcheck: {test: curl -f localhost}")
    assert web["restart"] == "on-failure:3"
    assert web["deploy"] == {"resources": {"limits": {"cpus": "1", "memory": "1G", "pids": 256}}}
    assert web["healthcheck"] == {"test": ["CMD-SHELL", "curl -f localhost"], **TIMING}
    assert web["logging"] == POLICY["agent"]["logging"]
    assert (web["read_only"], web["init"], web["cap_drop"]) == (True, True, ["ALL"])
    assert (web["tmpfs"], web["security_opt"]) == (["/tmp", "/run"], ["no-new-privileges:true"])
    assert web["stop_grace_period"] == "30s"
    assert web["labels"] == {"hypercode.class": "agent", "hypercode.service": "web"}
    summary = result.services["web"]
    assert summary["limits"] == {"cpus": 1.0, "memory_bytes": 2**30, "pids": 256}
    assert summary["healthcheck"] == {
        "test": ["CMD-SHELL", "curl -f localhost"],
        "interval_s": 60,
        "timeout_s": 10,
        "retries": 5,
        "start_period_s": 90,
        "start_interval_s": 5,
    }
    assert (summary["restart"], summary["stop_grace_period_s"], summary["class"]) == ("on-failure:3", 30, "agent")


CONTRADICTS = (
    "restart: always, mem_limit: 64m, cpus: 3, pids_limit: 9, healthcheck: {test: x, interval: 5s, retries: 1}"
)


def test_the_class_wins_over_the_file_on_restart_limits_and_timing(run: Run) -> None:
    web, result = one(run, CONTRADICTS)
    assert web["restart"] == "on-failure:3"
    assert web["deploy"]["resources"]["limits"] == {"cpus": "1", "memory": "1G", "pids": 256}
    assert web["healthcheck"]["interval"] == "60s"
    assert not {"mem_limit", "cpus", "pids_limit"} & set(web)
    noted = repairs(result)
    assert noted["restart"] == ("always", "on-failure:3", "class-restart")
    assert noted["limits.memory"] == ("64m", "1G", "class-limits")
    assert noted["healthcheck.interval"] == ("5s", "60s", "class-healthcheck")
    assert noted["mem_limit"] == ("64m", None, "limits-form")


def test_a_service_can_keep_its_own_values(run: Run) -> None:
    web, _ = one(run, f"{CONTRADICTS}, x-hypercode-keep: [restart, limits, healthcheck]")
    assert web["restart"] == "always"
    assert web["deploy"]["resources"]["limits"] == {"cpus": "3", "memory": "64m", "pids": 9}
    # What the file does not state comes from the class all the same.
    assert web["healthcheck"] == {"test": ["CMD-SHELL", "x"], **TIMING, "interval": "5s", "retries": 1}
    assert "x-hypercode-keep" not in web
    kept, _ = one(run, "user: root", services={"web": {"keep": ["security"]}})
    assert not {"read_only", "cap_drop", "tmpfs", "security_opt", "init"} & set(kept)


def test_an_override_wins_over_both(run: Run) -> None:
    override = {
        "restart": "no",
        "cpus": 0.5,
        "memory": "2G",
        "read_only": False,
        "cap_add": ["CHOWN"],
        "user": 1000,
        "healthcheck": {"test": ["CMD", "web-check"], "interval": 30},
        "stop_grace_period": 5,
        "environment": {"NEW": "${PW}/$$x", "OLD": None, "N": 5},
        "labels": {"a": "b"},
        "logging": {"driver": "journald"},
    }
    body = f"{CONTRADICTS}, x-hypercode-keep: [restart, limits], environment: {{OLD: canary, N: 1}}"
    web, result = one(
        run, body, services={"w*": {"memory": "9G", "environment": {"GLOB": "g"}}, "web": override}, secret_names=["PW"]
    )
    assert (web["restart"], web["read_only"], web["cap_add"], web["user"]) == ("no", False, ["CHOWN"], "1000")
    assert web["deploy"]["resources"]["limits"] == {"cpus": "0.5", "memory": "2G", "pids": 9}
    assert web["healthcheck"]["test"] == ["CMD", "web-check"]
    assert web["healthcheck"]["interval"] == "30s"
    assert web["stop_grace_period"] == "5s"
    assert web["environment"] == {"NEW": "${PW}/$$x", "N": "5", "GLOB": "g"}
    assert web["labels"]["a"] == "b"
    assert web["logging"] == {"driver": "journald"}
    assert "canary" not in str(result.repairs)
    assert repairs(result)["environment.OLD"] == ("(set)", None, "override")
    assert result.variables["secrets"] == ["PW"]


def test_dollars_in_overrides_and_policy_mean_what_they_mean_in_the_file(run: Run) -> None:
    override = {"healthcheck": {"test": "pg_isready -U $$USER -h ${HOST}"}, "labels": {"a": "$$5", "n": 5}}
    policy = {"agent": {"security": {"tmpfs": ["/${HOST}"]}}}
    web, result = one(run, "command: x", services={"web": override}, policy=policy, variables={"HOST": "h$"})
    assert web["healthcheck"]["test"] == ["CMD-SHELL", "pg_isready -U $$USER -h h$$"]
    assert (web["labels"]["a"], web["labels"]["n"], web["tmpfs"]) == ("$$5", "5", ["/h$$"])
    assert result.services["web"]["healthcheck"]["test"] == ["CMD-SHELL", "pg_isready -U $USER -h h$"]
    bad = run("services: {web: {image: 'a:1'}}", services={"web": {"labels": {"a": "${NOPE}"}}})
    assert [f.rule for f in bad.errors] == ["variable-unset"]


def test_an_unquoted_no_is_understood(run: Run) -> None:
    web, result = one(run, "restart: no", policy={"agent": {}})
    assert web["restart"] == "no"
    web, _ = one(run, "command: x", services={"web": {"restart": False}})
    assert web["restart"] == "no"
    assert 'restart: "no"' in result.text


def test_what_the_file_states_on_security_stays(run: Run) -> None:
    body = (
        "read_only: false, cap_drop: [NET_RAW], security_opt: ['no-new-privileges:false', 'seccomp=x'],"
        "tmpfs: '/tmp:size=9m', volumes: ['v:/run/'], stop_grace_period: 3s, init: false"
    )
    reason = {"rule": "confinement-off", "service": "web", "reason": "The test states it."}
    web, _ = one(run, body, ignore=[reason])
    assert (web["read_only"], web["cap_drop"], web["init"]) == (False, ["NET_RAW"], False)
    assert web["security_opt"] == ["no-new-privileges:false", "seccomp=x"]
    assert web["tmpfs"] == ["/tmp:size=9m"]
    assert web["stop_grace_period"] == "3s"


def test_logs_are_always_rotated(run: Run) -> None:
    plain = {"policy": {}, "default_class": None}
    web, _ = one(run, "command: x", **plain)
    assert web["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    web, _ = one(run, "logging: {driver: local, options: {max-file: '9'}}", **plain)
    assert web["logging"] == {"driver": "local", "options": {"max-file": "9", "max-size": "10m"}}
    web, _ = one(run, "logging: {driver: journald}", **plain)
    assert web["logging"] == {"driver": "journald"}


def test_no_healthcheck_is_invented(run: Run) -> None:
    web, result = one(run, "command: x")
    assert "healthcheck" not in web
    assert result.services["web"]["healthcheck"] is None
    assert [f.rule for f in result.warnings] == ["healthcheck-missing"]
    web, result = one(run, "healthcheck: {disable: true}")
    assert web["healthcheck"] == {"disable": True}
    assert result.services["web"]["healthcheck"] is None
    web, result = one(run, "healthcheck: {interval: 5s}")
    assert web["healthcheck"] == TIMING
    assert result.services["web"]["healthcheck"]["test"] is None


def test_a_job_that_ends_is_not_started_again(run: Run) -> None:
    text = """
        services:
          web: {image: "a:1", depends_on: {migrate: {condition: service_completed_successfully}}}
          migrate: {image: "a:1"}
        """
    result = run(text, policy=POLICY, default_class="infra")
    assert "restart" not in result.compose["services"]["migrate"]
    assert result.services["migrate"]["restart"] == "no"
    assert result.compose["services"]["web"]["restart"] == "unless-stopped"
    assert {f.service for f in result.warnings if f.rule != "limits-missing"} == {"web"}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("{condition: on-failure, max_attempts: 3}", "on-failure:3"),
        ("{condition: none}", "no"),
        ("{}", "always"),
    ],
)
def test_swarm_restart_policy_is_folded_in(run: Run, policy: str, expected: str) -> None:
    web, _ = one(run, f"deploy: {{replicas: 1, restart_policy: {policy}}}", policy={}, default_class=None)
    assert web["restart"] == expected
    assert web["deploy"] == {"replicas": 1}


def test_limits_that_no_longer_fit_are_mended(run: Run) -> None:
    body = "mem_limit: 4g, memswap_limit: 512m, mem_reservation: 2g, deploy: {resources: {reservations: {memory: 3G}}}"
    web, result = one(run, body)
    assert "memswap_limit" not in web
    assert web["mem_reservation"] == "1G"
    assert web["deploy"]["resources"]["reservations"] == {"memory": "1G"}
    assert repairs(result)["memswap_limit"][2] == "limits-form"


PORTS = "ports: ['8080:80', '127.0.0.1:9090:90/udp', '443'], expose: ['80', 1]"


@pytest.mark.parametrize(
    ("options", "ports", "expose"),
    [
        ({}, [], ["80", "1", "90/udp", "443"]),
        ({"publish": "loopback"}, ["127.0.0.1:8080:80", "127.0.0.1:9090:90/udp", "127.0.0.1::443"], ["80", "1"]),
        ({"publish": "keep"}, ["8080:80", "127.0.0.1:9090:90/udp", "443"], ["80", "1"]),
        ({"services": {"web": {"publish": "keep"}}}, ["8080:80", "127.0.0.1:9090:90/udp", "443"], ["80", "1"]),
    ],
)
def test_published_ports(run: Run, options: dict[str, Any], ports: list[str], expose: list[str]) -> None:
    # Who keeps a port open to everyone says why.
    opened = [{"rule": "port-published-everywhere", "reason": "The test keeps it."}]
    web, result = one(run, PORTS, ignore=opened if "8080:80" in ports else [], **options)
    assert result.services["web"]["ports"] == ports
    assert result.services["web"]["expose"] == expose
    assert ("ports" in web) == bool(ports)
    assert ("ports" in repairs(result)) == (options in ({}, {"publish": "loopback"}))


def test_container_name_and_build_go(run: Run) -> None:
    web, result = one(run, "container_name: x, build: ., pull_policy: build")
    assert not {"container_name", "build", "pull_policy"} & set(web)
    assert repairs(result)["container_name"] == ("x", None, "container-name")


@pytest.mark.parametrize(
    ("options", "body", "expected"),
    [
        ({"classes": {"web": "core"}}, "labels: {hypercode.class: infra}", "core"),
        ({"classes": {"w*": "core"}}, "labels: ['hypercode.class=infra']", "core"),
        ({"classes": {"w*": "core", "web": "infra"}}, "command: x", "infra"),
        ({}, "labels: {hypercode.class: infra}", "infra"),
        ({}, "x-hypercode-class: core", "core"),
        ({}, "command: x", "agent"),
        ({"classes": {"web": "core"}, "services": {"web": {"class": "infra"}}}, "command: x", "infra"),
    ],
)
def test_the_first_that_names_a_class_wins(run: Run, options: dict[str, Any], body: str, expected: str) -> None:
    web, result = one(run, body, **options)
    assert result.services["web"]["class"] == web["labels"]["hypercode.class"] == expected
    assert "x-hypercode-class" not in web


def test_classes_that_do_not_exist(run: Run) -> None:
    text = "services: {web: {image: 'a:1', labels: {hypercode.class: agnet}, x-hypercode-keep: [restrat]}}"
    result = run(text, policy=POLICY)
    assert [f.rule for f in result.errors] == ["option", "option"]
    assert 'Did you mean "agent"?' in result.errors[0].message + result.errors[1].message
    assert 'Did you mean "restart"?' in result.errors[0].message + result.errors[1].message
    assert all((f.service, f.line) == ("web", 1) for f in result.errors)
    unclassed = run("services: {web: {image: 'a:1'}}", policy=POLICY)
    assert {f.rule for f in unclassed.warnings} == {
        *("class-missing", "healthcheck-missing", "limits-missing", "restart-missing")
    }
    assert unclassed.services["web"]["class"] is None


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"policy": {"a": {"restrat": "no"}}}, 'Did you mean "restart"?'),
        ({"policy": {"a": "x"}}, "not a mapping"),
        ({"policy": {"a": {"limits": {"ram": "1G"}}}}, "'ram' is not known here"),
        ({"policy": {"a": {"limits": "1G"}}}, "not a mapping"),
        ({"policy": {"a": {"limits": {"memory": "1X"}}}}, "'1X' has no usable form"),
        ({"policy": {"a": {"restart": "sometimes"}}}, "no usable form"),
        ({"policy": {"a": {"healthcheck": {"interval": "soon"}}}}, "no usable form"),
        ({"classes": {"wbe": "agent"}}, "there is no service 'wbe' Did you mean \"web\"?"),
        ({"classes": {"web": "agnet"}}, 'Did you mean "agent"?'),
        ({"default_class": "nope"}, "there is no class 'nope'"),
        ({"services": {"nope": {}}}, "there is no service 'nope'"),
        ({"services": {"web": {"memroy": "1G"}}}, 'Did you mean "memory"?'),
        ({"services": {"web": ["x"]}}, "not a mapping"),
        ({"services": {"web": {"enabled": "no"}}}, "not true or false"),
        ({"services": {"web": {"cap_add": "ALL"}}}, "not a list"),
        ({"services": {"web": {"keep": "x"}}}, "unknown word 'x'"),
        ({"services": {"web": {"publish": "all"}}}, "'all' is not known"),
        ({"images": {"web": {"version": "1"}}}, "'version' is not known here"),
        ({"images": {"nope": {"tag": "1"}}}, "there is no service 'nope'"),
        ({"publish": "all"}, "'all' is not known"),
        ({"project_name": "Demo!"}, "no project name"),
        ({"bind_root": "etc"}, "no absolute path"),
        ({"secret_names": ["A-B"]}, "no name for a variable"),
        ({"ignore": [{"rule": "no-way-out", "service": "web"}]}, "gives no reason"),
        ({"ignore": [{"rule": "no-way-out", "service": "web", "reason": " "}]}, "gives no reason"),
        ({"ignore": [{"service": "web", "reason": "x"}]}, "names no rule"),
        ({"ignore": [{"rule": "variable-unset", "reason": "x"}]}, "cannot be ignored"),
        ({"ignore": [{"rule": "x", "reason": "x", "sevrice": "y"}]}, "unknown key 'sevrice'"),
    ],
)
def test_wrong_options_are_findings(run: Run, options: dict[str, Any], word: str) -> None:
    result = run("services: {web: {image: 'a:1'}}", **{"policy": POLICY, **options})
    assert any(word in f.message for f in result.errors), [f.message for f in result.findings]
    assert result.text == ""


def test_a_pattern_that_fits_nothing_is_a_warning(run: Run) -> None:
    result = run("services: {web: {image: 'a:1'}}", images={"x-*": {"tag": "1"}})
    assert result.errors == []
    assert "option-unused" in {f.rule for f in result.warnings}
