"""Building: the tree is as the code makes it, and who changes it by hand is told."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dashboards import __main__ as command
from dashboards import alerts, build, limits
from dashboards.board import Board, assemble
from dashboards.look import BAD, WARNING, WELL, Limits, in_words, thresholds
from dashboards.panels import BYTES, NUMBER, PART, SECONDS, number
from dashboards.queries import Query

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What is committed, somewhere else."""
    for name in build.files():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def test_a_build_leaves_the_tree_as_it_is(tree: Path) -> None:
    before = {name: (tree / name).read_bytes() for name in build.files()}
    assert build.stale(tree) == []
    assert build.write(tree) == []
    assert {name: (tree / name).read_bytes() for name in build.files()} == before


def test_it_is_made_the_same_each_time() -> None:
    other = "import json; from dashboards import build; print(json.dumps(build.files()))"
    # Another order of sets and dictionaries.
    words = [sys.executable, "-c", other]
    made = [
        subprocess.run(words, cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in "12"
    ]
    assert made[0] == made[1]


def test_what_was_changed_by_hand_is_named_and_mended(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, gone, extra = (tree / build.FOLDER / name for name in ("fleet.json", "agent.json", "old.json"))
    changed.write_text(changed.read_text().replace("Critical alerts", "Bad things"))
    gone.unlink()
    extra.write_text("{}")
    monkeypatch.setattr(build.stale, "__defaults__", (tree,))
    monkeypatch.setattr(build.write, "__defaults__", (tree,))
    assert command.main(["--check"]) == 1
    told = capsys.readouterr().err
    assert all(f"{build.FOLDER}/{path.name}" in told for path in (changed, gone, extra))
    assert "python -m dashboards" in told
    assert command.main([]) == 0
    assert command.main(["--check"]) == 0
    assert not extra.exists()
    assert changed.read_bytes() == (ROOT / build.FOLDER / "fleet.json").read_bytes()


@pytest.mark.parametrize("name", limits.SOURCES)
def test_a_limit_is_that_of_an_alert(name: str) -> None:
    found: Limits = getattr(limits, name)
    for alert, number_ in limits.SOURCES[name]:
        words = alerts.rules()[alert]["expr"]
        assert any(f"{sign} {number_}" in words for sign in "<>"), f"{alert}: {words}"
        value = float(eval(number_.replace("^", "**"), {"__builtins__": {}}))  # noqa: S307  A number that stands above.
        # Where the alert is about "more than none", half of one is more than none.
        near = [value, 1 - value, *([0.5] if value == 0 else [])]
        there = found.critical if alerts.rules()[alert]["severity"] == "critical" else found.warning
        assert any(there == pytest.approx(each) for each in near), f"{alert} has {value}"


def test_every_limit_has_a_source() -> None:
    there = {name for name, value in vars(limits).items() if isinstance(value, Limits)}
    assert there - {"NO_LIMITS", "ONE_RELEASE", "UNHEALTHY_TIME"} == set(limits.SOURCES)
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "dashboards").glob("*.py"))
    assert {name for name in limits.SOURCES if f"limits.{name}" not in code} == set()


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        (Limits(), [(None, WELL)]),
        (Limits(warning=1), [(None, WELL), (1, WARNING)]),
        (Limits(warning=1, critical=2), [(None, WELL), (1, WARNING), (2, BAD)]),
        (Limits(critical=2), [(None, WELL), (2, BAD)]),
        (Limits(warning=0.3, critical=0.1, below=True), [(None, BAD), (0.1, WARNING), (0.3, WELL)]),
        (Limits(critical=0.1, below=True), [(None, BAD), (0.1, WELL)]),
        (Limits(warning=0.3, below=True), [(None, WARNING), (0.3, WELL)]),
    ],
)
def test_the_colours_of_limits(given: Limits, steps: list[tuple[float | None, str]]) -> None:
    assert [(step.value, step.color) for step in thresholds(given).build().steps or []] == steps


@pytest.mark.parametrize(
    ("given", "unit", "words"),
    [
        (Limits(), NUMBER, ""),
        (Limits(warning=2.5), NUMBER, " (< 3)"),
        (Limits(critical=0.5), NUMBER, " (< 1)"),
        (Limits(warning=0.8, critical=0.95), PART, " (< 80 %)"),
        (Limits(critical=0.9856, below=True), PART, " (> 98.56 %)"),
        (Limits(critical=26 * 3600), SECONDS, " (< 1.1 d)"),
        (Limits(warning=8 * 86400), SECONDS, " (< 8 d)"),
        (Limits(warning=0.05), SECONDS, " (< 0.05 s)"),
        (Limits(warning=4 * 2**30), BYTES, " (< 4 GiB)"),
        (Limits(warning=0, below=True), BYTES, " (> 0 GiB)"),
    ],
)
def test_a_number_is_judged_without_its_colour(given: Limits, unit: str, words: str) -> None:
    assert in_words(given, unit) == words


def test_a_row_that_is_too_wide_is_refused() -> None:
    row = [number(title, Query("up"), normal="1.", act="look.", width=13) for title in ("One", "Two")]
    with pytest.raises(ValueError, match=r"One.*26 wide"):
        assemble(Board("hypercode-x", "X", "Why?", [row]))


def test_an_alert_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="ServiceTired"):
        number("Tired", Query("up"), normal="1.", act="look.", alerts=["ServiceTired"])
