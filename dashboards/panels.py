"""The kinds of panels that the dashboards are made of, all of one look.

Each takes what is normal and what to do otherwise, in words: that is its description. `alerts` are those about the same
thing; the panel leads to their pages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Protocol, Self
from urllib.parse import quote

from grafana_foundation_sdk.builders import common as build_common
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, units
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from .alerts import runbook
from .look import LINES, NO_DATA, NO_LIMITS, Limits, Words, in_words, mappings, thresholds
from .queries import Query

PROMETHEUS = common.DataSourceRef("prometheus", "prometheus")
NUMBER, PART, SECONDS, BYTES = units.Short, units.PercentUnit, units.Seconds, units.BytesIEC
PER_SECOND, BYTES_PER_SECOND, REQUESTS = units.CountsPerSecond, units.BytesPerSecondIEC, units.RequestsPerSecond
AGO, NO_UNIT = units.DateTimeFromNow, units.NoUnit


@dataclass(frozen=True)
class Piece:
    """A panel and its size: width of 24, height in rows of about 30 pixels."""

    title: str
    panel: Builder[model.Panel]
    width: int
    height: int
    queries: Sequence[Query]


class _Panel(Protocol):
    """What the builders of all kinds of panels have."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: common.DataSourceRef) -> Self: ...
    def links(self, links: list[Builder[model.DashboardLink]]) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def mappings(self, mappings: list[model.ValueMapping]) -> Self: ...
    def thresholds(self, thresholds: Builder[model.ThresholdsConfig]) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def with_target(self, target: prometheus.Dataquery) -> Self: ...


def described(normal: str, act: str) -> str:
    """The description of a panel, in Markdown."""
    return f"**Normal:** {normal}\n\n**Otherwise:** {act}"


def link(title: str, url: str) -> build.DashboardLink:
    """A link that opens beside the dashboard."""
    return build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url).target_blank(True)


def traces(service: str = "") -> str:
    """Where the traces of a service are searched, or those of one that is chosen there. It may be a variable."""
    source = {"type": "jaeger", "uid": "jaeger"}
    query = {"refId": "A", "datasource": source, "queryType": "search", **({"service": "SERVICE"} if service else {})}
    panes = {"a": {"datasource": "jaeger", "queries": [query], "range": {"from": "now-1h", "to": "now"}}}
    # The braces of JSON would not get through; those of a variable have to.
    return "/explore?schemaVersion=1&panes=" + quote(json.dumps(panes)).replace("SERVICE", service)


def _begin(
    panel: _Panel,
    title: str,
    queries: Sequence[Query],
    *,
    unit: str,
    limits: Limits,
    words: Words,
    about: str,
    alerts: Sequence[str],
    instant: bool,
    as_table: bool = False,
) -> None:
    """Set what every kind of panel has."""
    panel.title(title).description(about).datasource(PROMETHEUS).unit(unit)
    panel.links([link(f"What to do: {name}", runbook(name)) for name in alerts])
    panel.mappings(mappings(words)).thresholds(thresholds(limits)).no_value(NO_DATA)
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        target = prometheus.Dataquery().datasource(PROMETHEUS).expr(query.expr).ref_id(letter)
        target.legend_format(query.legend or "__auto")
        target.format(PromQueryFormat.TABLE if as_table else PromQueryFormat.TIME_SERIES)
        panel.with_target(target.instant() if instant else target.range())


def number(
    title: str,
    query: Query,
    *,
    normal: str,
    act: str,
    unit: str = NUMBER,
    limits: Limits = NO_LIMITS,
    words: Words | None = None,
    alerts: Sequence[str] = (),
    width: int = 4,
    height: int = 4,
    decimals: int | None = None,
) -> Piece:
    """What is so now, in large words or numbers on a ground of colour. With a legend: several, with names."""
    panel = stat.Panel()
    about = described(normal, act)
    if not words:
        title += in_words(limits, unit)
    _begin(panel, title, [query], unit=unit, limits=limits, words=words or {}, about=about, alerts=alerts, instant=True)
    panel.color_mode(common.BigValueColorMode.BACKGROUND_SOLID).graph_mode(common.BigValueGraphMode.NONE)
    panel.color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    panel.text_mode(common.BigValueTextMode.VALUE_AND_NAME if query.legend else common.BigValueTextMode.VALUE)
    panel.reduce_options(build_common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    if decimals is not None:
        panel.decimals(decimals)
    return Piece(title, panel, width, height, [query])


def trend(
    title: str,
    queries: Sequence[Query],
    *,
    normal: str,
    act: str,
    unit: str = NUMBER,
    limits: Limits = NO_LIMITS,
    alerts: Sequence[str] = (),
    width: int = 12,
    height: int = 8,
    top: float | None = None,
    bars: bool = False,
) -> Piece:
    """What it was over time.

    With limits a line has the colour of where its worst value is, and the limits are dashed lines. Without them each of
    several questions has its colour and its dashes; the lines of a single question are told apart by the table below,
    the highest first.
    """
    panel = timeseries.Panel()
    about = described(normal, act)
    _begin(panel, title, queries, unit=unit, limits=limits, words={}, about=about, alerts=alerts, instant=False)
    _lines(panel, queries, limits)
    panel.draw_style(common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE).line_width(2)
    panel.fill_opacity(60 if bars else 0).show_points(common.VisibilityMode.NEVER).axis_soft_min(0)
    if top is not None:
        panel.axis_soft_max(top)
    legend = build_common.VizLegendOptions().display_mode(common.LegendDisplayMode.TABLE).show_legend(True)
    legend.placement(common.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"]).sort_by("Max").sort_desc(True)
    tooltip = build_common.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    panel.legend(legend).tooltip(tooltip.sort(common.SortOrder.DESCENDING))
    return Piece(title, panel, width, height, queries)


def _lines(panel: timeseries.Panel, queries: Sequence[Query], limits: Limits) -> None:
    """Colours and dashes."""
    if limits != NO_LIMITS:
        by = model.FieldColorSeriesByMode.MIN if limits.below else model.FieldColorSeriesByMode.MAX
        panel.color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS).series_by(by))
        dashed = build_common.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(dashed)
        return
    if len(queries) == 1:
        by = model.FieldColorSeriesByMode.MAX
        panel.color_scheme(build.FieldColor().mode(model.FieldColorModeId.CONTINUOUS_BL_PU).series_by(by))
        return
    for index, (letter, colour) in enumerate(zip(ascii_uppercase[: len(queries)], LINES, strict=False)):
        properties = [model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})]
        if index:
            style = {"fill": "dash", "dash": [4 * index, 4 * index]}
            properties.append(model.DynamicConfigValue("custom.lineStyle", style))
        panel.override_by_query(letter, properties)


def timeline(
    title: str,
    query: Query,
    *,
    words: Words,
    normal: str,
    act: str,
    alerts: Sequence[str] = (),
    width: int = 24,
    height: int = 10,
) -> Piece:
    """A bar for each thing, in the colour of its state, with the word of the state in it."""
    panel = statetimeline.Panel()
    about = described(normal, act)
    _begin(
        panel, title, [query], unit=NO_UNIT, limits=NO_LIMITS, words=words, about=about, alerts=alerts, instant=False
    )
    panel.color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    panel.show_value(common.VisibilityMode.AUTO).row_height(0.8).merge_values(True).fill_opacity(80)
    panel.legend(build_common.VizLegendOptions().show_legend(False).display_mode(common.LegendDisplayMode.LIST))
    return Piece(title, panel, width, height, [query])


@dataclass(frozen=True)
class Column:
    """A column of a table: what it asks, how it is shown. `title` is its head."""

    title: str
    query: Query
    unit: str = NUMBER
    limits: Limits = NO_LIMITS
    words: Words | None = None
    decimals: int | None = None

    @property
    def head(self) -> str:
        """The title, with its limits."""
        return self.title + in_words(self.limits, self.unit)


def grid(
    title: str,
    columns: Sequence[Column],
    labels: Mapping[str, str],
    *,
    normal: str,
    act: str,
    alerts: Sequence[str] = (),
    width: int = 24,
    height: int = 10,
    to: tuple[str, str] | None = None,
) -> Piece:
    """A table of what is so now. Its questions are joined by `labels`: those that are columns, and their heads.

    `to`: title and address of where a click on the row leads.
    """
    panel = table.Panel()
    queries = [column.query for column in columns]
    about = described(normal, act)
    _begin(
        panel,
        title,
        queries,
        unit=columns[0].unit,
        limits=NO_LIMITS,
        words={},
        about=about,
        alerts=alerts,
        instant=True,
        as_table=True,
    )
    letters = ascii_uppercase[: len(columns)]
    # One question alone calls its column Value.
    names = ["Value"] if len(columns) == 1 else [f"Value #{letter}" for letter in letters]
    shown = {**labels, **{name: column.head for name, column in zip(names, columns, strict=True)}}
    panel.with_transformation(model.DataTransformerConfig("merge", options={}))
    panel.with_transformation(
        model.DataTransformerConfig("filterFieldsByName", options={"include": {"names": [*shown]}})
    )
    order = {"indexByName": {name: place for place, name in enumerate(shown)}, "renameByName": shown}
    panel.with_transformation(model.DataTransformerConfig("organize", options={"excludeByName": {}, **order}))
    for column in columns:
        panel.override_by_name(column.head, _cell(column))
    if to:
        url = {"title": to[0], "url": to[1]}
        panel.override_by_name(next(iter(labels.values())), [model.DynamicConfigValue("links", [url])])
    panel.cell_height(common.TableCellHeight.SM).show_header(True)
    return Piece(title, panel, width, height, queries)


def _cell(column: Column) -> list[model.DynamicConfigValue]:
    properties = [model.DynamicConfigValue("unit", column.unit)]
    if column.decimals is not None:
        properties.append(model.DynamicConfigValue("decimals", column.decimals))
    if column.words or column.limits != NO_LIMITS:
        properties += [
            model.DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"}),
            model.DynamicConfigValue("thresholds", thresholds(column.limits).build()),
            model.DynamicConfigValue("color", {"mode": "thresholds"}),
        ]
    if column.words:
        properties.append(model.DynamicConfigValue("mappings", mappings(column.words)))
    return properties
