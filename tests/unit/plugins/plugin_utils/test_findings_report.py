# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings as JUnit XML and SARIF: what a CI system reads out of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import ERROR, WARNING, Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils import findings_report

PINNED = Finding("image-not-pinned", ERROR, "web", "web uses latest.", "pin it", "stack/compose.yaml", "3")
MEMORY = Finding("memory-low", WARNING, "memory", "Little <memory> & \x00 no swap.", "add some")


def results(report: findings_report.Report, **options: str) -> list[dict[str, Any]]:
    values = {"version": "1", "inventory": "inventories/example", "base": "/project", **options}
    document = json.loads(findings_report.sarif(report, **values))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    found: list[dict[str, Any]] = run["results"]
    for result in found:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert run["invocations"][0]["executionSuccessful"] is not any(r["level"] == "error" for r in found)
    return found


def test_junit_counts_what_stops_the_deploy() -> None:
    root = ElementTree.fromstring(findings_report.junit({"web1": [PINNED, MEMORY], "web2": []}))
    first, second = root.findall("testsuite")
    assert (first.get("name"), first.get("tests"), first.get("failures")) == ("web1", "2", "1")
    failure = first.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "web uses latest."
    assert "stack/compose.yaml:3" in (failure.text or "")
    assert "fix: pin it" in (failure.text or "")
    assert (second.get("tests"), second.get("failures")) == ("1", "0")


def test_junit_tells_warnings_and_passes() -> None:
    (suite,) = ElementTree.fromstring(findings_report.junit({"web1": [MEMORY]})).findall("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("2", "0")
    output = suite.find("testcase/system-out")
    assert output is not None
    assert "Little <memory> & ? no swap." in (output.text or "")


def test_sarif_has_each_finding_once_with_its_hosts() -> None:
    pinned, memory = results({"web1": [PINNED, MEMORY], "web2": [PINNED]})
    assert pinned["properties"]["hosts"] == ["web1", "web2"]
    assert pinned["level"] == "error"
    place = pinned["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "stack/compose.yaml"}, "region": {"startLine": 3}}
    assert memory["level"] == "warning"
    assert memory["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "inventories/example"


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("/project/stack/compose.yaml", "stack/compose.yaml"),
        ("/elsewhere/compose.yaml", "file:///elsewhere/compose.yaml"),
        ("compose.yaml", "compose.yaml"),
    ],
)
def test_sarif_paths_count_from_the_project(file: str, uri: str) -> None:
    (result,) = results({"web1": [Finding("r", ERROR, "n", "m", "f", file)]})
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_no_hosts_is_a_report_too() -> None:
    assert results({}) == []
    assert ElementTree.fromstring(findings_report.junit({})).tag == "testsuites"


def test_a_report_is_written_into_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.xml"
    findings_report.save(str(path), "text")
    assert path.read_text(encoding="utf-8") == "text"
