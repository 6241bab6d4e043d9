"""playbooks/load_test.yml in a real run against this machine, which has no stack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.playbook

REPOSITORY = Path(__file__).resolve().parents[3]
HOSTS = """
hypercode:
  vars: {ansible_connection: local, ansible_become: false, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  hosts: {web1: , web2: }
"""


def play(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    inventory = folder / "hosts.yml"
    inventory.write_text(HOSTS)
    return subprocess.run(
        [
            *(Path(sys.executable).with_name("ansible-playbook"), "playbooks/load_test.yml", "-i", inventory),
            *("-e", f"load_test_report={folder}/report.json", *words),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "CI": "true"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.skipif(Path("/usr/local/bin/hypercode").exists(), reason="this machine has a stack")
def test_every_host_is_tested_whatever_another_one_says(tmp_path: Path) -> None:
    done = play(tmp_path)
    assert done.returncode == 2, done.stdout
    assert "Fix: run site.yml for this host" in done.stdout
    for host in ("web1", "web2"):
        # Names are as wide as the longest, localhost. That no soak is under way to be told is the one that is well.
        assert f"{host:9} : ok=1 changed=0 unreachable=0 failed=1" in done.stdout
    assert not (tmp_path / "report.json").exists()


def test_wrong_settings_are_told_before_anything_is_done(tmp_path: Path) -> None:
    done = play(tmp_path, "-e", "load_test_url=crew.example.com")
    assert done.returncode == 2, done.stdout
    assert "'crew.example.com' is no address. Fix: write it like https://app.example.com" in done.stdout


def test_check_mode_says_that_there_would_be_load(tmp_path: Path) -> None:
    done = play(tmp_path, "--check", "-e", "load_test_url=https://crew.example.com")
    assert done.returncode == 0, done.stdout
    # Nor would there be a soak to be told.
    assert "skipped=2" in done.stdout
