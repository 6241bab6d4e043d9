# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges secrets on the controller. Documented in plugins/modules/secrets_validate.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.files import Read, read_file
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.finding import (
    ERROR,
    SecretFinding,
    in_order,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.judge import Request, judge
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.policy import read_policy
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.values import Unreadable
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.vaults import environment_of, read_other

ARGUMENTS: dict[str, dict[str, Any]] = {
    "secrets": {"type": "dict", "required": True, "no_log": True},
    "policy": {"type": "dict", "default": {}},
    "environment": {"type": "raw"},
    "related": {"type": "dict", "default": {}, "no_log": True},
    "set_on": {"type": "dict", "default": {}},
    "files": {"type": "list", "elements": "str", "default": []},
    "other_files": {"type": "list", "elements": "str", "default": []},
    "other_files_required": {"type": "bool", "default": True},
    "words": {"type": "list", "elements": "str", "default": []},
    "fail_on": {"type": "str", "choices": ["error", "warning"], "default": "error"},
}
# What the judge takes as it comes: whatever is wrong with it is a finding, not a failure of the task.
_RAW = ("secrets", "policy", "environment", "related", "set_on")
_EXPRESSION = re.compile(r"^\s*\{\{(?P<inside>(?:(?!\}\}).)*)\}\}\s*$", re.DOTALL)
_FILTERED = re.compile(r"\s*[A-Za-z_][\w.]*(?=\s*\|)")
_UNDEFINED = re.compile(r"'(?P<name>[A-Za-z_]\w*)' is undefined")
_SHOWN_NAMES = 10


class ActionModule(ActionBase):  # type: ignore[misc]
    """Judges secrets. Nothing leaves the controller, and no value leaves this task."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    @classmethod
    def finalize_task_arg(cls, name: str, value: Any, templar: Any, context: Any) -> Any:
        """Evaluate an option; a value that cannot be had must not hide what the others are."""
        try:
            return super().finalize_task_arg(name, value, templar, context)
        except (AnsibleError, RecursionError) as error:
            if name not in _RAW:
                raise
            problem = _unreadable(error)
        # Out here, or each error would be taken for a result of the first one.
        return _one_by_one(value, templar) or problem

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """All findings at once; ``failed`` when they are as severe as ``fail_on``."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        result.pop("invocation", None)
        result["changed"] = False
        options, findings = _options(dict(self._task.args))
        raw = options["secrets"]
        if isinstance(raw, Unreadable):
            findings.append(SecretFinding("", "secrets-invalid", ERROR, f"secrets {raw.problem}", raw.hint))
            options["secrets"] = {}
        for name in ("policy", "related", "set_on"):
            if isinstance(options[name], Unreadable):
                rule = "policy-invalid" if name == "policy" else "input-invalid"
                findings.append(SecretFinding("", rule, ERROR, f"{name} {options[name].problem}", options[name].hint))
                options[name] = {}
        findings = in_order([*findings, *self._judge(options)])
        secrets = options["secrets"]
        checked = sorted(str.__str__(name) for name in secrets if isinstance(name, str)) if _is_mapping(secrets) else []
        return {**result, **report(findings, checked, options["fail_on"])}

    def _judge(self, options: dict[str, Any]) -> list[SecretFinding]:
        policy, _problems = read_policy(options["policy"])
        read = Read()
        for file in options["files"]:
            one = read_file(self._loader.path_dwim(file), policy)
            read.facts += one.facts
            read.values += one.values
            read.findings += one.findings
        others: dict[str, dict[str, str]] = {}
        for file in options["other_files"]:
            path = self._loader.path_dwim(file)
            texts, problems = read_other(path, self._loader)
            others.setdefault(environment_of(path), {}).update(texts)
            read.findings += problems if options["other_files_required"] else []
        found = judge(
            Request(
                secrets=options["secrets"],
                policy=options["policy"],
                environment=options["environment"],
                related=options["related"],
                set_on=options["set_on"],
                others=others,
                files=read.facts,
                file_values=read.values,
                words=[str.__str__(word) for word in options["words"]],
            )
        )
        return [*read.findings, *found]


def report(findings: list[SecretFinding], checked: list[str], fail_on: str) -> dict[str, Any]:
    """The result of the task: names, rules and words; no value."""
    errors = [finding for finding in findings if finding.severity == ERROR]
    stopping = findings if fail_on == "warning" else errors
    result: dict[str, Any] = {
        "valid": not stopping,
        "checked": checked,
        "findings": [finding.as_dict() for finding in findings],
    }
    if stopping:
        names = list(dict.fromkeys(finding.secret for finding in stopping if finding.secret))
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        about = f": {', '.join(names[:_SHOWN_NAMES])}{more}" if names else ""
        counts = f"{_counted(len(errors), 'error')}, {_counted(len(findings) - len(errors), 'warning')}"
        result.update(failed=True, msg=f"The secrets are not fit for use ({counts}){about}. See findings.")
    return result


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _options(args: dict[str, Any]) -> tuple[dict[str, Any], list[SecretFinding]]:
    """The options with their defaults. What holds secrets never gets into a validator, whose errors quote values."""
    known = ", ".join(ARGUMENTS)
    plain = {name: value for name, value in args.items() if name in ARGUMENTS and name not in _RAW}
    spec = {name: option for name, option in ARGUMENTS.items() if name not in _RAW}
    findings = [
        _wrong_option(f"There is no option {name}.", f"Correct the options of the task. There are: {known}.")
        for name in args
        if name not in ARGUMENTS
    ]
    validated = ArgumentSpecValidator(spec).validate(plain)
    options: dict[str, Any] = {name: args.get(name, ARGUMENTS[name].get("default")) for name in _RAW}
    options |= {name: option.get("default") for name, option in spec.items()}
    if validated.error_messages:
        for problem in validated.error_messages:
            findings.append(_wrong_option(problem.rstrip(".") + ".", "Correct this option of the task."))
    else:
        options |= {name: validated.validated_parameters[name] for name in spec}
    if "secrets" not in args:
        findings.append(_wrong_option("The option secrets is missing.", "Give it the secrets: name to value."))
    return options, findings


def _wrong_option(problem: str, hint: str) -> SecretFinding:
    return SecretFinding("", "input-invalid", ERROR, problem, hint)


def _one_by_one(value: Any, templar: Any) -> dict[Any, Any] | None:
    """The entries of a mapping, each evaluated by itself; None when that does not say which ones are wrong."""
    if isinstance(value, Mapping):
        return {key: _evaluated(item, templar) for key, item in value.items()}
    match = _EXPRESSION.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    # A filter fails as a whole: then what it was given is looked at.
    given = _FILTERED.match(match["inside"])
    for inside in dict.fromkeys((match["inside"], given[0] if given else match["inside"])):
        names = _evaluated(trust_as_template("{{ (" + inside + ") | list }}"), templar)
        if not isinstance(names, list):
            continue
        entries = {
            name: _evaluated(trust_as_template("{{ (" + inside + ")[" + repr(str.__str__(name)) + "] }}"), templar)
            for name in names
            if isinstance(name, str)
        }
        if any(isinstance(entry, Unreadable) for entry in entries.values()):
            return entries
    return None


def _evaluated(value: Any, templar: Any) -> Any:
    try:
        return templar.template(value)
    except (AnsibleError, RecursionError) as error:
        return _unreadable(error)


def _unreadable(error: BaseException) -> Unreadable:
    """Why a value cannot be had, in our own words: Ansible's may quote the value."""
    text, kinds = "", ""
    cause: BaseException | None = error
    for _depth in range(20):
        if cause is None:
            break
        text += f" {cause}"
        kinds += f" {type(cause).__name__}"
        cause = cause.__cause__ or cause.__context__
    if "Vault" in kinds or "decrypt" in text.lower():
        hint = "Give the vault password that it was encrypted with (--vault-id), or encrypt it anew."
        return Unreadable("cannot be decrypted with the vault passwords at hand.", hint)
    undefined = _UNDEFINED.search(text)
    if undefined:
        name = undefined["name"]
        return Unreadable(f"uses {name}, which is not set.", f"Set {name} in the inventory.")
    hint = "Correct its expression in the inventory. The reason is not shown, because it may hold a secret."
    return Unreadable("cannot be evaluated.", hint)
