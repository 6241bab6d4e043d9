# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters about who is told of alerts: called by themselves, and by Ansible with values out of a vault."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.hypercode.deploy.plugins.filter.alertmanager_config import alertmanager_config
from ansible_collections.hypercode.deploy.plugins.filter.alertmanager_findings import alertmanager_findings

REPOSITORY = Path(__file__).resolve().parents[4]
CANARY = "xCANARYx"
URL = f"https://hooks.example/{CANARY}"
WRONG = [
    {"name": "chat", "kind": "slack", "url": f"http://hooks.example/{CANARY}"},
    {"name": "chat", "kind": "pagerduty", "key": CANARY},
]


def test_the_settings_come_with_their_secrets_beside_them() -> None:
    made = alertmanager_config([{"name": "chat", "kind": "slack", "url": URL}], URL)
    assert set(made) == {"config", "secrets"}
    assert made["secrets"] == {"chat.url": URL, "DeadMansSwitch.url": URL}
    assert CANARY not in made["config"]
    config = yaml.safe_load(made["config"])
    assert [receiver["name"] for receiver in config["receivers"]] == ["Nobody", "chat", "DeadMansSwitch"]


def test_all_that_is_wrong_comes_in_one_failure_without_a_secret() -> None:
    with pytest.raises(AnsibleFilterError) as error:
        alertmanager_config(WRONG, CANARY)
    text = str(error.value)
    assert CANARY not in text
    wanted = (
        "entry 1 (chat): url begins",
        "entry 2 (chat): name is that",
        "key is no key",
        "switch_url does not begin",
    )
    assert [words for words in wanted if words not in text] == []
    assert [finding["severity"] for finding in alertmanager_findings(WRONG, CANARY)] == ["error"] * 4


def test_a_warning_does_not_keep_anybody_from_being_told() -> None:
    receivers = [{"name": "hook", "kind": "webhook", "url": "http://relay.example.com/x", "severities": ["warning"]}]
    assert [finding["severity"] for finding in alertmanager_findings(receivers)] == ["warning"]
    assert alertmanager_config(receivers)["secrets"] == {"hook.url": "http://relay.example.com/x"}
    (finding,) = alertmanager_findings([])
    assert finding["message"] == "monitoring_receivers is empty: alerts are only on the board, and nobody is told."


def test_a_switch_that_hosts_share_is_worth_a_warning() -> None:
    receivers = [{"name": "chat", "kind": "slack", "url": URL}]
    hosts: dict[str, dict[str, Any]] = {
        "web1": {"monitoring_dead_mans_switch_url": URL},
        "web2": {"monitoring_dead_mans_switch_url": URL},
        "web3": {"monitoring_dead_mans_switch_url": f"{URL}3"},
        "web4": {},
    }

    def found(host: str, **changed: dict[str, Any]) -> list[str]:
        known = {**hosts, **changed}
        switch = known[host].get("monitoring_dead_mans_switch_url", "")
        return [one["message"] for one in alertmanager_findings(receivers, switch, host, known, known)]

    (message,) = found("web1")
    assert message.startswith("monitoring_dead_mans_switch_url is that of another host too")
    assert CANARY not in message
    assert found("web3") == found("web4") == []
    # A host that is not monitored does not call it.
    assert found("web1", web2={**hosts["web2"], "monitoring_enabled": False}) == []


PLAYBOOK = """
- hosts: web1
  gather_facts: false
  vars_files: [vars.yml]
  tasks:
    - name: Judge who is told
      ansible.builtin.include_role: {name: hypercode.deploy.monitoring, tasks_from: validate}
    - name: Say what was found
      ansible.builtin.debug: {var: __monitoring_validated.findings}
    - name: Make the settings
      ansible.builtin.copy:
        content: "{{ item.value }}"
        dest: "{{ playbook_dir }}/{{ item.key }}"
        mode: "0600"
      loop: "{{ ({'config': made.config} | combine(made.secrets)) | dict2items }}"
      no_log: true
      vars:
        made: "{{ monitoring_receivers | hypercode.deploy.alertmanager_config(monitoring_dead_mans_switch_url) }}"
"""


def play(folder: Path, variables: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook with these variables and all that Ansible can say of it."""
    (folder / "play.yml").write_text(PLAYBOOK)
    (folder / "vars.yml").write_text(variables)
    (folder / "password").write_text("password")
    web1 = f"web1 ansible_connection=local ansible_python_interpreter={sys.executable}"
    (folder / "hosts").write_text(f"[hypercode]\n{web1}\nweb2\n")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_HOME": str(folder / ".ansible"),
    }
    program = Path(sys.executable).with_name("ansible-playbook")
    command: list[str | Path] = [program, "-i", "hosts", "--vault-password-file", "password", "-vvvv", "play.yml"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.playbook
def test_values_of_a_vault_end_in_their_files_and_nowhere_else(tmp_path: Path) -> None:
    """Ansible has kinds of text of its own for them, which YAML cannot be made of."""
    secret = VaultSecret(b"password")
    encrypted = VaultLib([("default", secret)]).encrypt(URL, secret).decode()
    lines = "".join(f"  {line}\n" for line in encrypted.splitlines())
    ended = play(
        tmp_path,
        "monitoring_receivers:\n"
        '  - {name: chat, kind: slack, url: "{{ vault_url }}", channel: "#alerts"}\n'
        '  - {name: hook, kind: webhook, url: "https://{{ host }}/x", username: me, password: "{{ vault_url }}"}\n'
        'host: relay.example.com\nmonitoring_dead_mans_switch_url: "{{ vault_url }}"\n'
        f"vault_url: !vault |\n{lines}",
    )
    output = ended.stdout + ended.stderr
    assert ended.returncode == 0, output
    assert CANARY not in output
    assert '"__monitoring_validated.findings": []' in output
    assert (tmp_path / "chat.url").read_text() == (tmp_path / "hook.password").read_text() == URL
    assert (tmp_path / "DeadMansSwitch.url").read_text() == URL
    assert (tmp_path / "hook.url").read_text() == "https://relay.example.com/x"
    config = yaml.safe_load((tmp_path / "config").read_text())
    assert config["receivers"][1]["slack_configs"][0]["channel"] == "#alerts"


@pytest.mark.playbook
def test_a_switch_that_hosts_share_is_found_in_their_variables(tmp_path: Path) -> None:
    """The other host has it by a template of its own."""
    chat = f"monitoring_receivers: [{{name: chat, kind: slack, url: '{URL}'}}]\n"
    (tmp_path / "host_vars").mkdir()
    others = 'number: 2\nmonitoring_dead_mans_switch_url: "https://x.example/{{ number }}"\n'
    (tmp_path / "host_vars" / "web2.yml").write_text(others)
    ended = play(tmp_path, f"{chat}monitoring_dead_mans_switch_url: https://x.example/2\n")
    assert ended.returncode == 0, ended.stdout
    assert "is that of another host too" in ended.stdout


@pytest.mark.playbook
def test_what_is_wrong_is_found_without_a_secret_in_the_output(tmp_path: Path) -> None:
    ended = play(
        tmp_path,
        f"monitoring_receivers:\n  - {{name: chat, kind: slack, url: 'http://hooks.example/{CANARY}'}}\n"
        f"  - {{name: chat, kind: slack, https://hooks.example/{CANARY}: }}\n",
    )
    output = ended.stdout + ended.stderr
    assert ended.returncode == 2
    assert CANARY not in output
    assert "entry 1 (chat): url begins with http://" in output
    assert "entry 2 (chat): url is missing" in output
