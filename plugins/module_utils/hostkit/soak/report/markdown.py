# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as Markdown, for an issue or a merge request: foreign names stay text there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .text import MARKS, passed, progress, skipped
from .view import FAIL, INCONCLUSIVE, PASS, RUNNING, Check, Report, read, span, when

_SPECIAL = re.compile(r"([\\`*_\[\]#!|~$])")
# Would be a tag, a person who is told, or a link.
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "://": "&#58;//", "www.": "www&#46;"}
_EVIDENCE, _EVENTS = 20, 50


def escape(text: str) -> str:
    """A text that any reader of Markdown shows as it is, within a line or a cell of a table."""
    for sign, entity in _ENTITIES.items():
        text = text.replace(sign, entity)
    # The sign of an entity of ours must not be escaped once more.
    text = re.sub(r"&\\#", "&#", _SPECIAL.sub(r"\\\1", text))
    # `1.` or `-` at the beginning would be a list.
    return re.sub(r"^(\d*)([.)+=-])", r"\1\\\2", text)


def render(report: Mapping[str, Any]) -> str:
    """The report as Markdown: the verdict, the reason and the next step, then what did not pass, then all checks."""
    seen = read(report)
    lines = [f"# {MARKS[seen.verdict][0]} {seen.verdict}: soak of {escape(seen.host or 'a host')}", ""]
    if seen.reason:
        lines += [f"**{escape(seen.reason)}**", ""]
    if seen.next:
        lines += [f"**Next:** {escape(seen.next)}", ""]
    lines += [*_facts(seen), ""]
    for check in [*seen.of(FAIL), *seen.of(INCONCLUSIVE)]:
        lines += _details(check)
    lines += ["## All checks", "", f"{passed(seen)}.", ""]
    if seen.checks:
        rows = [[_mark(check.verdict), check.title, check.observed, check.limit] for check in seen.checks]
        lines += [*_table(["Verdict", "Check", "Observed", "Limit"], rows), ""]
    lines += _lists(seen)
    return "\n".join(lines).rstrip() + "\n"


def _mark(verdict: str) -> str:
    return f"{MARKS[verdict][0]} {verdict}"


def _facts(seen: Report) -> list[str]:
    state = "running" if seen.running else "ended"
    left = f", {span(seen.left)} left" if seen.left is not None else ""
    facts = {
        "Release": seen.release,
        "Run": seen.run,
        "Began": when(seen.began),
        "Last sample" if seen.running else "Ended": when(seen.ended),
        "Length": progress(seen) and f"{progress(seen)} ({state}{left})",
        "Coverage": "" if seen.coverage is None else f"{seen.coverage * 100:.1f} % of the time",
        "Samples": "" if seen.samples is None else f"{seen.samples:,}",
    }
    return [f"- {name}: {escape(value)}" for name, value in facts.items() if value]


def _details(check: Check) -> list[str]:
    lines = [f"## {_mark(check.verdict)}: {escape(check.title)}", ""]
    facts = {
        "Observed": check.observed,
        "Limit": check.limit,
        "Not tested": check.untested,
        "Next": check.next,
    }
    lines += [f"- {name}: {escape(value)}" for name, value in facts.items() if value]
    evidence = check.evidence[:_EVIDENCE]
    lines += [f"- {when(at) or 'Evidence'}: {escape(text)}" for at, text in evidence]
    if len(check.evidence) > len(evidence):
        lines.append(f"- and {len(check.evidence) - len(evidence)} more in report.json")
    bad = [subject for subject in check.subjects if subject.verdict != PASS]
    if bad:
        rows = [[_mark(subject.verdict), subject.name, subject.observed] for subject in bad]
        lines += ["", *_table(["Verdict", "Where", "Observed"], rows)]
    return [*lines, ""]


def _lists(seen: Report) -> list[str]:
    lines = []
    if skipped(seen):
        lines += ["## Not tested", ""]
        lines += [f"- {escape(what)}: {escape(why)}" if why else f"- {escape(what)}" for what, why in skipped(seen)]
        lines.append("")
    if seen.events:
        # What nobody planned first: the list may be long.
        shown = sorted(seen.events, key=lambda event: event.planned)[:_EVENTS]
        rows = [
            [when(event.time), "planned" if event.planned else "not planned", event.kind, event.subject, event.text]
            for event in sorted(shown, key=lambda event: event.time)
        ]
        lines += ["## Events", "", *_table(["Time", "Planned", "What", "Where", "More"], rows), ""]
        if len(seen.events) > len(shown):
            lines += [f"And {len(seen.events) - len(shown)} more in report.json.", ""]
    if seen.holes:
        rows = [
            [when(gap.begins), span(gap.ends - gap.begins), "planned" if gap.planned else "not planned", gap.reason]
            for gap in seen.holes
        ]
        lines += ["## Gaps", "", *_table(["From", "Length", "Planned", "Why"], rows), ""]
    if seen.notes:
        lines += ["## About the journal", "", *(f"- {escape(note)}" for note in seen.notes), ""]
    if seen.verdict == RUNNING:
        lines += ["This soak still runs: the verdict comes at its end.", ""]
    return lines


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *([escape(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]
