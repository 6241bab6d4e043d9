# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The life of a tree in a real ansible-playbook: predicted, written, changed, refused, removed."""

from __future__ import annotations

import base64
import grp
import json
import os
import pwd
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.playbook

COLLECTIONS = Path(__file__).parents[4] / "collections"
USER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars_files: [variables.json]
  module_defaults:
    hypercode.deploy.template_tree: {name: base, root: "{{ root }}", owner: "{{ user }}", group: "{{ group }}"}
  tasks:
    - include_role: {name: demo, tasks_from: "{{ item }}"}
      loop: "{{ steps }}"
    - debug: {msg: "RESULTS={{ results | to_json | b64encode }}="}
"""
CONVERGE = """
- hypercode.deploy.template_tree:
    trees: [{src: tree}, {src: plain, dest: /opt/plain, template: false}]
    files:
      /etc/demo/secret.env: {content: "KEY={{ secret }}\\n", mode: "0600"}
      /etc/demo/main.conf: {validate: "grep -q {{ expected | default('answer=42') }} %s"}
      /etc/demo/optional.conf: {when: "{{ optional | default(true) }}"}
    sensitive: [/etc/demo/*.env]
    directories: [{path: /var/lib/demo, mode: "0750"}]
    links: [{path: /etc/demo.conf, target: demo/main.conf}]
  register: __result
  ignore_errors: "{{ tolerate | default(false) }}"
- set_fact: {results: "{{ results | default([]) + [__result] }}"}
"""
STEPS = {
    "converge": CONVERGE,
    "changed": f"- vars: {{answer: 43, expected: answer=43, optional: false}}\n  block:{CONVERGE}".replace(
        "\n", "\n    "
    ),
    "invalid": f"- vars: {{answer: 44, expected: something, tolerate: true}}\n  block:{CONVERGE}".replace(
        "\n", "\n    "
    ),
    "remove": """
- hypercode.deploy.template_tree: {state: absent}
  register: __result
- set_fact: {results: "{{ results + [__result] }}"}
""",
}
CANARY = "CANARY-7f3a"


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "root"
        self.output = ""
        self.put("play.yml", PLAYBOOK)
        for name, text in STEPS.items():
            # The block's own lines keep their place, those of the task list in it move right.
            self.put(f"roles/demo/tasks/{name}.yml", text.replace("\n      block", "\n  block"))
        self.put("roles/demo/templates/tree/etc/demo/main.conf.j2", "answer={{ answer }}\n")
        self.put("roles/demo/templates/tree/etc/demo/optional.conf.j2", "{{ answer }}\n")
        for number in range(60):  # About 1 MB in all.
            text = f"{number}\n{{{{ ('%s ' % answer) * 6000 }}}}\n"
            self.put(f"roles/demo/templates/tree/etc/demo/many/{number}.j2", text)
        self.put("roles/demo/files/plain/data.bin", "\0binary")
        self.root.mkdir()

    def put(self, path: str, text: str) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def play(self, *steps: str, options: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        variables = {
            "root": str(self.root), "user": USER, "group": GROUP, "steps": steps,
            "answer": 42, "secret": CANARY, "ansible_python_interpreter": sys.executable, "ansible_pipelining": True,
        }  # fmt: skip
        self.put("variables.json", json.dumps(variables))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "play.yml", "-i", "localhost,", "-c", "local"]
        done = subprocess.run(
            [*command, *options],
            cwd=self.folder,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
                "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
                "ANSIBLE_HOME": str(self.folder / "home"),
                "ANSIBLE_NOCOLOR": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        self.output = done.stdout + done.stderr
        assert done.returncode == 0, self.output[-3000:]
        found = re.search(r"RESULTS=(\S+)=\"", self.output)
        assert found, self.output[-3000:]
        return list(json.loads(base64.b64decode(found[1])))

    def files(self) -> set[str]:
        return {f"/{path.relative_to(self.root)}" for path in self.root.rglob("*") if not path.is_dir()}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The life of a tree, told by ansible-playbook: check, first run, second run, change, mistake, removal."""
    project = Project(tmp_path_factory.mktemp("project"))
    story: dict[str, Any] = {"predicted": project.play("converge", options=("--check", "--diff"))[0]}
    story["check_output"], story["after_check"] = project.output, list(project.root.iterdir())
    steps = ("first", "second", "changed", "invalid", "removed")
    results = project.play("converge", "converge", "changed", "invalid", "remove", options=("-vvvv",))
    story |= dict(zip(steps, results, strict=True))
    story["verbose_output"], story["left"] = project.output, project.files()
    return story


class TestPlaybook:
    def test_check_mode_on_a_bare_host_predicts_and_writes_nothing(self, story: dict[str, Any]) -> None:
        assert story["after_check"] == []
        assert story["predicted"]["changed"] is True
        for key in ("changed_paths", "created", "updated", "removed", "kept"):
            assert story["predicted"][key] == story["first"][key]
        assert "+answer=42" in story["check_output"]

    def test_first_run_writes_everything(self, story: dict[str, Any]) -> None:
        created = set(story["first"]["created"])
        assert {f"/etc/demo/many/{number}" for number in range(60)} <= created
        assert {"/etc/demo.conf", "/opt/plain/data.bin", "/etc/demo/secret.env", "/var/lib/demo"} <= created
        assert story["first"]["changed_paths"] == sorted(created)

    def test_second_run_changes_nothing(self, story: dict[str, Any]) -> None:
        assert story["second"]["changed"] is False
        assert story["second"]["changed_paths"] == []

    def test_no_secret_is_seen_anywhere(self, story: dict[str, Any]) -> None:
        assert "diff hidden: holds secrets" in story["check_output"]
        for text in (story["check_output"], story["verbose_output"], str(story["first"]), str(story["invalid"])):
            assert CANARY not in text
        assert "EXEC" in story["verbose_output"]

    def test_change_updates_and_prunes(self, story: dict[str, Any]) -> None:
        assert "/etc/demo/main.conf" in story["changed"]["updated"]
        assert story["changed"]["removed"] == ["/etc/demo/optional.conf"]

    def test_invalid_file_fails_with_nothing_changed(self, story: dict[str, Any]) -> None:
        assert story["invalid"]["failed"] is True
        assert "/etc/demo/main.conf is not valid. `grep -q something /etc/demo/main.conf`" in story["invalid"]["msg"]
        assert story["invalid"]["changed_paths"] == []

    def test_removal_leaves_nothing(self, story: dict[str, Any]) -> None:
        gone = {"/etc/demo/optional.conf", "/var", "/var/lib"}  # Pruned before; above the records.
        assert set(story["removed"]["removed"]) == set(story["first"]["created"]) - gone
        assert story["left"] == set()
