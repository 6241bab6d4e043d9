"""The operator's key: each thing that can be wrong with it has its own message, with the command that mends it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import operator_key
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import Problem, StoreError


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return make(tmp_path / "id_ed25519")


def make(path: Path, passphrase: str = "") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True)
    return path


def problem(path: Path | str) -> Problem:
    with pytest.raises(StoreError) as caught:
        operator_key.read(str(path))
    (only,) = caught.value.problems
    return only


def test_a_good_key(key: Path) -> None:
    found = operator_key.read(str(key))
    assert found.path == key
    assert found.public == " ".join(key.with_suffix(".pub").read_text(encoding="utf-8").split()[:2])
    # The public half is taken from the private one: that is what logs in.
    key.with_suffix(".pub").write_text("ssh-ed25519 AAAA another\n", encoding="utf-8")
    assert operator_key.read(str(key)).public == found.public


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_others_can_read_it(key: Path, mode: int) -> None:
    key.chmod(mode)
    found = problem(key)
    assert found.rule == "key-permissions"
    assert f"{mode:04o}" in found.message
    assert found.fix == f"chmod 600 {key}"


def test_there_is_none(tmp_path: Path) -> None:
    found = problem(tmp_path / "none")
    assert found.rule == "key-missing"
    assert "ssh-keygen -t ed25519" in found.fix


def test_the_public_half(key: Path) -> None:
    found = problem(key.with_suffix(".pub"))
    assert found.rule == "key-public"
    assert found.fix.endswith(f"--key {key}")


def test_no_key_at_all(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no key\n", encoding="utf-8")
    path.chmod(0o600)
    assert problem(path).rule == "key-unreadable"


def test_a_passphrase_and_no_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    found = problem(make(tmp_path / "locked", "a passphrase"))
    assert found.rule == "key-locked"
    assert "ssh-add" in found.fix


def test_a_passphrase_and_an_agent_that_holds_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "locked", "a passphrase")
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\necho 'a passphrase'\n", encoding="utf-8")
    askpass.chmod(0o700)
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        monkeypatch.setenv("SSH_ASKPASS", str(askpass))
        monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
        while not socket.exists():
            assert agent.poll() is None
        subprocess.run(["ssh-add", str(path)], check=True, capture_output=True)
        assert operator_key.read(str(path)).public.startswith("ssh-ed25519 ")
    finally:
        agent.terminate()
        agent.wait()


def test_the_key_that_is_meant(tmp_path: Path) -> None:
    assert operator_key.usual(tmp_path) == "~/.ssh/id_ed25519"
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_rsa").write_text("", encoding="utf-8")
    assert operator_key.usual(tmp_path) == "~/.ssh/id_rsa"
