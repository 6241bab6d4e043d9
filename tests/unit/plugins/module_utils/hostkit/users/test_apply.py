# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Users on a host that is a folder: the real useradd, usermod, chpasswd, userdel and visudo work there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult, run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.ssh_session import Session
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.accounts import read_accounts
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.apply import UserError, Users
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.judge import host_findings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.key_file import KeyFileError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.sudoers import SudoError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.wanted import WantedUser, read_users
from fakes.network_lab import folder_in_memory

TOOLS = ("useradd", "usermod", "userdel", "groupadd", "chpasswd", "visudo")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or any(shutil.which(tool) is None for tool in TOOLS),
    reason="needs root and the packages passwd and sudo",
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGo0hyLOJ4kDH3E0cMDzOcSGLjCsvZgcxwnT+pDyiIgD"
HASH = "$6$saltsalt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g."
ME = Session("198.51.100.2", 40000, 22, "deploy")


class Bench:
    """A made-up host; programs work on it with --root."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root, self._scratch = root, scratch
        self.calls: list[tuple[list[str], str | None]] = []
        for path, text in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n"),
            ("etc/shadow", "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n"),
            ("etc/group", "root:x:0:\ndaemon:x:1:\nadm:x:4:\n"),
            ("etc/gshadow", "root:*::\ndaemon:*::\nadm:*::\n"),
            ("etc/login.defs", "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUSERGROUPS_ENAB yes\n"),
            ("etc/sudoers", f"root ALL=(ALL:ALL) ALL\n@includedir {root}/etc/sudoers.d\n"),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        (root / "home").mkdir()
        (root / "etc/sudoers.d").mkdir()

    def run(self, argv: Any, text: str | None = None) -> CommandResult:
        self.calls.append((list(argv), text))
        return run_command(argv, timeout=20, text=text)

    def users(self) -> Users:
        return Users(self.run, self.root, "web1", self._scratch)

    def plan(self, *entries: dict[str, Any]) -> list[str]:
        return [step.words for step in self.users().plan(wanted(*entries))]

    def apply(self, *entries: dict[str, Any]) -> list[str]:
        users = self.users()
        steps = users.plan(wanted(*entries))
        users.act(steps)
        return [step.words for step in steps]

    def judge(self, *entries: dict[str, Any], known: bool = False) -> list[str]:
        found = host_findings(wanted(*entries), self.users(), ME, "web1", password_known=known)
        return [f"{finding.rule} {finding.name}: {finding.message}" for finding in found]

    def keys(self, name: str = "deploy") -> Path:
        return self.root / f"home/{name}/.ssh/authorized_keys"


def wanted(*entries: dict[str, Any]) -> list[WantedUser]:
    users, findings = read_users(list(entries))
    assert findings == []
    return users


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with folder_in_memory() as root:
        yield Bench(root, tmp_path)


FULL = {
    "name": "deploy",
    "keys": [f"{KEY} me@laptop"],
    "password_hash": HASH,
    "sudo": "nopasswd",
    "groups": ["adm", "docker"],
    "comment": "Deploys",
}


def test_a_user_is_made_and_then_left_alone(bench: Bench) -> None:
    predicted = bench.plan(FULL)
    assert not [argv for argv, _text in bench.calls if argv[0] in TOOLS]
    assert bench.apply(FULL) == predicted
    assert predicted[:2] == ["make the group docker", "deploy: make the user"]
    accounts = read_accounts(bench.root)
    account = accounts.users["deploy"]
    assert (account.uid >= 1000, account.shell, account.comment) == (True, "/bin/bash", "Deploys")
    assert accounts.groups_of(account) == ["adm", "deploy", "docker"]
    assert accounts.hashes["deploy"] == HASH
    file = bench.keys()
    assert file.read_text() == f"{KEY} me@laptop\n"
    assert [oct(path.stat().st_mode)[-3:] for path in (file, file.parent)] == ["600", "700"]
    assert {path.stat().st_uid for path in (file, file.parent)} == {account.uid}
    rule = bench.root / "etc/sudoers.d/hypercode-deploy"
    assert "deploy ALL=(ALL:ALL) NOPASSWD: ALL" in rule.read_text()
    assert oct(rule.stat().st_mode)[-3:] == "440"
    assert bench.apply(FULL) == []


def test_no_hash_on_a_command_line_or_in_words(bench: Bench) -> None:
    words = bench.apply(FULL)
    assert not [argv for argv, _text in bench.calls if HASH in " ".join(argv)]
    assert [text for argv, text in bench.calls if argv[0] == "chpasswd"] == [f"deploy:{HASH}\n"]
    assert HASH not in "".join(words) + repr(wanted(FULL)) + repr(read_accounts(bench.root))


def test_what_was_done_by_hand_stays(bench: Bench) -> None:
    bench.apply({"name": "deploy", "keys": [KEY], "groups": ["adm"]})
    file = bench.keys()
    by_hand = f'# mine\nfrom="198.51.100.0/24" {OTHER} home\n'
    file.write_text(by_hand + file.read_text())
    subprocess.run(["usermod", "--root", bench.root, "--append", "--groups", "daemon", "deploy"], check=True)
    third = KEY.replace("Sqti", "Sqtj")
    assert bench.apply({"name": "deploy", "keys": [KEY, third]}) == [
        f"deploy: add the key {wanted({'name': 'x', 'keys': [third]})[0].keys[0].label}"
    ]
    assert file.read_text() == f"{by_hand}{KEY}\n{third}\n"
    accounts = read_accounts(bench.root)
    assert accounts.groups_of(accounts.users["deploy"]) == ["adm", "daemon", "deploy"]


def test_a_key_that_we_brought_goes_when_it_is_no_longer_wanted(bench: Bench) -> None:
    bench.apply({"name": "deploy", "keys": [KEY]})
    bench.keys().write_text(bench.keys().read_text() + f"{OTHER} by hand\n")
    # Wanted now, but it was there before us: it stays theirs who brought it.
    assert bench.apply({"name": "deploy", "keys": [KEY, OTHER]}) == []
    (step,) = bench.apply({"name": "deploy", "keys": []})
    assert step.startswith("deploy: take away the key SHA256:")
    assert bench.keys().read_text() == f"{OTHER} by hand\n"
    assert bench.apply({"name": "deploy", "keys": []}) == []


def test_a_link_in_place_of_the_keys_is_not_followed(bench: Bench) -> None:
    bench.apply({"name": "deploy"})
    secret = bench.root / "root-keys"
    secret.write_text("")
    bench.keys().parent.mkdir()
    bench.keys().symlink_to(secret)
    with pytest.raises(KeyFileError, match=r"/home/deploy/.ssh/authorized_keys cannot be used.*Fix:"):
        bench.apply({"name": "deploy", "keys": [KEY]})
    bench.keys().unlink()
    bench.keys().parent.rmdir()
    bench.keys().parent.symlink_to(bench.root / "etc")
    with pytest.raises(KeyFileError):
        bench.apply({"name": "deploy", "keys": [KEY]})
    assert secret.read_text() == ""
    assert not (bench.root / "etc/authorized_keys").exists()


def test_sudo_follows_what_is_wanted(bench: Bench) -> None:
    user = {"name": "deploy", "password_hash": HASH}
    bench.apply({**user, "sudo": "password"})
    rule = bench.root / "etc/sudoers.d/hypercode-deploy"
    assert "deploy ALL=(ALL:ALL) ALL" in rule.read_text()
    assert bench.apply({**user, "sudo": "nopasswd"}) == ["deploy: give sudo, without a password"]
    assert bench.apply({**user, "sudo": "none"}) == ["deploy: take sudo away"]
    assert not rule.exists()


def test_sudo_is_never_broken(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.apply({"name": "deploy", "sudo": "nopasswd"})
    rule = bench.root / "etc/sudoers.d/hypercode-deploy"
    before = rule.read_text()
    users = bench.users()
    with pytest.raises(SudoError, match="visudo on web1 refuses the new rule of deploy"):
        users.sudoers.write("deploy", "deploy ALL=(nonsense\n", bench.root)
    assert rule.read_text() == before
    # Good alone, and bad together with what is there: seen when it is in place, and taken back.
    calls: list[str] = []

    def bad_together(argv: Any, text: str | None = None) -> CommandResult:
        calls.append(argv[-1])
        return CommandResult(1, "", "alias defined twice") if len(calls) == 3 else CommandResult(0)

    users.sudoers._run = bad_together
    with pytest.raises(SudoError, match=r"refuses the rules of sudo with the new one.*alias defined twice.*as it was"):
        users.sudoers.write("deploy", "deploy ALL=(ALL:ALL) ALL\n", bench.root)
    assert rule.read_text() == before
    (bench.root / "etc/sudoers.d/broken").write_text("nonsense\n")
    with pytest.raises(SudoError, match="before any change of ours"):
        bench.apply({"name": "deploy", "sudo": "password", "password_hash": HASH})
    assert rule.read_text() == before


def test_a_host_without_sudo(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real = bench.run
    missing = CommandResult(127, "", "not found")
    monkeypatch.setattr(bench, "run", lambda argv, text=None: missing if argv[0] == "visudo" else real(argv, text))
    assert "deploy: give sudo, without a password" in bench.plan({"name": "deploy", "sudo": "nopasswd"})
    with pytest.raises(SudoError, match="Fix: install the package sudo"):
        bench.apply({"name": "deploy", "sudo": "nopasswd"})


def test_a_user_that_is_there_is_adapted(bench: Bench) -> None:
    bench.apply({"name": "deploy", "comment": "old"})
    (step,) = bench.apply({"name": "deploy", "comment": "new", "shell": "/bin/sh", "groups": ["adm"]})
    assert step == "deploy: shell /bin/bash -> /bin/sh, comment 'old' -> 'new', add to adm"
    assert read_accounts(bench.root).users["deploy"].shell == "/bin/sh"


def test_a_user_is_removed_and_the_home_stays(bench: Bench) -> None:
    bench.apply({"name": "alice", "keys": [KEY], "sudo": "nopasswd"})
    gone = {"name": "alice", "state": "absent"}
    assert bench.apply(gone) == [
        "alice: take sudo away",
        "alice: remove the user (the home stays)",
        "alice: forget the keys",
    ]
    assert bench.keys("alice").exists()
    assert "alice" not in read_accounts(bench.root).users
    assert bench.apply(gone) == []


def test_a_program_that_fails_says_so(bench: Bench) -> None:
    (bench.root / "etc/login.defs").unlink()
    (bench.root / "etc/passwd.lock").write_text("1")
    with pytest.raises(UserError, match=r"useradd failed on web1: .*Fix: .*by hand: useradd"):
        bench.apply({"name": "deploy"})


# --- lock-out ---------------------------------------------------------------------------------------------------------


def test_the_connecting_user_is_not_removed(bench: Bench) -> None:
    (refused,) = bench.judge({"name": "deploy", "state": "absent"})
    assert refused.startswith("lockout base_users[0].state: deploy is to be removed from web1")


def test_users_of_the_system_are_not_removed(bench: Bench) -> None:
    (refused,) = bench.judge({"name": "daemon", "state": "absent"})
    assert "is a user of the system" in refused


def test_sudo_with_a_password_needs_one(bench: Bench) -> None:
    user = {"name": "alice", "sudo": "password"}
    assert "lockout base_users[0].sudo: alice is to use sudo with a password" in bench.judge(user)[0]
    assert bench.judge({**user, "password_hash": HASH}) == []
    bench.apply({"name": "alice", "password_hash": HASH})
    assert bench.judge(user) == []


def test_the_connecting_user_keeps_sudo(bench: Bench) -> None:
    bench.apply({"name": "deploy", "sudo": "nopasswd"})
    assert "is to lose sudo" in bench.judge({"name": "deploy"})[0]
    with_password = {"name": "deploy", "sudo": "password", "password_hash": HASH}
    assert "Ansible does not know it" in bench.judge(with_password)[0]
    assert bench.judge(with_password, known=True) == []


def test_the_connecting_user_keeps_a_key(bench: Bench) -> None:
    bench.apply({"name": "deploy", "keys": [KEY], "sudo": "nopasswd"})
    assert "The last key of deploy" in bench.judge({"name": "deploy", "sudo": "nopasswd"})[0]
    assert bench.judge({"name": "deploy", "keys": [OTHER], "sudo": "nopasswd"}) == []


def test_wrong_settings_are_told_with_the_fix() -> None:
    _users, findings = read_users(
        [
            {"name": "Bad Name", "sudo": "maybe", "state": "gone", "shell": "bash", "extra": 1, "groups": ["a b"]},
            {"name": "root"},
            {"name": "alice", "keys": ["nonsense", KEY, KEY], "password_hash": "hunter2", "comment": "a:b"},
            {"name": "alice"},
            {"keys": []},
            {"name": "bob", "keys": KEY},
        ]
    )
    assert [finding.name for finding in findings] == [
        *(f"base_users[0].{name}" for name in ("name", "extra", "state", "sudo", "shell", "groups")),
        "base_users[1].name",
        *(f"base_users[2].{name}" for name in ("comment", "keys[0]", "password_hash")),
        "base_users[3]",
        "base_users[4]",
        "base_users[5].keys",
    ]
    assert all(finding.fix for finding in findings)
    assert "hunter2" not in repr(findings)
    assert read_users("alice")[1][0].message == "base_users is no list."
