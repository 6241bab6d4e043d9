"""The action in real, small runs of ansible-playbook, in a project of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.hypercode.deploy.plugins.action import inventory_check

pytestmark = pytest.mark.playbook

COLLECTIONS = Path(__file__).resolve().parents[4] / "collections"
CANARY = "canary-7f3a"

SITE = """
- name: Check which inventory was chosen
  hosts: localhost:all
  gather_facts: false
  tasks:
    - name: Check that there are servers to work on
      hypercode.deploy.inventory_check:
        mode: selection
      run_once: true

- name: Check the variables
  hosts: hypercode
  gather_facts: false
  tasks:
    - name: Check the variables of this server
      hypercode.deploy.inventory_check:
        mode: host
        roles_path: "{{ playbook_dir }}/roles"
        removed_variables: "{{ playbook_dir }}/removed.yml"
        known_variables: [web_vendor_*]
    - name: Say that all is well
      ansible.builtin.debug:
        msg: reached
"""
SPECS = """
argument_specs:
  main:
    options:
      web_enabled: {type: bool}
      web_port: {type: int}
      web_domain: {type: str, required: true}
      web_url: {type: str}
      web_folder: {type: str, choices: [web]}
      web_system: {type: str, choices: [nothing]}
      web_admin_password: {type: int}
      web_hidden: {type: int, no_log: true}
      web_vaulted: {type: int}
      web_mode: {type: str, choices: [fast, slow]}
"""
DEFAULTS = """
web_enabled: true
web_port: 80
web_url: "http://{{ web_domain }}:{{ web_port }}{{ base_path }}"
web_folder: "{{ role_path | basename }}"
web_system: "{{ ansible_facts['system'] }}"
web_mode: "{{ __web_mode }}"
"""
BAD = f"""
web_prot: {CANARY}
web_old: {CANARY}
web_vendor_x: 1
web_admin_password: {CANARY}
web_hidden: {CANARY}
web_port: http
"""


def put(root: Path, name: str, text: str = "") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    put(root, "site.yml", SITE)
    put(root, "removed.yml", "- {name: web_old, since: 0.2.0, use: web_port}\n")
    put(root, "roles/web/meta/argument_specs.yml", SPECS)
    put(root, "roles/web/defaults/main.yml", DEFAULTS)
    put(root, "roles/web/vars/main.yml", "__web_mode: fast\n")
    put(root, "scripts/sandbox")
    put(root, "inventories/example/hosts.yml", "hypercode: {hosts: {server1: }}\n")
    good, idle = "{web_domain: x, base_path: /}", "{web_enabled: false}"
    hosts = f"hypercode: {{hosts: {{good: {good}, bad: , idle: {idle}}}}}\ndb: {{hosts: {{db1: }}}}\n"
    put(root, "inventories/prod/hosts.yml", hosts)
    vaulted = VaultLib([("default", VaultSecret(b"pw"))]).encrypt(CANARY).decode().replace("\n", "\n  ")
    put(root, "inventories/prod/host_vars/bad.yml", f"{BAD}web_vaulted: !vault |\n  {vaulted}\n")
    put(root, "vault-password", "pw")
    return root


def play(project: Path, *arguments: str, cwd: Path | None = None) -> tuple[int, dict[str, Any], str]:
    """Run ansible-playbook; returns its exit code, the results of the hosts by task name, and all of its output."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "ANSIBLE_INJECT_FACT_VARS": "false",
        "ANSIBLE_HOME": str(project / ".ansible"),
    }
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    ended = subprocess.run(
        [program, *arguments], cwd=cwd or project, env=environment, capture_output=True, text=True, check=False
    )
    start = ended.stdout.find("{\n")
    plays = json.JSONDecoder().raw_decode(ended.stdout[start:])[0]["plays"] if start >= 0 else []
    results = {task["task"]["name"]: task["hosts"] for one in plays for task in one["tasks"]}
    return ended.returncode, results, ended.stdout + ended.stderr


def findings(result: dict[str, Any]) -> dict[str, str]:
    """Rule by name."""
    return {finding["name"]: finding["rule"] for finding in result["findings"]}


def test_no_inventory_ends_the_run_with_the_command_line(project: Path) -> None:
    code, results, output = play(project, "site.yml", "--diff")
    assert code == 2
    assert list(results) == ["Check that there are servers to work on"]
    result = results["Check that there are servers to work on"]["localhost"]
    assert findings(result) == {"inventory": "no-inventory"}
    assert "ansible-playbook site.yml --diff -i inventories/prod" in result["findings"][0]["fix"]
    assert "example" not in result["findings"][0]["fix"]
    assert result["msg"] == "Inventory: 1 problem. Nothing was changed."
    assert "Traceback" not in output


def test_only_the_example_from_another_folder(tmp_path: Path, project: Path) -> None:
    put(tmp_path, "inventories/example/hosts.yml")
    put(tmp_path, "scripts/sandbox")
    put(tmp_path, "playbooks/site.yml", SITE)
    (tmp_path / "elsewhere").mkdir()
    code, results, _output = play(project, "../playbooks/site.yml", cwd=tmp_path / "elsewhere")
    assert code == 2
    fix = results["Check that there are servers to work on"]["localhost"]["findings"][0]["fix"]
    assert "cp -r ../inventories/example ../inventories/production" in fix
    assert "ansible-playbook ../playbooks/site.yml -i ../inventories/production" in fix
    assert "../scripts/sandbox up" in fix


def test_limit_outside_the_group_does_not_end_well(project: Path) -> None:
    code, results, _output = play(project, "site.yml", "-i", "inventories/prod", "--limit", "db1")
    assert code == 2
    result = results["Check that there are servers to work on"]["db1"]
    assert findings(result) == {"db1": "limit-leaves-nothing"}
    assert result["findings"][0]["fix"].endswith("site.yml -i inventories/prod --limit good")


@pytest.mark.parametrize(
    ("limit", "hosts", "unmatched"),
    [
        ("", None, ()),
        ("web1", {"web1"}, ()),
        ("hypercode", {"web1", "web2"}, ()),
        ("all,!web2", {"web1", "db1"}, ()),
        ("all:!wbe2", {"web1", "web2", "db1"}, ("wbe2",)),
        ("hypercode:&db", set(), ()),
        ("hypercode[0]", {"web1"}, ()),
        ("hypercode[0:1]:db", {"web1", "web2", "db1"}, ()),
        ("~web[12],nope", {"web1", "web2"}, ("nope",)),
        ("localhost", set(), ()),
    ],
)
def test_limit_is_read_the_way_ansible_does(
    limit: str, hosts: set[str] | None, unmatched: tuple[str, ...], tmp_path: Path
) -> None:
    groups = {"all": ["web1", "web2", "db1"], "hypercode": ["web1", "web2"], "db": ["db1"], "ungrouped": []}
    left, nothing = inventory_check.limited_hosts(DataLoader(), groups, limit)
    assert (left if left is None else set(left)) == hosts
    assert nothing == unmatched


def test_limit_from_a_file(tmp_path: Path) -> None:
    put(tmp_path, "hosts.retry", "web1\n")
    left, nothing = inventory_check.limited_hosts(DataLoader(), {"all": ["web1", "web2"]}, f"@{tmp_path}/hosts.retry")
    assert (left, nothing) == (frozenset({"web1"}), ())
    assert inventory_check.limited_hosts(DataLoader(), {"all": ["web1"]}, "@/gone.retry") == (None, ())


def test_variables_of_every_host(project: Path) -> None:
    """One run at the highest verbosity: all findings, and no value of anything secret in any output."""
    code, results, output = play(
        project, "site.yml", "-i", "inventories/prod", "--vault-password-file", "vault-password", "-vvvv", "--check"
    )
    assert code == 2
    assert "Traceback" not in output
    assert CANARY not in output
    hosts = results["Check the variables of this server"]
    assert hosts["good"]["findings"] == []
    assert hosts["good"]["msg"] == "good: no problems."
    assert hosts["idle"]["findings"] == []
    assert set(results["Say that all is well"]) == {"good", "idle"}
    assert findings(hosts["bad"]) == {
        "web_old": "variable-removed",
        "web_prot": "variable-unknown",
        "web_port": "variable-invalid",
        "web_domain": "variable-missing",
        "web_url": "variable-undefined",
        "web_admin_password": "variable-invalid",
        "web_hidden": "variable-invalid",
        "web_vaulted": "variable-invalid",
    }
    by_name = {finding["name"]: finding["message"] for finding in hosts["bad"]["findings"]}
    assert by_name["web_port"].endswith("It is 'http'. Set for bad in inventories/prod/host_vars/bad.yml:7.")
    assert "(inventories/prod/host_vars/bad.yml:2)" in by_name["web_prot"]
    assert hosts["bad"]["msg"] == "bad: 8 problems. Nothing was changed."


def test_broken_file_of_a_role_is_named(tmp_path: Path) -> None:
    put(tmp_path, "site.yml", SITE)
    put(tmp_path, "roles/web/meta/argument_specs.yml", "a: [")
    put(tmp_path, "hosts.yml", "hypercode: {hosts: {web1: }}\n")
    code, results, output = play(tmp_path, "site.yml", "-i", "hosts.yml")
    assert code == 2
    message = results["Check the variables of this server"]["web1"]["msg"]
    assert "roles/web/meta/argument_specs.yml:2 cannot be read" in message
    assert "Traceback" not in output


def test_typed_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    typed = inventory_check.typed_command
    assert typed(["/usr/bin/ansible-playbook", "site.yml"], tmp_path) == ["ansible-playbook", "site.yml"]
    assert typed([".venv/bin/ansible-playbook", "a.yml"], tmp_path) == [".venv/bin/ansible-playbook", "a.yml"]
    assert typed(["/usr/bin/some-runner", "--x"], tmp_path)[0] == "ansible-playbook"
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert typed([str(tmp_path / "bin/ansible-playbook")], tmp_path) == ["bin/ansible-playbook"]


def test_place_is_empty_when_ansible_does_not_know(tmp_path: Path) -> None:
    assert inventory_check.place_of({"a": 1, "b": "text"}, "a", tmp_path) == ""
    assert inventory_check.place_of({"a": 1, "b": "text"}, "b", tmp_path) == ""


def test_plain_values_are_not_encrypted() -> None:
    assert not inventory_check.is_encrypted({"a": ["b", 1, None, True]})
