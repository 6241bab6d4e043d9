"""Journals as they come: torn, mixed up, with clocks that were set, of the watch, or of nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.judge.evaluate import UNJUDGED, evaluate
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.judge.read import JournalError, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from soak.generator import Habits, generate

CALM = Habits(services=2, interval=300.0, gaps=0.0, planned_restarts=0.0, bursts=0, plain=1.0, cycle_mib=0.0)
LINES = list(generate(1, [], CALM).lines())

Write = Callable[[list[Any]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write lines (objects, or text as it is) and return the folder of the soak."""

    def written(lines: list[Any]) -> Path:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (tmp_path / "journal.jsonl").write_text("\n".join(texts) + "\n")
        return tmp_path

    return written


def copy() -> list[Any]:
    """The lines of a good soak, to be changed."""
    return [json.loads(json.dumps(line)) for line in LINES]


def verdict_of(report: dict[str, Any], check: str) -> str:
    return str(next(one["verdict"] for one in report["checks"] if one["id"] == check))


def test_a_good_soak_passes_and_has_nothing_to_note(write: Write) -> None:
    report = evaluate(write(LINES))
    assert (report["verdict"], report["notes"]) == ("PASS", [])
    assert report["coverage"] == 1
    assert report["samples"] == 288


def test_no_journal_says_the_fix(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"is not there\. Fix: give"):
        evaluate(tmp_path / "nothing")
    with pytest.raises(JournalError, match=r"has no journal\.jsonl\. Fix"):
        evaluate(tmp_path)


def test_an_empty_journal_is_not_clear(write: Write) -> None:
    report = evaluate(write([]))
    assert report["verdict"] == "INCONCLUSIVE"
    assert any("no sample" in note for note in report["notes"])


def test_torn_lines_other_versions_and_other_runs_are_left_out_and_mentioned(write: Write) -> None:
    lines = copy()
    lines[5:5] = ['{"schema":1,"kind":"sam', "[1]", {**lines[5], "schema": 2}, {**lines[5], "run": "other"}]
    report = evaluate(write(lines))
    assert report["verdict"] == "PASS"
    assert report["samples"] == 288
    text = " ".join(report["notes"])
    assert "2 lines are no JSON" in text
    assert "1 lines are of another version" in text
    assert "1 lines are of another run" in text


def test_samples_twice_and_out_of_order_change_nothing(write: Write) -> None:
    lines = copy()
    good = evaluate(write(lines))
    lines[10], lines[40] = lines[40], lines[10]
    lines.insert(20, lines[20])
    report = evaluate(write(lines))
    assert any("out of order" in note for note in report["notes"])
    assert any("twice" in note for note in report["notes"])
    # Events of figures are those of the order of time.
    assert {**report, "notes": []} == {**good, "notes": []}


@pytest.mark.parametrize("moved", [-7200.0, 7200.0])
def test_a_clock_that_is_set_moves_nothing(write: Write, moved: float) -> None:
    lines = copy()
    for line in lines[100:]:
        line["time"] += moved
    report = evaluate(write(lines))
    assert report["coverage"] == 1
    assert verdict_of(report, "coverage") == "PASS"
    assert any("clock was set" in note for note in report["notes"])
    assert report["ended"] - report["began"] == pytest.approx(86400)


def reboot(lines: list[Any], expect: bool) -> list[Any]:
    """The host is away for ten minutes at line 100, and its containers are started with it."""
    del lines[100:102]
    for line in lines[100:]:
        line["boot"] = "another"
        line["monotonic"] -= 31000
        for row in line.get("containers", ()):
            row["started"] = lines[100]["time"] - 20
    for row in lines[100]["containers"] + lines[101]["containers"]:
        row |= {"up": False, "health": "unhealthy"}
    if expect:
        lines[0]["settings"]["expect"] = [{"what": "reboot", "begins": 29000, "ends": 32000, "service": ""}]
    return lines


def test_a_reboot_that_nobody_planned_leaves_it_open(write: Write) -> None:
    report = evaluate(write(reboot(copy(), expect=False)))
    assert report["verdict"] == "INCONCLUSIVE"
    assert verdict_of(report, "reboot") == "INCONCLUSIVE"
    # All began anew with the host, and was down for a while: that is no crash.
    assert verdict_of(report, "services_up") == "PASS"
    assert verdict_of(report, "restarts") == "PASS"


def test_a_reboot_that_was_planned_does_not_count(write: Write) -> None:
    report = evaluate(write(reboot(copy(), expect=True)))
    assert verdict_of(report, "reboot") == "PASS"
    assert verdict_of(report, "coverage") == "PASS"
    assert report["coverage"] == 1


def test_without_its_start_it_never_passes(write: Write) -> None:
    report = evaluate(write(copy()[1:]))
    assert report["verdict"] == "INCONCLUSIVE"
    assert any("no `start`" in note for note in report["notes"])


@pytest.mark.parametrize("lines", [LINES[:-1], LINES[:200], [*LINES[:200], LINES[-1]]])
def test_what_did_not_go_on_to_its_end_never_passes(write: Write, lines: list[Any]) -> None:
    assert evaluate(write(lines))["verdict"] == "INCONCLUSIVE"


def test_a_journal_of_the_watch_is_judged_as_far_as_it_goes(tmp_path: Path) -> None:
    keys = ("schema", "kind", "time", "monotonic", "boot", "containers", "missing")
    watch = [{key: line[key] for key in keys} for line in LINES if line["kind"] == "sample"]
    (tmp_path / "journal-20270115.jsonl").write_text("\n".join(map(json.dumps, watch[:100])))
    (tmp_path / "journal-20270116.jsonl").write_text("\n".join(map(json.dumps, watch[100:])))
    report = evaluate(tmp_path)
    assert report["verdict"] == "INCONCLUSIVE"
    assert report["samples"] == 288
    assert verdict_of(report, "restarts") == "PASS"
    assert "Errors of requests" in {one["what"] for one in report["not_tested"]}


def test_figures_that_make_no_sense_count_as_not_known(write: Write) -> None:
    lines = copy()
    wild = [-5, 1e300, "many", None, [], True, 10**400]
    for line, value in zip(lines[20:], wild, strict=False):
        line["containers"][0]["memory_anonymous"] = value
        line["containers"][0]["cpu_seconds"] = value
    text = json.dumps(lines[30]).replace('"memory_limit"', '"memory_anonymous": NaN, "memory_limit"')
    lines[30] = text
    report = evaluate(write(lines))
    assert any("figures are no numbers" in note for note in report["notes"])
    json.dumps(report, allow_nan=False)


def test_settings_that_make_no_sense_are_not_taken(write: Write) -> None:
    lines = copy()
    lines[0]["settings"]["duration"] = "long"
    report = evaluate(write(lines))
    assert report["duration"] == 86400
    assert any("usual" in note for note in report["notes"])


WILD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def sound(folder: Path) -> None:
    """No traceback, no PASS, and a report that can be written."""
    for running in (False, True):
        report = evaluate(folder / "journal.jsonl", running=running)
        assert report["verdict"] != "PASS"
        text = json.dumps(report, allow_nan=False, ensure_ascii=False)
        text.encode()
        assert UNJUDGED not in text


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(data=st.binary(max_size=400))
def test_bytes_of_any_kind_are_judged(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "journal.jsonl").write_bytes(data)
    sound(tmp_path)


PATHS = sorted(
    {(key,) for line in LINES for key in line}
    | {("containers", key) for key in LINES[5]["containers"][0]}
    | {("probes", key) for key in LINES[5]["probes"][0]}
    | {("host", key) for key in LINES[5]["host"]}
)


@QUICK
@given(
    changes=st.lists(st.tuples(st.integers(0, 12), st.sampled_from(PATHS), WILD), max_size=8), cut=st.integers(0, 30)
)
def test_a_journal_with_anything_in_its_place_is_judged(
    tmp_path: Path, changes: list[tuple[int, tuple[str, ...], Any]], cut: int
) -> None:
    lines = [json.loads(json.dumps(line)) for line in [*LINES[:12], LINES[-1]]]
    for index, path, value in changes:
        here: Any = lines[index]
        for key in path[:-1]:
            here = here.get(key) if isinstance(here, dict) else None
            here = here[0] if isinstance(here, list) and here else here
        if isinstance(here, dict):
            here[path[-1]] = value
    text = "\n".join(json.dumps(line) for line in lines)
    (tmp_path / "journal.jsonl").write_text(text[: len(text) - cut])
    sound(tmp_path)


def test_what_is_read_twice_is_the_same(tmp_path: Path) -> None:
    generate(3, [], CALM).write(tmp_path / "journal.jsonl")
    first, second = read(tmp_path)[0], read(tmp_path)[0]
    assert first.times == second.times
    assert len(first.times) == 288
