"""scripts/secrets as a user runs it, with the real script and the real ansible-vault."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command import cli

pytestmark = pytest.mark.playbook

ROOT = Path(__file__).resolve().parents[3]
BUNDLED = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "API_KEY", "HYPERCODE_JWT_SECRET", "HYPERCODE_MEMORY_KEY"}
CANARY = "Kanarienvogel7Yq2Zx9Wm4Tn6Rb8Hd3Kf5Gs"
VAULT = f"""---
# Ours.
stack_secrets:
  API_TOKEN: {CANARY}  # from 2024
  PROVIDER_KEY: ""
vault_registry_password: "{CANARY}-registry"
"""


def test_from_the_example_to_a_check(desk: Any) -> None:
    folder = desk.home / "inventories" / "production"
    shutil.copytree(ROOT / "inventories" / "example", folder)
    new = desk.home / "outside" / "new-password"
    done = desk.run("init", folder, "--new-password-file", new, ANSIBLE_VAULT_PASSWORD_FILE="")
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    vault = desk.vault(folder)
    assert stat.S_IMODE(vault.stat().st_mode) == 0o600
    assert vault.read_bytes().startswith(b"$ANSIBLE_VAULT;1.1;AES256\n")
    desk.password = new
    text = desk.view_by_command(vault)
    secrets = yaml.safe_load(text)["stack_secrets"]
    assert {name for name, value in secrets.items() if value} >= BUNDLED
    assert secrets["ANTHROPIC_API_KEY"] == ""
    encrypts = yaml.safe_load(text)["backup_password"]
    assert len(encrypts) >= 40
    assert encrypts not in done.stdout + done.stderr
    assert "backup_password" in done.stdout
    dates = yaml.safe_load((vault.parent / "secrets_dates.yml").read_text())["stack_secrets_set_on"]
    assert set(dates) == {name for name, value in secrets.items() if value}
    # What is left to do is said; nothing that was made is.
    assert "ANTHROPIC_API_KEY" in done.stdout
    assert f"Next: scripts/secrets edit {folder}" in done.stdout
    checked = desk.run("check", folder)
    assert checked.returncode == 1
    assert re.findall(r"(?m)^  (\w+)  \[", checked.stdout) == ["ANTHROPIC_API_KEY"]
    for value in filter(None, [*secrets.values(), new.read_text().strip()]):
        assert value not in done.stdout + done.stderr + checked.stdout + checked.stderr


def test_a_second_init_changes_nothing_and_an_own_value_stays(desk: Any) -> None:
    folder = desk.make(vault=VAULT)
    assert desk.here("init", folder) == 0
    first = desk.vault(folder).read_bytes()
    text = desk.view(desk.vault(folder))
    assert f"API_TOKEN: {CANARY}  # from 2024" in text
    assert text.startswith("---\n# Ours.\n")
    assert f'vault_registry_password: "{CANARY}-registry"' in text
    dates = yaml.safe_load((desk.vault(folder).parent / "secrets_dates.yml").read_text())["stack_secrets_set_on"]
    assert "API_TOKEN" not in dates  # Nobody knows since when.
    assert desk.here("init", folder) == 0
    assert desk.vault(folder).read_bytes() == first


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ('backup_password: ""  # Keep a copy.', True),
        ("backup_password:", True),
        ('backup_password: "0"', False),
        ('# backup_password: ""', False),
        ("backup_password:\n  words of mine", False),
        ("backup_password: >-\n  words\n  more", False),
        ('my_backup_password: ""', False),
    ],
)
def test_a_password_for_backups_is_made_where_an_empty_one_stands(desk: Any, line: str, made: bool) -> None:
    folder = desk.make(vault=f"{VAULT}{line}\n")
    before = yaml.safe_load(f"{line}\n") or {}
    assert desk.here("init", folder) == 0
    text = desk.view(desk.vault(folder))
    found = yaml.safe_load(text)
    assert ("# Keep a copy." in text) == ("# Keep a copy." in line)
    if made:
        assert len(found["backup_password"]) >= 40
    else:
        assert {name: found.get(name) for name in before} == before
    assert desk.here("init", folder) == 0
    assert desk.view(desk.vault(folder)) == text


def test_what_a_person_fills_in_stands_in_the_file_and_is_said(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = desk.make()
    assert desk.here("init", folder) == 0
    text = desk.view(desk.vault(folder))
    assert '  # You get it from the provider.\n  PROVIDER_KEY: ""\n' in text
    assert "DATABASE_URL" not in text  # It is not required.
    output = capsys.readouterr().out
    assert "PROVIDER_KEY: You get it from the provider." in output
    assert "Optional, left empty: DATABASE_URL" in output


def test_an_edit_shows_no_secret_to_the_process_list_and_leaves_nothing(desk: Any) -> None:
    folder = desk.make(vault=VAULT)
    assert desk.here("init", folder) == 0
    seen, copy = desk.home / "outside" / "seen", desk.home / "outside" / "path"
    editor = desk.editor(
        f'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ > {seen} 2>/dev/null; echo "$1" > {copy}\n'
        f'grep -q {CANARY[:8]} "$1" || exit 3\n'
        f'sed -i \'s/PROVIDER_KEY: ""/PROVIDER_KEY: {CANARY[::-1]}/\' "$1"'
    )
    short = desk.home / "short"
    short.mkdir()
    done = desk.run("edit", folder, EDITOR=editor, TMPDIR=str(short))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "new values of PROVIDER_KEY" in done.stdout
    assert f"PROVIDER_KEY: {CANARY[::-1]}" in desk.view(desk.vault(folder))
    listed = seen.read_bytes()
    assert b"scripts/secrets" in listed
    # The sed that writes the value comes after the list was made.
    assert CANARY.encode() not in listed
    assert CANARY not in done.stdout + done.stderr
    assert not Path(copy.read_text().strip()).exists()
    assert list(short.iterdir()) == []


def test_a_stop_while_the_editor_is_open_leaves_no_plain_file(desk: Any) -> None:
    folder = desk.make(vault=VAULT)
    assert desk.here("init", folder) == 0
    before = desk.vault(folder).read_bytes()
    copy = desk.home / "outside" / "path"
    editor = desk.editor(f'echo "$1" > {copy}.new; mv {copy}.new {copy}; exec sleep 120')
    child = subprocess.Popen(desk.command("edit", folder), env=desk.environ(EDITOR=editor), stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not copy.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        path = Path(copy.read_text().strip())
        assert CANARY in path.read_text()
        child.send_signal(signal.SIGTERM)
        _out, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130
    assert b"Traceback" not in err
    assert not path.exists()
    assert desk.vault(folder).read_bytes() == before


def test_ctrl_c_at_a_question_changes_nothing(desk: Any) -> None:
    folder = desk.make(vault=VAULT)
    assert desk.here("init", folder) == 0
    before = {path.name: path.read_bytes() for path in desk.vault(folder).parent.iterdir()}
    command, *arguments = desk.command("rotate", folder, "PROVIDER_KEY", "--no-deploy", "-J")
    environ = desk.environ(ANSIBLE_VAULT_PASSWORD_FILE="")
    child = pexpect.spawn(command, arguments, env=environ, cwd=str(desk.home), timeout=60, encoding="utf-8")
    child.expect("Vault password: ")
    child.sendline(desk.password.read_text().strip())
    child.expect("New value of PROVIDER_KEY")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert "Traceback" not in (child.before or "")
    assert {path.name: path.read_bytes() for path in desk.vault(folder).parent.iterdir()} == before


def test_two_runs_at_once(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = desk.make(vault=VAULT)
    descriptor = os.open(desk.vault(folder).parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        status = desk.here("init", folder)
    finally:
        os.close(descriptor)
    assert status == 1
    assert "Another scripts/secrets is at work" in capsys.readouterr().err
    assert desk.vault(folder).read_text() == VAULT


def test_a_folder_that_cannot_be_written(desk: Any) -> None:
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and there is no setpriv here to give that up")
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    folder = desk.make(vault=VAULT)
    desk.vault(folder).parent.chmod(0o500)
    try:
        done = desk.run("init", folder, prefix=prefix)
    finally:
        desk.vault(folder).parent.chmod(0o700)
    assert done.returncode == 1
    assert "cannot be written: permission denied" in done.stderr
    assert desk.vault(folder).read_text() == VAULT
    assert sorted(path.name for path in desk.vault(folder).parent.iterdir()) == ["main.yml", "vault.yml"]


def test_without_a_password_the_next_step_is_said(desk: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = desk.make(vault=VAULT)
    assert cli.main(["init", str(folder)], ROOT) == 1
    assert re.search(r"scripts/secrets init \S+ --new-password-file ~/\S+", capsys.readouterr().err)
    assert desk.vault(folder).read_text() == VAULT


@pytest.mark.parametrize("place", ["inside", "taken"])
def test_a_new_password_file_in_a_bad_place(desk: Any, capsys: pytest.CaptureFixture[str], place: str) -> None:
    folder = desk.make(vault=VAULT)
    path = {"inside": ROOT / "vault-password-of-a-test", "taken": desk.password}[place]
    content = desk.password.read_bytes()
    assert desk.here("init", folder, "--new-password-file", path) == 1
    assert {"inside": "inside the repository", "taken": "there already"}[place] in capsys.readouterr().err
    assert desk.password.read_bytes() == content
    assert desk.vault(folder).read_text() == VAULT


def test_a_labelled_vault_id_stays(desk: Any) -> None:
    folder = desk.make(vault=VAULT)
    assert desk.here("init", folder, "--vault-id", f"blue@{desk.password}", "--encrypt-vault-id", "blue") == 0
    assert desk.vault(folder).read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;blue\n")
    assert desk.here("rotate", folder, "API_TOKEN", "--no-deploy") == 0
    assert desk.vault(folder).read_bytes().startswith(b"$ANSIBLE_VAULT;1.2;AES256;blue\n")


def test_a_program_that_gives_the_password(desk: Any) -> None:
    folder = desk.make(vault=VAULT)
    assert desk.here("init", folder) == 0
    secret = desk.password.read_text()
    desk.password.write_text(f"#!/bin/sh\necho '{secret.strip()}'\n")
    desk.password.chmod(0o700)
    assert desk.here("rotate", folder, "API_TOKEN", "--no-deploy") == 0


@pytest.mark.parametrize(
    ("name", "said"), [("nosuch", "There is no environment nosuch"), ("example", "is the folder that")]
)
def test_an_environment_that_is_none(desk: Any, capsys: pytest.CaptureFixture[str], name: str, said: str) -> None:
    assert desk.here("init", name) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "cp -r " in error
