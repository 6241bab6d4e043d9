# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter that brings the results of several checks into one list of findings."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.filter.as_findings import FilterModule, as_findings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.findings import Finding as ComposeFinding
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding, read_findings

SETTING = Finding("setting", "error", "web_size", "web_size is no size.", "Write it as 10m.").as_dict()
COMPOSE = ComposeFinding(
    "image-not-pinned", "warning", "web", "web uses latest.", "pin it", "services.web.image", 3, "compose.yaml"
).as_dict()


def test_all_results_in_order() -> None:
    results = [{"findings": [SETTING]}, {"findings": []}, {"failed": True, "findings": [COMPOSE, SETTING]}]
    assert [finding["name"] for finding in as_findings(results)] == ["web_size", "web", "web_size"]
    assert as_findings([]) == []


def test_a_finding_keeps_what_it_says() -> None:
    assert as_findings([{"findings": [SETTING]}]) == [SETTING]


def test_a_finding_about_a_file_says_where() -> None:
    (finding,) = as_findings([{"findings": [COMPOSE]}])
    assert finding == {
        "rule": "image-not-pinned",
        "severity": "warning",
        "name": "web",
        "message": "web uses latest.",
        "fix": "pin it",
        "file": "compose.yaml",
        "line": "3",
    }


def test_a_finding_about_a_secret_has_its_hint_as_the_fix() -> None:
    secret = {
        "secret": "API_KEY",
        "rule": "weak",
        "severity": "error",
        "message": "API_KEY is weak.",
        "hint": "rotate it",
    }
    (finding,) = as_findings([{"findings": [secret]}])
    assert (finding["name"], finding["fix"]) == ("API_KEY", "rotate it")


@pytest.mark.parametrize(
    ("finding", "name", "place"),
    [
        ({**COMPOSE, "service": None}, "services.web.image", ("compose.yaml", "3")),
        ({**COMPOSE, "line": None}, "web", ("compose.yaml", None)),
        ({**COMPOSE, "file": None}, "web", (None, None)),
        ({"message": "m"}, "", (None, None)),
    ],
)
def test_what_may_be_missing(finding: dict[str, Any], name: str, place: tuple[str | None, str | None]) -> None:
    (found,) = as_findings([{"findings": [finding]}])
    assert (found["name"], (found.get("file"), found.get("line"))) == (name, place)
    assert found["severity"] in ("error", "warning")


def test_a_skipped_check_has_nothing_to_say() -> None:
    assert as_findings([{"skipped": True, "changed": False}]) == []


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"failed": True, "msg": "the file is gone"}, "the file is gone"),
        ({"failed": True}, "A check ended without a verdict."),
        ({}, "A check ended without a verdict."),
    ],
)
def test_a_check_without_a_verdict_is_a_finding(result: dict[str, Any], message: str) -> None:
    (found,) = as_findings([result, {"findings": []}])
    assert (found["rule"], found["severity"], found["message"]) == ("no-verdict", "error", message)
    assert found["fix"]


def test_host_check_can_read_every_one_of_them() -> None:
    found = as_findings([{"findings": [SETTING, COMPOSE]}, {"msg": "x"}])
    assert [one.as_dict() for one in read_findings(found)] == found


def test_ansible_finds_it_by_its_name() -> None:
    assert FilterModule().filters() == {"as_findings": as_findings}
