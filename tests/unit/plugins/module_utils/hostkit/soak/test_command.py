"""`hypercode soak`, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak import command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record import control
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.paths import write_json
from fakes.soak_bench import SoakBench
from fakes.watch_bench import until


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoakBench]:
    made = SoakBench(tmp_path / "root")
    monkeypatch.setattr(command, "_control", lambda _host: made.control)
    yield made
    made.close()


@pytest.fixture
def typed(bench: SoakBench, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(*words: str) -> tuple[int, str]:
        host = cli.Host(store=bench.watch.store, engine=bench.engine)
        code = cli.main(["soak", *words], host)
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def recorded(bench: SoakBench, samples: int = 8, **asked: Any) -> str:
    """A soak that has run for a while and was ended, with a journal of real samples."""
    run = bench.start(**asked)
    recorder = bench.recorder(run)
    recorder.begin()
    recorder.tick()
    until(lambda: recorder.prober._counts)
    for _number in range(samples):
        bench.wait(10)
        recorder.tick()
    recorder.prober.stop()
    recorder.ended = "finished"
    recorder._finish()
    return run


def test_before_the_first_one(typed: Any) -> None:
    assert typed("list") == (0, "hypercode: no soak was started on this host yet. Next: hypercode soak start\n")
    for words in (["status"], ["report"]):
        code, said = typed(*words)
        assert (code, "no soak was started on this host yet. Fix: hypercode soak start" in said) == (1, True)
    for words in (["stop"], ["mark", "x"]):
        code, said = typed(*words)
        assert (code, "no soak is under way" in said) == (1, True)


def test_start_look_mark(bench: SoakBench, typed: Any, tmp_path: Path) -> None:
    bench.deploy()
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"limits": {"p95_ms": 400}, "faults": {"kill": True}}))
    words = ["--duration", "10m", "--interval", "10", "--name", "web", "--settings", str(settings)]
    code, said = typed("start", *words)
    assert (code, "is under way. Next: hypercode soak status" in said) == (0, True)
    run = said.split()[0]
    told = bench.control.settings(run)
    assert (told["limits"]["p95_ms"], told["faults"]["kill"], told["name"]) == (400, True, "web")
    assert typed("start", *words)[0] == 1
    bench.wait(300)
    code, said = typed("status")
    assert code == 0
    assert f"{run}  " in said
    assert "5 min left" in said
    assert "No findings so far" in said
    code, said = typed("status", "--json")
    assert json.loads(said)["left"] == 300
    assert "running, 5 min left" in typed("list")[1]
    assert typed("mark", "load test", "10 missions", "--ok") == (0, f"written into {run}\n")
    assert typed("mark", "load test", "--ok", "--failed")[0] == 1
    (message,) = [json.loads(path.read_text()) for path in (bench.paths.run(run) / "inbox").iterdir()]
    assert message == {"mark": "load test", "text": "10 missions", "ok": True}
    settings.write_text("[")
    code, said = typed("start", "--settings", str(settings))
    assert (code, "cannot be read as JSON" in said) == (1, True)


def test_one_that_nobody_records_says_so(bench: SoakBench, typed: Any) -> None:
    bench.deploy()
    bench.start()
    bench.wait(200)
    assert "Nobody records it. Fix: systemctl restart hypercode-soak" in typed("status")[1]


def test_findings_and_the_next_step(bench: SoakBench, typed: Any) -> None:
    bench.deploy()
    run = bench.start()
    check = {"title": "Restarts\x1b[31m", "verdict": "FAIL", "observed": "3 of web", "next": "look"}
    report = {"verdict": "FAIL", "reason": "web restarts.", "next": "docker logs web", "checks": [check], "ended": 5.0}
    write_json(bench.paths.run(run) / "report.json", report)
    bench.paths.unfinished.unlink()
    code, said = typed("status")
    assert code == 1
    assert said.splitlines() == [
        f"{run}  FAIL",
        "web restarts.",
        "  FAIL: Restarts: 3 of web",
        "Next: docker logs web",
    ]
    write_json(bench.paths.run(run) / "report.json", {**report, "verdict": "INCONCLUSIVE"})
    assert typed("report")[0] == 2
    assert json.loads(typed("report", "--json")[1])["verdict"] == "INCONCLUSIVE"


def test_a_journal_is_judged_anywhere_as_on_the_host(bench: SoakBench, typed: Any, tmp_path: Path) -> None:
    bench.deploy()
    run = recorded(bench, duration=100, warmup=0)
    folder = bench.paths.run(run)
    code, said = typed("report")
    assert code in (1, 2), "so few requests say nothing"
    for name in ("report.html", "report.md", "report.json", "junit.xml"):
        assert str(folder / name) in said
        assert (folder / name).stat().st_size > 100
    pages = [f"--{kind}={tmp_path / kind}" for kind in ("html", "junit", "markdown")]
    judged, told = typed("evaluate", str(folder / "journal.jsonl"), *pages)
    assert judged == code
    assert told.startswith("INCONCLUSIVE: " if code == 2 else "FAIL: ")
    assert all((tmp_path / kind).stat().st_size > 100 for kind in ("html", "junit", "markdown"))
    again = json.loads(typed("evaluate", str(folder), "--json", "--baseline", str(folder / "journal.jsonl"))[1])
    first = json.loads((folder / "report.json").read_text())
    assert (again["verdict"], again["run"], again["samples"]) == (first["verdict"], run, first["samples"])
    assert f"{run}  {first['verdict']}  release" in typed("list")[1]


def test_what_is_no_journal_is_told(typed: Any, tmp_path: Path) -> None:
    code, said = typed("evaluate", str(tmp_path / "nowhere.jsonl"))
    assert code == 2
    assert "nowhere.jsonl cannot be read: No such file or directory. Fix: " in said
    odd = tmp_path / "odd.jsonl"
    odd.write_bytes(b"\x00\xff not json\n" * 100)
    code, said = typed("evaluate", str(odd))
    assert code == 2
    assert "Traceback" not in said
    assert len(said.splitlines()) < 40


def test_the_board_has_a_line_of_it(bench: SoakBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control.time, "time", lambda: bench.watch.wall)  # type: ignore[attr-defined]
    assert command.for_board(bench.root) == ({}, [])
    bench.deploy()
    run = bench.start()
    found, (line,) = command.for_board(bench.root)
    assert (found["run"], found["running"], found["verdict"]) == (run, True, None)
    assert line.startswith(f"soak {run}: ")
    assert "no findings so far" in line
    write_json(bench.paths.run(run) / "report.json", {"verdict": "PASS"})
    bench.paths.unfinished.unlink()
    found, lines = command.for_board(bench.root)
    assert (found["verdict"], lines) == ("PASS", [f"soak {run}: PASS. See hypercode soak status"])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(86400, "24 h 0 min"), (12000, "3 h 20 min"), (3599, "59 min"), (119, "119 s"), (0, "0 s")],
)
def test_time_left(seconds: float, words: str) -> None:
    assert command.time_left(seconds) == words


def test_systemctl_is_asked_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def run(words: Any, **options: Any) -> CommandResult:
        seen.append((list(words), options["timeout"]))
        return CommandResult(0)

    monkeypatch.setattr(control, "run_command", run)
    assert control.systemctl("start", control.UNIT).code == 0
    assert seen == [(["systemctl", "start", "hypercode-soak.service"], 120)]
