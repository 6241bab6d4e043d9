# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report on a terminal: the verdict first, then only what needs a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...board_text import shorten, wrap_text
from .view import FAIL, INCONCLUSIVE, NOT_TESTED, PASS, RUNNING, Check, Report, read, span, when

MARKS = {PASS: ("✓", "ok"), FAIL: ("✗", "!!"), INCONCLUSIVE: ("?", "??"), NOT_TESTED: ("-", "--"), RUNNING: ("…", "..")}
# So many subjects of one check, and so many lines with its evidence: the page has the rest.
_FEW, _LINES = 3, 4


def render(report: Mapping[str, Any], *, unicode: bool = True, width: int = 100) -> list[str]:
    """The report as lines of at most `width` columns, 40 at the least.

    First the verdict, its reason and the next step; then each check that did not pass; how many passed; what was not
    tested.
    """
    seen, width = read(report), max(40, width)
    lines = [shorten(line, width, unicode=unicode) for line in (_headline(seen, unicode), _about(seen)) if line]
    lines += _paragraph(seen.reason, width)
    lines += _paragraph(seen.next and f"Next: {seen.next}", width)
    for check in [*seen.of(FAIL), *seen.of(INCONCLUSIVE)]:
        lines += ["", *_check(check, unicode, width)]
    lines += ["", passed(seen)]
    gaps = skipped(seen)
    if gaps:
        lines += ["", "Not tested:"]
        for what, why in gaps:
            lines += _item(f"{what}: {why}" if why else what, width, "  ")
    if seen.notes:
        lines += ["", "About the journal:"]
        for note in seen.notes:
            lines += _item(note, width, "  ")
    return lines


def render_board_line(report: Mapping[str, Any]) -> str:
    """The report as one line for the board of the host: `soak: running, 7 h left, nothing found`."""
    seen = read(report)
    if seen.verdict == RUNNING:
        left = seen.left
        parts = ["running", *([] if left is None else [f"{span(left)} left"]), found_words(seen)]
        return f"soak: {', '.join(parts)}"
    if seen.running:
        return f"soak: {seen.verdict}, still running, {found_words(seen)}"
    ended = f", ended {when(seen.ended)}" if seen.ended is not None else ""
    reason = f": {shorten(seen.reason, 120)}" if seen.reason and seen.verdict != PASS else ""
    return f"soak: {seen.verdict}{ended}{reason}"


def passed(seen: Report) -> str:
    """How many checks passed, in words."""
    count = len(seen.of(PASS))
    return f"{count} check{'' if count == 1 else 's'} passed" if seen.checks else "No check was made"


def skipped(seen: Report) -> list[tuple[str, str]]:
    """What was not tested and why: whole checks, and what the soak or a check says that it left out."""
    rows = [(check.title, check.untested or check.observed) for check in seen.of(NOT_TESTED)]
    known = {what for what, why in rows}
    rows += [row for row in seen.not_tested if row[0] not in known]
    return rows + [
        (check.title, check.untested) for check in seen.checks if check.untested and (check.verdict != NOT_TESTED)
    ]


def progress(seen: Report) -> str:
    """How long it ran: `24 h`, or `17 h of 24 h` where that is not the whole; empty when nothing is known."""
    if seen.began is None or seen.ended is None:
        return ""
    told = seen.duration
    whole = told is None or abs(seen.elapsed - told) <= max(60.0, told / 100)
    return span(seen.elapsed) if whole else f"{span(seen.elapsed)} of {span(told)}"


def found_words(seen: Report) -> str:
    """How many checks failed, in words."""
    count = len(seen.of(FAIL))
    return f"{count} finding{'' if count == 1 else 's'}" if count else "nothing found"


def _headline(seen: Report, unicode: bool) -> str:
    mark = MARKS[seen.verdict][0 if unicode else 1]
    left = seen.left
    after = ", still running" if seen.running and seen.verdict != RUNNING else ""
    after += f", {span(left)} left" if left is not None else ""
    return f"{mark} {seen.verdict}{after}"


def _about(seen: Report) -> str:
    parts = [
        f"soak of {seen.host}" if seen.host else "",
        f"release {seen.release}" if seen.release else "",
        progress(seen),
        f"from {when(seen.began)}" if seen.began is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _paragraph(text: str, width: int) -> list[str]:
    return wrap_text(text, width)


def _item(text: str, width: int, indent: str) -> list[str]:
    lines = wrap_text(text, width - len(indent) - 2)
    return [f"{indent}{'- ' if place == 0 else '  '}{line}" for place, line in enumerate(lines)]


def _check(check: Check, unicode: bool, width: int) -> list[str]:
    mark = MARKS[check.verdict][0 if unicode else 1]
    lines = [shorten(f"{mark} {check.verdict}  {check.title}", width, unicode=unicode)]
    said = check.observed + (f" (limit: {check.limit})" if check.limit else "")
    lines += [f"  {line}" for line in wrap_text(said, width - 2)]
    bad = [subject for subject in check.subjects if subject.verdict in (FAIL, INCONCLUSIVE)]
    for subject in bad[:_FEW]:
        lines += _item(f"{subject.name}: {subject.observed}", width, "  ")
    if len(bad) > _FEW:
        lines.append(f"  - and {len(bad) - _FEW} more")
    for at, text in check.evidence[: _LINES - min(_FEW, len(bad))]:
        lines += _item(f"{when(at)}: {text}" if at is not None else text, width, "  ")
    if check.next:
        lines += [f"  {line}" for line in wrap_text(f"Next: {check.next}", width - 2)]
    return lines
