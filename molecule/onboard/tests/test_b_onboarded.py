"""Servers become managed ones: by flags, by answers on a terminal, after a failure; nothing secret is to be seen."""

from __future__ import annotations

import os
import pty
import select
import time
from pathlib import Path

import pytest
import yaml
from checks.operator import run
from checks.playbook import RECAP, ROOT, environment
from checks.watcher import Watcher

LIMIT = 180
# As for the first environment: see conftest.py.
SETTINGS = "docker_source: distro\npreflight_memory_min_mb: 1000\npreflight_disk_min_gb: 2\n"


def changed(done, name):
    found = {host: int(count) for host, _ok, count, _unreachable, _failed in RECAP.findall(done.output)}
    assert name in found, done.output
    return found[name]


def is_managed(desk, server, own_password):
    """Only the deploy user with the key gets in, and it may become root with its password alone."""
    assert desk.ssh(server, "deploy").output == "deploy"
    assert desk.ssh(server, "deploy", "sudo -n true").code == 1
    # Few tries: sshd keeps an address out that is refused again and again, and that would prove nothing.
    for user, password in ((server.user, server.password), ("deploy", own_password), (server.user, "")):
        refused = desk.ssh(server, user, password=password)
        assert "Permission denied (publickey)" in refused.errors, (user, refused)


@pytest.fixture(scope="module")
def first(desk, fresh):
    """The first onboarding, by flags: root with a password, no Python, no sudo."""
    began = time.monotonic()
    words = ("--name", "web1", "--host-key", fresh.fingerprint, "--password-file", desk.password_file(fresh))
    with Watcher() as watcher:
        done = desk.onboard(fresh, *words)
    return done, watcher, time.monotonic() - began


def test_a_fresh_server_with_a_password_and_no_python(desk, fresh, first, figure):
    done, _watcher, seconds = first
    assert done.code == 0, done.output
    assert figure("onboarding of a fresh server", time.monotonic() - seconds) < LIMIT
    secrets = yaml.safe_load(desk.variables("web1"))
    is_managed(desk, fresh, secrets["ansible_become_password"])
    assert fresh.shell("docker info --format '{{.ServerVersion}}'")
    assert "table inet hypercode" in fresh.shell("nft list tables")
    assert "scripts/secrets edit" in done.output
    assert "ansible-playbook site.yml -i" in done.output.splitlines()[-1]


def test_nothing_secret_is_to_be_seen(desk, fresh, first):
    done, watcher, _seconds = first
    secrets = yaml.safe_load(desk.variables("web1"))
    values = [fresh.password, secrets["ansible_become_password"], secrets["vault_deploy_password_hash"]]
    # It does see what is there.
    assert watcher.found("playbooks/onboard.yml")
    assert any(b"sshd" in text for text in watcher.seen)
    for value in values:
        assert value not in done.output
        assert watcher.found(value) == []
    assert secrets["vault_deploy_password_hash"] in fresh.shell("cat /etc/shadow")
    journal = fresh.shell("journalctl --no-pager --output=cat; cat /var/log/*.log 2>/dev/null || true")
    assert [value for value in values if value in journal] == []
    assert list(Path("/tmp").glob("hypercode-secrets-*")) == []


def test_the_inventory_has_files_of_its_own(desk, first):
    assert first[0].code == 0
    files = desk.files()
    expected = {
        *("hosts.yml", "hosts_web1.yml", "known_hosts"),
        *("group_vars/hypercode/main.yml", "group_vars/hypercode/vault.yml"),
        *("group_vars/hypercode/secrets_dates.yml", "host_vars/web1/connection.yml", "host_vars/web1/users.yml"),
        "host_vars/web1/vault.yml",
    }
    assert set(files) == expected
    for name in ("host_vars/web1/vault.yml", "group_vars/hypercode/vault.yml"):
        path = desk.environment() / name
        assert path.read_text(encoding="utf-8").startswith("$ANSIBLE_VAULT;")
        assert path.stat().st_mode & 0o077 == 0


def test_a_second_run_changes_nothing(desk, fresh, first, figure):
    assert first[0].code == 0
    before = desk.files()
    began = time.monotonic()
    done = desk.onboard(fresh, "--name", "web1")
    figure("onboarding again", began)
    assert done.code == 0, done.output
    assert changed(done, "web1") == 0
    assert desk.files() == before


@pytest.mark.usefixtures("first")
class TestRefusedNow:
    """What a managed server adds to the list."""

    @pytest.fixture(autouse=True)
    def as_before(self, desk, fresh):
        files = desk.files()
        yield
        assert desk.files() == files
        assert desk.ssh(fresh, "deploy").output == "deploy"

    def refused(self, done, *words):
        assert done.code == 1, done.output
        assert done.output.count("Fix: ") == 1, done.output
        for word in words:
            assert word in done.output, done.output

    def test_the_same_address_under_another_name(self, desk, fresh):
        self.refused(desk.onboard(fresh, "--name", "web2"), "already", "--name web1")

    def test_the_same_name_for_another_address(self, desk, keyed):
        done = desk.onboard(keyed, "--name", "web1", "--host-key", keyed.fingerprint)
        self.refused(done, "belongs to another server", "--name web2")

    def test_the_same_server_by_its_other_address(self, desk, fresh):
        words = desk.words(fresh, "--name", "web2", "--host-key", fresh.fingerprint)
        words[1] = fresh.ipv6
        self.refused(run(*words), "managed already", "web1")

    def test_the_same_server_in_another_environment(self, desk, fresh):
        done = desk.onboard(fresh, "--name", "other", "--host-key", fresh.fingerprint, env="elsewhere")
        self.refused(done, "managed already", "production")
        assert not desk.environment("elsewhere").exists()

    def test_a_host_key_that_changed(self, desk, fresh, keyed):
        known = desk.environment() / "known_hosts"
        kept = known.read_text(encoding="utf-8")
        other = keyed.shell("cat /etc/ssh/ssh_host_ed25519_key.pub").split()[1]
        known.write_text(f"{fresh.address} ssh-ed25519 {other}\n", encoding="utf-8")
        try:
            done = desk.onboard(fresh, "--name", "web1")
        finally:
            known.write_text(kept, encoding="utf-8")
        self.refused(done, "is not the one that this environment knows", f"ssh-keygen -R '{fresh.address}'")


def answer(words, answers, timeout=240):
    """Run a command on a terminal of its own and answer its questions in turn; its exit code and what it showed."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        kept = {name: value for name, value in environment().items() if name != "CI"}
        os.execve(words[0], words, {**kept, "HOME": answers.pop("HOME")})  # noqa: S606  No shell is wanted.
    answers.pop("HOME")
    waiting = list(answers.items())
    shown = asked = ""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        ready, _nothing, _none = select.select([terminal], [], [], 1)
        if not ready:
            continue
        try:
            text = os.read(terminal, 4096).decode(errors="replace")
        except OSError:
            break
        if not text:
            break
        shown += text
        asked += text
        if waiting and waiting[0][0] in asked:
            os.write(terminal, f"{waiting.pop(0)[1]}\n".encode())
            asked = ""
    _pid, status = os.waitpid(child, 0)
    os.close(terminal)
    assert waiting == [], shown
    return os.waitstatus_to_exitcode(status), shown


def test_a_user_with_sudo_and_answers_on_a_terminal(desk, sudoer, figure):
    """Every question is asked; most answers are the default."""
    home = desk.home / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/id_ed25519").write_bytes(desk.key.read_bytes())
    (home / ".ssh/id_ed25519").chmod(0o600)
    began = time.monotonic()
    code, shown = answer(
        [str(ROOT / "scripts/onboard"), sudoer.address],
        {
            "HOME": str(home),
            "Your private key [~/.ssh/id_ed25519]": "",
            "Environment": str(desk.environment()),
            "File with the vault password": str(desk.vault_password),
            "Its name in the inventory [web2]": "",
            "Are they the same?": "yes",
            "Who can log in with a password [root]": "debian",
            "Password of debian": "a-slip-of-the-finger",
            "Password of debian (": sudoer.password,
            "Go on?": "",
        },
    )
    figure("onboarding with a sudo user, by answers", began)
    assert code == 0, shown
    assert sudoer.password not in shown
    assert sudoer.fingerprint in shown
    is_managed(desk, sudoer, yaml.safe_load(desk.variables("web2"))["ansible_become_password"])
    connection = yaml.safe_load((desk.environment() / "host_vars/web2/connection.yml").read_text(encoding="utf-8"))
    assert connection["ansible_ssh_private_key_file"] == "~/.ssh/id_ed25519"


def test_an_ipv6_address_and_a_failure_on_the_way(desk, keyed, figure):
    """A new environment, from the example, with a new vault password; the first run fails, nothing can be installed."""
    production = desk.files()
    words = desk.words(keyed, "--name", "db1", "--host-key", keyed.fingerprint, "--sudo", "nopasswd", env="staging")
    words[1] = keyed.ipv6
    at = words.index("--vault-password-file")
    words[at : at + 2] = ["--new-password-file", str(desk.home / "new" / "vault-password")]
    settings = desk.environment("staging") / "group_vars/hypercode"
    broken = "printf '#!/bin/sh\\nexit 100\\n' > /usr/bin/apt-get; chmod +x /usr/bin/apt-get"
    keyed.shell(f"mv /usr/bin/apt-get /usr/bin/apt-get.kept; {broken}")
    failed = run(*words)
    keyed.shell("mv /usr/bin/apt-get.kept /usr/bin/apt-get")
    assert failed.code == 1, failed.output
    assert (desk.home / "new" / "vault-password").stat().st_mode & 0o077 == 0
    assert "it goes on" in failed.output
    # The old login is what it was; the inventory is there, made from the example, and its secrets too.
    assert desk.ssh(keyed, "root").output == "root"
    assert (settings / "vault.yml").read_text(encoding="utf-8").startswith("$ANSIBLE_VAULT;")
    (settings / "test.yml").write_text(SETTINGS, encoding="utf-8")
    before = desk.files("staging")
    began = time.monotonic()
    done = run(*words)
    figure("onboarding over IPv6, after a failure", began)
    assert done.code == 0, done.output
    assert desk.files("staging") == before
    assert desk.ssh(keyed, "root").code != 0
    assert desk.ssh(keyed, "deploy", "sudo -n id -un").output == "root"
    assert desk.files() == production
    again = run(*words)
    assert again.code == 0, again.output
    assert changed(again, "db1") == 0


def test_the_inventory_serves_every_other_playbook(desk, keyed):
    done = desk.playbook("onboard", "--check", env="staging", vault=desk.home / "new" / "vault-password")
    assert done.code == 0, done.output
    assert changed(done, "db1") == 0
