# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges rules on the controller. Documented in plugins/modules/settings_check.py."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

RULE = {
    "that": {"type": "bool", "required": True},
    "name": {"type": "str", "required": True},
    "message": {"type": "str", "required": True},
    "fix": {"type": "str", "required": True},
}
SPEC = {
    "rules": {"type": "list", "elements": "dict", "required": True, "options": RULE},
    "fail_on_findings": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Collects the rules that do not hold."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        findings = [
            {"rule": "setting", "severity": "error"} | {key: rule[key] for key in ("name", "message", "fix")}
            for rule in options["rules"]
            if not rule["that"]
        ]
        result.update(changed=False, findings=findings)
        if findings and options["fail_on_findings"]:
            result.update(failed=True, msg=f"{len(findings)} settings are wrong. Nothing was changed.")
        return result
