# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges the users on the controller, then hands them to the module."""

from __future__ import annotations

from typing import Any

from ansible_collections.hypercode.deploy.plugins.modules.host_users import ARGUMENTS, judge_options, report
from ansible_collections.hypercode.deploy.plugins.plugin_utils.lenient_action import LenientAction


class ActionModule(LenientAction):
    """See the documentation of the module."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Judge; unless that is all, have the module bring the users to what is wanted."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        options, findings = self.judged_options(ARGUMENTS, "base_", judge_options)
        if options.get("state") == "validated":
            return {**result, "changed": False, "findings": [finding.as_dict() for finding in findings]}
        if findings:
            return {**result, **report(findings, str(task_vars.get("inventory_hostname", "the host"))), "failed": True}
        options["sudo_password_known"] = self._knows_password()
        answer: dict[str, Any] = self._execute_module(
            module_name="hypercode.deploy.host_users", module_args=options, task_vars=task_vars
        )
        # It repeats the options, and the hashes with them.
        answer.pop("invocation", None)
        return {**result, **answer}

    def _knows_password(self) -> bool:
        become = getattr(self._connection, "become", None)
        return bool(become and become.get_option("become_pass"))
