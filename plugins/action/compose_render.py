# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Renders a Compose project on the controller; asks the host only for the deployed file that a diff compares with."""

from __future__ import annotations

import base64
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.compose_yaml import FileReader
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.policy import Settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.render import (
    Request,
    Result,
    describe,
    render,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.compose_action import (
    DICT,
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
    "project_name": {"type": "str", "required": True},
    "services": DICT,
    "images": DICT,
    "publish": {"type": "str", "choices": ["none", "loopback", "keep"], "default": "none"},
    "outlets": LIST,
    "bind_root": {"type": "str"},
    "compare_with": {"type": "str"},
}


class ActionModule(ComposeAction):
    """Renders on the controller. Options and results: see the documentation of ``compose_render``."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render; ``failed`` with findings when the project is not fit for a release."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        options, problems = self.read_options(ARGUMENTS)
        if problems:
            # A result, not an exception: a caller that collects findings gets these too.
            return {**result, "changed": False, **failure(problems), "ignored": [], "warnings": [], "variables": {}}
        files = [self._loader.path_dwim(file) for file in options["files"]]
        directory = folder_of(files, options["project_directory"], self._loader)
        rendered = render(_request(options, files, directory), FileReader(), kind_of)
        result.update(report(rendered, directory))
        result["changed"] = False
        compare_with = options["compare_with"]
        if compare_with and self._task.diff and not result.get("failed"):
            result["diff"] = {
                "before_header": compare_with,
                "after_header": "the resolved Compose file",
                "before": self._deployed(compare_with, task_vars or {}),
                "after": rendered.text,
            }
        return result

    def _deployed(self, path: str, task_vars: dict[str, Any]) -> str:
        """The file on the host; empty when there is none yet."""
        answer = self._execute_module("ansible.legacy.slurp", module_args={"src": path}, task_vars=task_vars)
        # Before the first deploy there is no such file: then everything in the diff is new.
        if answer.get("failed") or "content" not in answer:
            return ""
        return base64.b64decode(answer["content"]).decode("utf-8", errors="replace")


def _request(options: dict[str, Any], files: list[str], directory: str) -> Request:
    return Request(
        project_name=options["project_name"],
        files=files,
        project_directory=directory,
        variables=options["environment_variables"],
        secret_names=options["secret_names"],
        profiles=options["profiles"],
        settings=Settings(
            policy=options["policy"],
            classes=options["classes"],
            default_class=options["default_class"],
            services=options["services"],
            images=options["images"],
            publish=options["publish"],
            outlets=options["outlets"],
        ),
        bind_root=options["bind_root"],
        ignore=options["ignore"],
    )


def report(rendered: Result, directory: str) -> dict[str, Any]:
    """The action's result for what was rendered."""
    findings = [describe(finding, directory) for finding in rendered.findings]
    result: dict[str, Any] = {
        "findings": [finding.as_dict() for finding in findings],
        "ignored": rendered.ignored,
        "variables": rendered.variables,
        "warnings": [finding.text() for finding in findings if finding.severity != "error"],
    }
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        return {**result, "failed": True, "msg": message(errors)}
    return {
        **result,
        "compose": rendered.compose,
        "text": rendered.text,
        "services": rendered.services,
        "order": rendered.order,
        "repairs": rendered.repairs,
        "binds": rendered.binds,
    }
