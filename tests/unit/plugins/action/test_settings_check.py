# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about settings: those that hold, those that do not, and those that cannot be judged."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.action.settings_check import SPEC, ActionModule
from ansible_collections.hypercode.deploy.plugins.modules import settings_check as stub
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import trusted

SIZE = {
    "that": "{{ web_size is match('^[0-9]+m$') }}",
    "name": "web_size",
    "message": "web_size is '{{ web_size }}', which is no size.",
    "fix": "Write it as 10m.",
}
USERS = {
    "that": "{{ web_users | selectattr('name', 'undefined') | length == 0 }}",
    "name": "web_users",
    "message": "An entry of web_users has no name.",
    "fix": "Give it one.",
}


def check(rules: Any, variables: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """The result of the action, its options evaluated by itself as Ansible has it do."""
    templar = Templar(loader=DataLoader(), variables=trusted(variables or {}))
    args = {
        name: ActionModule.finalize_task_arg(name, trusted(value), templar, None)
        for name, value in {"rules": rules, **options}.items()
    }
    task = MagicMock(args=args, async_val=0, check_mode=False)
    action = ActionModule(task, MagicMock(), MagicMock(), DataLoader(), templar, MagicMock())
    action._execute_module = MagicMock(side_effect=AssertionError("connected"))
    result: dict[str, Any] = action.run(task_vars={})
    json.dumps(result)
    return result


def test_rules_that_hold_give_nothing() -> None:
    result = check([SIZE, USERS], {"web_size": "10m", "web_users": [{"name": "a"}]}, fail_on_findings=True)
    assert (result["changed"], result["findings"]) == (False, [])
    assert not result.get("failed")


def test_all_that_do_not_hold_come_in_order_and_fail_only_when_asked_to() -> None:
    variables = {"web_size": "big", "web_users": [{}]}
    result = check([SIZE, USERS], variables)
    assert result["findings"] == [
        {
            "rule": "setting",
            "severity": "error",
            "name": "web_size",
            "message": "web_size is 'big', which is no size.",
            "fix": "Write it as 10m.",
        },
        {
            "rule": "setting",
            "severity": "error",
            "name": "web_users",
            "message": "An entry of web_users has no name.",
            "fix": "Give it one.",
        },
    ]
    assert not result.get("failed")
    failed = check([SIZE, USERS], variables, fail_on_findings=True)
    assert (failed["failed"], failed["msg"]) == (True, "2 settings are wrong. Nothing was changed.")
    assert failed["findings"] == result["findings"]
    one = check([SIZE], variables, fail_on_findings=True)
    assert one["msg"] == "1 setting is wrong. Nothing was changed."


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"web_users": [{}]}, "'web_size' is undefined"),
        ({"web_size": "{{ nope }}", "web_users": [{}]}, "'nope' is undefined"),
        ({"web_size": "{{ 1 / 0 }}", "web_users": [{}]}, "division by zero"),
    ],
)
def test_a_rule_that_cannot_be_judged_does_not_hide_the_others(variables: dict[str, Any], reason: str) -> None:
    first, second = check([SIZE, USERS], variables)["findings"]
    assert (first["name"], first["rule"], first["severity"]) == ("web_size", "setting", "error")
    assert first["message"].startswith("web_size cannot be judged: ")
    assert reason in first["message"]
    assert "web_size" in first["fix"]
    assert second["message"] == "An entry of web_users has no name."


def test_the_same_reason_is_said_once() -> None:
    assert len(check([USERS, {**USERS, "message": "Another."}], {"web_users": "{{ nope }}"})["findings"]) == 1
    assert len(check([USERS, {**USERS, "message": "Another."}], {"web_users": [{}]})["findings"]) == 2


def test_a_reason_that_may_hold_a_secret_is_not_shown() -> None:
    rule = {**SIZE, "name": "web_password", "that": "{{ web_password | mandatory_nope('CANARY') }}"}
    (finding,) = check([rule], {"web_password": "CANARY"})["findings"]
    assert finding["message"] == (
        "web_password cannot be judged: the reason is not shown, because it may hold a secret."
    )
    assert "CANARY" not in str(finding)


WARNING = {"rule": "r", "severity": "warning", "name": "web_users", "message": "Nobody.", "fix": "Name one."}


def test_a_rule_may_bring_findings_of_its_own_in_their_place() -> None:
    rules = [SIZE, {"name": "web_users", "findings": "{{ web_found }}"}, {**SIZE, "message": "Again."}]
    found = check(
        rules, {"web_size": "x", "web_found": [WARNING, WARNING | {"severity": "error"}]}, fail_on_findings=True
    )
    wanted = ["web_size is 'x', which is no size.", "Nobody.", "Nobody.", "Again."]
    assert [finding["message"] for finding in found["findings"]] == wanted
    assert found["findings"][1] == WARNING
    # The warning is none of them.
    assert found["msg"] == "3 settings are wrong. Nothing was changed."
    assert not check([{"name": "web_users", "findings": []}])["findings"]


def test_a_warning_alone_is_no_failure() -> None:
    found = check([{"name": "web_users", "findings": [WARNING]}], fail_on_findings=True)
    assert (found["findings"], found.get("failed")) == ([WARNING], None)


def test_findings_that_cannot_be_had_do_not_hide_the_others() -> None:
    (first, second) = check([{"name": "web_users", "findings": "{{ nope }}"}, SIZE], {"web_size": "x"})["findings"]
    assert first["message"] == "web_users cannot be judged: 'nope' is undefined."
    assert second["name"] == "web_size"


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ([{"that": True, "name": "x", "message": "m"}], "fix"),
        ([{"name": "x"}], "one of the following is required: that, findings"),
        ([{**SIZE, "findings": []}], "mutually exclusive"),
        ([{**SIZE, "that": "perhaps"}], "that"),
        ([{**SIZE, "taht": True}], "taht"),
        (["x"], "dictionary requested"),
        ("{{ 'x' }}", "dictionary requested"),
        (None, "rules"),
    ],
)
def test_a_task_that_is_written_wrong(rules: Any, words: str) -> None:
    with pytest.raises(AnsibleActionFail, match=words):
        check(rules, {"web_size": "10m"})


def test_rules_may_come_from_a_variable() -> None:
    assert len(check("{{ web_rules }}", {"web_rules": [{**SIZE, "that": False}], "web_size": "x"})["findings"]) == 1


def test_the_documentation_covers_every_option() -> None:
    def compare(options: dict[str, Any], spec: dict[str, Any]) -> None:
        assert options.keys() == spec.keys()
        for name, wanted in spec.items():
            for key in ("type", "elements", "required", "default"):
                assert options[name].get(key) == wanted.get(key), (name, key)
            compare(options[name].get("suboptions", {}), wanted.get("options", {}))

    compare(yaml.safe_load(stub.DOCUMENTATION)["options"], SPEC)
    (example,) = yaml.safe_load(stub.EXAMPLES)
    task = example["hypercode.deploy.settings_check"]
    assert check(task["rules"], {"docker_log_max_size": "10m"})["findings"] == []
    (sample,) = yaml.safe_load(stub.RETURN)["findings"]["sample"]
    assert check(task["rules"], {"docker_log_max_size": "big"})["findings"] == [sample]
