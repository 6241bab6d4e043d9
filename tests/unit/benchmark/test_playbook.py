"""What scripts/bench reads from the output of a playbook, and how it runs one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmark.playbook import Player, read
from hypothesis import given
from hypothesis import strategies as st
from testbed.shell import TestbedError

GOOD = """start  docker  on web1
done  docker  1 s

localhost : ok=1 changed=0 unreachable=0 failed=0 skipped=0 rescued=0 ignored=0
web1      : ok=28 changed=0 unreachable=0 failed=0 skipped=4 rescued=0 ignored=0
Done in 5 s, 25 tasks on 2 hosts. tasks=25
"""
CHANGED = """start  docker  on web1, web2
changed  web1  docker : Write the settings of the engine
done  docker  1 s, 1 changed

web1 : ok=28 changed=2 unreachable=0 failed=0 skipped=4 rescued=0 ignored=0
web2 : ok=28 changed=1 unreachable=0 failed=0 skipped=4 rescued=0 ignored=0
Done in 5 s, 24 tasks on 2 hosts. tasks=24
"""
CHECKED = """check: nothing will be changed
would change  web1  stack : Start the stack
web1 : ok=9 changed=1 unreachable=0 failed=0 skipped=0 rescued=0 ignored=0
Done in 34 s, 97 tasks on 1 host. tasks=97 (check: nothing was changed)
"""


def test_a_run_without_changes() -> None:
    run = read(GOOD.splitlines(), 4.5)
    assert run is not None
    assert (run.seconds, run.tasks, run.hosts, run.changed, run.changes) == (4.5, 25, 1, 0, ())


def test_changes_are_added_up_and_named() -> None:
    run = read(CHANGED.splitlines(), 1)
    assert run is not None
    assert (run.tasks, run.hosts, run.changed) == (24, 2, 3)
    assert run.changes == ("web1  docker : Write the settings of the engine",)


def test_what_check_mode_would_change() -> None:
    run = read(CHECKED.splitlines(), 1)
    assert run is not None
    assert (run.tasks, run.changed, run.changes) == (97, 1, ("web1  stack : Start the stack",))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ERROR! the playbook could not be found\n",
        GOOD.replace("unreachable=0", "unreachable=1"),
        GOOD.replace("failed=0", "failed=1"),
        GOOD.partition("\n\n")[0],
        # Another callback: its recap has no number of tasks.
        GOOD.replace("tasks=25", ""),
    ],
)
def test_a_run_that_did_not_get_to_its_end_has_no_figures(text: str) -> None:
    assert read(text.splitlines(), 1) is None


@given(st.lists(st.text(), max_size=20))
def test_noise_before_the_recap_changes_no_figure(noise: list[str]) -> None:
    lines = [line for text in noise for line in text.splitlines()]
    quiet = [line for line in lines if "tasks=" not in line and "changed" not in line and "change  " not in line]
    assert read([*quiet, *GOOD.splitlines()], 2.0) == read(GOOD.splitlines(), 2.0)


class FakeChildren:
    """Writes what a playbook would print, and ends as it would."""

    def __init__(self, text: str, code: int = 0) -> None:
        self.text, self.code = text, code
        self.words: list[str] = []
        self.env: dict[str, str] = {}

    def run(self, argv: list[str | Path], *, log: Path, env: dict[str, str], **_options: Any) -> int:
        self.words, self.env = [str(word) for word in argv], env
        with log.open("a") as stream:
            stream.write(f"$ {' '.join(self.words)}\n{self.text}")
        return self.code


def player(folder: Path, children: Any, limit: str = "") -> Player:
    ticks: Iterator[float] = iter([10.0, 14.5, 20.0, 30.0])
    return Player(folder, Path("inv"), folder / "log", children, clock=lambda: next(ticks), limit=limit)


def test_the_time_is_that_of_the_playbook_alone(tmp_path: Path) -> None:
    children = FakeChildren(GOOD)
    run = player(tmp_path, children).play("site.yml", "--check")
    assert (run.seconds, run.tasks) == (4.5, 25)
    assert children.words[1:] == ["site.yml", "-i", "inv", "--check"]
    assert (children.env["CI"], children.env["HYPERCODE_PROGRESS"]) == ("true", "plain")


def test_whatever_is_played_keeps_to_the_hosts_that_were_asked_for(tmp_path: Path) -> None:
    children = FakeChildren(GOOD)
    player(tmp_path, children, limit="web1").play("site.yml", "--check")
    assert children.words[1:] == ["site.yml", "-i", "inv", "--limit", "web1", "--check"]


def test_each_run_is_judged_by_its_own_lines(tmp_path: Path) -> None:
    children = FakeChildren(CHANGED)
    both = player(tmp_path, children)
    assert both.play("a.yml").changed == 3
    children.text = GOOD
    assert (both.play("b.yml").changed, children.words[1]) == (0, "b.yml")


@pytest.mark.parametrize(("text", "code"), [(GOOD, 2), ("ERROR! no such host\n", 0)])
def test_a_failed_run_shows_its_last_lines(text: str, code: int, tmp_path: Path) -> None:
    with pytest.raises(TestbedError) as caught:
        player(tmp_path, FakeChildren(text, code)).play("site.yml")
    assert text.splitlines()[-1] in str(caught.value)
    assert "$ " not in str(caught.value)
    assert str(tmp_path / "log") in str(caught.value)
