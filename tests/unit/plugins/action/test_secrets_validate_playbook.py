# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action in a real ansible-playbook, with really vaulted values, and no value anywhere at -vvvv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

pytestmark = pytest.mark.playbook

COLLECTIONS = Path(__file__).parents[4] / "collections"
CANARY = "CANARYzq81vKt4"
RANDOM = "vT4kQz9LmXc2Rw7NpJ5bYd8G"
PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars_files: [secrets.yml]
  tasks:
    - hypercode.deploy.secrets_validate:
        secrets: "{{ stack_secrets }}"
        environment: production
        related: {URL: "redis://:{{ stack_secrets.OPEN }}@redis"}
        other_files: [other.yml, closed.yml]
      register: judged
      ignore_errors: true
    - copy: {content: "{{ judged | to_json }}", dest: "{{ playbook_dir }}/judged.json", mode: "0600"}
    - hypercode.deploy.secrets_validate:
        secrets: "{{ ring }}"
        environment: production
      register: round
      ignore_errors: true
    - copy: {content: "{{ round | to_json }}", dest: "{{ playbook_dir }}/round.json", mode: "0600"}
"""


def _vaulted(text: str, password: bytes) -> str:
    lines = VaultLib([("default", VaultSecret(password))]).encrypt(text).decode().splitlines()
    return "!vault |\n" + "".join(f"    {line}\n" for line in lines)


def _rules(path: Path) -> list[tuple[str, str]]:
    result: dict[str, Any] = json.loads(path.read_text())
    assert result["failed"] is True
    assert result["valid"] is False
    assert "invocation" not in result
    return [(finding["secret"], finding["rule"]) for finding in result["findings"]]


def test_a_real_playbook(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("inside")
    (tmp_path / "secrets.yml").write_text(
        "stack_secrets:\n"
        f"  OPEN: {_vaulted(CANARY + RANDOM, b'inside')}"
        f"  CLOSED: {_vaulted(CANARY, b'outside')}"
        f"  WEAK: {_vaulted('changeme' + CANARY, b'inside')}"
        f"  UNSET: '{{{{ nope }}}}{CANARY}'\n"
        f"  BYTES: !!binary Q0FOQVJZenE4MQ==\n"
        f"  DAY: 2026-01-01\n"
        f"ring: &ring\n  A: {CANARY}{RANDOM}\n  B: *ring\n  C: &list [*list]\n"
    )
    (tmp_path / "other.yml").write_text(f"stack_secrets:\n  X: {_vaulted(CANARY + RANDOM, b'inside')}")
    (tmp_path / "closed.yml").write_text(f"stack_secrets:\n  X: {_vaulted(CANARY + RANDOM, b'outside')}")
    (tmp_path / "playbook.yml").write_text(PLAYBOOK)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp")}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", "-vvvv"]
    done = subprocess.run(
        [
            *command,
            "--vault-password-file",
            "pass",
            "-e",
            f"ansible_python_interpreter={sys.executable}",
            "playbook.yml",
        ],
        cwd=tmp_path,
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert CANARY not in said
    assert RANDOM not in said
    assert "Traceback" not in said
    assert _rules(tmp_path / "judged.json") == [
        ("BYTES", "secret-binary"),
        ("CLOSED", "secret-unreadable"),
        ("DAY", "secret-not-text"),
        ("UNSET", "secret-unreadable"),
        ("WEAK", "secret-placeholder"),
        ("OPEN", "secret-shared-with-environment"),
        ("", "vault-not-compared"),
    ]
    assert _rules(tmp_path / "round.json") == [("B", "secret-unreadable"), ("C", "secret-unreadable")]
