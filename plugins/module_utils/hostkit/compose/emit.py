# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes YAML that is the same for the same data, reads well, and means the same in YAML 1.1 and 1.2."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .schema import SERVICE

_TOP = ("name", "services", "networks", "volumes", "configs", "secrets", "models")
_SERVICE_ORDER = {key: index for index, key in enumerate(SERVICE)}
_INNER_KEYS = ("test", "interval", "timeout", "retries", "start_period", "start_interval", "type", "source", "target")
_INNER_ORDER = {key: index for index, key in enumerate((*_INNER_KEYS, "driver", "options", "cpus", "memory"))}
# Simple keys may not be longer than 1024 characters; the escaped form is longer than the text.
_MAX_KEY = 100

# Safe without quotes: words that begin with a letter or a slash, single separators between them; durations and sizes.
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+-]*(?:[ :=,][A-Za-z0-9_./@+-]+)*")
_UNIT = re.compile(r"(?:\d+(?:ms|s|m|h))+|\d+(?:\.\d+)?[KMGT]B?")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf"})
_SPECIAL = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def emit(data: Any, header: Iterable[str] = ()) -> str:
    """YAML text of JSON-like data, ending in a newline. ``header`` lines become comments at the top.

    Keys keep their order, except where the data is a Compose project (see ``ordered``). Raises TypeError for what
    JSON cannot hold (other types, keys that are not text, numbers that are not finite).
    """
    lines = [f"# {line}" for line in header]
    _node(data, 0, lines, "")
    return "\n".join(lines) + "\n"


def ordered(project: Mapping[str, Any]) -> dict[str, Any]:
    """A Compose project with its keys in the order people write them; what is unknown comes last, sorted."""
    result: dict[str, Any] = {}
    for key in [*(k for k in _TOP if k in project), *sorted(k for k in project if k not in _TOP)]:
        value = project[key]
        if key == "services":
            value = {name: _ordered_service(value[name]) for name in sorted(value)}
        elif isinstance(value, Mapping):
            value = _sorted(value)
        result[key] = value
    return result


def _ordered_service(service: Mapping[str, Any]) -> dict[str, Any]:
    keys = sorted(service, key=lambda k: (_SERVICE_ORDER.get(k, len(_SERVICE_ORDER)), k))
    return {key: _sorted(service[key]) for key in keys}


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _sorted(value[k]) for k in sorted(value, key=lambda k: (_INNER_ORDER.get(k, 99), k))}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


def _node(value: Any, indent: int, lines: list[str], prefix: str) -> None:
    """Append ``value`` to ``lines``; ``prefix`` stands before its first line (``key:`` or ``-``)."""
    pad = " " * indent
    if isinstance(value, Mapping) and value:
        _open(prefix, lines)
        first = prefix.endswith("-")
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key must be text, not {type(key).__name__}")
            start = f"{lines.pop()} " if first else pad
            first = False
            _entry(key, item, indent, lines, start)
    elif isinstance(value, list | tuple) and value:
        _open(prefix, lines)
        first = prefix.endswith("-")
        for item in value:
            start = f"{lines.pop()} " if first else pad
            first = False
            _node(item, indent + 2, lines, f"{start}-")
    else:
        text = _scalar(value, indent)
        lines.append(f"{prefix} {text}" if prefix else text)


def _entry(key: str, value: Any, indent: int, lines: list[str], start: str) -> None:
    text = _text(key)
    if len(text) <= _MAX_KEY:
        _node(value, indent + 2, lines, f"{start}{text}:")
    else:
        lines.append(f"{start}? {text}")
        _node(value, indent + 2, lines, f"{' ' * indent}:")


def _open(prefix: str, lines: list[str]) -> None:
    if prefix:
        lines.append(prefix)


def _scalar(value: Any, indent: int) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case float():
            return _float(value)
        case str():
            return _block(value, max(indent, 2)) or _text(value)
        case Mapping():
            return "{}"
        case list() | tuple():
            return "[]"
    raise TypeError(f"{type(value).__name__} cannot be written as YAML")


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise TypeError(f"{value} cannot be written as YAML")
    text = repr(float(value))
    # YAML 1.1 sees a number with an exponent only when it also has a dot.
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _text(value: str) -> str:
    plain = _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS
    if len(value) <= 500 and (plain or _UNIT.fullmatch(value)):
        return value
    return '"' + "".join(_escaped(char) for char in value) + '"'


def _escaped(char: str) -> str:
    if char in _SPECIAL:
        return _SPECIAL[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _block(value: str, indent: int) -> str | None:
    """A literal block, when the text has several lines and nothing in it that a block would change."""
    body = value.rstrip("\n")
    tail = len(value) - len(body)
    rows = body.split("\n")
    if "\n" not in value or not body or tail > 1 or value[0] in " \n":
        return None
    if any(not row.isprintable() or row != row.rstrip(" ") for row in rows):
        return None
    pad = " " * indent
    return "\n".join(["|" if tail else "|-", *(f"{pad}{row}" if row else "" for row in rows)])
