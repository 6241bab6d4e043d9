# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plots within the page: of a finding, of all on one axis of time, and each curve by itself."""

from __future__ import annotations

from .curves import by_metric, comparable, distinct, highlighted, shown_by
from .page_parts import bidi, fold, plural
from .plots import Plots, title_of
from .view import Check, Report, Series, quantity

_OF_CHECK = 6
_SWATCH = '<svg width="30" height="12" aria-hidden="true" focusable="false">{}</svg>'
_LEGEND = (
    ('<path class="mark-bad" d="M15 -1L22 6L15 13L8 6Z"/>', "event, not planned"),
    ('<circle class="mark-meant" cx="15" cy="6" r="4.6"/>', "event, planned"),
    ('<rect class="edge" fill="url(#gap)" width="30" height="12"/>', "gap: nothing known"),
    ('<rect class="edge" fill="url(#gap-meant)" width="30" height="12"/>', "gap, planned"),
    ('<line class="limit" x1="0" x2="30" y1="6" y2="6"/>', "limit"),
    ('<rect class="warm swatch" width="30" height="12"/>', "warm-up"),
)


class PagePlots:
    """Puts plots with their words into the page."""

    def __init__(self, report: Report, plots: Plots) -> None:
        self._report, self._plots = report, plots
        self._curves = by_metric(report)
        self._proved: set[tuple[str, str]] = set()

    def definitions(self) -> str:
        """What all plots share."""
        return self._plots.definitions()

    def of_check(self, check: Check) -> str:
        """The curves that show what a check found, each once in the page; empty when there are none."""
        curves = [one for one in distinct(shown_by(check, self._report)) if (one.name, one.subject) not in self._proved]
        self._proved |= {(one.name, one.subject) for one in curves}
        more = len(curves) - _OF_CHECK
        inner = "".join(self._small(one, named=True) for one in curves[:_OF_CHECK])
        hint = f'<p class="hint">And {more} more, further below.</p>' if more > 0 else ""
        return f'<div class="grid proof">{inner}</div>{hint}' if curves else ""

    def timeline(self) -> str:
        """Events and every metric below each other, on the same axis of time."""
        if not self._curves and not self._report.events:
            return ""
        there = zip(_LEGEND, self._there(), strict=True)
        legend = "".join(f"<li>{_SWATCH.format(drawn)}{said}</li>" for (drawn, said), seen in there if seen)
        lines = [
            '<section aria-labelledby="time-line"><h2 id="time-line">Over time</h2>',
            '<p class="hint">All plots have the same time axis, in UTC.</p>',
            f'<ul class="legend">{legend}</ul>',
            f'<figure class="plot"><figcaption><h3>Events</h3></figcaption>{self._plots.events()}</figure>',
        ]
        lines += [self._overview(metric, curves) for metric, curves in self._curves.items()]
        return "\n".join([*lines, "</section>"])

    def _there(self) -> list[bool]:
        """Which of the legend there is anything of."""
        report = self._report
        planned = {event.planned for event in report.events}
        gaps = {gap.planned for gap in report.holes}
        limits = any(one.limit is not None for one in report.series)
        return [False in planned, True in planned, False in gaps, True in gaps, limits, bool(report.warmup)]

    def each(self) -> str:
        """Every curve by itself, folded; paper does without."""
        if not self._curves:
            return ""
        folds = [
            fold(
                f"{bidi(title_of(metric))}: {plural(len(curves), 'curve')}",
                f'<div class="grid">{"".join(self._small(one) for one in curves)}</div>',
            )
            for metric, curves in self._curves.items()
        ]
        return "\n".join(
            [
                '<section class="screen" aria-labelledby="each"><h2 id="each">Each curve by itself</h2>',
                '<p class="hint">First those that did not pass, then those closest to their limit.</p>',
                *folds,
                "</section>",
            ]
        )

    def _overview(self, metric: str, curves: list[Series]) -> str:
        fit, shares = comparable(curves)
        top, rest = highlighted(fit, self._report)
        title = title_of(metric) + (", as a share of its limit" if shares else "")
        keys = []
        for place, one in enumerate(top, 1):
            swatch = _SWATCH.format(f'<line class="curve s{place}" x1="1" x2="29" y1="6" y2="6"/>')
            most = quantity(one.peak, one.unit)
            keys.append(f'<li>{swatch}<span>{bidi(one.subject)} <span class="num">up to {most}</span></span></li>')
        if rest:
            swatch = _SWATCH.format('<rect class="band" width="30" height="12"/>')
            others = f"range of the other {len(rest)}" if len(rest) > 1 else "the other one"
            keys.append(f'<li>{swatch}<span class="num">{others}</span></li>')
        plot = self._plots.overview(top, rest, title)
        return (
            f'<figure class="plot"><figcaption><h3>{bidi(title)}</h3><ul class="key">{"".join(keys)}</ul></figcaption>'
            f"{plot}</figure>"
        )

    def _small(self, series: Series, *, named: bool = False) -> str:
        name = f"{bidi(title_of(series.name))} of {bidi(series.subject)}" if named else bidi(series.subject)
        limit = f", limit {quantity(series.limit, series.unit)}" if series.limit is not None else ""
        return (
            f'<figure class="small"><figcaption><span>{name}</span> '
            f'<span class="num">up to {quantity(series.peak, series.unit)}{limit}</span></figcaption>'
            f"{self._plots.single(series, tall=named)}</figure>"
        )
