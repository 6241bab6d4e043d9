"""Puts panels together to a dashboard: places, variables, links, and a mark for each rollout and rollback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import dashboard as model

from .alerts import RUNBOOKS
from .look import BLUE, VERMILLION
from .panels import PROMETHEUS, Piece, link
from .queries import HOST, Query

WIDTH = 24
TAG = "hypercode"
# A choice of agent follows from dashboard to dashboard, as the time does.
HOSTS = "label_values(up, host)"
AGENTS = f"label_values(hypercode_container_up{{{HOST}}}, service)"


@dataclass(frozen=True)
class Board:
    """A dashboard. `about` is the question that it answers, `rows` are its panels from top to bottom."""

    uid: str
    title: str
    about: str
    rows: Sequence[Sequence[Piece]]
    # With a choice of one service.
    agent: bool = False
    since: str = "now-6h"
    # What looks back for days costs Prometheus more, and changes little in half a minute.
    refresh: str = "30s"
    links: Sequence[tuple[str, str]] = ()

    def pieces(self) -> list[Piece]:
        """All panels."""
        return [piece for row in self.rows for piece in row]


def marks() -> list[tuple[str, str, Query]]:
    """Name, colour and question of what is marked in all panels: the value of a series is when it happened."""
    return [(name, colour, Query(_released(how), event=event)) for name, colour, how, event in _MARKS]


def _released(how: str) -> str:
    # Grafana counts in milliseconds.
    return f'hypercode_stack_release_timestamp_seconds{{{HOST}, how="{how}"}} * 1000'


_MARKS = (
    ("Rollouts", BLUE, "rollout", ""),
    ("Rollbacks", VERMILLION, "rollback", "a rollback that is the release in use now"),
)


def assemble(board: Board) -> model.Dashboard:
    """The dashboard as Grafana reads it. ValueError when a row is too wide.

    In the first schema, which every Grafana takes from a file; only the newest ones take the second.
    """
    made = build.Dashboard(board.title).uid(board.uid).description(board.about).tags([TAG]).readonly()
    made.time(board.since, "now").refresh(board.refresh).timezone("browser")
    made.tooltip(model.DashboardCursorSync.CROSSHAIR)
    for variable in _variables(board):
        made.with_variable(variable)
    for annotation in _annotations():
        made.annotation(annotation)
    for each in _links(board):
        made.link(each)
    number, top = 0, 0
    for row in board.rows:
        left = 0
        for piece in row:
            number += 1
            place = model.GridPos(h=piece.height, w=piece.width, x=left, y=top)
            panel = piece.panel.build()
            panel.id_val, panel.grid_pos = number, place
            made.with_panel(_Built(panel))
            left += piece.width
        if left > WIDTH:
            raise ValueError(f"{board.uid}: the row of {row[0].title!r} is {left} wide. Fix: at most {WIDTH}.")
        top += max(piece.height for piece in row)
    return made.build()


class _Built(build.Panel):
    """A panel that is ready, for a builder that wants to make it."""

    def __init__(self, panel: model.Panel) -> None:
        super().__init__()
        self._internal = panel


def _variables(board: Board) -> list[build.QueryVariable]:
    host = _variable("host", "Host", HOSTS).multi(True).include_all(True).all_value(".*")
    host.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    return [host, *([_variable("agent", "Agent or service", AGENTS)] if board.agent else [])]


def _variable(name: str, label: str, query: str) -> build.QueryVariable:
    made = build.QueryVariable(name).label(label).datasource(PROMETHEUS).query(query).definition(query)
    # With each load, since hosts and services come and go.
    return made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)


def _annotations() -> list[build.AnnotationQuery]:
    made = []
    for name, colour, query in marks():
        target = prometheus.Dataquery().datasource(PROMETHEUS).expr(query.expr).ref_id("Anno").interval("60s").range()
        mark = build.AnnotationQuery().name(name).datasource(PROMETHEUS).enable(True).icon_color(colour)
        mark.target(target).use_value_for_time(True).tag_keys("host,project")
        made.append(mark.title_format("{{how}} on {{host}}").text_format("{{project}}: release {{release}}"))
    return made


def _links(board: Board) -> list[build.DashboardLink]:
    others = build.DashboardLink("Dashboards").type(model.DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
    others.keep_time(True).include_vars(True)
    pages = [("What an alert means", RUNBOOKS), *board.links]
    return [others, *(link(title, url) for title, url in pages)]
