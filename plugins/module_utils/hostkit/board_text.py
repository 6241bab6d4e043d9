# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The board of services as aligned plain text, and the small text tools it rests on."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence

# Escape sequences (CSI, OSC, two-character ones) and the other control characters except tab and newline. Names and
# notes come from hosts: none of them may steer the reader's terminal.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_GAP = 2
_INDENT = " " * 4
_NARROW_SERVICE = 12


def clean_text(value: object) -> str:
    """``value`` as text without escape sequences and control characters; newlines and tabs stay."""
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def one_line(value: object) -> str:
    """``value`` cleaned, with every run of white space as one blank."""
    return " ".join(clean_text(value).split())


def text_width(text: str) -> int:
    """Columns that ``text`` takes on a terminal: wide characters count two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def shorten(text: str, width: int, *, unicode: bool = True) -> str:
    """``text`` cut to ``width`` columns, the cut marked with an ellipsis; empty when ``width`` is not positive."""
    if text_width(text) <= width:
        return text
    mark = "…" if unicode else "..."
    mark = mark if text_width(mark) < width else ""
    return _beginning(text, width - text_width(mark)).rstrip() + mark if width > 0 else ""


def wrap_text(text: str, width: int) -> list[str]:
    """``text`` as lines of at most ``width`` columns (2 or more), broken between words or, in wide ones, inside."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(lines[-1]) + 1 + text_width(word) <= width:
            lines[-1] += f" {word}"
            continue
        rest = word
        while rest:
            lines.append(_beginning(rest, width) or rest[0])
            rest = rest.removeprefix(lines[-1])
    return lines


def _beginning(text: str, width: int) -> str:
    """As much of ``text`` as ``width`` columns hold."""
    used = 0
    for index, char in enumerate(text):
        used += text_width(char)
        if used > width:
            return text[:index]
    return text


def human_size(value: object) -> str:
    """Bytes as ``48 MiB`` or ``1.5 GiB``; empty for what is no positive number."""
    number = _number(value)
    if number is None or number <= 0:
        return ""
    mebibytes = number / 1024**2
    # From here on the MiB figure would round to 1024.
    if mebibytes >= 1023.5:
        return f"{mebibytes / 1024:.1f}".removesuffix(".0") + " GiB"
    return f"{mebibytes:.0f} MiB" if mebibytes >= 10 else f"{max(mebibytes, 0.1):.1f}".removesuffix(".0") + " MiB"


def is_healthy(row: Mapping[str, object]) -> bool:
    """True for a running service whose healthcheck passes, or that has none."""
    return _cell(row, "state") == "running" and _health(row) in ("healthy", "no check")


def render_board(rows: Sequence[Mapping[str, object]], *, title: str, width: int = 100, unicode: bool = True) -> str:
    """The services of one host as a table below a headline.

    ``rows`` are mappings with the keys ``service``, ``class``, ``state``, ``health``, ``restarts``, ``image``,
    ``memory_bytes``, ``memory_limit_bytes`` and ``note``, each of which may be missing. ``title`` names the host.
    ``width`` is in terminal columns, 20 at the least; only the headline may be longer. A healthy row starts with ``✓``
    (``ok`` without ``unicode``), any other with ``✗`` (``!!``). The text has no trailing newline and no colour.
    """
    lines = [_headline(rows, one_line(title))]
    if rows:
        lines += _table(rows, max(20, width), unicode)
    return "\n".join(line if index == 0 else line.rstrip() for index, line in enumerate(lines))


def _headline(rows: Sequence[Mapping[str, object]], title: str) -> str:
    prefix = f"{title}: " if title else ""
    if not rows:
        return f"{prefix}no services"
    bad = [_cell(row, "service") or "?" for row in rows if not is_healthy(row)]
    text = f"{prefix}{len(rows) - len(bad)} of {len(rows)} services healthy"
    return f"{text}; not healthy: {', '.join(bad)}" if bad else text


def _table(rows: Sequence[Mapping[str, object]], width: int, unicode: bool) -> list[str]:
    marks = ("✓", "✗") if unicode else ("ok", "!!")
    columns: dict[str, list[str]] = {
        "": ["", *(marks[0] if is_healthy(row) else marks[1] for row in rows)],
        "service": ["service", *(_cell(row, "service") or "?" for row in rows)],
        "class": ["class", *(_cell(row, "class") for row in rows)],
        "state": ["state", *(_cell(row, "state") or "unknown" for row in rows)],
        "health": ["health", *(_health(row) or "-" for row in rows)],
        "restarts": ["restarts", *(_cell(row, "restarts") for row in rows)],
        "memory": ["memory", *(_memory(row) for row in rows)],
        "image": ["image", *(_image(row) for row in rows)],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells[1:])}
    # What says least about health goes first where the terminal is narrow.
    for name in ("image", "class", "memory", "restarts"):
        if _total(columns.values()) > width:
            columns.pop(name, None)
    excess = _total(columns.values()) - width
    if excess > 0:
        room = max(_NARROW_SERVICE, _widest(columns["service"]) - excess)
        columns["service"] = [shorten(cell, room, unicode=unicode) for cell in columns["service"]]
    right = [place for place, name in enumerate(columns) if name == "restarts"]
    rows_of_cells = list(zip(*columns.values(), strict=True))
    lines = [shorten(line, width, unicode=unicode) for line in aligned(rows_of_cells, right)]
    notes = ["", *(_cell(row, "note") for row in rows)]
    return [text for line, note in zip(lines, notes, strict=True) for text in _with_note(line, note, width)]


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Rows of cells as lines, each column as wide as it has to be; those at the places in ``right`` are flush right."""
    padded = []
    for place, cells in enumerate(zip(*rows, strict=True)):
        size = _widest(cells)
        spaces = [" " * (size - text_width(cell)) for cell in cells]
        pairs = zip(spaces, cells, strict=True)
        padded.append([blank + cell if place in right else cell + blank for blank, cell in pairs])
    return [(" " * _GAP).join(cells) for cells in zip(*padded, strict=True)]


def _with_note(line: str, note: str, width: int) -> list[str]:
    if not note:
        return [line]
    if text_width(line) + _GAP + text_width(note) <= width:
        return [f"{line}{' ' * _GAP}{note}"]
    return [line, *(f"{_INDENT}{part}" for part in wrap_text(note, width - len(_INDENT)))]


def _total(columns: Iterable[list[str]]) -> int:
    sizes = [_widest(cells) for cells in columns]
    return sum(sizes) + _GAP * (len(sizes) - 1)


def _widest(cells: Iterable[str]) -> int:
    return max(text_width(cell) for cell in cells)


def _cell(row: Mapping[str, object], key: str) -> str:
    value = row.get(key)
    return "" if value is None else one_line(value)


def _health(row: Mapping[str, object]) -> str:
    health = _cell(row, "health")
    # A stopped service passes no check: "no check" would read as if all were well.
    if health in ("", "none"):
        return "no check" if _cell(row, "state") == "running" else ""
    return health


def _memory(row: Mapping[str, object]) -> str:
    used, limit = human_size(row.get("memory_bytes")), human_size(row.get("memory_limit_bytes"))
    if used and limit:
        return f"{used} / {limit}"
    return f"limit {limit}" if limit else used


def _image(row: Mapping[str, object]) -> str:
    """Name and tag: the registry and the digest fill a line and tell little."""
    name = _cell(row, "image").partition("@")[0]
    return name.rpartition("/")[2]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
