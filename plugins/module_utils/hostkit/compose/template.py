# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The grammar of ``$VAR`` and ``${VAR:-default}`` in Compose values.

Grammar: the Compose specification, chapter Interpolation. A plain ``}`` ends the innermost ``${``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
MAX_DEPTH = 20


class TemplateError(ValueError):
    """The text is no valid template. ``args[0]`` says what is wrong, in plain words."""


@dataclass(frozen=True)
class Variable:
    """A reference; ``operator`` is empty, or one of ``:- - :? ? :+ +`` with ``word`` behind it."""

    name: str
    operator: str = ""
    word: tuple[Node, ...] = ()


Node: TypeAlias = str | Variable


def parse(text: str) -> tuple[Node, ...]:
    """Literal texts and references, in order; ``$$`` has become ``$``. Raises TemplateError."""
    nodes, end = _parse(text, 0, 0)
    if end != len(text):  # Only a closing brace at depth 0 ends early, and there it is plain text.
        raise TemplateError(f"unexpected text at position {end}")
    return nodes


def _parse(text: str, start: int, depth: int) -> tuple[tuple[Node, ...], int]:
    if depth > MAX_DEPTH:
        raise TemplateError(f"more than {MAX_DEPTH} references inside each other")
    nodes: list[Node] = []
    literal: list[str] = []
    position = start
    while position < len(text):
        char = text[position]
        if char == "}" and depth:
            break
        if char != "$":
            literal.append(char)
            position += 1
        elif text.startswith("$$", position):
            literal.append("$")
            position += 2
        else:
            variable, position = _reference(text, position, depth)
            if literal:
                nodes.append("".join(literal))
                literal = []
            nodes.append(variable)
    if literal:
        nodes.append("".join(literal))
    return tuple(nodes), position


def _reference(text: str, start: int, depth: int) -> tuple[Variable, int]:
    braced = text.startswith("{", start + 1)
    match = _NAME.match(text, start + 1 + braced)
    if match is None:
        raise TemplateError("a $ is followed by no variable name; a literal dollar sign is written $$")
    name, position = match.group(), match.end()
    if not braced:
        return Variable(name), position
    if text.startswith("}", position):
        return Variable(name), position + 1
    operator = next((o for o in _OPERATORS if text.startswith(o, position)), None)
    if operator is None:
        if position == len(text):
            raise TemplateError(f"${{{name} is never closed; add the missing brace")
        raise TemplateError(
            f"unexpected {text[position]!r} after ${{{name}; only :- - :? ? :+ + or a closing brace fit"
        )
    word, position = _parse(text, position + len(operator), depth + 1)
    if not text.startswith("}", position):
        raise TemplateError(f"${{{name}{operator} is never closed; add the missing brace")
    return Variable(name, operator, word), position + 1


def escape(literal: str) -> str:
    """A literal as template text."""
    return literal.replace("$", "$$")
