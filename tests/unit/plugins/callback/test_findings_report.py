# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The callback that writes reports, in real runs of ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytestmark = pytest.mark.playbook

REPOSITORY = Path(__file__).resolve().parents[4]
# host_check itself, on this machine, with a finding of each kind that other checks handed over.
PLAYBOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Check what the server has
      hypercode.deploy.host_check:
        findings: "{{ found }}"
        fail_on_findings: "{{ inventory_hostname != 'broken' }}"
- hosts: broken
  gather_facts: false
  tasks:
    - name: Something else
      ansible.builtin.fail:
        msg: It broke.
"""
INVENTORY = """
all:
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    found: []
  hosts:
    clean:
    warned:
      found: [{rule: slow, severity: warning, name: disk, message: The disk is slow., fix: wait}]
    refused:
      found: [{rule: weak, name: API_KEY, message: API_KEY is weak., fix: rotate it, file: vault.yml, line: "4"}]
    broken:
"""


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    (folder / "hosts.yml").write_text(INVENTORY, encoding="utf-8")
    return subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
            "HYPERCODE_PROGRESS_FILE": str(folder / "timings.json"),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_reports_of_a_run_with_everything_in_it(tmp_path: Path) -> None:
    done = run(tmp_path, HYPERCODE_JUNIT="out/junit.xml", HYPERCODE_SARIF="out/preflight.sarif")
    assert done.returncode == 2, done.stdout + done.stderr
    suites = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot().findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["broken", "clean", "refused", "warned"]
    # What the machine of this test has is not the subject: only what the made-up checks found.
    failures = {
        (suite.get("name"), case.get("name")) for suite in suites for case in suite if case.find("failure") is not None
    }
    ours = {("refused", "weak: API_KEY"), ("broken", "task-failed: Something else"), ("warned", "slow: disk")}
    assert failures & ours == {("refused", "weak: API_KEY"), ("broken", "task-failed: Something else")}
    (run_,) = json.loads((tmp_path / "out" / "preflight.sarif").read_text(encoding="utf-8"))["runs"]
    found = {result["ruleId"]: result for result in run_["results"]}
    assert {rule: found[rule]["level"] for rule in ("slow", "weak", "task-failed")} == {
        "slow": "warning",
        "weak": "error",
        "task-failed": "error",
    }
    assert found["weak"]["properties"]["hosts"] == ["refused"]
    place = found["weak"]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "vault.yml"}, "region": {"startLine": 4}}


def test_without_file_names_nothing_is_written(tmp_path: Path) -> None:
    run(tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.suffix in (".xml", ".sarif")} == set()
    assert not (tmp_path / "out").exists()


def test_a_path_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    done = run(tmp_path, HYPERCODE_JUNIT="play.yml/junit.xml")
    assert "was not written" in done.stderr + done.stdout
    assert "HYPERCODE_JUNIT" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout
