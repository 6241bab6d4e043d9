"""How a deploy ended, with the real ansible-playbook on small playbooks."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command import deploy
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.rotate import Deployed
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.ansible_vault import PasswordOptions

PLAY = "- hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks:\n    - ansible.builtin.{}\n"


def session(root: Path, task: str) -> Any:
    (root / "site.yml").write_text(PLAY.format(task))
    (root / "ansible.cfg").write_text(f"[defaults]\nlocalhost_warning = False\nremote_tmp = {root}/tmp\n")
    (root / "hosts").write_text(f"localhost ansible_python_interpreter={sys.executable}\n")
    return SimpleNamespace(
        root=root,
        environment=SimpleNamespace(folder=root / "hosts"),
        passwords=SimpleNamespace(options=PasswordOptions()),
    )


@pytest.mark.parametrize(
    ("task", "ended"), [("debug: {msg: fine}", Deployed.DONE), ("fail: {msg: no}", Deployed.FAILED)]
)
def test_the_end_is_what_ansible_says(tmp_path: Path, task: str, ended: Deployed) -> None:
    assert deploy.deployer(session(tmp_path, task))() is ended


def test_a_stop_is_handed_on_and_waited_for(tmp_path: Path) -> None:
    marker = tmp_path / "began"
    run = deploy.deployer(session(tmp_path, f"shell: touch {marker}; sleep 30"))

    def stop() -> None:
        deadline = time.monotonic() + 20
        while not marker.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=stop).start()
    began = time.monotonic()
    assert run() is Deployed.OPEN
    assert time.monotonic() - began < 20
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_command_names_password_files_but_holds_no_password(tmp_path: Path) -> None:
    it = session(tmp_path, "debug: {}")
    it.passwords = SimpleNamespace(options=PasswordOptions(ids=("a@/x",), files=("/y",), ask=True))
    words = deploy.command_of(it)
    assert words[:4] == ["ansible-playbook", "site.yml", "-i", str(tmp_path / "hosts")]
    assert words[4:] == ["--vault-id", "a@/x", "--vault-password-file", "/y", "--ask-vault-pass"]
