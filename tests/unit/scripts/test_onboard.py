"""scripts/onboard as it is started: its help, what it asks for without a terminal, and its answer to ssh."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import cli, find
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "onboard"


@pytest.fixture
def desk(tmp_path: Path) -> list[str]:
    """Flags that are good: a key, a vault password, a new environment."""
    key = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    password = tmp_path / "vault-password"
    password.write_text("the vault password of this test\n", encoding="utf-8")
    password.chmod(0o600)
    environment = str(tmp_path / "inventories" / "production")
    return ["--key", str(key), "--env", environment, "--vault-password-file", str(password)]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main([*words], ROOT) == 1
    said = capsys.readouterr().err
    assert said.count("ERROR") == 1
    assert said.count("Fix:") == 1
    return said


@pytest.mark.parametrize("host", ["", "root@192.0.2.10"])
def test_what_is_no_address(host: str, desk: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "is no address" in refused(capsys, host, *desk)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--port", "0"], "--port"),
        (["--port", "65536"], "--port"),
        (["--deploy-user", "root"], "--deploy-user"),
        (["--deploy-user", "x y"], "--deploy-user"),
        (["--group", "web servers"], "--group"),
        (["--name", "Web 1"], "--name"),
        (["--env", "/tmp/!"], "--env"),
    ],
)
def test_a_flag_that_is_wrong(
    words: list[str], named: str, desk: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert named in refused(capsys, "192.0.2.10", *desk, *words)


def test_no_vault_password_and_no_terminal(
    desk: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible.constants.DEFAULT_VAULT_PASSWORD_FILE", None)
    monkeypatch.setattr("ansible.constants.DEFAULT_VAULT_IDENTITY_LIST", [])
    said = refused(capsys, "192.0.2.10", *desk[:4])
    assert "--vault-password-file FILE" in said
    assert "--new-password-file" in said


def test_nothing_is_made_before_the_server_answers(
    desk: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    made = tmp_path / "new-password"
    said = refused(capsys, "127.0.0.1", *desk, "--port", str(port), "--new-password-file", str(made))
    assert "refuses connections" in said
    assert not made.exists()
    assert not Path(desk[3]).exists()


def test_a_fault_of_its_own_shows_no_secret(
    desk: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_target: object) -> None:
        raise ValueError("the canary")

    monkeypatch.setattr("ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach.connect", fail)
    assert cli.main(["127.0.0.1", *desk], ROOT) == 1
    said = capsys.readouterr().err
    assert "ValueError at" in said
    assert "canary" not in said


class TestPasswordFile:
    @pytest.mark.parametrize(
        ("content", "mode", "message"),
        [
            (b"secret\n", 0o644, "Others can read"),
            (b"", 0o600, "holds nothing"),
            (b"\n", 0o600, "holds nothing"),
            (b"one\ntwo\n", 0o600, "more than one line"),
            (b"\xff\xfe", 0o600, "holds no text"),
        ],
    )
    def test_one_that_is_refused(self, content: bytes, mode: int, message: str, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_bytes(content)
        file.chmod(mode)
        with pytest.raises(StoreError, match=message):
            find._given(str(file), tmp_path / "private", "--password-file")

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="There is no file"):
            find._given(str(tmp_path / "none"), tmp_path / "private", "--password-file")

    def test_spaces_belong_to_the_password(self, tmp_path: Path) -> None:
        file = tmp_path / "password"
        file.write_text(" pass word \r\n", encoding="utf-8")
        file.chmod(0o600)
        kept = find._given(str(file), tmp_path / "private", "--password-file")
        assert kept.read_text(encoding="utf-8") == " pass word "
        assert kept.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("root@192.0.2.10's password: ", 0),
        ("(root@192.0.2.10) Password: ", 0),
        ("Are you sure you want to continue connecting (yes/no/[fingerprint])? ", 1),
        ("Enter passphrase for key '/root/.ssh/id_ed25519': ", 1),
    ],
)
def test_the_answer_to_ssh(prompt: str, code: int, tmp_path: Path) -> None:
    file = tmp_path / "answer"
    file.write_text('it\'s "$secret"', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), prompt],
        env={**os.environ, "HYPERCODE_ONBOARD_ANSWER": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert done.stdout == ('it\'s "$secret"\n' if code == 0 else "")
