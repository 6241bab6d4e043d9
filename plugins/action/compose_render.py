# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Renders a Compose project on the controller; asks the host only for the deployed file that a diff compares with."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.hypercode.deploy.plugins.module_utils.compose_yaml import FileReader
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.findings import Finding
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.policy import Settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.render import (
    Request,
    Result,
    describe,
    render,
)

# In place of the value of an option that could not be evaluated: why.
UNEVALUATED = "__hypercode_unevaluated"
_DICT = {"type": "dict", "default": {}}
_LIST = {"type": "list", "elements": "str", "default": []}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "project_name": {"type": "str", "required": True},
    "files": {"type": "list", "elements": "str", "required": True},
    "project_directory": {"type": "str"},
    "environment_variables": _DICT,
    "secret_names": {**_LIST, "no_log": False},
    "profiles": _LIST,
    "classes": _DICT,
    "policy": _DICT,
    "default_class": {"type": "str"},
    "services": _DICT,
    "images": _DICT,
    "publish": {"type": "str", "choices": ["none", "loopback", "keep"], "default": "none"},
    "bind_root": {"type": "str"},
    "compare_with": {"type": "str"},
    "ignore": {"type": "list", "elements": "dict", "default": []},
}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Renders on the controller. Options and results: see the documentation of ``compose_render``."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    @classmethod
    def finalize_task_arg(cls, name: str, value: Any, templar: Any, context: Any) -> Any:
        """Evaluate an option; what cannot be evaluated becomes a finding of the run."""
        try:
            return super().finalize_task_arg(name, value, templar, context)
        except AnsibleError as error:
            return {UNEVALUATED: " ".join(str(error).split()).rstrip(".")}

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render; ``failed`` with findings when the project is not fit for a release."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        problems = unevaluated(self._task.args)
        try:
            options = {} if problems else plain(self.validate_argument_spec(argument_spec=ARGUMENTS)[1])
        except AnsibleActionFail as error:
            problems = [wrong_option(str(error), "options")]
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


def folder_of(files: list[str], directory: str | None, loader: Any) -> str:
    """The project's folder: as given, else that of the first file."""
    if directory:
        return str(loader.path_dwim(directory))
    return str(PurePath(files[0]).parent) if files else "/"


def kind_of(path: str) -> str | None:
    """What stands at a path of the controller; None where it may not be looked at."""
    place = Path(path)
    try:
        if place.is_dir():
            return "folder"
        if place.is_file():
            return "file"
        return "other" if place.exists() else "missing"
    except (OSError, ValueError):
        return None


def unevaluated(args: Mapping[str, Any]) -> list[Finding]:
    """A finding for each option whose expression failed."""
    return [
        wrong_option(f"{name} cannot be evaluated: {value[UNEVALUATED]}.", name)
        for name, value in args.items()
        if isinstance(value, Mapping) and UNEVALUATED in value
    ]


def wrong_option(message: str, path: str) -> Finding:
    """The finding for an option that cannot be used."""
    return Finding("option", "error", None, message, "correct this option, or a variable that it uses", path)


def failure(problems: list[Finding]) -> dict[str, Any]:
    """The result where the options themselves are wrong."""
    text = " ".join(problem.message for problem in problems)
    return {"failed": True, "msg": text, "findings": [problem.as_dict() for problem in problems]}


def plain(value: Any) -> Any:
    """Ansible's tagged values as exact built-in types."""
    if isinstance(value, dict):
        return {str.__str__(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    return value if value is None else str.__str__(str(value))


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


def message(errors: list[Finding], module: str = "compose_render", verdict: str = "cannot be released") -> str:
    """Which file, how many problems, and the first one with its fix."""
    file = next((finding.file for finding in errors if finding.file), None)
    start = f"{file or f'The options of {module}'} {verdict}: "
    if len(errors) == 1:
        return f"{start}1 problem. {errors[0].text()}"
    rest = "; ".join(f"{finding.where()}: {finding.message}" for finding in errors[1:10])
    more = f"; and {len(errors) - 10} more, see findings" if len(errors) > 10 else ""
    return f"{start}{len(errors)} problems. First: {errors[0].text()} Then: {rest}{more}"
