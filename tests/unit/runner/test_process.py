"""Children of scripts/test: their logs, their ends."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from runner.process import Children, Stopped, plain_environment

# Starts a grandchild that would outlive it, tells its number, and waits.
FAMILY = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen(['sleep', '60'])\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)\n"
)


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(log: Path, words: int) -> list[str]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        lines = [line for line in (log.read_text().splitlines() if log.exists() else []) if line.isdigit()]
        if len(lines) >= words:
            return lines
        time.sleep(0.02)
    raise AssertionError(f"nothing came: {log.read_text()}")


def test_output_and_exit_code(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "a.log"
    script = ["sh", "-c", 'echo "out $A"; echo err >&2; exit 7']
    assert Children().run(script, log=log, cwd=tmp_path, env={"A": "b"}) == 7
    assert log.read_text().splitlines()[-2:] == ["out b", "err"]
    assert log.read_text().startswith("$ sh -c ")


def test_progress_is_told_while_it_runs(tmp_path: Path) -> None:
    ticks: list[float] = []
    Children().run(["sleep", "0.5"], log=tmp_path / "a", cwd=tmp_path, tick=lambda: ticks.append(time.monotonic()))
    assert len(ticks) >= 2


def test_what_it_leaves_behind_does_not_hold_up_the_run(tmp_path: Path) -> None:
    began = time.monotonic()
    script = "import subprocess; print(subprocess.Popen(['sleep', '5'], start_new_session=True).pid)"
    assert Children().run([sys.executable, "-c", script], log=tmp_path / "a", cwd=tmp_path) == 0
    assert time.monotonic() - began < 4
    os.kill(int(wait_for(tmp_path / "a", 1)[0]), 9)


def test_a_timeout_ends_the_whole_family(tmp_path: Path) -> None:
    log = tmp_path / "a"
    assert Children().run([sys.executable, "-c", FAMILY], log=log, cwd=tmp_path, timeout=1.0) == 124
    assert "did not finish within 1 s" in log.read_text()
    assert not lives(int(wait_for(log, 1)[0]))


def test_an_interrupt_ends_the_whole_family(tmp_path: Path) -> None:
    log = tmp_path / "a"

    def interrupt() -> None:
        if any(line.isdigit() for line in log.read_text().splitlines()):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Children().run([sys.executable, "-c", FAMILY], log=log, cwd=tmp_path, tick=interrupt)
    assert not lives(int(wait_for(log, 1)[0]))


def test_stop_ends_what_other_threads_run_and_starts_nothing_new(tmp_path: Path) -> None:
    children = Children()
    log = tmp_path / "a"
    codes: list[int] = []
    worker = threading.Thread(
        target=lambda: codes.append(children.run([sys.executable, "-c", FAMILY], log=log, cwd=tmp_path))
    )
    worker.start()
    grandchild = int(wait_for(log, 1)[0])
    children.stop()
    worker.join(10)
    assert codes
    assert codes[0] != 0
    assert not lives(grandchild)
    with pytest.raises(Stopped):
        children.run(["true"], log=log, cwd=tmp_path)


def test_tools_are_told_to_be_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_FORCE_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    environment = plain_environment()
    assert environment["NO_COLOR"] == "1"
    assert not {"ANSIBLE_FORCE_COLOR", "FORCE_COLOR"} & set(environment)
