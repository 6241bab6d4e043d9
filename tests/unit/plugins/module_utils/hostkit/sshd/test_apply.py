# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a drop-in would mean and whom it would keep out: the real sshd judges, the host is a folder."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult, run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.ssh_session import Session
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.sshd.apply import Look, SshdHost
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.sshd.config import SshdError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.sshd.settings import (
    DROP_IN,
    Settings,
    read_settings,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.wanted import WantedUser, read_users
from fakes.network_lab import folder_in_memory

pytestmark = pytest.mark.skipif(shutil.which("/usr/sbin/sshd") is None, reason="needs sshd (package openssh-server)")
INCLUDE = "Include /etc/ssh/sshd_config.d/*.conf\n"
DEPLOY = Session("198.51.100.2", 40000, 22, "deploy")


def make_key(folder: Path, *words: str) -> str:
    path = folder / f"key{len(list(folder.glob('key*')))}"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", path, *words], check=True, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text().strip()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("keys")
    return {
        "good": make_key(folder, "-t", "ed25519", "-C", "deploy@laptop"),
        "rsa": make_key(folder, "-t", "rsa", "-b", "3072"),
        "short": make_key(folder, "-t", "rsa", "-b", "1024"),
        "host": (folder / "key0").read_text(),
    }


class Bench:
    """A made-up host with the real sshd."""

    def __init__(self, root: Path, scratch: Path, keys: dict[str, str]) -> None:
        self.root, self.keys = root, keys
        self.host = SshdHost(self.run, root, "web1", scratch)
        self.write("etc/ssh/sshd_config", INCLUDE + "UsePAM yes\n")
        self.write("etc/ssh/ssh_host_ed25519_key", keys["host"], 0o600)
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
        self.write("etc/shadow", "root:*:1:0:9:7:::\n")
        self.write("etc/group", "root:x:0:\nsudo:x:27:deploy\n")
        self.user("deploy", 1000, keys["good"])

    @staticmethod
    def run(argv: Any) -> CommandResult:
        return run_command(argv, timeout=20)

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def user(self, name: str, uid: int, key: str, stored: str = "!") -> None:
        for file, line in (
            ("passwd", f"{name}:x:{uid}:{uid}::/home/{name}:/bin/bash\n"),
            ("shadow", f"{name}:{stored}:1:0:9:7:::\n"),
            ("group", f"{name}:x:{uid}:\n"),
        ):
            with (self.root / "etc" / file).open("a") as handle:
                handle.write(line)
        (self.root / "home" / name).mkdir(parents=True)
        if key:
            self.write(f"home/{name}/.ssh/authorized_keys", key + "\n", 0o600)

    def look(
        self,
        session: Session | None = DEPLOY,
        users: list[WantedUser] | None = None,
        *,
        check_mode: bool = False,
        **settings: Any,
    ) -> Look:
        return self.host.look(Settings(**settings), users or [], session, check_mode=check_mode)

    def refused(self, *words: Any, **settings: Any) -> list[str]:
        found = self.look(*words, **settings).findings
        assert all(finding.fix for finding in found)
        return [f"{finding.name}: {finding.message}" for finding in found]


@pytest.fixture
def bench(keys: dict[str, str], tmp_path: Path) -> Iterator[Bench]:
    with folder_in_memory() as root:
        yield Bench(root, tmp_path, keys)


def test_the_drop_in_wins_over_that_of_cloud_init(bench: Bench) -> None:
    bench.write("etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\nX11Forwarding yes\n")
    look = bench.look()
    assert (look.findings, look.now, look.differs) == ([], None, True)
    assert look.actions() == [f"write {DROP_IN}", "reload sshd"]
    effective = {name: values[0] for name, values in look.effective.items()}
    assert effective["passwordauthentication"] == effective["permitrootlogin"] == "no"
    assert effective["x11forwarding"] == "no"
    assert "sha1" not in effective["macs"] + effective["kexalgorithms"]
    assert "cbc" not in effective["ciphers"]
    assert "nistp" not in effective["kexalgorithms"] + effective["hostkeyalgorithms"]
    # Nothing was written.
    assert not (bench.root / DROP_IN.lstrip("/")).exists()


def test_what_is_right_is_left_alone(bench: Bench) -> None:
    text = bench.look().then
    assert text is not None
    bench.write(DROP_IN.lstrip("/"), text)
    again = bench.look()
    assert (again.differs, again.actions(), again.findings) == (False, [], [])


def test_algorithms_that_this_sshd_does_not_know_are_left_out(bench: Bench) -> None:
    known = {name.lower(): words for name, words in bench.host._known().items()}
    look = bench.look()
    assert look.then is not None
    named = next(line for line in look.then.splitlines() if line.startswith("KexAlgorithms")).split()[1].split(",")
    assert "curve25519-sha256" in named
    assert set(named) <= set(known["kexalgorithms"])


@pytest.mark.parametrize(
    ("name", "line", "words"),
    [
        ("sshd_config", "PasswordAuthentication yes\n" + INCLUDE, "PasswordAuthentication would be 'yes'"),
        ("sshd_config.d/00-a.conf", "PermitRootLogin yes\n", "PermitRootLogin would be 'yes'"),
    ],
)
def test_what_comes_before_the_drop_in_is_found(bench: Bench, name: str, line: str, words: str) -> None:
    bench.write(f"etc/ssh/{name}", line)
    (refused,) = bench.refused()
    assert words in refused
    assert f"/etc/ssh/{name}:1" in refused


def test_a_main_file_without_the_folder_is_found(bench: Bench) -> None:
    bench.write("etc/ssh/sshd_config", "UsePAM yes\n")
    assert "does not read /etc/ssh/sshd_config.d" in bench.refused()[0]


def test_a_broken_file_of_somebody_else_is_told(bench: Bench) -> None:
    bench.write("etc/ssh/sshd_config.d/60-mine.conf", "Nonsense yes\n")
    with pytest.raises(SshdError, match=r"60-mine.conf.*Nonsense.*Nothing was changed\. Fix:"):
        bench.look()


def test_root_over_a_key_is_refused_unless_told(bench: Bench) -> None:
    bench.write("root/.ssh/authorized_keys", bench.keys["good"], 0o600)
    root = Session("198.51.100.2", 1, 22, "root")
    (refused,) = bench.refused(root)
    assert refused.startswith("base_sshd_root_login: This connection logged in to web1 as root")
    assert bench.refused(root, root_login="prohibit-password") == []


def test_root_without_a_key_is_refused_although_keys_are_allowed(bench: Bench) -> None:
    root = Session("198.51.100.2", 1, 22, "root")
    (refused,) = bench.refused(root, root_login="prohibit-password", password_login=True)
    assert "no public key for root" in refused


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda bench, file: file.unlink(), "there is no public key for deploy"),
        (lambda bench, file: file.write_text("# none\nnonsense\n"), "there is no public key for deploy"),
        (
            lambda bench, file: file.write_text(bench.keys["short"]),
            "accept no key in /home/deploy/.ssh/authorized_keys",
        ),
        (lambda bench, file: file.chmod(0o666), "others may write to /home/deploy/.ssh/authorized_keys"),
        (lambda bench, file: file.parent.chmod(0o777), "others may write to /home/deploy/.ssh"),
    ],
)
def test_the_connecting_user_needs_a_key_that_sshd_takes(bench: Bench, spoil: Any, words: str) -> None:
    spoil(bench, bench.root / "home/deploy/.ssh/authorized_keys")
    (refused,) = bench.refused()
    assert words in refused
    assert refused.startswith("base_sshd_password_login: This connection logged in to web1 as deploy")
    assert bench.refused(password_login=True) == []


def test_keys_elsewhere_count(bench: Bench) -> None:
    bench.write("etc/ssh/sshd_config.d/60-mine.conf", "AuthorizedKeysFile /etc/ssh/keys/%u\n")
    assert "there is no public key" in bench.refused()[0]
    bench.write("etc/ssh/keys/deploy", bench.keys["rsa"])
    assert bench.refused() == []


def test_someone_else_may_know_the_keys(bench: Bench) -> None:
    (bench.root / "home/deploy/.ssh/authorized_keys").unlink()
    text = "AuthorizedKeysCommand /usr/bin/true\nAuthorizedKeysCommandUser nobody\n"
    bench.write("etc/ssh/sshd_config.d/60-mine.conf", text)
    assert bench.refused() == []


@pytest.mark.parametrize(
    ("allowed", "ok"),
    [
        ((), True),
        (("alice",), False),
        (("alice", "deploy"), True),
        (("dep*",), True),
        (("deploy@198.51.100.0/24",), True),
        (("deploy@203.0.113.0/24",), False),
        (("deploy@198.51.100.*",), True),
    ],
)
def test_allow_users_needs_the_connecting_user(bench: Bench, allowed: tuple[str, ...], ok: bool) -> None:
    refused = bench.refused(allow_users=allowed)
    assert (refused == []) is ok
    if not ok:
        assert f"AllowUsers has only {', '.join(allowed)}" in refused[0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("AllowUsers alice", "AllowUsers has only alice"),
        ("DenyUsers deploy", "DenyUsers names deploy"),
        ("AllowGroups wheel", "AllowGroups has only wheel"),
        ("DenyGroups sudo", "DenyGroups names a group of deploy"),
        ("Match User deploy\n  AllowUsers alice", "AllowUsers has only alice"),
        ("Match Address 198.51.100.0/24\n  DenyUsers deploy", "DenyUsers names deploy"),
    ],
)
def test_what_somebody_else_set_keeps_people_out_too(bench: Bench, line: str, words: str) -> None:
    bench.write("etc/ssh/sshd_config.d/60-mine.conf", f"{line}\n")
    assert words in bench.refused()[0]


def people(*entries: dict[str, Any]) -> list[WantedUser]:
    users, findings = read_users(list(entries))
    assert findings == []
    return users


def test_users_with_sudo_need_a_way_in_and_a_way_up(bench: Bench) -> None:
    bench.user("alice", 1001, "")
    bench.user("bob", 1002, bench.keys["rsa"], "$y$j9T$abc$defghijklmnop")
    users = people(
        {"name": "alice", "sudo": "password"},
        {"name": "bob", "sudo": "password"},
        {"name": "carl", "keys": []},
    )
    assert bench.refused(DEPLOY, users) == [
        "base_users[0].keys: alice could not log in to web1: there is no public key for alice.",
        "base_users[0].sudo: alice is to use sudo with a password on web1, but has none.",
    ]
    (refused,) = bench.refused(DEPLOY, users[1:], allow_users=("deploy",))
    assert refused.startswith("base_sshd_allow_users: bob could not log in")


def test_in_check_mode_users_of_the_inventory_count_as_made(bench: Bench) -> None:
    users = people({"name": "alice", "sudo": "nopasswd", "keys": [bench.keys["good"]]})
    assert bench.look(DEPLOY, users, check_mode=True).findings == []
    assert "does not exist" in bench.refused(DEPLOY, users)[0]


def test_all_is_told_at_once(bench: Bench) -> None:
    (bench.root / "home/deploy/.ssh/authorized_keys").unlink()
    bench.write("etc/ssh/sshd_config.d/00-a.conf", "PermitRootLogin yes\n")
    assert len(bench.refused(allow_users=("alice",))) == 3


def test_a_host_without_sshd(bench: Bench, tmp_path: Path) -> None:
    bare = SshdHost(lambda argv: CommandResult(127, "", "not found"), bench.root, "web1", tmp_path)
    assert bare.look(Settings(), [], None, check_mode=True).differs
    with pytest.raises(SshdError, match="install the package openssh-server"):
        bare.look(Settings(), [], None, check_mode=False)


def test_wrong_settings_are_told_with_the_fix() -> None:
    good = {"allow_users": ["deploy"], "password_login": False, "root_login": "no", "confirm_timeout": 30}
    assert read_settings(good)[1] == []
    wrong = {"allow_users": ["a b", "-x"], "password_login": "yes", "root_login": "yes", "confirm_timeout": 1}
    assert [finding.name for finding in read_settings(wrong)[1]] == [
        "base_sshd_allow_users",
        "base_sshd_allow_users",
        "base_sshd_password_login",
        "base_sshd_root_login",
        "base_sshd_confirm_timeout",
    ]
    assert read_settings({**good, "allow_users": "deploy"})[1][0].message == "base_sshd_allow_users is no list."
