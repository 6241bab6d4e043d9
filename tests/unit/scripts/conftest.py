"""A desk on which scripts/secrets is used: inventories of its own, a vault password, and both ways to start it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command import cli

ROOT = Path(__file__).resolve().parents[3]
# A small policy, and no bundled stack: what is in the roles' defaults has no part in these tests.
POLICY = """\
stack_source: /srv/stack
stack_secrets_environment: production
stack_secrets_policy:
  DB_PASSWORD: {kind: password}
  API_TOKEN: {kind: token}
  DATABASE_URL: {kind: url, required: false, embeds: {password: DB_PASSWORD}}
  SEALING_KEY: {kind: aes_key_base64}
  PROVIDER_KEY: {kind: token, generate: false, description: You get it from the provider.}
"""
HOSTS = "hypercode: {hosts: {web1: {ansible_host: 192.0.2.10, ansible_user: nobody}}}\n"


class Desk:
    """``home`` holds inventories/<ENV>; ``password`` is the vault password file."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.password = home / "outside" / "vault-password"
        self.password.parent.mkdir()
        self.password.write_text("the vault password of this test\n")
        self.password.chmod(0o600)

    def make(self, name: str = "production", vault: str | bytes = "", main: str = POLICY) -> Path:
        """An environment; its folder."""
        folder = self.home / "inventories" / name
        secrets = folder / "group_vars" / "hypercode"
        secrets.mkdir(parents=True)
        (folder / "hosts.yml").write_text(HOSTS)
        (secrets / "main.yml").write_text(main)
        if vault:
            (secrets / "vault.yml").write_bytes(vault if isinstance(vault, bytes) else vault.encode())
        return folder

    @staticmethod
    def vault(folder: Path) -> Path:
        return folder / "group_vars" / "hypercode" / "vault.yml"

    def here(self, *words: str | Path) -> int:
        """Run a command in this process, which is quick."""
        verb, *others = [str(word) for word in words]
        return cli.main([verb, *others, "--vault-password-file", str(self.password)], ROOT)

    def environ(self, **more: str) -> dict[str, str]:
        """The environment of a command; an empty text takes a variable away."""
        every = {**os.environ, "ANSIBLE_VAULT_PASSWORD_FILE": str(self.password), "TERM": "dumb", **more}
        return {name: value for name, value in every.items() if value}

    @staticmethod
    def _refuse_to_install() -> None:
        """The script makes .venv anew when the lock has changed: not under the feet of these tests."""
        stamp = ROOT / ".venv" / "requirements.sha256"
        wanted = hashlib.sha256((ROOT / "requirements.lock").read_bytes() + sys.version.encode()).hexdigest()
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            pytest.fail(".venv is not in step with requirements.lock and this Python. Run: scripts/test unit")

    @staticmethod
    def command(*words: str | Path) -> list[str]:
        Desk._refuse_to_install()
        return [sys.executable, str(ROOT / "scripts" / "secrets"), *(str(word) for word in words)]

    def run(self, *words: str | Path, prefix: tuple[str, ...] = (), **more: str) -> subprocess.CompletedProcess[str]:
        """Run the real script, as a user does, without a terminal."""
        return subprocess.run(
            [*prefix, *self.command(*words)],
            env=self.environ(**more),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def view(self, path: Path) -> str:
        """The text of an encrypted file, by Ansible's own code."""
        secret = VaultSecret(self.password.read_bytes().strip())
        return bytes(VaultLib([("default", secret)]).decrypt(path.read_bytes())).decode()

    def view_by_command(self, path: Path) -> str:
        """The same by the real ansible-vault, which takes longer."""
        program = shutil.which("ansible-vault", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        assert program
        done = subprocess.run(
            [program, "view", str(path)], env=self.environ(), capture_output=True, text=True, check=True
        )
        return done.stdout

    def editor(self, text: str) -> str:
        """An editor: a shell script that gets the file as $1."""
        path = self.home / "outside" / "editor"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o700)
        return str(path)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)
