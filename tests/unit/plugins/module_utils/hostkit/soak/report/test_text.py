"""The report on a terminal, and its line on the board."""

from __future__ import annotations

import unicodedata

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.board_text import text_width
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.report.text import render, render_board_line
from fakes import soak_reports


def test_the_verdict_its_reason_and_the_next_step_come_first() -> None:
    lines = render(soak_reports.failed())
    assert lines[0] == "✗ FAIL"
    assert lines[1].startswith("soak of web1, release v2.4.1")
    assert lines[2] == "Memory of agent-x grows by 6.1 MiB an hour, and 2 more checks failed."
    assert lines[3] == "Next: Look at what agent-x keeps in memory, or go back: hypercode rollback."


def test_only_what_did_not_pass_is_told_the_rest_is_counted() -> None:
    text = "\n".join(render(soak_reports.failed()))
    assert [line for line in text.splitlines() if line.startswith(("✗ FAIL ", "? INC"))] == [
        "✗ FAIL  Restarts",
        "✗ FAIL  Growth of memory",
        "✗ FAIL  Latency",
        "? INCONCLUSIVE  Errors of requests",
    ]
    assert "19 checks passed" in text
    assert "Certificates" not in text
    assert "redis: 0.2 MiB" not in text


def test_what_was_not_tested_is_told_of_a_good_one_too() -> None:
    lines = render(soak_reports.good())
    assert lines[lines.index("Not tested:") + 1 :] == [
        "  - Way from another host: there is no second host in the inventory",
        "  - Load test: none was asked for",
    ]
    assert lines[0] == "✓ PASS"
    assert "24 checks passed" in lines


def test_a_check_that_left_something_out_is_among_what_was_not_tested() -> None:
    report = soak_reports.good()
    report["checks"][0]["untested"] = "restarts before the first sample"
    assert "  - Restarts: restarts before the first sample" in render(report)


def test_one_that_runs_says_how_long_it_takes_yet() -> None:
    lines = render(soak_reports.running())
    assert lines[0] == "… RUNNING, 7 h left"
    assert "17 h of 24 h" in lines[1]


@pytest.mark.parametrize("width", [40, 60, 100])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_is_wider_than_the_terminal_nor_steers_it(width: int, unicode: bool) -> None:
    for report in (soak_reports.failed(), soak_reports.hostile()):
        for line in render(report, unicode=unicode, width=width):
            assert text_width(line) <= width
            assert not any(unicodedata.category(sign) in ("Cc", "Cs") for sign in line)


def test_without_unicode_our_own_signs_are_plain() -> None:
    assert all(line.isascii() for line in render(soak_reports.failed(), unicode=False))


def test_a_long_list_of_evidence_is_cut_short() -> None:
    report = soak_reports.failed()
    check = report["checks"][0]
    check["subjects"] = [
        {"subject": f"s{place}", "verdict": "FAIL", "observed": "3", "values": {}} for place in range(40)
    ]
    text = "\n".join(render(report))
    assert "s2: 3" in text
    assert "s3: 3" not in text
    assert "and 37 more" in text


def test_without_checks_it_does_not_say_that_any_passed() -> None:
    lines = render({})
    assert lines[0] == "? INCONCLUSIVE"
    assert "No check was made" in lines


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (soak_reports.running(), "soak: running, 7 h left, nothing found"),
        (soak_reports.running(found=True), "soak: FAIL, still running, 3 findings"),
        (soak_reports.good(), "soak: PASS, ended 2026-12-02 02:00 UTC"),
        (
            soak_reports.inconclusive(),
            "soak: INCONCLUSIVE, ended 2026-12-02 02:00 UTC: "
            "The host was started anew at 11:30 UTC, and nobody planned that.",
        ),
        ({"running": True}, "soak: running, nothing found"),
        ({}, "soak: INCONCLUSIVE"),
    ],
)
def test_the_board_has_one_line(report: dict[str, object], line: str) -> None:
    assert render_board_line(report) == line
