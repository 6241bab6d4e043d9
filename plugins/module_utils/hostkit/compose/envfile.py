# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Env files: writes one that ``docker compose --env-file`` reads back exactly, and reads what ``env_file:`` names.

Rules of Compose's reader: nothing is replaced inside single quotes; double quotes and unquoted values know ``$VAR``;
escapes (``\\n \\t \\" \\$`` and so on) count in double quotes only; `` #`` begins a comment behind an unquoted value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .interpolate import Interpolator
from .template import escape

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-\[\]]*")
_ESCAPE = re.compile(r'\\(0[0-7]{1,3}|[abfnrtv"\\$])')
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}
_BLANK = " \t\v\f"


class EnvFileError(ValueError):
    """A line that is no assignment. ``line`` counts from 1; the message never holds a value."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


@dataclass(frozen=True)
class Entry:
    """One assignment: ``text`` is template text (a literal ``$`` is ``$$``), None for a name without ``=``."""

    name: str
    text: str | None
    line: int


def write_env(values: Mapping[str, str]) -> str:
    """The text of an env file with these values, sorted by name. Raises ValueError; its message holds no value."""
    lines = []
    for name in sorted(values):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for an environment variable (letters, digits and _)")
        if "\0" in values[name]:
            raise ValueError(f"the value of {name} holds a NUL character, which no environment can carry")
        lines.append(f"{name}={_quoted(values[name])}\n")
    return "".join(lines)


def _quoted(value: str) -> str:
    # A backslash before the closing quote would escape it, and a raw CR may be taken for a part of the line's end.
    if "'" not in value and "\r" not in value and not value.endswith("\\"):
        return f"'{value}'"
    for char, code in (("\\", "\\\\"), ('"', '\\"'), ("$", "\\$"), ("\n", "\\n"), ("\r", "\\r")):
        value = value.replace(char, code)
    return f'"{value}"'


def parse_env(text: str) -> list[Entry]:
    """The assignments of an env file, in order. Raises EnvFileError."""
    entries: list[Entry] = []
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    position = 0
    while True:
        position = _skip(text, position)
        if position >= len(text):
            return entries
        line = text.count("\n", 0, position) + 1
        name, position, assigned = _name(text, position, line)
        value: str | None = None
        if assigned:
            value, position = _value(text, position, line)
        entries.append(Entry(name, value, line))


def parse_raw(text: str) -> list[Entry]:
    """The assignments of an env file with ``format: raw``: everything behind ``=`` as it stands."""
    entries = []
    for line, row in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        name, equals, value = row.partition("=")
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        if not _LINE_NAME.fullmatch(name.strip()):
            raise EnvFileError(line, "the name before = is no name for a variable")
        entries.append(Entry(name.strip(), escape(value) if equals else None, line))
    return entries


def resolve_env(
    entries: Iterable[Entry], interpolator: Interpolator, path: str, service: str | None = None
) -> dict[str, str]:
    """The assignments as template text, secrets left as references; what is found goes to the interpolator.

    A name that is a secret becomes its reference, whatever the file says; a name without ``=`` that is set nowhere is
    left out. A later line sees the earlier ones.
    """
    values: dict[str, str] = {}
    for entry in entries:
        where = f"{path}.{entry.name}"
        if entry.text is None or interpolator.is_secret(entry.name):
            passed = interpolator.reference(entry.name, where, service, required=False)
            if passed is not None:
                values[entry.name] = passed
        else:
            values[entry.name] = interpolator.text(entry.text, where, service, values)
    return values


def load_env(text: str, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The values that Compose sees in an env file, given ``variables`` from outside. Raises EnvFileError."""
    values = resolve_env(parse_env(text), Interpolator(variables or {}), "env_file")
    return {name: value.replace("$$", "$") for name, value in values.items()}


def _skip(text: str, position: int) -> int:
    """Behind blank lines and comments."""
    while position < len(text):
        if text[position].isspace():
            position += 1
        elif text[position] == "#":
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
        else:
            break
    return position


def _name(text: str, position: int, line: int) -> tuple[str, int, bool]:
    export = re.compile(r"export[ \t]+").match(text, position)
    if export:
        position = export.end()
    match = _LINE_NAME.match(text, position)
    if match is None:
        raise EnvFileError(line, "the line begins with no name; write NAME=value, or # for a comment")
    end = match.end()
    while end < len(text) and text[end] in _BLANK:
        end += 1
    if end == len(text) or text[end] == "\n":
        return match.group(), end, False
    if text[end] not in "=:":
        raise EnvFileError(line, f"after the name {match.group()} stands no =; write {match.group()}=value")
    end += 1
    while end < len(text) and text[end] in _BLANK:
        end += 1
    return match.group(), end, True


def _value(text: str, position: int, line: int) -> tuple[str, int]:
    quote = text[position] if position < len(text) else ""
    if quote not in ("'", '"') or not quote:
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        value = text[position:end]
        comment = 0 if value.startswith("#") and text[position - 1] in _BLANK else value.find(" #")
        return (value if comment < 0 else value[:comment]).rstrip(), end
    chars: list[str] = []
    index = position + 1
    while index < len(text) and text[index] != quote:
        if text[index] == "\\" and index + 1 < len(text):
            follows = text[index + 1]
            # Only the quote itself loses its backslash here; other escapes are for double quotes, below.
            chars.append(follows if follows == quote == "'" else "\\" + follows)
            index += 2
        else:
            chars.append(text[index])
            index += 1
    if index >= len(text):
        raise EnvFileError(line, f"the quote {quote} that opens here is never closed")
    end = text.find("\n", index)
    end = len(text) if end < 0 else end
    rest = text[index + 1 : end].strip()
    if rest and not rest.startswith("#"):
        raise EnvFileError(line, "there is text behind the closing quote; put all of the value inside the quotes")
    value = "".join(chars)
    return (escape(value) if quote == "'" else _ESCAPE.sub(_unescape, value)), end


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code == "$":
        return "$$"
    return chr(int(code, 8) & 0xFF) if code.startswith("0") else _ESCAPED[code]
