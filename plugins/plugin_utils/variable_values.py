# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Are the values of a host's variables right? The argument specs of the roles against the evaluated values.

A value is shown in a message only when it is a single literal of the inventory and nothing about it looks secret.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.errors import (
    AnsibleValidationError,
    ArgumentTypeError,
    ArgumentValueError,
)
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import ERROR, Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import SECRET_NAME, RoleSpec
from ansible_collections.hypercode.deploy.plugins.plugin_utils.variable_names import Where, closest

_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping of names to values",
    "path": "a path",
}
# These exist only once a host has been looked at: what needs them cannot be judged from the inventory.
_RUNTIME = ("ansible_facts", "ansible_local", "hostvars", "preflight_check")
# Ansible's messages about something inside a value, up to the value, and our words for them. The first match counts:
# a later one might lie in the value.
_INNER = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (
            r"argument '(?P<option>[^']*)' is of type \S+ found in '(?P<inside>[^']*)'.*? convert to (?P<wanted>\w+)",
            "{option} in {inside} must be {kind}.",
        ),
        (
            r"Elements value for option '(?P<option>[^']*)'(?: found in '(?P<inside>[^']*)')? is of type .*?"
            r" convert to (?P<wanted>\w+)",
            "Every item of {option} must be {kind}.",
        ),
        (
            r"value of (?P<option>\S+) must be one (?:or more )?of: (?P<choices>.*?)(?:, got: |\. Got no match)",
            "{option} in {inside} must be one of: {choices}.",
        ),
        (
            r"missing required arguments: (?P<option>.*?)(?: found in (?P<inside>.*))?$",
            "An entry of {inside} lacks {option}.",
        ),
        (
            r"(?P<option>.*?)\. Supported parameters include: (?P<choices>.*?)\.$",
            "There is no {option}. It may have: {choices}.",
        ),
    )
)
_UNDEFINED = re.compile(r"^'([A-Za-z_]\w*)' is undefined")
_SHOWN_LENGTH = 60


def kind(wanted: str) -> str:
    """The words for a type of Ansible."""
    return _KINDS.get(wanted, f"of type {wanted}")


class TemplateProblem(Exception):
    """A template cannot be evaluated; the text says why and may hold values."""


# Evaluates a raw value in the eyes of a role; raises TemplateProblem.
Evaluate = Callable[[RoleSpec, Any], Any]


def is_template(value: Any) -> bool:
    """Whether there is a template anywhere in a raw value."""
    if isinstance(value, Mapping):
        return any(is_template(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(is_template(item) for item in value)
    return isinstance(value, str) and ("{{" in value or "{%" in value)


@functools.lru_cache(maxsize=2048)
def _names_in(text: str) -> frozenset[str]:
    """The names that a template reads."""
    environment = jinja2.Environment(  # noqa: S701 - it only parses.
        extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"]
    )
    try:
        names = environment.parse(text).find_all(jinja2.nodes.Name)
    except jinja2.TemplateSyntaxError:
        return frozenset()
    return frozenset(name.name for name in names)


def _texts(value: Any) -> list[str]:
    """Every string in a raw value, the names of mappings included."""
    if isinstance(value, Mapping):
        return [text for pair in value.items() for item in pair for text in _texts(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return [str(value)] if isinstance(value, str) else []


def needs_runtime(raw: Any, variables: Mapping[str, Any]) -> bool:
    """Whether a value depends, directly or through other variables, on what only the running host can tell."""
    seen: set[str] = set()
    waiting = [raw]
    while waiting:
        for text in _texts(waiting.pop()):
            for name in _names_in(text) - seen if is_template(text) else ():
                if name in _RUNTIME or (name.startswith("__") and name not in variables):
                    return True
                seen.add(name)
                if name in variables:
                    waiting.append(variables[name])
    return False


def _has_no_log(spec: Mapping[str, Any]) -> bool:
    options = spec.get("options") or {}
    return bool(spec.get("no_log")) or any(SECRET_NAME.search(key) or _has_no_log(options[key]) for key in options)


def is_secret(name: str, spec: Mapping[str, Any]) -> bool:
    """Whether the specification or the name of a variable says that it is secret, or may hold secrets."""
    return bool(SECRET_NAME.search(name)) or _has_no_log(spec)


def may_show(name: str, spec: Mapping[str, Any], raw: Any, encrypted: bool) -> bool:
    """Whether a value may appear in a message: a plain literal, neither encrypted nor in any way like a secret."""
    if encrypted or is_template(raw) or is_secret(name, spec):
        return False
    return not any(SECRET_NAME.search(text) for text in _texts(raw))


def _top_problem(name: str, spec: Mapping[str, Any], value: Any, error: AnsibleValidationError, show: bool) -> str:
    """What is wrong with the value itself, in plain words; "" when it is something inside the value."""
    literal = isinstance(value, (str, int, float)) and len(str(value)) <= _SHOWN_LENGTH
    shown = f" It is {str(value)!r}." if show and literal else ""
    if isinstance(error, ArgumentValueError) and "found in" not in str(error):
        choices = [str(choice) for choice in spec.get("choices") or ()]
        near = difflib.get_close_matches(str(value), choices, n=1) if show else []
        guess = f" Did you mean {near[0]}?" if near else ""
        return f"{name} must be one of: {', '.join(choices)}.{shown}{guess}"
    if isinstance(error, ArgumentTypeError) and "found in" not in str(error):
        return f"{name} must be {kind(spec.get('type') or 'str')}.{shown}"
    return ""


def _inner_problem(name: str, error: AnsibleValidationError) -> str:
    """What is wrong inside a list or mapping, "" when Ansible's message is not one of those we know.

    The value is left out: what it belongs to may be secret.
    """
    text = str(error)
    for pattern, words in _INNER:
        match = pattern.match(text)
        if match:
            parts = {key: part for key, part in match.groupdict().items() if part}
            return words.format(**{"inside": name, **parts}, kind=kind(parts.get("wanted", "str")))
    return ""


def value_problems(name: str, spec: Mapping[str, Any], value: Any, show: bool) -> list[str]:
    """What is wrong with one evaluated value, as sentences."""
    if spec.get("type", "str") == "str" and isinstance(value, (dict, list)):
        # Ansible would turn it into text without a word.
        return [f"{name} must be text, not {kind('dict' if isinstance(value, dict) else 'list')}."]
    problems: dict[str, None] = {}
    try:
        found = ArgumentSpecValidator({name: dict(spec)}).validate({name: value}).errors.errors
    except OverflowError:  # Ansible does not expect an infinite number where it wants a whole one.
        if spec.get("type") != "int":
            return [f"A number in {name} is infinite. It must be {kind('int')}."]
        found = [ArgumentTypeError("infinite")]
    for error in found:
        top = _top_problem(name, spec, value, error, show)
        if top:
            # What follows is said about a value that is wrong as a whole.
            return [top]
        problems[_inner_problem(name, error)] = None
    known = [problem for problem in problems if problem]
    return known or [f"Something in {name} does not fit its description." for _problem in problems]


def _at(place: str) -> str:
    return f" ({place})" if place else ""


def _template_finding(
    name: str, problem: str, *, secret: bool, variables: Mapping[str, Any], host: str, place: str
) -> Finding:
    """A value that cannot be evaluated. The reason of an undefined name is safe to show; others may hold values."""
    undefined = _UNDEFINED.match(problem)
    if undefined:
        missing = undefined.group(1)
        near = closest(missing, (known for known in variables if not known.startswith(("ansible_", "_"))))
        guess = f" Did you mean {near}?" if near else ""
        return Finding(
            "variable-undefined",
            ERROR,
            name,
            f"{name} uses {missing}, which is not set for {host}{_at(place)}.{guess}",
            f"Set {missing} in the inventory, or give {name} another value.",
        )
    reason = "the reason is not shown, because it may hold a secret" if secret else problem.rstrip(".")
    return Finding(
        "template-error",
        ERROR,
        name,
        f"{name} cannot be evaluated for {host}{_at(place)}: {reason}.",
        f"Correct the expression of {name}.",
    )


class HostValues:
    """The values of one host, judged role by role.

    ``variables`` are the raw variables of the host, the defaults of all roles below them. ``evaluate`` evaluates a raw
    value, ``where`` says where a variable is set, ``encrypted`` whether its raw value comes from a vault.
    """

    def __init__(
        self,
        *,
        host: str,
        own: Mapping[str, Any],
        variables: Mapping[str, Any],
        evaluate: Evaluate,
        where: Where,
        encrypted: Callable[[Any], bool],
    ) -> None:
        self._host = host
        self._own = own
        self._variables = variables
        self._evaluate = evaluate
        self._where = where
        self._encrypted = encrypted

    def is_enabled(self, role: RoleSpec) -> bool:
        """Whether ``<role>_enabled`` is true; true also when that cannot be said, so that it is reported."""
        name = f"{role.name}_enabled"
        raw = self._own.get(name, role.defaults.get(name, role.options.get(name, {}).get("default", True)))
        try:
            return bool(boolean(self._evaluate(role, raw), strict=True))
        except (TemplateProblem, TypeError):
            return True

    def judge(self, role: RoleSpec) -> list[Finding]:
        """Every variable of an enabled role that is missing, cannot be evaluated, or has a wrong value."""
        if not self.is_enabled(role):
            return []
        return [finding for name, spec in role.options.items() for finding in self._judge_option(role, name, spec)]

    def _judge_option(self, role: RoleSpec, name: str, spec: Mapping[str, Any]) -> list[Finding]:
        if name in self._own:
            raw = self._own[name]
        elif name in role.defaults:
            raw = role.defaults[name]
            # Tests hold literal defaults against the specification; only the inventory can spoil the others.
            if not is_template(raw):
                return []
        else:
            return [self._missing(name, spec)] if spec.get("required") else []
        place = self._where(name) if name in self._own else f"roles/{role.name}/defaults/main.yml"
        try:
            value = self._evaluate(role, raw)
        except TemplateProblem as problem:
            if needs_runtime(raw, self._variables):
                return []
            return [
                _template_finding(
                    name,
                    str(problem),
                    secret=is_secret(name, spec),
                    variables=self._variables,
                    host=self._host,
                    place=place,
                )
            ]
        problems = value_problems(name, spec, value, may_show(name, spec, raw, self._encrypted(raw)))
        if not problems or needs_runtime(raw, self._variables):
            return []
        return [
            Finding(
                "variable-invalid",
                ERROR,
                name,
                f"{text} Set for {self._host}{f' in {place}' if place else ''}.",
                f"Correct {name} in the inventory." if name in self._own else f"Set {name} in the inventory.",
            )
            for text in problems
        ]

    def _missing(self, name: str, spec: Mapping[str, Any]) -> Finding:
        description = spec.get("description") or ""
        text = " ".join(description) if isinstance(description, list) else str(description)
        return Finding(
            "variable-missing",
            ERROR,
            name,
            f"{name} is not set for {self._host}, but it is required.{f' {text.strip()}' if text else ''}",
            f"Set {name} in the inventory (group_vars or host_vars).",
        )
