# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the actions that read a Compose project have in common: their options, and how they say what is wrong."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.findings import Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils.lenient_action import LenientAction, plain, unevaluated

DICT: dict[str, Any] = {"type": "dict", "default": {}}
LIST: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
# What a project is, and what it is judged by.
PROJECT_ARGUMENTS: dict[str, dict[str, Any]] = {
    "files": {"type": "list", "elements": "str", "required": True},
    "project_directory": {"type": "str"},
    "environment_variables": DICT,
    "secret_names": {**LIST, "no_log": False},
    "profiles": LIST,
    "classes": DICT,
    "policy": DICT,
    "default_class": {"type": "str"},
    "ignore": {"type": "list", "elements": "dict", "default": []},
}


class ComposeAction(LenientAction):
    """Base of the actions that read Compose files on the controller."""

    def read_options(self, arguments: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], list[Finding]]:
        """The options as plain values; where they cannot be used, none, and what is wrong."""
        problems = [
            wrong_option(f"{name} cannot be evaluated: {why}.", name)
            for name, why in unevaluated(self._task.args).items()
        ]
        if problems:
            return {}, problems
        try:
            return plain(self.validate_argument_spec(argument_spec=arguments)[1]), []
        except AnsibleActionFail as error:
            return {}, [wrong_option(str(error), "options")]


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


def wrong_option(message: str, path: str) -> Finding:
    """The finding for an option that cannot be used."""
    return Finding("option", "error", None, message, "correct this option, or a variable that it uses", path)


def failure(problems: list[Finding]) -> dict[str, Any]:
    """The result where the options themselves are wrong."""
    text = " ".join(problem.message for problem in problems)
    return {"failed": True, "msg": text, "findings": [problem.as_dict() for problem in problems]}


def message(errors: list[Finding], module: str = "compose_render", verdict: str = "cannot be released") -> str:
    """Which file, how many problems, and the first one with its fix."""
    file = next((finding.file for finding in errors if finding.file), None)
    start = f"{file or f'The options of {module}'} {verdict}: "
    if len(errors) == 1:
        return f"{start}1 problem. {errors[0].text()}"
    rest = "; ".join(f"{finding.where()}: {finding.message}" for finding in errors[1:10])
    more = f"; and {len(errors) - 10} more, see findings" if len(errors) > 10 else ""
    return f"{start}{len(errors)} problems. First: {errors[0].text()} Then: {rest}{more}"
