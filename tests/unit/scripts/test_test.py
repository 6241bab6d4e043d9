"""scripts/test itself: what counts as a failure, and how scenarios are run."""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.util
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from runner import lint, sanity, scenarios, unit
from runner.console import Console
from runner.context import Context
from runner.outcome import Outcome, PartError
from testbed import engine, hosts

ROOT = Path(__file__).resolve().parents[3]
GOOD = "INFO     [x > converge] Executed: Successful\n"
BAD = "FAILED  web1  Start Docker\nERROR    [x > converge] Executed: Failed\n"


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("scripts_test", str(ROOT / "scripts" / "test"))
    spec = importlib.util.spec_from_loader("scripts_test", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


main = script()


class FakeChildren:
    """Writes what a command would print, and ends as it would."""

    def __init__(self, answer: Callable[[list[str]], tuple[int, str]]) -> None:
        self.answer = answer
        self.commands: list[str] = []
        self.ranges: list[str] = []

    def run(self, argv: list[str | Path], *, log: Path, env: dict[str, str] | None = None, **_options: Any) -> int:
        words = [Path(argv[0]).name, *map(str, argv[1:])]
        self.ranges += [env[hosts.RANGE_VARIABLE]] if env else []
        self.commands.append(" ".join(words))
        code, text = self.answer(words)
        with log.open("a") as stream:
            stream.write(text)
        return code


class Bench:
    """A checkout with scenarios, an engine that only says what it would do, and what the user saw."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, *, running: bool = False) -> None:
        self.root, self.out, self.engine = root, io.StringIO(), []
        tmp = root.with_name(f"{root.name}-engine")
        tmp.mkdir(parents=True)
        self.is_running = running
        for name in ("install_tools", "start", "_stop"):
            monkeypatch.setattr(engine, name, lambda name=name: self.note(name))
        for name in ("USERS", "BORROWED", "PID_FILE"):
            monkeypatch.setattr(engine, name, tmp / name)
        (tmp / "PID_FILE").touch()
        monkeypatch.setattr(engine, "docker", lambda *_words: "")
        monkeypatch.setattr(engine, "is_running", lambda: self.is_running)
        monkeypatch.setattr(hosts, "clear_dead", lambda keep, apart_from: ["molecule-old"])
        self.beds = {"sandbox": True}
        monkeypatch.setattr(hosts, "beds", lambda apart_from: self.beds)
        for name in ("update", "default"):
            (root / "molecule" / name).mkdir(parents=True)
            (root / "molecule" / name / "molecule.yml").touch()

    def note(self, name: str) -> None:
        if name == "start" and not self.is_running:
            self.engine.append(name)
            self.is_running = True
        if name == "_stop":
            self.engine.append("stop")

    def context(self, children: Any = None, wanted: tuple[str, ...] = (), *, keep: bool = False) -> Context:
        return Context(self.root, Console(out=self.out, environment={"CI": "true"}), children, wanted, keep)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


class TestParts:
    def test_a_part_without_tests_has_failed(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(unit, "run", lambda context: Outcome())
        assert main.run_part("unit", bench.context()).line() == "0 passed, 1 failed"
        assert "No test ran at all" in bench.out.getvalue()

    def test_only_skips_are_no_tests(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(unit, "run", lambda context: Outcome(skipped=[("a", "b")]))
        assert main.run_part("unit", bench.context()).failed == 1

    @pytest.mark.parametrize("error", [PartError("no git here"), FileNotFoundError("no pytest")])
    def test_a_part_that_cannot_run_has_failed(
        self, error: Exception, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(context: Context) -> Outcome:
            raise error

        monkeypatch.setattr(unit, "run", broken)
        assert main.run_part("unit", bench.context()).line() == "0 passed, 1 failed"
        assert str(error) in bench.out.getvalue()

    def test_goes_on_after_a_failed_part(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        failed = Outcome(passed=1)
        failed.fail("x", ["why"])
        monkeypatch.setattr(unit, "run", lambda context: failed)
        monkeypatch.setattr(lint, "run", lambda context: Outcome(passed=4))
        arguments = argparse.Namespace(verbose=False, keep=False, scenario=[])
        assert main.run(("unit", "lint"), arguments) == 1
        assert capsys.readouterr().out.splitlines()[-1] == "5 passed, 1 failed"

    def test_sanity_begins_with_lint_and_is_shown_after_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        both = threading.Barrier(2, timeout=20)

        def work(passed: int) -> Callable[[Context], Outcome]:
            def meet(context: Context) -> Outcome:
                # One after the other, they would never meet.
                both.wait()
                context.console.tick("seen")
                return Outcome(passed=passed)

            return meet

        monkeypatch.setattr(lint, "run", work(4))
        monkeypatch.setattr(sanity, "run", work(2))
        arguments = argparse.Namespace(verbose=False, keep=False, scenario=[])
        assert main.run(("lint", "sanity"), arguments) == 0
        shown = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if line]
        assert shown[:4] == [["lint", "started"], ["lint", "ok"], ["sanity", "started"], ["sanity", "ok"]]

    def test_a_part_that_breaks_beside_another_has_failed_under_its_own_name(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def broken(context: Context) -> Outcome:
            raise PartError("no ansible-test here")

        monkeypatch.setattr(lint, "run", lambda context: Outcome(passed=4))
        monkeypatch.setattr(sanity, "run", broken)
        assert main.run(("lint", "sanity"), argparse.Namespace(verbose=False, keep=False, scenario=[])) == 1
        out = capsys.readouterr().out
        assert "FAILED  sanity\n    no ansible-test here" in out
        assert out.splitlines()[-1] == "4 passed, 1 failed"

    def test_all_good(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr(lint, "run", lambda context: Outcome(passed=4))
        assert main.run(("lint",), argparse.Namespace(verbose=False, keep=False, scenario=[])) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "4 passed, 0 failed"

    @pytest.mark.parametrize("words", [["unit", "default"], ["nonsense"]])
    def test_a_mistake_on_the_command_line(
        self, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("sys.argv", ["test", *words])
        with pytest.raises(SystemExit) as caught:
            main.main()
        assert caught.value.code == 2
        assert "error:" in capsys.readouterr().err


def one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one lane does is easier seen without the other."""
    monkeypatch.setattr(scenarios, "is_bound", lambda _root, _name: True)


def run(context: Context) -> Outcome:
    return scenarios.Lanes().run(context)


class TestScenarios:
    def test_one_after_another_on_an_engine_of_our_own(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        one_lane(monkeypatch)
        children = FakeChildren(lambda words: (0, GOOD))
        assert run(bench.context(children)).line() == "2 passed, 0 failed"
        assert [command.split()[-1] for command in children.commands] == ["default", "update"]
        assert all(command.startswith("molecule test ") for command in children.commands)
        assert bench.engine == ["start", "stop"]

    def test_two_beside_each_other_each_in_a_range_of_its_own(self, bench: Bench) -> None:
        both = threading.Barrier(2, timeout=20)

        def meet(_words: list[str]) -> tuple[int, str]:
            both.wait()
            return 0, GOOD

        children = FakeChildren(meet)
        assert run(bench.context(children)).line() == "2 passed, 0 failed"
        assert sorted(children.ranges) == ["molecule", "molecule-2"]
        assert bench.engine == ["start", "stop"]

    def test_the_first_lane_begins_beside_other_parts(self, bench: Bench) -> None:
        began = threading.Event()

        def note(_words: list[str]) -> tuple[int, str]:
            began.set()
            return 0, GOOD

        lanes, context = scenarios.Lanes(), bench.context(FakeChildren(note))
        lanes.begin(context)
        assert began.wait(20)
        assert lanes.run(context).line() == "2 passed, 0 failed"
        assert "molecule default     ok" in bench.out.getvalue()

    def test_one_that_names_an_address_runs_in_the_first_range(self, bench: Bench) -> None:
        (bench.root / "molecule" / "default" / "inventory").mkdir()
        (bench.root / "molecule" / "default" / "inventory" / "x.yml").write_text("a: 198.51.100.134\n")
        # What the test bed itself has written there counts for nothing.
        (bench.root / "molecule" / "update" / "testbed.yml").write_text("a: 198.51.100.75\n")
        assert scenarios.is_bound(bench.root, "default")
        assert not scenarios.is_bound(bench.root, "update")
        children = FakeChildren(lambda words: (0, GOOD))
        assert run(bench.context(children)).line() == "2 passed, 0 failed"
        where = dict(zip((command.split()[-1] for command in children.commands), children.ranges, strict=True))
        assert where["default"] == "molecule"

    def test_hosts_of_another_scenario_that_run_are_named_before_anything_fails(self, bench: Bench) -> None:
        bench.beds["molecule-update"] = True
        children = FakeChildren(lambda words: (0, GOOD))
        assert run(bench.context(children, ("default",))).line() == "0 passed, 1 failed"
        assert "molecule destroy -s update" in bench.out.getvalue()
        assert children.commands == []
        # Its own are removed by the scenario itself.
        assert run(bench.context(children, ("update",))).line() == "1 passed, 0 failed"

    def test_says_what_it_took_away(self, bench: Bench) -> None:
        run(bench.context(FakeChildren(lambda words: (0, GOOD))))
        assert "Removed what an earlier run had left of molecule-old" in bench.out.getvalue()

    def test_an_engine_that_ran_before_is_left_running(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bench = Bench(tmp_path / "other", monkeypatch, running=True)
        run(bench.context(FakeChildren(lambda words: (0, GOOD))))
        assert bench.engine == []

    def test_a_failed_scenario_is_shown_then_destroyed_and_the_next_one_runs(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one_lane(monkeypatch)
        children = FakeChildren(lambda words: (1, BAD) if words[1] == "test" and words[-1] == "default" else (0, GOOD))
        outcome = run(bench.context(children))
        assert outcome.line() == "1 passed, 1 failed"
        assert [command.split()[1] for command in children.commands] == ["test", "destroy", "test"]
        assert "FAILED  web1  Start Docker" in bench.out.getvalue()

    def test_hosts_that_cannot_be_destroyed_are_a_failure(self, bench: Bench) -> None:
        children = FakeChildren(lambda words: (1, BAD))
        assert run(bench.context(children, ("default",))).failed == 2
        assert "molecule destroy -s default" in bench.out.getvalue()

    def test_kept_hosts_stay_and_the_user_is_told_how_to_remove_them(self, bench: Bench) -> None:
        children = FakeChildren(lambda words: (1, BAD))
        run(bench.context(children, ("update",), keep=True))
        assert len(children.commands) == 1
        assert "--destroy=never" in children.commands[0]
        assert "To remove them: . .venv/bin/activate && molecule destroy -s update" in bench.out.getvalue()

    def test_the_engine_stops_after_an_interrupt_too(self, bench: Bench) -> None:
        def interrupt(words: list[str]) -> tuple[int, str]:
            raise KeyboardInterrupt

        lanes = scenarios.Lanes()
        with pytest.raises(KeyboardInterrupt):
            lanes.run(bench.context(FakeChildren(interrupt), ("default",)))
        assert bench.engine[-1] == "stop"
        assert lanes.running == {"default"}

    def test_an_unknown_scenario_starts_no_engine(self, bench: Bench) -> None:
        with pytest.raises(PartError, match="There is: default, update"):
            run(bench.context(FakeChildren(lambda words: (0, "")), ("nope",)))
        assert bench.engine == []


def test_an_engine_is_not_stopped_while_somebody_has_it(bench: Bench) -> None:
    with engine.borrowed():
        with engine.borrowed():
            pass
        assert bench.engine == ["start"]
    assert bench.engine == ["start", "stop"]


def test_two_that_need_an_engine_at_once_start_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two on one data folder wait for each other's files until both give up."""
    started: list[list[str]] = []

    class Process:
        pid = 1

        def __init__(self, argv: list[str], **_options: Any) -> None:
            time.sleep(0.2)
            started.append(argv)

    for name in ("STARTING", "PID_FILE", "LOG"):
        monkeypatch.setattr(engine, name, tmp_path / name)
    monkeypatch.setattr(engine, "is_running", lambda: bool(started))
    monkeypatch.setattr(engine, "SYSTEMD", tmp_path / "none")
    monkeypatch.setattr(engine.os, "geteuid", lambda: 0)
    monkeypatch.setattr(engine.subprocess, "Popen", Process)
    threads = [threading.Thread(target=engine.start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert started == [["dockerd"]]
