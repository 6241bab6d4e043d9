# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parts of the page: marks, cards, rows and lists. All foreign text comes in through `bidi` or `attribute`."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .view import (
    FAIL,
    INCONCLUSIVE,
    NOT_TESTED,
    PASS,
    RUNNING,
    Check,
    Event,
    Gap,
    Report,
    Subject,
    number_text,
    span,
    when,
)

# Drawn, not letters: no font of a phone makes a coloured picture of them.
_DRAWN = {
    PASS: "M4 12.5L9.5 18L20 6.5",
    FAIL: "M5 5L19 19M19 5L5 19",
    INCONCLUSIVE: "M7.5 8.5C7.5 3 16.5 3 16.5 8.5C16.5 12 12 12 12 15.2M12 19.8h.01",
    NOT_TESTED: "M5 12h14",
    RUNNING: "M12 6v6.5l4.5 2.6M12 2.5a9.5 9.5 0 1 0 .01 0",
}
MARKS = (
    '<svg class="defs" aria-hidden="true" focusable="false">'
    + "".join(
        f'<symbol id="m-{verdict.replace(" ", "-")}" viewBox="0 0 24 24"><path d="{path}"/></symbol>'
        for verdict, path in _DRAWN.items()
    )
    + "</svg>"
)
_OPEN_EVENTS, _EVIDENCE, _SUBJECTS = 12, 30, 60


def attribute(text: str) -> str:
    """A text for an attribute, or for an element that holds no other."""
    return escape(text, quote=True)


def bidi(text: str) -> str:
    """A foreign text as it is, whatever direction its letters have; empty for an empty one."""
    return f"<bdi>{escape(text)}</bdi>" if text else ""


def css(verdict: str) -> str:
    """The class of a verdict."""
    return verdict.replace(" ", "-")


def plural(count: int, noun: str) -> str:
    """`1 finding`, `2 findings`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def mark(verdict: str) -> str:
    """The drawn mark beside a verdict's word."""
    return f'<svg class="m" aria-hidden="true" focusable="false"><use href="#m-{css(verdict)}"/></svg>'


def verdict_word(verdict: str) -> str:
    """A verdict as mark and word."""
    return f'<span class="verdict {css(verdict)}">{mark(verdict)}{verdict}</span>'


def head(*names: str) -> str:
    """The head of a table that becomes a list on a phone; the roles keep it a table for those who hear it."""
    cells = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in names)
    return f'<thead role="rowgroup"><tr role="row">{cells}</tr></thead>'


def fold(title: str, inner: str, *, opened: bool = False, kind: str = "fold") -> str:
    """What is there on a click; on paper it stands open."""
    return (
        f'<details class="{kind}"{" open" if opened else ""}><summary>{title}</summary>'
        f'<div class="body">{inner}</div></details>'
    )


def check_row(check: Check, place: int) -> str:
    """A check as a row of the table of all."""
    return (
        f'<tr role="row"><td role="cell">{verdict_word(check.verdict)}</td>'
        f'<th scope="row" role="rowheader"><a href="#check-{place}">{bidi(check.title)}</a></th>'
        f'<td role="cell" data-name="Observed">{bidi(check.observed)}</td>'
        f'<td role="cell" data-name="Limit">{bidi(check.limit)}</td></tr>'
    )


def card(check: Check, place: int, extra: str) -> str:
    """A check that needs a person, open. `extra` is HTML of ours: its plots."""
    return (
        f'<details class="card {css(check.verdict)}" open><summary>{verdict_word(check.verdict)}'
        f"<h3>{bidi(check.title)}</h3></summary>"
        f'<div class="body" id="check-{place}">{_pairs(check)}{extra}{_evidence(check)}{_subjects(check)}</div>'
        "</details>"
    )


def block(check: Check, place: int) -> str:
    """A check that needs nobody."""
    return (
        f'<div class="block" id="check-{place}"><h3>{bidi(check.title)} {verdict_word(check.verdict)}</h3>'
        f"{_pairs(check)}{_subjects(check)}{_evidence(check)}</div>"
    )


def _pairs(check: Check) -> str:
    rows = [
        ("Observed", check.observed, ""),
        ("Where", _only(check), ""),
        ("Limit", check.limit, ""),
        ("Not tested", check.untested, ""),
        ("Next", check.next, ' class="do"'),
    ]
    said = "".join(f"<dt>{name}</dt><dd{look}>{bidi(text)}</dd>" for name, text, look in rows if text)
    return f'<dl class="pairs">{said}</dl>' if said else ""


def _only(check: Check) -> str:
    """The one subject of a check, which needs no table."""
    one = check.subjects[0] if len(check.subjects) == 1 else None
    return ": ".join(part for part in (one.name, one.observed) if part) if one else ""


def _subjects(check: Check) -> str:
    """Those that did not pass; the others on a click."""
    if len(check.subjects) < 2:
        return ""
    bad = [one for one in check.subjects if one.verdict != PASS]
    good = [one for one in check.subjects if one.verdict == PASS]
    count = len(check.subjects)
    if not bad:
        return _table(good, f"{count} looked at, all passed")
    others = fold(f"{plural(len(good), 'other')} passed", _table(good, "Passed"), kind="more") if good else ""
    return _table(bad, f"{len(bad)} of {count} did not pass") + others


def _table(subjects: Sequence[Subject], caption: str) -> str:
    shown = subjects[:_SUBJECTS]
    rows = [
        f'<tr role="row"><td role="cell">{verdict_word(one.verdict)}</td>'
        f'<th scope="row" role="rowheader">{bidi(one.name)}</th>'
        f'<td role="cell">{bidi(one.observed) or _values(one)}</td></tr>'
        for one in shown
    ]
    more = len(subjects) - len(shown)
    return (
        f'<table class="wide" role="table"><caption>{caption}</caption>{head("Verdict", "Where", "Observed")}'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    ) + (f'<p class="hint">And {more} more in report.json.</p>' if more else "")


def _values(subject: Subject) -> str:
    return ", ".join(f"{bidi(name)} {number_text(value)}" for name, value in subject.values)


def _evidence(check: Check) -> str:
    if not check.evidence:
        return ""
    shown = check.evidence[:_EVIDENCE]
    timed = any(at is not None for at, text in shown)
    items = [f"<li>{moment(at) if timed else ''}<span>{bidi(text)}</span></li>" for at, text in shown]
    more = len(check.evidence) - len(shown)
    items += [f"<li>{moment(None) if timed else ''}<span>And {more} more in report.json.</span></li>"] if more else []
    kind = "evidence timed" if timed else "evidence"
    return f'<ul class="{kind}" aria-label="Evidence">{"".join(items)}</ul>'


def moment(at: float | None) -> str:
    """A time as an element; without one, a place that says so."""
    if at is None:
        return '<span class="when">Overall</span>'
    return f'<time datetime="{when(at, "%Y-%m-%dT%H:%M:%SZ")}">{when(at)}</time>'


def events(seen: Report) -> str:
    """What happened, as a table; a long one is folded."""
    if not seen.events:
        return ""
    table = (
        '<table class="wide" role="table"><caption>The oldest first</caption>'
        f"{head('Time', 'What', 'Where', 'More', 'Planned')}"
        f'<tbody role="rowgroup">{"".join(_event(event) for event in seen.events)}</tbody></table>'
    )
    meant = sum(event.planned for event in seen.events)
    title = f"{plural(len(seen.events), 'event')}: {len(seen.events) - meant} not planned, {meant} planned"
    inner = fold(title, table, opened=len(seen.events) <= _OPEN_EVENTS)
    return f'<section aria-labelledby="events"><h2 id="events">What happened</h2>{inner}</section>'


def _event(event: Event) -> str:
    return (
        f'<tr role="row"><td role="cell">{moment(event.time)}</td>'
        f'<th scope="row" role="rowheader">{bidi(event.kind)}</th>'
        f'<td role="cell">{bidi(event.subject)}</td><td role="cell">{bidi(event.text)}</td>'
        f'<td role="cell">{"planned" if event.planned else "<b>not planned</b>"}</td></tr>'
    )


def journal(seen: Report) -> str:
    """What is to be said of the journal: times of which nothing is known, and torn or foreign lines."""
    lines = [f"<li>{moment(gap.begins)}: {_gap(gap)}</li>" for gap in seen.gaps]
    lines += [f"<li>{bidi(note)}</li>" for note in seen.notes]
    if not lines:
        return ""
    return (
        '<section aria-labelledby="journal"><h2 id="journal">About the journal</h2>'
        f'<ul class="list">{"".join(lines)}</ul></section>'
    )


def _gap(gap: Gap) -> str:
    if not gap.missing:
        return f"{bidi(gap.reason)}; no time is missing"
    why = f" ({bidi(gap.reason)})" if gap.reason else ""
    return f"nothing known for {span(gap.ends - gap.begins)}, {'' if gap.planned else 'not '}planned{why}"
