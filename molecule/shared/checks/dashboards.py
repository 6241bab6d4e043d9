"""What the dashboards of Grafana ask Prometheus, read from their JSON: for tests that ask a running one the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

# What Grafana puts in by itself, and a host or an agent that stands for all of them.
VARIABLES = {"__rate_interval": "1m", "__range": "1h", "__interval": "15s", "host": ".*", "agent": ".*"}
EVENTS = Path(__file__).with_name("dashboards_events.json")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
_LABEL_VALUES = re.compile(r"label_values\((.*), *\w+\)")


class Expression(NamedTuple):
    """A question: `expr` is PromQL that can be asked as it is. `event` has to happen before it finds something."""

    dashboard: str
    panel: str
    expr: str
    ref: str
    event: str


def expressions(folder: Path) -> Iterator[Expression]:
    """All questions of the dashboards in a folder: of panels, of marks (ref `Anno`), of variables (ref `Variable`)."""
    events: dict[str, dict[str, str]] = json.loads(EVENTS.read_text(encoding="utf-8"))
    for path in sorted(folder.glob("*.json")):
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        of_board = events.get(dashboard["uid"], {})
        for panel, ref, expr in _asked(dashboard):
            yield Expression(dashboard["uid"], panel, substituted(expr), ref, of_board.get(f"{panel} {ref}", ""))


def _asked(dashboard: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["refId"], target["expr"]
    for mark in dashboard["annotations"]["list"]:
        yield mark["name"], mark["target"]["refId"], mark["target"]["expr"]
    for variable in dashboard["templating"]["list"]:
        found = _LABEL_VALUES.fullmatch(variable["query"])
        if found is None:
            raise ValueError(f"{dashboard['uid']}: the variable {variable['name']} does not ask for label_values.")
        yield variable["name"], "Variable", found[1]


def substituted(expr: str) -> str:
    """PromQL with a value for each variable. ValueError for one that is not known."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in VARIABLES:
            raise ValueError(f"${name} is no variable of these dashboards. Fix: add it to VARIABLES in {__name__}.")
        return VARIABLES[name]

    return _VARIABLE.sub(value, expr)
