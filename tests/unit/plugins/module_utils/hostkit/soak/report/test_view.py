"""Reading a report: whatever stands in it, there is no traceback, and no PASS that nobody said."""

from __future__ import annotations

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.report import html, junit, markdown, text
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.report.view import (
    quantity,
    read,
    span,
    when,
    words,
)
from fakes import soak_reports


def test_no_broken_report_is_too_much_for_any_form() -> None:
    reports = [*soak_reports.broken(), soak_reports.hostile()]
    assert len(reports) > 400
    for report in reports:
        assert text.render(report)
        assert text.render_board_line(report).startswith("soak: ")
        assert "\n# " not in markdown.render(report)
        assert junit.render(report).startswith("<?xml")
        assert html.render(report).startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("verdict", [None, "pass", "OK", True, 1, ["PASS"], {"PASS": 1}])
def test_an_unknown_verdict_is_no_pass(verdict: object) -> None:
    assert read({"verdict": verdict}).verdict == "INCONCLUSIVE"
    assert read({"verdict": verdict, "running": True}).verdict == "RUNNING"
    assert read({"checks": [{"verdict": verdict}]}).checks[0].verdict == "INCONCLUSIVE"


def test_the_worst_checks_come_first() -> None:
    verdicts = [check.verdict for check in read(soak_reports.failed()).checks]
    assert verdicts == [*["FAIL"] * 3, "INCONCLUSIVE", "NOT TESTED", *["PASS"] * 19]


def test_more_points_than_may_be_are_thinned_and_their_time_stays() -> None:
    points = [[float(at), at] for at in range(10_000)]
    series = read(
        {"series": [{"name": "memory", "unit": "bytes", "subject": "x", "limit": 1, "points": points}]}
    ).series
    assert 250 < len(series[0].points) <= 300
    assert series[0].points[-1][0] > 9_900


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3599.9, "1 h"),
        (7 * 3600, "7 h"),
        (83_400, "23 h 10 min"),
        (86_400, "24 h"),
        (90_000, "25 h"),
        (172_800, "2 d"),
        (180_000, "2 d 2 h"),
        (None, ""),
    ],
)
def test_a_span_is_told_in_words(seconds: float | None, said: str) -> None:
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0, "bytes", "0"),
        (402 * 1024**2, "bytes", "402 MiB"),
        (0.0004, "share", "0.04 %"),
        (0.615, "share", "61.5 %"),
        (1.0, "share", "100 %"),
        (251.4, "ms", "251 ms"),
        (3.0, "count", "3"),
        (1e20, "count", "1.0e+20"),
        (2.0, "unheard of", "2"),
        (None, "ms", ""),
    ],
)
def test_a_quantity_is_told_with_its_unit(value: float | None, unit: str, said: str) -> None:
    assert quantity(value, unit) == said


def test_a_time_is_told_in_utc() -> None:
    assert when(soak_reports.BEGAN) == "2026-12-01 02:00 UTC"
    assert when(None) == ""


def test_a_foreign_text_is_one_line_of_some_length() -> None:
    assert words("a\n\tb\x1b[31m\u202ec") == "a bc"
    assert words("\ud800") == "?"
    assert len(words("x" * 10**7)) == 2000
    assert words(10**5000) == "a huge number"
