# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of variables that Ansible could not read, or would read without an end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils.variable_files import judge_variable_files

CANARY = "canary-2b8e"


def judge(folder: Path, *, password: str = "") -> list[Finding]:
    vault = VaultLib([("default", VaultSecret(password.encode()))] if password else None)

    def open_vault(data: bytes) -> bytes | None:
        try:
            return bytes(vault.decrypt(data))
        except Exception:
            return None

    found = judge_variable_files([folder], open_vault, has_password=bool(password))
    assert CANARY not in str(found)
    return found


def put(folder: Path, text: str | bytes, name: str = "group_vars/hypercode/vault.yml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def vaulted(text: str) -> bytes:
    return bytes(VaultLib([("default", VaultSecret(b"right"))]).encrypt(text))


def test_good_files_give_nothing(tmp_path: Path) -> None:
    put(tmp_path, "a: 1\nb: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n", "group_vars/all.yml")
    put(tmp_path, vaulted(f"a: {CANARY}\n"))
    put(tmp_path, "[defaults]\n", "group_vars/notes.txt")
    put(tmp_path, "a: [", "group_vars/.hidden.yml")
    put(tmp_path, "a: [", "group_vars/old.yml~")
    assert judge(tmp_path, password="right") == []


@pytest.mark.parametrize(("password", "word"), [("", "--ask-vault-pass"), ("wrong", "does not fit")])
def test_a_closed_vault_is_named(tmp_path: Path, password: str, word: str) -> None:
    path = put(tmp_path, vaulted(f"a: {CANARY}\n"))
    (found,) = judge(tmp_path, password=password)
    assert (found.rule, found.file) == ("vault-closed", str(path))
    assert str(path) in found.message
    assert word in found.message + found.fix


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (f"a: {CANARY}\na: 2\n", "yaml-duplicate-key"),
        (f"a: [{CANARY}\n", "yaml-syntax"),
        ("a: &a [*a]\n", "yaml-alias"),
        (b"a: \xff\xfe\n", "yaml-encoding"),
        ("a" * 3_000_000, "file-too-big"),
    ],
    ids=["twice", "syntax", "circle", "binary", "large"],
)
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "vault"])
def test_what_is_wrong_in_a_file(tmp_path: Path, text: str | bytes, rule: str, encrypted: bool) -> None:
    if encrypted and isinstance(text, str):
        text = vaulted(text)
    put(tmp_path, text)
    assert [finding.rule for finding in judge(tmp_path, password="right")] == [rule]


def test_aliases_that_grow_are_found_at_once(tmp_path: Path) -> None:
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 12))
    put(tmp_path, f"l0: &l0 [x, x]\n{levels}")
    start = time.process_time()
    assert [finding.rule for finding in judge(tmp_path)] == ["yaml-alias"]
    assert time.process_time() - start < 10


def test_a_file_as_the_inventory_has_its_neighbours(tmp_path: Path) -> None:
    put(tmp_path, "a: [", "host_vars/web1.yml")
    hosts = put(tmp_path, "hypercode:\n", "hosts.yml")
    found = judge_variable_files([hosts], lambda _data: None, has_password=False)
    assert [Path(finding.file).name for finding in found] == ["web1.yml"]


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "a: 1\n")

    def refuse(_self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    (found,) = judge(tmp_path)
    assert (found.rule, found.file) == ("file-unreadable", str(path))
