# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Audits Compose files on the controller. Neither a Docker engine nor the host is asked."""

from __future__ import annotations

from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.compose_yaml import FileReader
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.audit.files import Report, audit_files
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.policy import Settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.render import Request, describe
from ansible_collections.hypercode.deploy.plugins.plugin_utils.compose_action import (
    LIST,
    PROJECT_ARGUMENTS,
    ComposeAction,
    failure,
    folder_of,
    kind_of,
    message,
)

ARGUMENTS: dict[str, dict[str, Any]] = {
    **PROJECT_ARGUMENTS,
    "env_files": LIST,
    "fail_on": {"type": "str", "choices": ["error", "warning", "never"], "default": "error"},
}


class ActionModule(ComposeAction):
    """Audits on the controller. Options and results: see the documentation of ``compose_audit``."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Audit; ``failed`` when a finding is as severe as ``fail_on`` says."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        result["changed"] = False
        options, problems = self.read_options(ARGUMENTS)
        if problems:
            return {**result, **failure(problems), "ignored": [], "valid": False}
        files = [self._loader.path_dwim(file) for file in options["files"]]
        directory = folder_of(files, options["project_directory"], self._loader)
        env_files = [self._loader.path_dwim(file) for file in options["env_files"]]
        report = audit_files(_request(options, files, directory), env_files, FileReader(), kind_of)
        return {**result, **outcome(report, directory, options["fail_on"])}


def _request(options: dict[str, Any], files: list[str], directory: str) -> Request:
    return Request(
        project_name="",
        files=files,
        project_directory=directory,
        variables=options["environment_variables"],
        secret_names=options["secret_names"],
        profiles=options["profiles"],
        settings=Settings(policy=options["policy"], classes=options["classes"], default_class=options["default_class"]),
        ignore=options["ignore"],
    )


def outcome(report: Report, directory: str, fail_on: str) -> dict[str, Any]:
    """The action's result for a report."""
    findings = [describe(finding, directory) for finding in report.findings]
    counted = findings if fail_on == "warning" else [f for f in findings if f.severity == "error"]
    warnings = sum(finding.severity != "error" for finding in findings)
    repairable = sum(finding.repairable for finding in findings)
    counts = f"{len(findings) - warnings} errors, {warnings} warnings, {len(report.ignored)} ignored;"
    counts += f" compose_render repairs {repairable} of them with the same policy."
    result: dict[str, Any] = {
        "findings": [finding.as_dict() for finding in findings],
        "ignored": report.ignored,
        "valid": not counted,
        "msg": f"{message(counted, 'compose_audit', 'is not fit for production')} ({counts})" if counted else counts,
    }
    if counted and fail_on != "never":
        result["failed"] = True
    return result
