"""The soak check as a module, in check mode and in real mode."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.paths import (
    runs,
    unfinished,
    write_json,
)
from ansible_collections.hypercode.deploy.plugins.modules import soak_check
from fakes.soak_bench import SoakBench

QUICK = {"duration": "10m", "interval": "10s", "probe_interval": "10s"}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SoakBench]:
    made = SoakBench(tmp_path / "root")
    monkeypatch.setattr(soak_check, "control", lambda: made.control)
    made.deploy()
    yield made
    made.close()


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*, check: bool = False, **arguments: Any) -> Any:
        with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            soak_check.main()
        return json.loads(capsys.readouterr().out)

    return run


def end(bench: SoakBench, run: str, verdict: str) -> None:
    """As when its time is over."""
    check = {"title": "Restarts", "verdict": verdict, "observed": "3", "next": "look at web"}
    report = {"verdict": verdict, "reason": f"It is {verdict}.", "next": "read it", "ended": 5.0, "checks": [check]}
    write_json(bench.paths.run(run) / "report.json", report)
    bench.paths.unfinished.unlink()


def test_options_are_those_that_are_documented() -> None:
    documented = yaml.safe_load(soak_check.DOCUMENTATION)["options"]
    assert set(documented) == set(soak_check.SPEC)
    for name, option in soak_check.SPEC.items():
        assert documented[name].get("default") == option.get("default"), name


def test_it_is_started_once(bench: SoakBench, call: Any) -> None:
    foreseen = call(state="started", check=True, **QUICK)
    assert (foreseen["changed"], foreseen["run"], runs(bench.paths)) == (True, "", [])
    started = call(state="started", **QUICK)
    assert (started["changed"], started["running"]) == (True, True)
    assert runs(bench.paths) == [started["run"]]
    for check in (False, True):
        again = call(state="started", check=check, **QUICK)
        assert (again["changed"], again["run"]) == (False, started["run"])
    for check in (False, True):
        other = call(state="started", check=check, **{**QUICK, "duration": "20m"})
        assert "is under way on this host already" in other["msg"]
        assert other["failed"]


def test_what_would_be_refused_is_refused_in_check_mode_too(bench: SoakBench, call: Any) -> None:
    bench.watch.wall += 1000
    for check in (True, False):
        assert "nobody watches" in call(state="started", check=check, **QUICK)["msg"]
    assert runs(bench.paths) == []


def test_the_occasion_decides(bench: SoakBench, call: Any) -> None:
    first = call(state="started", occasion="first", **QUICK)
    assert first["changed"]
    end(bench, first["run"], "PASS")
    assert not call(state="started", occasion="first", **QUICK)["changed"]
    assert not call(state="started", occasion="release", **QUICK)["changed"]
    bench.watch.wall += 5
    bench.watch.release(web={"replicas": 1}, api={})
    assert call(state="started", occasion="release", check=True, **QUICK)["changed"]
    assert len(runs(bench.paths)) == 1
    second = call(state="started", occasion="release", **QUICK)
    assert (second["changed"], len(runs(bench.paths))) == (True, 2)
    end(bench, second["run"], "PASS")
    assert call(state="started", occasion="always", **QUICK)["changed"]


def test_how_it_stands(bench: SoakBench, call: Any) -> None:
    assert "no soak was started" in call(state="status")["msg"]
    run = call(state="started", **QUICK)["run"]
    found = call(state="status", check=True)
    assert (found["changed"], found["run"], found["left"], found["verdict"]) == (False, run, 600, None)
    assert any("left" in line for line in found["hypercode_summary"])
    assert not call(state="status", require_pass=True).get("failed"), "one that is under way is no failure"


def test_it_is_waited_for(bench: SoakBench, call: Any) -> None:
    run = call(state="started", **QUICK)["run"]
    assert call(state="finished", wait="0")["running"]
    assert call(state="finished", check=True)["running"]
    threading.Timer(0.3, end, (bench, run, "PASS")).start()
    found = call(state="finished", wait="20s")
    assert (found["running"], found["verdict"], found["changed"]) == (False, "PASS", False)
    assert not call(state="status", require_pass=True).get("failed")


@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE"])
def test_another_verdict_fails_where_that_is_wanted(bench: SoakBench, call: Any, verdict: str) -> None:
    run = call(state="started", **QUICK)["run"]
    end(bench, run, verdict)
    assert not call(state="status").get("failed")
    found = call(state="status", require_pass=True)
    assert found["failed"]
    assert found["msg"] == f"The soak check says {verdict}: It is {verdict}."
    (finding,) = found["findings"]
    assert (finding["message"], finding["fix"]) == ("Restarts: 3", "look at web")


def test_it_is_ended(bench: SoakBench, call: Any) -> None:
    assert not call(state="stopped", check=True)["changed"]
    run = call(state="started", **QUICK)["run"]
    assert call(state="stopped", check=True)["changed"]
    assert unfinished(bench.paths) == run
    threading.Timer(0.2, lambda: bench.recorder(run).run()).start()
    found = call(state="stopped", reason="the end of a test")
    assert (found["changed"], found["running"]) == (True, False)
    assert bench.journal(run, "end")[0]["by"] == "the end of a test"
    assert not call(state="stopped")["changed"]
