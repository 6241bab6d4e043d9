"""playbooks/preflight.yml in a real run against this machine: whatever is wrong is said in one failure."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.playbook

REPOSITORY = Path(__file__).resolve().parents[3]
CANARY = "xCANARYx"
GOOD_COMPOSE = """
services:
  web:
    image: registry.example/web:1.0
    healthcheck: {test: ["CMD", "web-check"]}
"""
BAD_COMPOSE = """
services:
  web:
    imgae: registry.example/web:1.0
  db:
    image: registry.example/db:1.0
    depends_on: [cache]
"""


@dataclass(frozen=True)
class Ended:
    """One run: its exit code, the results of its tasks on the host, by name, and all that it printed."""

    code: int
    tasks: dict[str, dict[str, Any]]
    output: str

    @property
    def failed(self) -> list[str]:
        return [name for name, result in self.tasks.items() if result.get("failed")]

    @property
    def findings(self) -> list[dict[str, str]]:
        """Those of the last task, which reports for all."""
        found: list[dict[str, str]] = self.tasks["Check what the server has"]["findings"]
        return found


def preflight(folder: Path, compose: str, variables: Mapping[str, Any], *words: str) -> Ended:
    """Run the playbook for a host with these variables, whose own stack is this Compose file."""
    (folder / "stack").mkdir()
    (folder / "stack" / "compose.yaml").write_text(compose)
    host = {
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
        "stack_source": str(folder / "stack"),
        **variables,
    }
    # JSON is YAML.
    (folder / "hosts.yml").write_text(json.dumps({"hypercode": {"hosts": {"web1": host}}}))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_HOME": str(folder / ".ansible"),
    }
    program = Path(sys.executable).with_name("ansible-playbook")
    ended = subprocess.run(
        [program, "-i", folder / "hosts.yml", REPOSITORY / "playbooks" / "preflight.yml", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    plays = json.JSONDecoder().raw_decode(ended.stdout[ended.stdout.index("{\n") :])[0]["plays"]
    tasks = {
        task["task"]["name"].rpartition(" : ")[2]: task["hosts"]["web1"]
        for one in plays
        for task in one["tasks"]
        if "web1" in task["hosts"]
    }
    return Ended(ended.returncode, tasks, ended.stdout + ended.stderr)


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A run in which nearly everything is wrong."""
    variables = {
        "base_journal_max_size": "big",
        "base_packages": "{{ nope }}",
        "base_sysctl": ["net.core.somaxconn"],
        "docker_log_max_size": "{{ nope }}",
        "monitoring_receivers": [{"name": "chat", "kind": "slack", "url": f"http://hooks.example/{CANARY}"}],
        "docker_registries": [{"host": "registry.example", "username": "me"}],
        "stack_kepp_releases": 3,
        "stack_build": {"where": "controller"},
    }
    return preflight(tmp_path_factory.mktemp("refused"), BAD_COMPOSE, variables)


def test_everything_is_reported_in_one_failure(refused: Ended) -> None:
    assert refused.code == 2
    assert refused.failed == ["Check what the server has"]
    assert not any(result["changed"] for result in refused.tasks.values())
    found = {(finding["rule"], finding["name"]) for finding in refused.findings}
    assert {
        ("variable-unknown", "stack_kepp_releases"),
        ("variable-invalid", "base_sysctl"),
        ("variable-undefined", "base_packages"),
        ("variable-undefined", "docker_log_max_size"),
        ("setting", "base_journal_max_size"),
        ("setting", "docker_log_max_size"),
        ("setting", "docker_registries"),
        ("alert-receiver", "monitoring_receivers"),
        ("setting", "stack_build"),
        ("setting", "stack_build.where"),
        ("unknown-key", "web"),
        ("reference-undefined", "db"),
    } <= found


def test_no_secret_is_in_what_was_printed(refused: Ended) -> None:
    assert "entry 1 (chat): url begins with http://" in refused.output
    assert CANARY not in refused.output


def test_each_finding_says_what_and_how_to_mend_it(refused: Ended) -> None:
    assert all(finding["message"] and finding["fix"] for finding in refused.findings)
    places = [(finding.get("file"), finding.get("line")) for finding in refused.findings]
    assert ("compose.yaml", "4") in places
    assert refused.tasks["Check what the server has"]["msg"].startswith("web1: ")
    assert "Traceback" not in refused.output


def test_a_clock_that_is_wrong_by_a_day_and_a_port_that_is_taken(tmp_path: Path) -> None:
    """Certificates would fail for both: it is said before anything is touched, whatever the edge is to do."""
    tomorrow = tmp_path / "tomorrow"
    tomorrow.mkdir()
    (tomorrow / "sitecustomize.py").write_text("import time\nnow = time.time\ntime.time = lambda: now() + 86400\n")
    interpreter = tmp_path / "python"
    interpreter.write_text(f'#!/bin/sh\nPYTHONPATH={tomorrow} exec {sys.executable} "$@"\n')
    interpreter.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        variables = {
            "ansible_python_interpreter": str(interpreter),
            "preflight_ports": [{"port": port, "owner": ["caddy"]}],
            "edge_acme_ca": "https://ca.example/dir",
            "edge_sites": [{"name": "app.example", "service": "web", "port": 80}],
        }
        ended = preflight(tmp_path, GOOD_COMPOSE, variables)
    assert ended.code == 2
    assert ended.failed == ["Check what the server has"]
    clock, held = (
        next(finding for finding in ended.findings if finding["rule"] == rule) for rule in ("clock-skew", "port-taken")
    )
    assert "seconds ahead of the clock of the machine you deploy from" in clock["message"]
    assert "timedatectl set-ntp true" in clock["fix"]
    assert held["message"].startswith(f"port {port}/tcp is taken by ")
    assert held["fix"].startswith("If nobody needs it, ")


def test_right_settings_give_no_finding_about_them(tmp_path: Path) -> None:
    chat = {"name": "chat", "kind": "slack", "url": f"https://hooks.example/{CANARY}"}
    variables = {"stack_registry": "registry.example/hypercode", "stack_version": "1.0", "monitoring_receivers": [chat]}
    ended = preflight(tmp_path, GOOD_COMPOSE, variables)
    assert CANARY not in ended.output
    # What the machine of this test lacks is another matter.
    findings = {name: result["findings"] for name, result in ended.tasks.items() if "findings" in result}
    for looks_at_the_machine in ("Check what the server has", "Apply the firewall"):
        del findings[looks_at_the_machine]
    assert findings == {
        "Check the users": [],
        "Apply how people log in": [],
        "Check the settings of the role base": [],
        "Check the settings of the role docker": [],
        "Check the settings of the role stack": [],
        "Check the settings of the role monitoring": [],
        "Check the settings of the role watch": [],
        "Check the settings of the role soak": [],
        "Resolve the Compose file": [],
        "Check the variables of this server": [],
    }


@pytest.mark.parametrize(
    ("words", "looked"),
    [
        ((), True),
        (("--tags", "firewall,stack"), True),
        (("--tags", "stack"), False),
        (("--skip-tags", "firewall"), False),
        (("--extra-vars", '{"__firewall_stays": true}'), False),
    ],
)
def test_a_firewall_that_this_run_does_not_apply_is_judged_and_not_looked_at(
    tmp_path: Path, words: tuple[str, ...], looked: bool
) -> None:
    settings = {"stack_registry": "registry.example/hypercode", "stack_version": "1.0"}
    result = preflight(tmp_path, GOOD_COMPOSE, settings, *words).tasks["Apply the firewall"]
    # What would have to be done can only be told of a host that was looked at.
    assert ("actions" in result) is looked, result
    settings["firewall_ping"] = "often"
    (tmp_path / "wrong").mkdir()
    judged = preflight(tmp_path / "wrong", GOOD_COMPOSE, settings, *words).tasks["Apply the firewall"]
    assert [finding["name"] for finding in judged["findings"]] == ["firewall_ping"]
