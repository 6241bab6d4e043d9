"""Synthetic days, healthy and with faults: the table, small. scripts/bench soak makes the large one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.judge.evaluate import evaluate, judge
from soak.generator import Fault, Habits, generate
from soak.table import ROWS, lines, measure

# Fewer services, and a sample each two minutes: the statistics see half hours anyway.
_SMALL = 4
_HEALTHY, _FAULTY = 10, 4


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [replace(row, habits=replace(row.habits, services=_SMALL, interval=120.0)) for row in ROWS if row.target]
    outcomes = measure([_FAULTY if row.fault else _HEALTHY for row in rows], 1, early=1, rows=rows)
    with capsys.disabled():
        print("\n" + "\n".join(lines(outcomes, rows)))
    for row, outcome in zip(rows, outcomes, strict=True):
        runs = sum(outcome.verdicts.values())
        if row.fault is None:
            assert outcome.verdicts["FAIL"] <= 1, row.name
            assert outcome.verdicts["PASS"] >= 0.6 * runs, row.name
        else:
            assert outcome.verdicts["PASS"] <= 1, row.name
            assert outcome.verdicts["FAIL"] >= 0.5 * runs, row.name


@pytest.mark.parametrize("fault", [None, Fault("leak", 4.0), Fault("disk", 12.0), Fault("storm", 4.0)])
def test_the_quick_form_of_a_made_soak_is_what_the_reader_makes_of_its_journal(
    tmp_path: Path, fault: Fault | None
) -> None:
    made = generate(11, [fault] if fault else [], Habits(services=3, interval=300.0, gaps=1.0))
    made.write(tmp_path / "journal.jsonl")
    assert evaluate(tmp_path) == json.loads(json.dumps(judge(made.recording(), made.settings)))


def test_the_same_seed_makes_the_same_soak() -> None:
    habits = Habits(services=2, interval=600.0)
    assert list(generate(5, [], habits).lines()) == list(generate(5, [], habits).lines())
    assert list(generate(5, [], habits).lines()) != list(generate(6, [], habits).lines())


def test_a_baseline_tells_the_day_from_a_leak(tmp_path: Path) -> None:
    # Seed for seed the same cycles: the earlier soak is the day without the leak.
    habits = Habits(services=2, interval=300.0, gaps=0.0, planned_restarts=0.0, bursts=0)
    generate(21, [], habits).write(tmp_path / "before.jsonl")
    generate(21, [Fault("leak", 3.0)], habits).write(tmp_path / "after.jsonl")
    report = evaluate(tmp_path / "after.jsonl", baseline=tmp_path / "before.jsonl")
    (leak,) = (check for check in report["checks"] if check["id"] == "memory_leak")
    assert leak["verdict"] == "FAIL"
    assert any(subject["values"].get("mib_per_hour") == pytest.approx(3.0, abs=0.3) for subject in leak["subjects"]), (
        leak
    )
    assert evaluate(tmp_path / "before.jsonl", baseline=tmp_path / "before.jsonl")["verdict"] == "PASS"
