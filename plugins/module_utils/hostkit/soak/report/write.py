# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes a report in all its forms, each file whole."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...files import write_file
from . import html, junit, markdown

_MODE = 0o640
_DEPTH = 12


def write(folder: Path, report: Mapping[str, Any]) -> list[Path]:
    """Write report.json, report.md, junit.xml and report.html into a folder that is there; return their paths.

    FileError when one cannot be written. report.json is the last: who sees a new one finds the others new, too.
    """
    forms = {
        "report.md": markdown.render(report),
        "junit.xml": junit.render(report),
        "report.html": html.render(report),
        "report.json": _json(report),
    }
    for name, text in forms.items():
        write_file(folder / name, text.encode("utf-8", "replace"), mode=_MODE)
    return [folder / name for name in ("report.json", "report.md", "junit.xml", "report.html")]


def _json(report: Mapping[str, Any]) -> str:
    """The report as JSON with a line for each entry: a curve on one line is a third of the size, and reads as well."""
    lines = []
    for name, value in report.items():
        strict = _strict(value)
        text = _compact(strict)
        if isinstance(strict, list) and strict:
            text = "[\n  " + ",\n  ".join(_compact(entry) for entry in strict) + "\n ]"
        lines.append(f" {_compact(_strict(str(name)))}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _strict(value: object, depth: int = 0) -> object:
    """A value as every reader of JSON takes it: no NaN, no number beyond a double, names that are texts."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int):
        return value if abs(value) < 2**63 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < _DEPTH:
        if isinstance(value, Mapping):
            return {
                str(name).encode("utf-8", "replace").decode(): _strict(one, depth + 1) for name, one in value.items()
            }
        if isinstance(value, list | tuple):
            return [_strict(one, depth + 1) for one in value]
    return None
