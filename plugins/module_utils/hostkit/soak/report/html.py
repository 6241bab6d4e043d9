# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report as one page of HTML that needs nothing else: the verdict first, then what was found, then everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import page_parts as parts
from .axis import time_axis
from .page_parts import MARKS, attribute, bidi, plural
from .page_plots import PagePlots
from .plots import Plots
from .style import style
from .text import found_words, progress, skipped
from .view import FAIL, INCONCLUSIVE, NOT_TESTED, ORDER, PASS, RUNNING, Report, read, span, when

# Nothing is loaded, nothing runs: names in a report are not to be trusted.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render(report: Mapping[str, Any]) -> str:
    """The report as HTML 5 without scripts and without anything from elsewhere; for the screen, a phone and paper."""
    seen = read(report)
    axis = time_axis(seen)
    plots = PagePlots(seen, Plots(seen, axis)) if axis else None
    title = f"{seen.verdict}: soak of {seen.host or 'a host'}"
    main = [_findings(seen, plots), plots.timeline() if plots else "", parts.events(seen), _checks(seen)]
    main += [_not_tested(seen), parts.journal(seen), plots.each() if plots else ""]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            '<meta name="robots" content="noindex">',
            f"<title>{attribute(title)}</title>",
            f"<style>{style()}</style>",
            "</head>",
            "<body>",
            MARKS,
            plots.definitions() if plots else "",
            _hero(seen),
            "<main>",
            *main,
            "</main>",
            "<footer><p>All times are UTC. The same as data: report.json.</p></footer>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _hero(seen: Report) -> str:
    kicker = f"Soak check of {bidi(seen.host or 'a host')}"
    if seen.running:
        kicker += f", still running{f', {span(seen.left)} left' if seen.left is not None else ''}"
    lines = [f'<p class="kicker">{kicker}</p>', f"<h1>{parts.mark(seen.verdict)}{seen.verdict}</h1>"]
    reason = seen.reason
    if not reason and seen.verdict == RUNNING:
        reason = f"So far: {found_words(seen)}."
    if reason:
        lines.append(f'<p class="reason">{bidi(reason)}</p>')
    if seen.next:
        lines.append(f'<p class="next"><b>Next:</b> {bidi(seen.next)}</p>')
    lines += [_counts(seen), _left_out(seen), _facts(seen)]
    return f'<header class="hero {parts.css(seen.verdict)}"><div>\n{chr(10).join(lines)}\n</div></header>'


def _counts(seen: Report) -> str:
    found = [(verdict, len(seen.of(verdict))) for verdict in ORDER]
    items = [
        f'<li class="{parts.css(verdict)}">{parts.mark(verdict)}<span>{count} {verdict}</span></li>'
        for verdict, count in found
        if count
    ]
    return f'<ul class="counts" aria-label="Checks by verdict">{"".join(items)}</ul>' if items else ""


def _left_out(seen: Report) -> str:
    """A way to what was not tested: a PASS says nothing of it."""
    count = len(skipped(seen))
    was = "was" if count == 1 else "were"
    return f'<p class="left-out"><a href="#untested">{plural(count, "thing")} {was} not tested</a></p>' if count else ""


def _facts(seen: Report) -> str:
    left = f", {span(seen.left)} left" if seen.left is not None else ""
    facts = {
        "Release": bidi(seen.release),
        "Began": when(seen.began),
        "Last sample" if seen.running else "Ended": when(seen.ended),
        "Length": f"{progress(seen)}{left}" if progress(seen) else "",
        "Covered by samples": "" if seen.coverage is None else f"{seen.coverage * 100:.1f} % of the time",
        "Samples": "" if seen.samples is None else f"{seen.samples:,}",
        "Run": bidi(seen.run),
    }
    rows = [f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items() if value]
    return f'<dl class="facts">{"".join(rows)}</dl>' if rows else ""


def _findings(seen: Report, plots: PagePlots | None) -> str:
    bad = [check for check in seen.checks if check.verdict in (FAIL, INCONCLUSIVE)]
    if not bad:
        return ""
    cards = []
    for place, check in enumerate(seen.checks, 1):
        if check in bad:
            extra = plots.of_check(check) if plots else ""
            cards.append(parts.card(check, place, extra))
    return "\n".join(['<section aria-labelledby="found"><h2 id="found">What did not pass</h2>', *cards, "</section>"])


def _checks(seen: Report) -> str:
    if not seen.checks:
        return '<section><h2>Checks</h2><p class="hint">No check was made.</p></section>'
    rows = [parts.check_row(check, place) for place, check in enumerate(seen.checks, 1)]
    rest = [
        parts.block(check, place) for place, check in enumerate(seen.checks, 1) if check.verdict in (PASS, NOT_TESTED)
    ]
    lines = [
        '<section aria-labelledby="checks"><h2 id="checks">All checks</h2>',
        '<table class="wide" role="table"><caption>What was looked at, what was seen, and what is too much</caption>',
        parts.head("Verdict", "Check", "Observed", "Limit"),
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table>',
    ]
    if rest:
        lines.append(parts.fold("Details of the checks that passed or were not tested", "".join(rest)))
    return "\n".join([*lines, "</section>"])


def _not_tested(seen: Report) -> str:
    rows = skipped(seen)
    if not rows:
        return ""
    items = [f"<li><b>{bidi(what)}</b>{f': {bidi(why)}' if why else ''}</li>" for what, why in rows]
    return (
        '<section aria-labelledby="untested"><h2 id="untested">What was not tested</h2>'
        f'<ul class="list">{"".join(items)}</ul></section>'
    )
