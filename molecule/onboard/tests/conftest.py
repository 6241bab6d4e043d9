"""The operator's side: a folder of inventories, a key, a vault password, and what the provider told of its servers."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import testinfra
from checks.footprint import FILES, OURS, TEMPORARY
from checks.operator import run
from checks.playbook import ROOT
from testbed import hosts, providers

BED = providers.bed_of("molecule-onboard")
# The machine below has little memory to promise; Docker comes from the distribution, for the vendor's is not reachable.
SETTINGS = """\
docker_source: distro
preflight_memory_min_mb: 1000
preflight_disk_min_gb: 2
# The tests try what is refused more often than a person does.
base_fail2ban_ignore: [198.51.100.0/24, "2001:db8::/32"]
"""
FIGURES: list[str] = []
ASKPASS = '#!/bin/sh\ncat "$TEST_PASSWORD_FILE"\n'


@dataclass(frozen=True)
class Server:
    """One server, as its provider's customer knows it, and as somebody at its console sees it."""

    name: str
    user: str
    host: testinfra.host.Host

    @property
    def address(self) -> str:
        return hosts.address_of(BED, self.name)

    @property
    def ipv6(self) -> str:
        words = f"ip -6 -o addr show dev {self.shell('ls /sys/class/net | grep eth | head -1')} scope global"
        return self.shell(words).split()[3].partition("/")[0]

    @property
    def fingerprint(self) -> str:
        return self.shell("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").split()[1]

    @property
    def password(self) -> str:
        return providers.password_of(BED, self.name)

    def shell(self, command: str, ok: bool = True) -> str:
        """Run something as root through the console."""
        done = self.host.run(command)
        assert not ok or done.rc == 0, done
        return str(done.stdout).strip()

    def footprint(self) -> dict[str, set[str]]:
        """Its files, processes and packages."""
        processes = self.shell("ps -eo uid,args --no-headers").splitlines()
        return {
            "files": set(self.shell(FILES).splitlines()),
            "temporary files": set(self.shell(TEMPORARY).splitlines()),
            "processes": {line for line in map(str.strip, processes) if not any(word in line for word in OURS)},
            "packages": set(self.shell("dpkg-query --show").splitlines()),
        }


@dataclass(frozen=True)
class Desk:
    """Where the operator works. ``home`` holds inventories/ and everything else of theirs."""

    home: Path
    key: Path
    vault_password: Path

    def environment(self, name: str = "production") -> Path:
        return self.home / "inventories" / name

    def words(self, server: Server, *words: object, env: str = "production", key: Path | None = None) -> list[str]:
        vault = ("--vault-password-file", self.vault_password)
        common = (ROOT / "scripts/onboard", server.address, "--env", self.environment(env), "--key", key or self.key)
        return [str(word) for word in (*common, *vault, *words)]

    def onboard(self, server: Server, *words: object, env: str = "production", key: Path | None = None):
        return run(*self.words(server, *words, env=env, key=key))

    def secret_file(self, name: str, content: str) -> Path:
        path = self.home / name
        path.touch(mode=0o600)
        path.write_text(content, encoding="utf-8")
        return path

    def password_file(self, server: Server) -> Path:
        return self.secret_file(f"{server.name}-password", f"{server.password}\n")

    def playbook(self, name: str, *words: object, env: str = "production", vault: Path | None = None):
        program = Path(sys.executable).parent / "ansible-playbook"
        variables = {"ANSIBLE_VAULT_PASSWORD_FILE": str(vault or self.vault_password)}
        return run(program, f"playbooks/{name}.yml", "-i", self.environment(env), *words, **variables)

    def variables(self, name: str, env: str = "production") -> str:
        """The host's decrypted secrets."""
        path = self.environment(env) / "host_vars" / name / "vault.yml"
        program = Path(sys.executable).parent / "ansible-vault"
        done = run(program, "view", path, ANSIBLE_VAULT_PASSWORD_FILE=str(self.vault_password))
        assert done.code == 0, done.output
        return done.output

    def files(self, env: str = "production") -> dict[str, str]:
        """What an environment is made of."""
        folder = self.environment(env)
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() + oct(path.stat().st_mode)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def ssh(self, server: Server, user: str, command: str = "id -un", *, password: str = "", key: Path | None = None):
        """A login of one's own, without anything of this project: by password where one is given, else by key."""
        options = {
            "UserKnownHostsFile": str(self.home / "own_known_hosts"),
            "StrictHostKeyChecking": "no",
            "ConnectTimeout": "10",
            "NumberOfPasswordPrompts": "1",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "PreferredAuthentications": "password" if password else "publickey",
        }
        askpass = self.secret_file("askpass", ASKPASS)
        askpass.chmod(0o700)
        told = self.secret_file("askpass-answer", password)
        done = subprocess.run(
            [
                *("ssh", "-T", "-i", str(key or self.key)),
                *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
                *(f"{user}@{server.address}", command),
            ],
            env={
                **os.environ,
                "SSH_ASKPASS": str(askpass),
                "SSH_ASKPASS_REQUIRE": "force",
                "TEST_PASSWORD_FILE": str(told),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return SimpleNamespace(code=done.returncode, output=done.stdout.strip(), errors=done.stderr)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, one a line, as what|figure."""
    for text in FIGURES:
        terminalreporter.write_line(f"measured  {text}")


@pytest.fixture(scope="session")
def desk(tmp_path_factory) -> Desk:
    home = tmp_path_factory.mktemp("operator")
    key = home / "id_ed25519"
    key.write_bytes(BED.key.read_bytes())
    key.chmod(0o600)
    desk = Desk(home, key, home / "vault-password")
    desk.secret_file("vault-password", "a-password-for-this-test-only\n")
    settings = desk.environment() / "group_vars" / "hypercode" / "main.yml"
    settings.parent.mkdir(parents=True)
    settings.write_text(SETTINGS, encoding="utf-8")
    return desk


def server(name: str, user: str) -> Server:
    return Server(name, user, testinfra.get_host(f"docker://{BED.container(name)}"))


@pytest.fixture(scope="session")
def fresh() -> Server:
    """Root by password; no Python, no sudo."""
    return server("fresh", "root")


@pytest.fixture(scope="session")
def keyed() -> Server:
    """Root by key."""
    return server("keyed", "root")


@pytest.fixture(scope="session")
def sudoer() -> Server:
    """A user with sudo, who has a password for both; nobody else gets in."""
    return server("sudoer", "debian")


@pytest.fixture
def figure():
    """Note how long something took; scripts/test shows it."""

    def note(what: str, began: float) -> float:
        seconds = time.monotonic() - began
        FIGURES.append(f"{what}|{seconds:.0f} s")
        return seconds

    return note
