"""scripts/bench backup: both ways save what is there, it is brought back, and the figures are of what was done."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmark import backup
from fakes.backup_host import missing

MIB = 1 << 20


def test_memory_is_that_of_a_process_and_all_below_it() -> None:
    eat = "import subprocess, sys; held = b'x' * (30 << 20); "
    inner = f"{sys.executable} -c \"held = b'x' * (60 << 20); import time; time.sleep(1)\""
    work = f"{eat} subprocess.run({inner!r}, shell=True)"
    seconds, peak = backup.in_a_process(lambda: subprocess.run([sys.executable, "-c", work], check=True))
    assert seconds >= 1
    # It begins as a copy of this process, whatever other tests have left in it.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 90 * MIB < peak < 200 * MIB + own


def test_a_run_that_fails_is_no_figure(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="a run failed"):
        backup.in_a_process(lambda: 1 // 0)
    assert os.getpid() > 0
    capfd.readouterr()


def test_the_table_and_the_sentences() -> None:
    ours = {"name": "ours", "seconds": [9.0, 4.0, 2.0, 3.0], "size": 30 * MIB, "memory": 90 * MIB}
    usual = {"name": "usual", "seconds": [1.0, 1.0, 1.0, 6.0], "size": 60 * MIB, "memory": 10 * MIB}
    back = {"seconds": 20.0, "database_bytes": 512 * MIB, "seconds_per_gib": 40.0}
    lines = backup.lines_of({"days": 4, "ways": [ours, usual], "restore": back})
    assert lines[1].split() == ["ours", "9.0", "s", "3.0", "s", "18", "s", "30", "MiB", "90", "MiB"]
    assert lines[-2] == "4 days take 0.50 times the space of the usual way, and 2.00 times its time."
    assert lines[-1] == "A drill of the last day took 20 s for a database of 512 MiB: 40 s for each GiB."


@pytest.mark.playbook
@pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")
def test_two_days(tmp_path: Path) -> None:
    told: list[str] = []
    began = time.monotonic()
    backup.run(2, 2, tmp_path / "figures.json", told.append)
    figures = json.loads((tmp_path / "figures.json").read_text())
    ours, usual = figures["ways"]
    assert len(ours["seconds"]) == len(usual["seconds"]) == 2
    assert sum(ours["seconds"]) + figures["restore"]["seconds"] < time.monotonic() - began
    # The folder of files lies in both, once in ours and twice in the other.
    assert 8 * MIB < ours["size"] < 12 * MIB
    assert usual["size"] > 16 * MIB
    assert figures["restore"]["database_bytes"] > 2 * MIB
    assert told[0].startswith("day 1 of 2: ")
