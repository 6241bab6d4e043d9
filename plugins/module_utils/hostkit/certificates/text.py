# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The states as lines for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..board_text import one_line, shorten, text_width, wrap_text

_INDENT = " " * 4
_GAP = "  "


def render_certificates(rows: Sequence[Mapping[str, object]], *, width: int = 100, unicode: bool = True) -> str:
    """A headline, and a line for each name: state, what is left, issuer; what is wrong, and the fix, below it.

    `rows` are what State.as_dict gives. The text has no trailing newline and no colour.
    """
    good = sum(bool(row.get("good")) for row in rows)
    lines = [f"certificates: {good} of {len(rows)} in order" if rows else "certificates: none is wanted on this host"]
    columns = [
        [one_line(row.get("name")), one_line(row.get("state")), left_text(row), one_line(row.get("issuer"))]
        for row in rows
    ]
    sizes = [max((text_width(line[index]) for line in columns), default=0) for index in range(4)]
    for row, cells in zip(rows, columns, strict=True):
        mark = ("✓" if unicode else "ok") if row.get("good") else ("✗" if unicode else "!!")
        padded = [cell + " " * (size - text_width(cell)) for cell, size in zip(cells, sizes, strict=True)]
        lines.append(shorten(f"{mark} {_GAP.join(padded)}".rstrip(), width, unicode=unicode))
        for key in ("message", "fix"):
            text = one_line(row.get(key))
            if text:
                text = f"Fix: {text}" if key == "fix" and not row.get("good") else text
                lines += [f"{_INDENT}{part}" for part in wrap_text(text, max(20, width) - len(_INDENT))]
    return "\n".join(lines)


def left_text(row: Mapping[str, object]) -> str:
    """Such as "66 % left"; "" where nothing is known."""
    left = row.get("lifetime_left")
    return f"{max(0, int(left * 100))} % left" if isinstance(left, int | float) else ""
