"""The report for CI."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.report.junit import render
from fakes import soak_reports


def suite_of(report: dict[str, object]) -> ET.Element:
    found = ET.fromstring(render(report).encode()).find("testsuite")
    assert found is not None
    return found


def case_of(suite: ET.Element, name: str) -> ET.Element:
    return next(case for case in suite.iter("testcase") if case.get("name") == name)


def test_each_verdict_is_what_ci_knows() -> None:
    suite = suite_of(soak_reports.failed())
    counts = {
        name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "time", "hostname", "timestamp")
    }
    assert counts == {
        "tests": "24",
        "failures": "3",
        "errors": "1",
        "skipped": "1",
        "time": "86400",
        "hostname": "web1",
        "timestamp": "2026-12-01T02:00:00",
    }
    assert len(list(suite.iter("failure"))) == 3
    assert len(list(suite.iter("error"))) == 1
    failure = case_of(suite, "Growth of memory").find("failure")
    assert failure is not None
    assert failure.get("message") == "6.1 MiB an hour, 5.8 at the least (95 % sure): agent-x"
    assert "2026-12-01 06:00 UTC: agent-x 201 MiB" in str(failure.text)
    assert "Next: hypercode diagnose agent-x" in str(failure.text)
    skipped = case_of(suite, "Restore drill").find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "none was wanted"


def test_its_properties_say_which_soak_it_was() -> None:
    properties = {one.get("name"): one.get("value") for one in suite_of(soak_reports.good()).iter("property")}
    assert properties == {
        "run": "20261201T020000Z-web1",
        "host": "web1",
        "release": "v2.4.1 (20261201T013012Z-4f2a)",
        "verdict": "PASS",
        "next": "Nothing to do. The next release is compared with this soak.",
    }


@pytest.mark.parametrize(
    ("report", "kind"),
    [
        (soak_reports.good() | {"verdict": "FAIL", "reason": "canary"}, "failure"),
        (soak_reports.good() | {"verdict": "INCONCLUSIVE"}, "error"),
        (soak_reports.good() | {"verdict": None}, "error"),
        (soak_reports.good() | {"checks": []}, "error"),
        ({}, "error"),
        (soak_reports.running(), "skipped"),
    ],
)
def test_a_verdict_that_no_check_shows_does_not_get_lost(report: dict[str, object], kind: str) -> None:
    suite = suite_of(report)
    assert case_of(suite, "The verdict").find(kind) is not None
    assert int(suite.get("tests", "0")) == len(list(suite.iter("testcase")))


def test_a_good_one_has_nothing_but_passed_cases() -> None:
    suite = suite_of(soak_reports.good())
    assert [suite.get(name) for name in ("failures", "errors", "skipped")] == ["0", "0", "0"]


def test_hostile_names_leave_it_valid() -> None:
    text = render(soak_reports.hostile())
    suite = ET.fromstring(text.encode())
    assert any("</script><svg onload=alert(1)>" in str(case.get("name")) for case in suite.iter("testcase"))
    assert "<svg" not in text
