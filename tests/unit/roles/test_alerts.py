"""What holds for every alert: its words, its page, its tests. What each one does, `tests/promtool` shows."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "roles/stack/templates/tree/etc/hypercode/stack/prometheus/rules"
RUNBOOKS = ROOT / "docs/runbooks"
PUBLIC = "https://github.com/hypercode/deploy/blob/main/docs/runbooks/"
# Somebody is woken; it waits for the working day; a machine elsewhere notices when it is not heard any more.
SEVERITIES = ("critical", "warning", "none")
SECTION = re.compile(r"^## `(\w+)`$", re.MULTILINE)
PARTS = ("**Means.**", "**Confirm.**", "**Mend.**", "**Over when**")
# Scrapes are 15 seconds apart, and a rate needs some of them even when one fails.
SHORTEST = 4 * 15
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
PLAYBOOK = re.compile(r"ansible-playbook ([\w/]+\.yml)")
HOST_COMMAND = re.compile(r"(?<![-\w./])hypercode ([a-z][^\n]*)")

FILES = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(RULES.glob("*.yml"))}
ALL = [rule for content in FILES.values() for group in content["groups"] for rule in group["rules"]]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in ALL if "alert" in rule}
RECORDED: dict[str, str] = {rule["record"]: rule["expr"] for rule in ALL if "record" in rule}
PAGES = {path.name: path.read_text(encoding="utf-8") for path in sorted(RUNBOOKS.glob("*.md"))}


def cases() -> Iterator[tuple[str, bool, set[str]]]:
    """Each thing that the tests of promtool ask: the alert, whether it has to fire, and the metrics that were there."""
    for path in sorted((ROOT / "tests/promtool").glob("*_test.yml")):
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            metrics = {re.split(r"[{ ]", series["series"])[0] for series in test["input_series"]}
            for asked in test.get("alert_rule_test", ()):
                yield asked["alertname"], bool(asked["exp_alerts"]), metrics


CASES = list(cases())


def metrics_of(expression: str) -> set[str]:
    """The metrics that an expression looks at, those of recorded ones too."""
    found: set[str] = set()
    for word in re.findall(r"[a-zA-Z_:][\w:]*", re.sub(r'"[^"]*"', "", expression)):
        found |= metrics_of(RECORDED[word]) if word in RECORDED else {word}
    return found


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_it_is_where_to_read_on_and_what_to_do_next(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in SEVERITIES
    words = rule["annotations"]
    assert set(words) == {"summary", "description", "runbook_url"}
    assert "\n" not in words["summary"]
    assert "$labels.host" in words["summary"] or rule["labels"]["severity"] == "none"
    assert len(words["summary"]) < 120
    assert "Next: " in words["description"] or "hypercode backup list" in words["description"]
    page, _hash, anchor = words["runbook_url"].removeprefix(PUBLIC).partition("#")
    assert words["runbook_url"].startswith(PUBLIC)
    # GitHub's name for a headline: in lower case, without the marks of code.
    assert anchor == name.lower()
    assert name in SECTION.findall(PAGES[page])


def test_the_pages_are_where_the_project_says_that_it_is() -> None:
    assert PUBLIC.startswith(yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["repository"] + "/")


def test_a_name_stands_for_one_alert() -> None:
    names = [rule["alert"] for rule in ALL if "alert" in rule]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_tells_meaning_proof_cure_and_end(name: str) -> None:
    page = next(text for text in PAGES.values() if name in SECTION.findall(text))
    section = re.split(r"^## ", page.split(f"## `{name}`\n")[1], flags=re.MULTILINE)[0]
    places = [section.find(part) for part in PARTS]
    assert -1 not in places, f"{name} lacks {PARTS[places.index(-1)]}"
    assert places == sorted(places)


def test_a_runbook_is_about_alerts_that_exist() -> None:
    told = [name for text in PAGES.values() for name in SECTION.findall(text)]
    assert sorted(told) == sorted(ALERTS)


def test_the_first_page_lists_every_alert_with_its_severity() -> None:
    rows = re.findall(r"^\| \[(\w+)\]\(([\w.#]+)\) \| (\w+) \|$", PAGES["README.md"], re.MULTILINE)
    wanted = [
        (name, rule["annotations"]["runbook_url"].removeprefix(PUBLIC), rule["labels"]["severity"])
        for name, rule in ALERTS.items()
    ]
    assert sorted(rows) == sorted(wanted)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tried_firing_and_quiet(name: str) -> None:
    wanted = metrics_of(ALERTS[name]["expr"])
    kinds = {fires for alert, fires, there in CASES if alert == name and (fires or wanted & there)}
    # The one that always fires cannot be quiet.
    assert kinds == ({True} if ALERTS[name]["labels"]["severity"] == "none" else {True, False})


def test_promtool_is_asked_about_alerts_that_exist() -> None:
    assert {alert for alert, _fires, _metrics in CASES} <= set(ALERTS)


@pytest.mark.parametrize("expression", [rule["expr"] for rule in ALL])
def test_a_range_is_long_enough_and_nothing_is_missed_that_may_be_away(expression: str) -> None:
    spans = [int(number) * SECONDS[unit] for number, unit in re.findall(r"\[(\d+)([smhd])\]", expression)]
    assert all(span >= SHORTEST for span in spans)
    # It fires for every host that has no such exporter.
    assert "absent" not in expression
    if "predict_linear" in expression:
        assert "tmpfs" in expression
        assert "hypercode_host_filesystem_readonly" in expression


@pytest.mark.parametrize("page", PAGES)
def test_a_runbook_leads_to_what_exists(page: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", PAGES[page]):
        name, _hash, anchor = target.partition("#")
        path = RUNBOOKS / (name or page)
        assert path.is_file(), target
        headlines = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", headline).lower().replace(" ", "-") for headline in headlines}
        assert not anchor or anchor in anchors, target


def host_parser() -> argparse.ArgumentParser:
    return cli._parser()


def follow(words: list[str]) -> tuple[argparse.ArgumentParser, list[str], list[str]]:
    """Go down the verbs of the host command: the parser of the last one, those that were passed, the other words."""
    parser, passed = host_parser(), []
    while words:
        below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not below or words[0] not in below[0].choices:
            break
        parser, passed, words = below[0].choices[words[0]], [*passed, words[0]], words[1:]
    return parser, passed, words


def commands_of(page: str) -> Iterator[str]:
    """What stands as code in a page: blocks and spans."""
    for line in page.splitlines():
        if line.startswith("    "):
            yield line.strip()
        else:
            yield from re.findall(r"`([^`]+)`", line)


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_runbook_exist(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands_of(PAGES[page]):
        for playbook in PLAYBOOK.findall(command):
            assert (ROOT / playbook).is_file(), command
        for words in HOST_COMMAND.findall(command):
            try:
                host_parser().parse_args(shlex.split(words))
            except SystemExit:
                pytest.fail(f"{page}: {command}: {capsys.readouterr().err.splitlines()[-1]}")


@pytest.mark.parametrize("name", ALERTS)
def test_the_next_command_of_an_alert_exists(name: str) -> None:
    description = ALERTS[name]["annotations"]["description"]
    for words in HOST_COMMAND.findall(description):
        parser, passed, _rest = follow(re.findall(r"[\w-]+", words))
        needs_more = any(isinstance(each, argparse._SubParsersAction) and each.required for each in parser._actions)
        assert passed, description
        assert not needs_more, description


def test_a_command_that_does_not_exist_is_found() -> None:
    assert HOST_COMMAND.findall("sudo hypercode statsu") == ["statsu"]
    with pytest.raises(SystemExit):
        host_parser().parse_args(["statsu"])
    assert follow(["backup", "runs"])[1:] == (["backup"], ["runs"])
