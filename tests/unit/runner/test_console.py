"""What the user of scripts/test sees."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runner.console import Console, duration
from runner.outcome import EVIDENCE_LINES, LINE_WIDTH, Outcome, evidence, plain


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def console(out: io.StringIO, clock: Clock | None = None, *, verbose: bool = False, **environment: str) -> Console:
    return Console(out=out, verbose=verbose, environment={"TERM": "xterm", **environment}, clock=clock or Clock())


def bad(count: int = 1) -> Outcome:
    outcome = Outcome(passed=3)
    for number in range(count):
        outcome.fail(f"check-{number}", [f"line {line}" for line in range(200)])
    return outcome


@pytest.mark.parametrize("environment", [{"CI": "true"}, {"TERM": "dumb"}])
def test_plain_without_a_live_line_where_it_would_hurt(environment: dict[str, str], tmp_path: Path) -> None:
    out = Terminal()
    shown = console(out, **environment)
    shown.start("unit", tmp_path / "unit.log")
    shown.tick("busy")
    shown.finish(bad())
    shown.total(bad())
    assert "\x1b" not in out.getvalue()
    assert "\r" not in out.getvalue()


def test_one_live_line_on_a_terminal(tmp_path: Path) -> None:
    out, clock = Terminal(), Clock()
    shown = console(out, clock)
    log = tmp_path / "unit.log"
    log.write_text("first\n\x1b[31mlast\x1b[0m\n\n")
    shown.start("unit", log)
    clock.now = 75
    shown.tick()
    assert "\n" not in out.getvalue()
    assert out.getvalue().rpartition("\r\x1b[K")[2].split() == ["unit", "1", "min", "15", "s", "last"]


def test_a_log_gets_a_sign_of_life_every_minute(tmp_path: Path) -> None:
    out, clock = io.StringIO(), Clock()
    shown = console(out, clock)
    shown.start("unit", tmp_path / "unit.log")
    for clock.now in range(0, 150, 5):
        shown.tick("busy")
    assert out.getvalue().splitlines() == [
        "unit                 started",
        "unit                 1 min 00 s  busy",
        "unit                 2 min 00 s  busy",
    ]


def test_verbose_shows_all_of_the_log_once(tmp_path: Path) -> None:
    out = io.StringIO()
    shown = console(out, verbose=True)
    log = tmp_path / "unit.log"
    shown.start("unit", log)
    shown.tick()
    log.write_text("one\n")
    shown.tick()
    shown.tick()
    with log.open("a") as stream:
        stream.write("two\n")
    shown.finish(Outcome(passed=1))
    assert out.getvalue().splitlines()[1:3] == ["one", "two"]


@pytest.mark.parametrize("count", [1, 3, 20])
def test_a_failure_is_no_wall_of_text(count: int, tmp_path: Path) -> None:
    out = io.StringIO()
    shown = console(out)
    shown.start("lint", tmp_path / "lint.log")
    shown.finish(bad(count))
    lines = out.getvalue().splitlines()
    assert sum(line.startswith("    line ") for line in lines) <= max(EVIDENCE_LINES, 8 * count)
    assert sum("FAILED  check-" in line for line in lines) == count
    assert any(str(tmp_path / "lint.log") in line for line in lines)


def test_the_last_line_is_the_sum_and_nothing_else() -> None:
    out = Terminal()
    outcome = Outcome(passed=2)
    console(out).total(outcome)
    assert out.getvalue().splitlines()[-1] == "2 passed, 0 failed"
    outcome.skipped.append(("a", "b"))
    console(out).total(outcome)
    assert out.getvalue().splitlines()[-1] == "2 passed, 0 failed"
    assert "1 skipped, for the reasons above" in out.getvalue()
    assert outcome.line() == "2 passed, 0 failed, 1 skipped"


def test_what_failed_stands_at_the_end_once_more() -> None:
    out = Terminal()
    outcome = Outcome(passed=2)
    outcome.fail(
        "scenario dns, step verify", ["noise", "FAILED ../test_dns.py::test_zone[a b] - AssertionError: no", "more"]
    )
    outcome.fail("lint: ruff", ["a.py:1:1: E501"])
    console(out).total(outcome)
    assert plain(out.getvalue().replace("\n", "|")) == (
        "|What failed:|  scenario dns, step verify|    FAILED ../test_dns.py::test_zone[a b] - AssertionError: no"
        "|  lint: ruff||2 passed, 2 failed|"
    )


def test_skips_with_the_same_reason_are_one_line() -> None:
    outcome = Outcome(skipped=[("a", "no engine"), ("b", "no engine"), ("c", "too slow")])
    assert outcome.skip_lines() == ["a and 1 more: no engine", "c: too slow"]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("\x1b[1;31mred\x1b[0m\n", "red"),
        ("10 %\r20 %\r30 %", "30 %"),
        ("\x1b]0;title\x07a", "a"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_plain(raw: str, text: str) -> None:
    assert plain(raw) == text


@given(st.text())
def test_plain_text_cannot_move_the_cursor(text: str) -> None:
    assert not {"\x1b", "\r", "\x08"} & set(plain(text))


@given(st.lists(st.text(st.characters(codec="ascii"), max_size=300), max_size=100))
def test_evidence_is_short_and_the_latest(lines: list[str]) -> None:
    shown = evidence(lines)
    assert len(shown) <= EVIDENCE_LINES
    assert all(0 < len(line) <= LINE_WIDTH for line in shown)
    kept = [line for line in lines if line.strip()]
    assert bool(shown) == bool(kept)
    if kept:
        assert shown[-1][:100] == kept[-1].rstrip()[:100]


def test_duration() -> None:
    assert [duration(seconds) for seconds in (0.4, 59, 61, 3600)] == ["0 s", "59 s", "1 min 01 s", "60 min 00 s"]
