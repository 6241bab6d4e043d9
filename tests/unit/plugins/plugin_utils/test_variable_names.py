"""Names of variables: unknown, removed, misspelt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils import variable_names
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import Removed, RoleSpec
from hypothesis import given
from hypothesis import strategies as st


def role(name: str, *options: str) -> RoleSpec:
    return RoleSpec(name, {f"{name}_{option}": {} for option in options}, {}, {}, Path(name))


ROLES = {
    "stack": role("stack", "enabled", "domain", "memory_limit"),
    "stack_extra": role("stack_extra", "enabled"),
    "edge": role("edge", "enabled", "domain"),
}
REMOVED = {
    "stack_name": Removed("stack_name", "0.3.0", "stack_domain", "Same values."),
    "oldest": Removed("oldest", "0.2"),
}


def judge(variables: dict[str, Any], allowed: list[str] | None = None, place: str = "g.yml:3") -> list[Finding]:
    return variable_names.judge_names(
        variables, ROLES, REMOVED, allowed=allowed or [], host="web1", where=lambda _name: place
    )


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_known_and_foreign_names_are_fine() -> None:
    assert judge({"stack_enabled": 1, "edge_domain": 1, "my_own": 1, "stack": 1, "nginx_port": 1}) == []


def test_unknown_name_says_where_and_what_was_meant() -> None:
    found = only(judge({"stack_enabeld": "canary"}))
    assert found.rule == "variable-unknown"
    assert found.message == (
        "stack_enabeld is set for web1 (g.yml:3), but the role stack has no such variable. Did you mean stack_enabled?"
    )
    assert found.fix.startswith("Rename it to stack_enabled")
    assert "canary" not in str(found)


def test_unknown_name_without_a_near_one() -> None:
    found = only(judge({"stack_zzzzzz": 1}, place=""))
    assert "Did you mean" not in found.message
    assert "(" not in found.message
    assert "preflight_known_variables" in found.fix


@pytest.mark.parametrize("name", ["stack_zzzzzz", "edge_q"])
def test_shared_prefix_does_not_make_names_alike(name: str) -> None:
    assert "Did you mean" not in only(judge({name: 1})).message


def test_longest_role_owns_a_name() -> None:
    assert "the role stack_extra has no such" in only(judge({"stack_extra_foo": 1})).message


@pytest.mark.parametrize("allowed", [["stack_vendor"], ["stack_v*"], ["other", "*vendor"]])
def test_allowed_names_and_globs(allowed: list[str]) -> None:
    assert len(judge({"stack_vendor": 1})) == 1
    assert judge({"stack_vendor": 1}, allowed) == []


@pytest.mark.parametrize(
    "variables",
    [
        {"ansible_stack_x": 1, "__stack_x": 1, "_stack_x": 1},
        {"stack_result": {"changed": False, "failed": False}},
        {"stack_result": {"changed": False, "skipped": True, "skip_reason": "x"}},
    ],
)
def test_ansible_internal_and_registered_names_are_passed_over(variables: dict[str, Any]) -> None:
    assert judge(variables) == []


def test_removed_name_says_release_and_replacement() -> None:
    found = only(judge({"stack_name": "canary"}))
    assert found.rule == "variable-removed"
    assert "left in release 0.3.0" in found.message
    assert found.fix == "Set stack_domain instead. Same values."
    assert "canary" not in str(found)


def test_removed_name_of_no_role() -> None:
    found = only(judge({"oldest": 1}))
    assert found.fix == "Remove it from the inventory."


def test_misspelt_role_is_a_warning() -> None:
    found = only(judge({"stak_domain": 1}))
    assert (found.rule, found.severity) == ("variable-misspelt", "warning")
    assert "Did you mean stack_domain?" in found.message


@pytest.mark.parametrize("name", ["app_domain", "web_enabled", "domain", "stak_other", "stak_"])
def test_other_names_are_not_misspelt(name: str) -> None:
    assert judge({name: 1}) == []


@given(st.dictionaries(st.text(max_size=20), st.none(), max_size=8))
def test_every_finding_is_about_a_given_name(variables: dict[str, None]) -> None:
    for found in judge(dict(variables)):
        assert found.name in variables
        assert found.fix


@given(st.sampled_from(["enabled", "domain", "memory_limit"]), st.data())
def test_one_typing_mistake_is_recognized(option: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(option) - 2))
    typo = option[:at] + option[at + 1] + option[at] + option[at + 2 :]
    if typo != option:
        assert f"Did you mean stack_{option}?" in only(judge({f"stack_{typo}": 1})).message
