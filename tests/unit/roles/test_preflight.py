"""The role preflight: its files agree with each other, and it runs against this machine without changing it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.playbook

REPOSITORY = Path(__file__).resolve().parents[3]
ROLE = REPOSITORY / "roles" / "preflight"
PLAY = """
- name: Run the role
  hosts: all
  gather_facts: false
  tasks:
    - name: Run it
      ansible.builtin.import_role:
        name: hypercode.deploy.preflight
        rolespec_validate: false
    - name: Use what it found
      ansible.builtin.debug:
        msg: "{{ preflight_check.host.cpus }}"
      tags: [always]
"""


def load(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text())


def play(folder: Path, **extra: Any) -> tuple[int, dict[str, Any], str]:
    """Run the role here; returns the exit code, the results by task name, and the output."""
    (folder / "play.yml").write_text(PLAY)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_INJECT_FACT_VARS": "false",
        "ANSIBLE_HOME": str(folder / ".ansible"),
    }
    variables = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **extra}
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), "-i", "here,", "play.yml", "--tags", "stack", "-e", json.dumps(variables)]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    plays = json.JSONDecoder().raw_decode(ended.stdout[ended.stdout.index("{\n") :])[0]["plays"]
    results = {
        task["task"]["name"].rpartition(" : ")[2]: task["hosts"]["here"] for one in plays for task in one["tasks"]
    }
    return ended.returncode, results, ended.stdout + ended.stderr


def test_every_variable_is_specified_with_its_default() -> None:
    options = load("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert {name: option["default"] for name, option in options.items()} == load("defaults/main.yml")
    assert all(name.startswith("preflight_") for name in options)


@pytest.mark.parametrize(
    "name", ["tasks/main.yml", "tasks/validate.yml", "tasks/verify.yml", "tasks/remove.yml", "handlers/main.yml"]
)
def test_files_of_the_role_contract(name: str) -> None:
    assert isinstance(load(name), list)


def test_findings_of_variables_and_host_come_together(tmp_path: Path) -> None:
    code, results, output = play(tmp_path, preflight_cpus_min=9999, preflight_typo=1)
    assert code == 2
    assert "Use what it found" not in results
    result = results["Check what the server has"]
    rules = [finding["rule"] for finding in result["findings"]]
    assert rules[0] == "variable-unknown"
    assert "cpus-too-few" in rules
    assert result["msg"].startswith("here: ")
    assert not any(one["changed"] for one in results.values())
    assert "Traceback" not in output


def test_disabled_role_judges_nothing_but_still_tells_what_the_host_is(tmp_path: Path) -> None:
    code, results, output = play(tmp_path, preflight_enabled=False, preflight_cpus_min=9999)
    assert code == 0, output
    assert results["Use what it found"]["msg"] == results["Check what the server has"]["host"]["cpus"]


def test_own_variable_that_cannot_be_used_stops_with_its_name(tmp_path: Path) -> None:
    code, results, _output = play(tmp_path, preflight_cpus_min="two")
    assert code == 2
    result = results["Check the variables of this server"]
    assert [finding["name"] for finding in result["findings"]] == ["preflight_cpus_min"]
