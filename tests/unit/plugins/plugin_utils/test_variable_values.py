"""Values of variables: missing, wrong, impossible to evaluate, and never shown when they may be secret."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils import variable_values as values
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import RoleSpec
from hypothesis import given
from hypothesis import strategies as st

PORTS = {
    "type": "list",
    "elements": "dict",
    "options": {"port": {"type": "int", "required": True}, "proto": {"type": "str", "choices": ["tcp", "udp"]}},
}


def judge(
    own: Mapping[str, Any],
    options: Mapping[str, Mapping[str, Any]],
    defaults: Mapping[str, Any] | None = None,
    problem: str = "",
    answers: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Judge with an evaluator that looks templates up in ``answers`` and fails with ``problem`` for the others."""
    role = RoleSpec("web", options, defaults or {}, {}, Path("web"))

    def evaluate(_role: RoleSpec, raw: Any) -> Any:
        if not values.is_template(raw):
            return raw
        if answers and raw in answers:
            return answers[raw]
        raise values.TemplateProblem(problem)

    judged = values.HostValues(
        host="web1",
        own=own,
        variables={**(defaults or {}), **own},
        evaluate=evaluate,
        where=lambda name: f"host_vars/web1.yml:{len(name)}",
        encrypted=lambda raw: raw == "vaulted",
    )
    return judged.judge(role)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_right_values_have_no_findings() -> None:
    own = {"web_port": 80, "web_text": "x", "web_ports": [{"port": 1, "proto": "udp"}], "web_flag": "false"}
    options: dict[str, dict[str, Any]] = {
        "web_port": {"type": "int"},
        "web_text": {"type": "str"},
        "web_ports": PORTS,
        "web_flag": {"type": "bool"},
    }
    assert judge(own, options) == []


@pytest.mark.parametrize(
    ("spec", "value", "message"),
    [
        ({"type": "int"}, "many", "web_x must be a whole number. It is 'many'."),
        ({"type": "int"}, "INFINITY", "web_x must be a whole number. It is 'INFINITY'."),
        ({"type": "int"}, float("-inf"), "web_x must be a whole number. It is '-inf'."),
        ({"type": "int"}, "NaN", "web_x must be a whole number. It is 'NaN'."),
        ({"type": "float"}, [], "web_x must be a number."),
        ({"type": "bool"}, "maybe", "web_x must be true or false. It is 'maybe'."),
        ({"type": "list"}, {"a": 1}, "web_x must be a list."),
        ({"type": "dict"}, [1], "web_x must be a mapping of names to values."),
        ({"type": "str"}, {"a": 1}, "web_x must be text, not a mapping of names to values."),
        ({}, ["a"], "web_x must be text, not a list."),
        ({"type": "str", "choices": ["fast", "slow"]}, "fats", "one of: fast, slow. It is 'fats'. Did you mean fast?"),
        ({"type": "int", "choices": [1, 2]}, 3, "web_x must be one of: 1, 2. It is '3'."),
        ({"type": "list", "elements": "int"}, [1, "two"], "Every item of web_x must be a whole number."),
        ({"type": "list", "choices": ["a"]}, ["a", "b"], "web_x must be one of: a."),
        (PORTS, [{"port": "http"}], "port in web_x must be a whole number."),
        ({"type": "list", "elements": "int"}, [1, "inf"], "A number in web_x is infinite."),
        (PORTS, [{"port": "Infinity"}], "A number in web_x is infinite."),
        (PORTS, [{"proto": "udp"}], "An entry of web_x lacks port."),
        (PORTS, [{"port": 1, "proto": "sctp"}], "proto in web_x must be one of: tcp, udp."),
        (PORTS, [{"port": 1, "prot": "udp"}], "There is no web_x.prot. It may have: port, proto."),
        (PORTS, ["80"], "Every item of web_x must be a mapping of names to values."),
        ({"type": "nonsense"}, 1, "web_x must be of type nonsense."),
    ],
)
def test_wrong_value_is_told_in_plain_words(spec: dict[str, Any], value: Any, message: str) -> None:
    found = only(judge({"web_x": value}, {"web_x": spec}))
    assert (found.rule, found.severity, found.name) == ("variable-invalid", "error", "web_x")
    assert message in found.message
    assert "web1 in host_vars/web1.yml:5" in found.message
    assert found.fix == "Correct web_x in the inventory."


def test_everything_inside_a_value_comes_at_once() -> None:
    value = [{"port": "http"}, {"proto": "udp"}, {"port": 1, "prot": "x"}]
    assert len(judge({"web_x": value}, {"web_x": PORTS})) == 3


def test_missing_required_variable() -> None:
    found = only(judge({}, {"web_domain": {"type": "str", "required": True, "description": ["The name."]}}))
    assert found.rule == "variable-missing"
    assert found.message == "web_domain is not set for web1, but it is required. The name."


def test_default_counts_as_set_and_literal_defaults_are_trusted() -> None:
    options: dict[str, dict[str, Any]] = {"web_domain": {"type": "str", "required": True}, "web_n": {"type": "int"}}
    assert judge({}, options, {"web_domain": "x", "web_n": "no number"}) == []


@pytest.mark.parametrize("value", [False, "false", "no", 0])
def test_disabled_role_is_not_judged(value: Any) -> None:
    options: dict[str, dict[str, Any]] = {"web_enabled": {"type": "bool"}, "web_n": {"type": "int"}}
    assert judge({"web_enabled": value, "web_n": "many"}, options) == []
    assert judge({"web_n": "many"}, options, {"web_enabled": value}) == []
    assert judge({"web_n": "many"}, {**options, "web_enabled": {"default": value}}) == []


@pytest.mark.parametrize("value", [True, "yes", "perhaps"])
def test_enabled_role_is_judged(value: Any) -> None:
    found = judge({"web_enabled": value, "web_n": "many"}, {"web_enabled": {"type": "bool"}, "web_n": {"type": "int"}})
    assert "web_n" in [finding.name for finding in found]


def test_undefined_name_is_told_with_variable_host_and_guess() -> None:
    own = {"web_url": "http://{{ base_domian }}", "base_domain": "x"}
    found = only(judge(own, {"web_url": {"type": "str"}}, problem="'base_domian' is undefined"))
    assert found.rule == "variable-undefined"
    assert found.message == (
        "web_url uses base_domian, which is not set for web1 (host_vars/web1.yml:7). Did you mean base_domain?"
    )
    assert found.fix.startswith("Set base_domian in the inventory")


def test_undefined_name_in_a_default_names_the_file() -> None:
    found = only(judge({}, {"web_url": {}}, {"web_url": "{{ base }}"}, problem="'base' is undefined"))
    assert "(roles/web/defaults/main.yml)" in found.message


def test_other_template_problem_is_told() -> None:
    found = only(judge({"web_url": "{{ a | nope }}"}, {"web_url": {}}, problem="No filter named 'nope'."))
    assert found.rule == "template-error"
    assert "No filter named 'nope'" in found.message


@pytest.mark.parametrize(
    "own",
    [
        {"web_x": "{{ ansible_facts['distribution'] }}"},
        {"web_x": "{{ preflight_check.host.codename }}"},
        {"web_x": "{{ hostvars['db1'].ip }}"},
        {"web_x": "{{ __web_result.y }}"},
        {"web_x": ["a", "{{ other }}"], "other": {"deep": "{{ ansible_facts.x }}"}},
        {"web_x": "{% if ansible_facts.x %}a{% endif %}"},
    ],
)
def test_what_only_the_running_host_knows_is_left_alone(own: dict[str, Any]) -> None:
    assert judge(own, {"web_x": {"type": "int"}}, problem="object of type 'dict' has no attribute 'x'") == []


def test_wrong_value_made_from_facts_is_left_alone() -> None:
    raw = "{{ ansible_facts.distribution | default('') }}"
    assert judge({"web_x": raw}, {"web_x": {"choices": ["debian"]}}, answers={raw: ""}) == []


def test_variables_that_use_each_other_in_a_circle_end() -> None:
    own = {"web_x": "{{ a }}", "a": "{{ web_x }}"}
    assert only(judge(own, {"web_x": {}}, problem="Recursive loop")).rule == "template-error"


@pytest.mark.parametrize(
    ("name", "spec", "raw"),
    [
        ("web_password", {"type": "int"}, "canary"),
        ("web_x", {"type": "int", "no_log": True}, "canary"),
        ("web_x", {"type": "int"}, "{{ db_password }}"),
        ("web_x", {"choices": ["a"]}, "{{ db_password }}"),
        ("web_x", {"type": "int"}, "vaulted"),
        ("web_x", {"type": "int"}, "TOKEN=canary"),
        ("web_x", PORTS, [{"port": "canary"}]),
        ("web_x", PORTS, [{"port": 1, "proto": "canary"}]),
        ("web_x", {"type": "list", "elements": "dict", "options": {"key": {"type": "int"}}}, [{"key": "canary"}]),
        ("web_x", {"type": "dict"}, "API_KEY: canary"),
        ("web_x", {"type": "dict", "options": {"a": {"type": "dict", "options": {}}}}, {"a": "canary"}),
        ("web_x", {"type": "list", "elements": "int"}, ["canary"]),
        ("web_x", {"type": "dict", "no_log": True}, {"a": "canary", "b": object()}),
        ("web_x", PORTS, [{"port": "1 convert to canary"}]),
        ("web_x", PORTS, [{"port": 1, "proto": "a, got: b found in canary"}]),
    ],
)
def test_what_may_be_secret_is_never_shown(name: str, spec: dict[str, Any], raw: Any) -> None:
    found = judge({name: raw, "db_password": "canary"}, {name: spec}, answers={"{{ db_password }}": "canary"})
    assert found or spec.get("no_log")
    assert "canary" not in str(found)
    assert "vaulted" not in str(found)


def test_template_problem_of_a_secret_is_not_shown() -> None:
    found = only(judge({"web_secret": "{{ 'canary' | nope }}"}, {"web_secret": {}}, problem="could not do 'canary'"))
    assert "canary" not in str(found)
    assert "the reason is not shown" in found.message


@given(st.text(max_size=100))
def test_any_text_can_be_judged(text: str) -> None:
    for finding in judge({"web_x": text}, {"web_x": {"type": "int"}}, problem="it is broken"):
        assert finding.name == "web_x"
