"""What holds for every dashboard, as its JSON says it: what Grafana will read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import facts, wal_facts
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import metrics as certificates
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch import metrics as watch
from checks.dashboards import expressions, substituted

from dashboards import alerts, look
from dashboards.build import BOARDS, EVENTS, FOLDER
from dashboards.metrics import METRICS

ROOT = Path(__file__).resolve().parents[3]
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / FOLDER).glob("*.json"))
}
PANELS = [
    pytest.param(name, panel, id=f"{name}-{panel['title']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
]
ALL = list(expressions(ROOT / FOLDER))
PAGES = "https://github.com/hypercode/deploy/blob/main/docs/runbooks/"
OURS = {source: {"uid": source, "type": source} for source in ("prometheus", "jaeger")}
KNOWN = frozenset().union(*METRICS.values())
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)(\{(?:[^{}\"]|\"(?:[^\"\\]|\\.)*\")*\})?")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right) *\([^)]*\)")
WORDS = frozenset("and or unless bool offset by without on ignoring".split())


def selectors(expr: str) -> Iterator[tuple[str, str]]:
    """Name and labels of each series that PromQL looks at."""
    plain = re.sub(r"\[[^\]{}]*\]", " ", GROUPING.sub(" ", expr))
    for found in SELECTOR.finditer(plain):
        name, labels = found[1], found[2] or ""
        called = plain[found.end() :].lstrip().startswith("(")
        # The unit of a number, as in 1h, is none; nor is what stands in quotes, which only labels hold.
        if name not in WORDS and not called and not plain[: found.start()].endswith(tuple("0123456789")):
            yield name, labels


def metrics_of(expr: str) -> set[str]:
    return {name for name, _labels in selectors(expr)}


def within(value: Any, key: str) -> Iterator[Any]:
    """What stands under a key, however deep."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from within(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from within(inner, key)


def test_the_words_of_promql_are_no_metrics() -> None:
    expr = (
        'max by (host, x) (rate(a_total{host=~"b{c}", d="e (f"}[5m])) / on (g) group_left (h) (sum(i:j) > bool 1h) or k'
        " unless l offset 5m == 2e3"
    )
    assert list(selectors(expr)) == [("a_total", '{host=~"b{c}", d="e (f"}'), ("i:j", ""), ("k", ""), ("l", "")]


def test_there_is_one_for_each_subject() -> None:
    wanted = "fleet agent missions postgres redis host edge backup releases soak"
    assert sorted(DASHBOARDS) == sorted(wanted.split())


def test_no_two_are_taken_for_each_other() -> None:
    for key in ("uid", "title"):
        values = [dashboard[key] for dashboard in DASHBOARDS.values()]
        assert len(set(values)) == len(values)
    assert [dashboard["uid"] for dashboard in DASHBOARDS.values()] == [f"hypercode-{name}" for name in DASHBOARDS]


def test_the_page_leads_to_each() -> None:
    page = (ROOT / "docs/dashboards.md").read_text(encoding="utf-8")
    titles = re.findall(r"^\| [^|]+[?] \| ([^|]+) \|$", page, re.MULTILINE)
    assert titles == [board.title for board in BOARDS]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_it_is_read_in_two_minutes(name: str) -> None:
    dashboard = DASHBOARDS[name]
    panels = dashboard["panels"]
    assert len(panels) <= 12
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles)
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    assert dashboard["description"].endswith(("?", ".")), "the question that it answers"
    # The top row answers at one glance, across the whole width.
    top = [panel for panel in panels if panel["gridPos"]["y"] == 0]
    assert {panel["type"] for panel in top} == {"stat"}
    assert sum(panel["gridPos"]["w"] for panel in top) == 24


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_panel_lies_on_another(name: str) -> None:
    def covers(panel: dict[str, Any]) -> tuple[set[int], set[int]]:
        place = panel["gridPos"]
        return set(range(place["x"], place["x"] + place["w"])), set(range(place["y"], place["y"] + place["h"]))

    areas = [covers(panel) for panel in DASHBOARDS[name]["panels"]]
    assert all(max(columns) < 24 for columns, _rows in areas)
    assert not any(one[0] & other[0] and one[1] & other[1] for one, other in combinations(areas, 2))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafana_gives_what_is_grafanas_to_give(name: str) -> None:
    dashboard = DASHBOARDS[name]
    # Its own number and version of a dashboard: with them in the file, two of them fight.
    assert not {"id", "version", "iteration"} & set(dashboard)
    assert "pluginVersion" not in json.dumps(dashboard)
    assert dashboard["editable"] is False


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_datasource_is_named_by_its_fixed_uid(name: str) -> None:
    dashboard = DASHBOARDS[name]
    found = list(within(dashboard, "datasource"))
    assert found
    assert all(each in OURS.values() for each in found)
    for part in (*dashboard["panels"], *dashboard["annotations"]["list"], *dashboard["templating"]["list"]):
        assert "datasource" in part
    assert all("datasource" in target for panel in dashboard["panels"] for target in panel["targets"])
    assert "${DS_" not in json.dumps(dashboard)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_rollout_and_rollback_is_marked(name: str) -> None:
    marks = DASHBOARDS[name]["annotations"]["list"]
    assert [mark["name"] for mark in marks] == ["Rollouts", "Rollbacks"]
    for mark, how in zip(marks, ("rollout", "rollback"), strict=True):
        # Milliseconds: what Grafana takes for a time.
        metric = f'hypercode_stack_release_timestamp_seconds{{host=~"$host", how="{how}"}}'
        assert mark["target"]["expr"] == f"{metric} * 1000"
        assert (mark["enable"], mark["useValueForTime"]) == (True, True)
        assert "{{release}}" in mark["textFormat"]
        assert "{{host}}" in mark["titleFormat"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_hosts_are_chosen_in_the_same_way_everywhere(name: str) -> None:
    host, *others = DASHBOARDS[name]["templating"]["list"]
    assert (host["name"], host["multi"], host["includeAll"], host["allValue"]) == ("host", True, True, ".*")
    assert [variable["name"] for variable in others] == (["agent"] if name == "agent" else [])


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_a_panel_says_what_is_normal_and_what_to_do(name: str, panel: dict[str, Any]) -> None:
    normal, _gap, act = panel["description"].partition("\n\n")
    assert normal.startswith("**Normal:** ")
    assert act.startswith("**Otherwise:** ")
    assert panel["title"][0].isupper()
    assert len(panel["title"]) <= 45
    assert panel["fieldConfig"]["defaults"]["unit"]
    for link in panel["links"]:
        assert link["url"].startswith(PAGES)
        assert link["targetBlank"]
    if panel["type"] == "table":
        units = [
            each for each in panel["fieldConfig"]["overrides"] for one in each["properties"] if one["id"] == "unit"
        ]
        assert len(units) == len(panel["targets"])


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_a_panel_leads_to_the_runbook_of_an_alert_about_the_same(name: str, panel: dict[str, Any]) -> None:
    titles = {rule["runbook_url"]: alert for alert, rule in alerts.rules().items()}
    linked = {titles[link["url"]] for link in panel["links"]}
    assert {f"What to do: {alert}" for alert in linked} == {link["title"] for link in panel["links"]}
    asked = set().union(*(metrics_of(target["expr"]) for target in panel["targets"]))
    about = {alert for alert, rule in alerts.rules().items() if metrics_of(rule["expr"]) & asked}
    if about and not asked & {"ALERTS"}:
        assert linked, f"alerts about the same: {', '.join(sorted(about))}"


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_a_colour_is_never_the_only_sign(name: str, panel: dict[str, Any]) -> None:
    palette = {value for value in vars(look).values() if isinstance(value, str) and value.startswith("#")}
    colours = [*within(panel, "color"), *within(panel, "fixedColor")]
    assert {each for each in colours if isinstance(each, str)} <= palette
    # Each value that has a colour has a text, and what is bad another mark than what is well.
    for mapping in within(panel, "mappings"):
        for each in mapping:
            results = each["options"].values() if each["type"] == "value" else [each["options"]["result"]]
            for result in results:
                assert result["text"]
                assert (result["color"] == look.BAD) == result["text"].startswith("✖")
    if panel["type"] == "stat":
        assert panel["options"]["textMode"] in {"value", "value_and_name"}
    modes = {each["mode"] for each in within(panel, "color") if isinstance(each, dict)}
    assert modes <= {"thresholds", "fixed", "continuous-BlPu"}


def test_promtool_understands_every_question(tmp_path: Path) -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool (package prometheus) is not installed")
    rules = [{"record": f"question:{number}", "expr": each.expr} for number, each in enumerate(ALL)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "questions", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{len(ALL)} rules found" in done.stdout


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_a_question_is_about_what_is_told_and_about_the_chosen_hosts(name: str, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        for metric, labels in selectors(target["expr"]):
            assert metric in KNOWN, target["expr"]
            # Joined with ALERTS, which names the hosts.
            if metric != "ALERTS_FOR_STATE":
                assert 'host=~"$host"' in labels, target["expr"]
        assert not re.search(r"=~?\"\$(?!host|agent)", target["expr"])
        for sign in re.findall(r"(\S{2})\"\$(?:host|agent)", target["expr"]):
            assert sign == "=~"
        if "$agent" in target["expr"]:
            assert name == "agent"


def test_what_is_known_is_asked_for() -> None:
    asked = set().union(*(metrics_of(each.expr) for each in ALL))
    assert asked == KNOWN


def test_our_own_programs_tell_what_is_asked() -> None:
    told = {f"hypercode_container_{name}" for name in watch._CONTAINER} | {
        f"hypercode_watch_{name}" for name in watch._WATCH
    }
    assert told >= METRICS["hypercode_watch"]
    told = {f"hypercode_backup_{name}" for name in facts._HELP} | {
        f"hypercode_backup_wal_{name}" for name in wal_facts._HELP
    }
    assert told >= METRICS["hypercode_backup"]
    assert set(certificates._HELP) >= METRICS["hypercode_certificate"]
    slo = yaml.safe_load((alerts.RULES / "slo.yml").read_text(encoding="utf-8"))
    recorded = {rule["record"] for group in slo["groups"] for rule in group["rules"] if "record" in rule}
    assert recorded >= METRICS["recording rules"]


def test_an_event_is_that_of_a_question_that_there_is() -> None:
    events = json.loads((ROOT / EVENTS).read_text(encoding="utf-8"))
    there = {board.uid: {f"{each.panel} {each.ref}" for each in ALL if each.dashboard == board.uid} for board in BOARDS}
    assert {uid: set(names) - there[uid] for uid, names in events.items()} == {board.uid: set() for board in BOARDS}
    assert {bool(each.event) for each in ALL} == {True, False}


def test_a_variable_that_is_not_known_is_found() -> None:
    assert substituted('a{b=~"$host"}[$__range]') == 'a{b=~".*"}[1h]'
    assert substituted("a[${__interval}]") == "a[15s]"
    with pytest.raises(ValueError, match="nobody"):
        substituted('a{b=~"$nobody"}')
