"""Waiting for services, with a clock that only moves when somebody sleeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.readiness import Outcome, Waiter
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.stack_state import Row
from hypothesis import given
from hypothesis import strategies as st

GOOD = Row("web", "agent", "web:1", "running", "healthy", 0, 0, "c1", 0, "t0")
STARTING = replace(GOOD, health="starting")
NO_CHECK = replace(GOOD, health="none")
STOPPED = replace(GOOD, state="exited", exit_code=1)


def wait(look: Callable[[float], Sequence[Row]], timeout: float = 20, **options: bool) -> Outcome:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    return Waiter(lambda: look(now[0]), timeout, lambda: now[0], sleep).wait(**options)


def test_all_ready_at_once_takes_no_time() -> None:
    outcome = wait(lambda now: [GOOD, replace(GOOD, service="db")])
    assert (outcome.is_good, outcome.seconds) == (True, 0)
    assert wait(lambda now: []).is_good


def test_ready_after_a_while() -> None:
    assert wait(lambda now: [GOOD if now >= 7 else STARTING]).seconds == 7


def test_ready_at_the_last_moment_counts() -> None:
    assert wait(lambda now: [GOOD if now >= 20 else STARTING]).is_good


def test_not_in_time() -> None:
    outcome = wait(lambda now: [GOOD, replace(STARTING, service="db")])
    assert not outcome.is_good
    assert ([row.service for row in outcome.late], outcome.seconds, outcome.timeout) == (["db"], 20, 20)


def test_unhealthy_may_recover() -> None:
    assert wait(lambda now: [GOOD if now >= 5 else replace(GOOD, health="unhealthy")]).is_good


def test_a_crash_ends_the_wait() -> None:
    outcome = wait(lambda now: [STOPPED if now >= 3 else STARTING, replace(STARTING, service="db")])
    assert ([row.service for row in outcome.crashed], outcome.late, outcome.seconds) == (["web"], (), 3)


def test_a_crash_does_not_end_the_wait_for_the_others() -> None:
    rows = lambda now: [STOPPED, replace(GOOD if now >= 9 else STARTING, service="db")]  # noqa: E731  A name for a type.
    outcome = wait(rows, first_crash_ends=False)
    assert ([row.service for row in outcome.crashed], outcome.late, outcome.seconds) == (["web"], (), 9)


def test_restarts_from_before_do_not_count() -> None:
    assert wait(lambda now: [replace(GOOD if now >= 5 else STARTING, restarts=40 + int(now >= 2))]).is_good


@pytest.mark.parametrize("row", [STARTING, NO_CHECK])
def test_restarts_while_we_wait_are_a_crash(row: Row) -> None:
    outcome = wait(lambda now: [replace(row, restarts=min(3, int(now // 2)))])
    assert [found.restarts for found in outcome.crashed] == [3]


def test_with_what_exit_code_it_crashes_is_seen_once_it_has_stopped() -> None:
    def look(now: float) -> list[Row]:
        # Docker's last attempt still runs when it is first seen, and has no exit code yet.
        return [
            replace(STARTING, restarts=3) if now < 2 else replace(STARTING, restarts=3, state="exited", exit_code=1)
        ]

    started = replace(STARTING, restarts=0)
    outcome = wait(lambda now: [started] if now == 0 else look(now))
    assert [(found.exit_code, found.restarts) for found in outcome.crashed] == [(1, 3)]


def test_without_a_check_it_has_to_run_without_a_restart() -> None:
    assert wait(lambda now: [NO_CHECK]).seconds == 3
    # Seen as running at each look, but it is another start: after 2 s it died once.
    assert wait(lambda now: [replace(NO_CHECK, started="t1" if now >= 2 else "t0")]).seconds == 5
    # Gone for a moment.
    assert wait(lambda now: [replace(NO_CHECK, state="restarting") if now == 2 else NO_CHECK]).seconds == 5.5


def test_the_engine_is_away_for_a_while() -> None:
    def look(now: float) -> list[Row]:
        if now < 4:
            raise EngineError("no engine")
        return [GOOD]

    assert wait(look).seconds == 4


def test_the_engine_stays_away() -> None:
    def look(_now: float) -> list[Row]:
        raise EngineError("no engine")

    outcome = wait(look)
    assert (outcome.is_good, outcome.engine, outcome.seconds) == (False, "no engine", 20)


@given(at=st.lists(st.integers(0, 30), min_size=1, max_size=4), timeout=st.integers(1, 20))
def test_it_waits_exactly_as_long_as_it_must(at: list[int], timeout: int) -> None:
    def look(now: float) -> list[Row]:
        return [replace(GOOD if now >= when else STARTING, service=str(n)) for n, when in enumerate(at)]

    outcome = wait(look, timeout)
    assert outcome.seconds == min(max(at), timeout)
    assert [row.service for row in outcome.late] == [str(n) for n, when in enumerate(at) if when > timeout]
