"""What the look at a server says, with the real script in a real shell, and what is made of refusals."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import login, ssh
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.login import Door, Found
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach import Target
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.ssh import Answer, Way
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError

TARGET = Target("192.0.2.10", 22, ("192.0.2.10",))
KEY = Way("root", Path("/home/alice/.ssh/id_ed25519"))


class Server(Door):
    """A door behind which this machine's own shell answers; ``said`` are fixed answers that come first."""

    def __init__(self, *said: Answer) -> None:
        super().__init__(TARGET, Path("/nonexistent"), Path("/nonexistent"), lambda _seconds: None)
        object.__setattr__(self, "said", list(said))
        object.__setattr__(self, "tried", [])

    def run(self, way: Way, command: str, said: str = "") -> Answer:
        self.tried.append(way.user)
        if self.said:
            return self.said.pop(0)
        done = subprocess.run(["sh", "-c", command], input=said, capture_output=True, text=True, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)


def denied(methods: str = "publickey,password") -> Answer:
    return Answer(255, "", f"root@192.0.2.10: Permission denied ({methods}).\n")


def test_the_look_at_a_server() -> None:
    found = Server().try_way(KEY)
    assert isinstance(found, Found)
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines() if "=" in line
    )
    assert found.root is (os.geteuid() == 0)
    assert found.system_name == release["PRETTY_NAME"].strip('"')
    assert found.system.split()[0] == release["ID"].strip('"')
    assert found.python.endswith("python3")
    assert found.sudo in ("free", "asks", "missing")


def test_a_greeting_does_no_harm() -> None:
    plain = Server()
    plain_look = plain.run(KEY, "sh -s", login.LOOK).output
    found = Server(Answer(0, f"*** Welcome! ***\nuid=7\n{plain_look}goodbye\n", "")).try_way(KEY)
    assert isinstance(found, Found)
    assert found.root is (os.geteuid() == 0)


def test_a_login_that_only_says_something_is_none() -> None:
    """As clouds have it for root: please login as another user."""
    hint = Answer(142, 'Please login as the user "debian" rather than the user "root".\n', "")
    server = Server(hint)
    found, last = login.by_key(server, ["root", "debian"], Path("/key"))
    assert found is not None
    assert found.way.user == "debian"
    assert last is None
    assert server.tried == ["root", "debian"]


def test_the_first_user_who_gets_in() -> None:
    server = Server(denied(), denied())
    found, _last = login.by_key(server, login.USUAL_USERS, Path("/key"))
    assert found is not None
    assert found.shown == "ubuntu by key"


def test_nobody_gets_in() -> None:
    found, last = login.by_key(Server(denied(), denied("publickey")), ["root", "debian"], Path("/key"))
    assert found is None
    assert last is not None
    assert last.methods == ("publickey",)
    assert not login.takes_passwords(last.methods)
    assert login.takes_passwords(("publickey", "keyboard-interactive"))


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (denied(), "password-wrong"),
        (denied("publickey"), "login-none"),
        (Answer(255, "", "kex_exchange_identification: Connection closed by remote host\n"), "ssh-lost"),
        (Answer(255, "", "Host key verification failed.\n"), "host-key-changed"),
        (
            Answer(1, "", "WARNING: Your password has expired.\nPassword change required but no TTY available.\n"),
            "password-expired",
        ),
    ],
)
def test_why_a_password_does_not_get_in(answer: Answer, rule: str) -> None:
    with pytest.raises(StoreError) as caught:
        login.by_password(Server(answer), "root", Path("/file"))
    assert caught.value.problems[0].rule == rule


class TestSudo:
    def found(self, sudo: str, password_file: Path | None = None) -> Found:
        return Found(Way("debian", None, password_file), False, sudo, "", "debian 13", "Debian")

    def test_none_is_needed(self) -> None:
        for found in (self.found("free"), Found(KEY, True, "missing", "", "debian 13", "Debian")):
            assert login.with_sudo(Server(), found, lambda _user: None) is found

    def test_it_asks_and_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "sudo").write_text("secret", encoding="utf-8")
        found = login.with_sudo(Server(Answer(0, "", "")), self.found("asks"), lambda _user: tmp_path / "sudo")
        assert found.sudo_password_file == tmp_path / "sudo"

    @pytest.mark.parametrize(
        ("errors", "rule"),
        [
            ("sudo: no password was provided\nSorry, try again.", "sudo-password"),
            ("debian is not in the sudoers file.", "sudo-refused"),
            ("Sorry, user debian may not run sudo on web1.", "sudo-refused"),
        ],
    )
    def test_it_says_no(self, tmp_path: Path, errors: str, rule: str) -> None:
        file = tmp_path / "login"
        file.write_text("secret", encoding="utf-8")
        with pytest.raises(StoreError) as caught:
            login.with_sudo(Server(Answer(1, "", errors)), self.found("asks", file), lambda _user: None)
        assert caught.value.problems[0].rule == rule

    def test_there_is_none(self) -> None:
        with pytest.raises(StoreError, match="there is no sudo"):
            login.with_sudo(Server(), self.found("missing"), lambda _user: None)
        with pytest.raises(StoreError, match="none was given"):
            login.with_sudo(Server(), self.found("asks"), lambda _user: None)


def test_no_secret_and_no_question_on_the_command_line(tmp_path: Path) -> None:
    by_key = ssh.words(TARGET, KEY, tmp_path / "some where" / "known_hosts")
    assert "BatchMode=yes" in by_key
    assert "StrictHostKeyChecking=yes" in by_key
    assert by_key[-3:] == ["root", "--", "192.0.2.10"]
    by_password = ssh.words(TARGET, Way("root", password_file=tmp_path / "login"), tmp_path / "known_hosts")
    assert "PubkeyAuthentication=no" in by_password
    assert not [word for word in by_password if "login" in word]
    # What the real ssh makes of a path with a space.
    shown = subprocess.run([by_key[0], "-G", *by_key[1:]], capture_output=True, text=True, check=True).stdout
    assert f"{tmp_path}/some where/known_hosts" in shown


@pytest.mark.parametrize(
    ("banner", "users"),
    [
        ("SSH-2.0-OpenSSH_10.0p2 Debian-7", ("root", "debian", "admin")),
        ("SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5", ("root", "ubuntu")),
        ("SSH-2.0-OpenSSH_9.9", login.USUAL_USERS),
    ],
)
def test_whom_to_try(banner: str, users: tuple[str, ...]) -> None:
    assert login.usual_users(banner) == users


def test_a_server_that_keeps_us_out_for_a_while() -> None:
    closed = Answer(255, "", "kex_exchange_identification: Connection closed by remote host\n")
    answers = [closed, closed]
    waited: list[float] = []
    door = Door(TARGET, Path("/nonexistent"), Path("/nonexistent"), waited.append)

    def run(*_words: object, **_more: object) -> Answer:
        return answers.pop() if answers else Answer(0, "in", "")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssh, "run", run)
        assert door.run(KEY, "true").output == "in"
    assert len(waited) == 2
