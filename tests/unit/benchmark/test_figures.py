"""Medians, ratios, the table and the sentence of scripts/bench."""

from __future__ import annotations

import pytest
from benchmark.figures import Side, ratio_of, sentence, table
from benchmark.playbook import Run
from hypothesis import given
from hypothesis import strategies as st


def side(name: str, tasks: int, *seconds: float) -> Side:
    return Side(name, [Run(value, tasks, 1) for value in seconds])


OURS = side("site.yml", 25, 5.0, 4.0, 6.0)
USUAL = side("the usual way", 100, 40.0, 40.0, 42.0)


def test_ratio_is_usual_by_ours() -> None:
    ratio = ratio_of(OURS, USUAL)
    assert (ratio.median, ratio.smallest, ratio.largest) == (8.0, 7.0, 10.0)
    assert ratio.as_json() == {"median": 8.0, "pairwise_min": 7.0, "pairwise_max": 10.0}


@given(st.lists(st.tuples(st.floats(0.1, 1e4), st.floats(0.1, 1e4)), min_size=1, max_size=9))
def test_the_single_rounds_are_in_order(rounds: list[tuple[float, float]]) -> None:
    ours, usual = zip(*rounds, strict=True)
    ratio = ratio_of(side("a", 1, *ours), side("b", 1, *usual))
    assert 0 < ratio.smallest <= ratio.largest
    if len(rounds) == 1:
        assert ratio.smallest == ratio.median == ratio.largest


@pytest.mark.parametrize(("ours", "usual"), [(side("a", 1), side("b", 1)), (side("a", 1, 1.0), side("b", 1))])
def test_no_ratio_without_pairs(ours: Side, usual: Side) -> None:
    with pytest.raises(ValueError, match=r"\d runs of a against \d of b"):
        ratio_of(ours, usual)


def test_a_number_of_tasks_that_changes_is_refused() -> None:
    moved = Side("site.yml", [Run(1.0, 25, 1), Run(1.0, 26, 1)])
    with pytest.raises(ValueError, match=r"site\.yml had 25 and 26 tasks"):
        table([moved])


def test_json_of_a_side() -> None:
    assert OURS.as_json() == {
        "tasks": 25,
        "seconds": [5.0, 4.0, 6.0],
        "seconds_min": 4.0,
        "seconds_median": 5.0,
        "seconds_max": 6.0,
        "seconds_per_task": 0.2,
    }


def test_table() -> None:
    assert table([OURS, USUAL]) == [
        "                 tasks       min    median       max  per task",
        "  site.yml          25     4.0 s     5.0 s     6.0 s    0.20 s",
        "  the usual way    100    40.0 s    40.0 s    42.0 s    0.40 s",
    ]


def test_sentence() -> None:
    assert sentence(OURS, USUAL, 1) == (
        "A run that changes nothing on 1 host takes 5.0 s with site.yml (25 tasks) and 40.0 s the usual way "
        "(100 tasks): 8.0 times as long (7.0 to 10.0 in the single rounds)."
    )


def test_sentence_of_a_single_round_that_we_lost() -> None:
    text = sentence(side("site.yml", 9, 4.0), side("the usual way", 3, 2.0), 2)
    assert text.endswith(
        "on 2 hosts takes 4.0 s with site.yml (9 tasks) and 2.0 s the usual way (3 tasks): 0.5 times as long."
    )


@pytest.mark.parametrize(("seconds", "unsteady"), [((4.0, 6.0), False), ((4.0, 6.1), True), ((4.0,), False)])
def test_unsteady(seconds: tuple[float, ...], unsteady: bool) -> None:
    assert side("a", 1, *seconds).unsteady is unsteady
