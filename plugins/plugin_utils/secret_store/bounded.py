# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Reads YAML that holds secrets: bounded in time and memory, and no message ever shows a line of it.

The loader for Compose files shows the line that is wrong, which must not happen here, and knows no tags of Ansible.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import yaml
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import Problem

MAX_BYTES = 2 * 1024 * 1024
MAX_NODES = 50_000
MAX_DEPTH = 40
_ALIAS_FIX = "write the values out; a file of secrets needs no aliases."


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The fast loader; a tag of Ansible's (!vault, !unsafe) leaves the text as it is."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, node: getattr(node, "value", ""))


class ProblemError(Exception):
    """Carries what is wrong with the text."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclasses.dataclass
class Loaded:
    """What a file says. With problems the data is empty."""

    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)


def load(data: bytes, file: str) -> Loaded:
    """The mapping in a YAML file; an empty file is an empty mapping. Never raises: what is wrong is in the problems."""
    try:
        problems, content = _load(_text(data, file), file)
    except ProblemError as error:
        return Loaded(problems=[error.problem])
    return Loaded(problems=problems) if problems else Loaded(content)


def _text(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        fix = "a file of secrets is small: look at what is in it, and take out what is no secret."
        raise ProblemError(Problem("file-too-big", f"{file} holds more than {MAX_BYTES >> 20} MB of text.", fix))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{file}, line {line}: this is no UTF-8 text."
        raise ProblemError(
            Problem("yaml-encoding", message, "save the file as UTF-8; write binary values in Base64.")
        ) from None


def _load(text: str, file: str) -> tuple[list[Problem], dict[str, Any]]:
    try:
        node = compose(text, file)
        if node is None or (isinstance(node, yaml.ScalarNode) and node.value == ""):
            return [], {}
        if not isinstance(node, yaml.MappingNode):
            message = f"{file} must hold variables (name: value); it holds something else."
            return [Problem("yaml-syntax", message, "begin with the line stack_secrets:")], {}
        _measure(node, file)
        problems = list(_duplicates(node, file, ""))
        return problems, {} if problems else _build(text, file)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark else file
        message = f"{where}: this is no valid YAML."
        fix = "correct that line or the one above it: quote values, indent with spaces, close quotes and brackets."
        return [Problem("yaml-syntax", message, fix)], {}


def compose(text: str, file: str) -> Any:
    """The node at the root, None for nothing. Raises ProblemError for too much of it, and yaml.YAMLError."""
    # The composer calls itself for each level: unbounded depth would end the process.
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or count > 2 * MAX_NODES:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise ProblemError(_too_much(f"{file}, line {line}"))
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _too_much(where: str) -> Problem:
    message = f"{where}: more than {MAX_DEPTH} levels or {MAX_NODES} values."
    return Problem("yaml-too-big", message, "a file of secrets is small and flat: look at what is in it.")


def _children(node: Any) -> Iterator[Any]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _measure(root: Any, file: str) -> None:
    """Refuse aliases that go in circles or that grow: each node is looked at once, however often it is used."""
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        known = sizes.get(id(node))
        if known == 0:
            line = node.start_mark.line + 1
            raise ProblemError(Problem("yaml-alias", f"{file}, line {line}: an alias that holds itself.", _ALIAS_FIX))
        if known is None:
            sizes[id(node)] = 0
            known = sizes[id(node)] = 1 + sum(size(child) for child in _children(node))
        return known

    if size(root) > MAX_NODES:
        message = f"{file}: its aliases make more than {MAX_NODES} values."
        raise ProblemError(Problem("yaml-alias", message, _ALIAS_FIX))


def _duplicates(node: Any, file: str, path: str) -> Iterator[Problem]:
    lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            message = f"{file}, line {line}: a name must be one word, not a list or a mapping."
            yield Problem("yaml-syntax", message, "write name: value; put values with braces in quotes.")
            continue
        name = str(key.value)
        if name in lines and name != "<<":
            message = f"{file}, line {line}: the name stands here a second time (first in line {lines[name]})."
            fix = "keep one of the two: only one of them would count."
            yield Problem("yaml-duplicate-key", message, fix, name if path == "stack_secrets" else "")
        lines.setdefault(name, line)
        if isinstance(value, yaml.MappingNode):
            yield from _duplicates(value, file, name)


def _build(text: str, file: str) -> dict[str, Any]:
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506  A subclass of the safe loader.
    except yaml.YAMLError:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError, AttributeError):
        # Python's own words would show the value.
        message = f"{file}: a date, a number or a tag in it cannot be read."
        raise ProblemError(Problem("yaml-value", message, "put every value in quotes.")) from None
    return {str(name): value for name, value in data.items()}
