"""The units that look after the certificates, as systemd itself reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import units


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze (package systemd) is not installed")
def test_systemd_takes_them(tmp_path: Path) -> None:
    # It looks whether the program is there.
    service = units.watch_unit().replace("/usr/local/bin/hypercode", "/bin/true")
    (tmp_path / units.WATCH_UNIT).write_text(service)
    (tmp_path / units.WATCH_TIMER).write_text(units.watch_timer())
    paths = [tmp_path / units.WATCH_UNIT, tmp_path / units.WATCH_TIMER]
    done = subprocess.run(["systemd-analyze", "verify", *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if str(tmp_path) in line]) == (0, [])


def test_it_runs_the_command_and_may_write_only_there() -> None:
    lines = units.watch_unit().splitlines()
    assert "ExecStart=/usr/local/bin/hypercode certificates --metrics" in lines
    assert {"StateDirectory=hypercode/metrics", "ProtectSystem=strict", "NoNewPrivileges=yes"} <= set(lines)
