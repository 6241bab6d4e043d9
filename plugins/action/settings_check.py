# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges rules on the controller. Documented in plugins/modules/settings_check.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import ERROR, read_findings
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import SECRET_NAME

RULE = {
    "name": {"type": "str", "required": True},
    "that": {"type": "bool"},
    "message": {"type": "str"},
    "fix": {"type": "str"},
    "findings": {"type": "list", "elements": "dict"},
}
SPEC = {
    "rules": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": RULE,
        "required_together": [("that", "message", "fix")],
        "required_one_of": [("that", "findings")],
        "mutually_exclusive": [("that", "findings")],
    },
    "fail_on_findings": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Collects the rules that do not hold."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    @classmethod
    def finalize_task_arg(cls, name: str, value: Any, templar: Any, context: Any) -> Any:
        """Evaluate each rule by itself: one that cannot be judged must not hide what the others find."""
        if name != "rules" or not isinstance(value, list):
            return super().finalize_task_arg(name, value, templar, context)
        return [_evaluated(rule, templar) for rule in value]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return a finding for each rule that does not hold, or that cannot be judged, and those that a rule brings."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        findings: list[dict[str, str]] = []
        for rule in options["rules"]:
            if rule["findings"] is not None:
                findings += [finding.as_dict() for finding in read_findings(rule["findings"])]
                continue
            texts = {key: rule[key] for key in ("name", "message", "fix")}
            finding = {"rule": "setting", "severity": ERROR, **texts}
            # What keeps one rule about a setting from being judged keeps its neighbours from it too.
            if not rule["that"] and finding not in findings:
                findings.append(finding)
        result.update(changed=False, findings=findings)
        wrong = sum(finding["severity"] == ERROR for finding in findings)
        if wrong and options["fail_on_findings"]:
            what = "1 setting is wrong" if wrong == 1 else f"{wrong} settings are wrong"
            result.update(failed=True, msg=f"{what}. Nothing was changed.")
        return result


def _evaluated(rule: Any, templar: Any) -> Any:
    """The rule with its templates evaluated; where that fails, one that does not hold and says why."""
    try:
        return templar.template(rule)
    except AnsibleError as error:
        name = str(rule.get("name", "")) if isinstance(rule, Mapping) else ""
        reason = " ".join(str(error).split()).rstrip(".")
        if SECRET_NAME.search(f"{name} {reason}"):
            reason = "the reason is not shown, because it may hold a secret"
        return {
            "that": False,
            "name": name,
            "message": f"{name} cannot be judged: {reason}.",
            "fix": f"Correct the value of {name}, or of a variable that it uses.",
        }
