"""scripts/bench converge: when it trusts its figures, what it writes, and what it says to a user's mistakes."""

from __future__ import annotations

import dataclasses
import importlib.machinery
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from benchmark import converge
from benchmark.playbook import Run
from testbed import engine, hosts
from testbed.shell import TestbedError

ROOT = Path(__file__).resolve().parents[3]


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("scripts_bench", str(ROOT / "scripts" / "bench"))
    spec = importlib.util.spec_from_loader("scripts_bench", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


bench = script()


class FakePlayer:
    """Answers as playbooks would. `answers`: what to return for the nth run of a command line (words joined)."""

    def __init__(self, wish: converge.Wish, paths: list[str]) -> None:
        self.wish, self.paths = wish, paths
        self.played: list[str] = []
        self.answers: dict[tuple[str, int], Run] = {}

    def play(self, playbook: str, *words: str) -> Run:
        name = f"{Path(playbook).name}{' --check' if '--check' in words else ''}"
        self.played.append(name)
        if name == "look.yml":
            folder = self.wish.output / "web1"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "host.json").write_text(json.dumps({"paths": self.paths}))
        usual = Run(40.0, 100, 1) if name.startswith("playbook.yml") else Run(5.0, 25, 1)
        return self.answers.get((name, self.played.count(name)), usual)


@pytest.fixture
def wish(tmp_path: Path) -> converge.Wish:
    (tmp_path / converge.HOSTKIT).mkdir(parents=True)
    (tmp_path / converge.HOSTKIT / "a.py").touch()
    (tmp_path / "galaxy.yml").write_text("version: 1.2.3")
    tasks = tmp_path / converge.USUAL_FOLDER / "roles" / "base" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "main.yml").write_text(yaml.safe_dump([{"ansible.builtin.file": {"path": "/etc/x"}}]))
    return converge.Wish(tmp_path, tmp_path / "inv", "inventories/mine", 2, tmp_path / "new" / "out.json")


@pytest.fixture
def player(wish: converge.Wish) -> FakePlayer:
    return FakePlayer(wish, ["/etc/x", "/usr/local/lib/hypercode/hostkit/a.py"])


def measure(wish: converge.Wish, player: Any) -> None:
    converge.run(wish, player)


def test_the_order_of_the_runs(wish: converge.Wish, player: FakePlayer) -> None:
    measure(wish, player)
    assert player.played == [
        *("site.yml --check", "look.yml", "playbook.yml --check"),
        *("site.yml", "playbook.yml") * 3,
    ]


def test_quick_plays_each_way_once_and_changes_nothing(wish: converge.Wish, player: FakePlayer, capsys: Any) -> None:
    measure(dataclasses.replace(wish, runs=1, warm_up=False), player)
    assert player.played == ["site.yml --check", "look.yml", "playbook.yml --check"]
    found = json.loads(wish.json.read_text())
    assert (found["warmed_up"], found["runs"], found["ratio"]["median"]) == (False, 1, 8.0)
    assert "run it without --quick" in capsys.readouterr().out


def test_what_is_said_and_written(wish: converge.Wish, player: FakePlayer, capsys: pytest.CaptureFixture[str]) -> None:
    # The warm-up does not count.
    player.answers = {("site.yml", 1): Run(99.0, 25, 1), ("site.yml", 3): Run(4.0, 25, 1)}
    measure(wish, player)
    said = capsys.readouterr().out
    assert "Round 2 of 2: site.yml 4.0 s, the usual way 40.0 s" in said
    assert "8.9 times as long (8.0 to 10.0 in the single rounds)" in said
    assert "differ much" not in said
    found = json.loads(wish.json.read_text())
    assert found["ours"]["seconds"] == [5.0, 4.0]
    assert found["usual"]["tasks_for_hostkit"] == 2
    assert found["ratio"] == {"median": 8.89, "pairwise_min": 8.0, "pairwise_max": 10.0, "tasks": 4.0}
    assert (found["schema"], found["hosts"], found["runs"], found["inventory"]) == (1, 1, 2, "inventories/mine")
    assert found["versions"]["hypercode.deploy"] == "1.2.3"


def test_a_busy_machine_is_told(wish: converge.Wish, player: FakePlayer, capsys: pytest.CaptureFixture[str]) -> None:
    player.answers = {("site.yml", 3): Run(9.0, 25, 1)}
    measure(wish, player)
    assert "something else uses this machine" in capsys.readouterr().out


CHANGED = Run(5.0, 25, 1, 1, ("web1  base : Write the kernel settings",))


def test_a_host_that_is_not_converged_is_left_alone(wish: converge.Wish, player: FakePlayer) -> None:
    player.answers = {("site.yml --check", 1): CHANGED}
    with pytest.raises(TestbedError, match=r"Next: .*site.yml -i inventories/mine") as caught:
        measure(wish, player)
    assert "web1  base : Write the kernel settings" in str(caught.value)
    assert player.played == ["site.yml --check"]


def test_a_usual_way_that_would_change_something_never_runs(wish: converge.Wish, player: FakePlayer) -> None:
    player.answers = {("playbook.yml --check", 1): CHANGED}
    with pytest.raises(TestbedError, match="the usual way is not without changes") as caught:
        measure(wish, player)
    assert "web1  base : Write the kernel settings" in str(caught.value)
    assert "playbook.yml" not in player.played


@pytest.mark.parametrize("playbook", ["site.yml", "playbook.yml"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_change_in_any_run_means_no_figures(
    playbook: str, number: int, wish: converge.Wish, player: FakePlayer
) -> None:
    wish.json.parent.mkdir()
    wish.json.write_text("of an earlier run")
    player.answers = {(playbook, number): CHANGED}
    with pytest.raises(TestbedError, match="Write the kernel settings"):
        measure(wish, player)
    assert not wish.json.exists()


def test_a_file_that_the_usual_way_forgot(wish: converge.Wish, player: FakePlayer) -> None:
    player.paths.append("/etc/new.conf")
    with pytest.raises(TestbedError, match=r"site\.yml manages 1:\n  /etc/new\.conf\n"):
        measure(wish, player)
    assert "playbook.yml --check" not in player.played


def test_what_an_earlier_run_read_does_not_count(wish: converge.Wish, player: FakePlayer) -> None:
    gone = wish.output / "gone" / "host.json"
    gone.parent.mkdir(parents=True)
    gone.write_text(json.dumps({"paths": ["/etc/of/a/host/that/is/gone"]}))
    measure(wish, player)
    assert not gone.exists()


@pytest.mark.parametrize("other", [Run(5.0, 26, 1), Run(5.0, 25, 2)])
def test_runs_that_do_not_fit_together(other: Run, wish: converge.Wish, player: FakePlayer) -> None:
    player.answers = {("site.yml", 3): other}
    with pytest.raises(TestbedError, match="meanwhile"):
        measure(wish, player)
    assert not wish.json.exists()


def test_a_long_list_is_cut() -> None:
    text = converge.counted(f"line {number}" for number in range(12))
    assert text.startswith("12:\n  line 0\n")
    assert text.endswith("  line 9\n  … and 2 more")


class TestInventory:
    @pytest.fixture(autouse=True)
    def sandbox(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(bench, "ROOT", tmp_path)
        monkeypatch.setattr(bench, "SANDBOX", tmp_path / "inventories" / "sandbox")
        monkeypatch.setattr(engine, "is_running", lambda: True)
        monkeypatch.setattr(hosts, "hosts_of", lambda bed: ["web1"])
        monkeypatch.setattr(hosts, "state_of", lambda container: "running")
        (tmp_path / "inventories" / "sandbox").mkdir(parents=True)
        (tmp_path / "inventories" / "example").mkdir()
        return tmp_path

    def test_the_sandbox_that_is_up(self, sandbox: Path) -> None:
        assert bench.inventory_of("inventories/sandbox") == sandbox / "inventories" / "sandbox"

    @pytest.mark.parametrize(
        ("what", "name", "answer"),
        [
            (engine, "is_running", False),
            (hosts, "hosts_of", []),
            (hosts, "state_of", "exited"),
        ],
    )
    def test_the_sandbox_that_is_down(
        self, what: ModuleType, name: str, answer: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(what, name, lambda *_words: answer)
        with pytest.raises(TestbedError, match=r"Next: \./scripts/sandbox up"):
            bench.inventory_of("inventories/sandbox")

    def test_the_sandbox_that_was_never_made(self, sandbox: Path) -> None:
        (sandbox / "inventories" / "sandbox").rmdir()
        with pytest.raises(TestbedError, match=r"Next: \./scripts/sandbox up"):
            bench.inventory_of("inventories/sandbox")

    def test_one_of_your_own_needs_no_sandbox(self, sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine, "is_running", lambda: False)
        assert bench.inventory_of("inventories/example") == sandbox / "inventories" / "example"

    def test_one_that_does_not_exist(self) -> None:
        with pytest.raises(TestbedError, match="There is: inventories/example, inventories/sandbox"):
            bench.inventory_of("inventories/nowhere")


@pytest.mark.parametrize("words", [[], ["nonsense"], ["converge", "-n", "0"], ["converge", "-n", "x"]])
def test_a_mistake_on_the_command_line(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", *words])
    with pytest.raises(SystemExit) as caught:
        bench.main()
    assert caught.value.code == 2
