# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module on a host that is a folder: the real sshd judges, systemd is played."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult, run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.ssh_session import Session
from ansible_collections.hypercode.deploy.plugins.modules import sshd_apply
from fakes.network_lab import folder_in_memory

pytestmark = pytest.mark.skipif(shutil.which("/usr/sbin/sshd") is None, reason="needs sshd (package openssh-server)")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti me@laptop\n"
DROP_IN = "etc/ssh/sshd_config.d/00-hypercode.conf"


class Host:
    """Files below a folder, and a systemd that says yes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.reloads = 0
        self.timer = "inactive"

    def __call__(self, argv: Sequence[str]) -> CommandResult:
        if argv[0] == "systemctl":
            if argv[1] == "show":
                names = [word for word in argv[2:] if "." in word]
                active = {"ssh.service": "active", "ssh.socket": "inactive", "sshd.socket": "inactive"}
                states = [(name, active.get(name, self.timer)) for name in names]
                blocks = [f"Id={name}\nLoadState=loaded\nActiveState={state}" for name, state in states]
                return CommandResult(0, "\n\n".join(blocks) + "\n")
            self.reloads += argv[1] == "try-reload-or-restart"
            return CommandResult(0)
        if argv[0] in ("systemd-run", "fail2ban-client"):
            self.timer = "active" if argv[0] == "systemd-run" else self.timer
            return CommandResult(0)
        if argv[0] == "/bin/sh":
            argv = [*argv[:-1], argv[-1].replace("systemctl", "true")]
        return run_command(argv, timeout=20)

    def at(self, monkeypatch: pytest.MonkeyPatch, port: int, user: str = "deploy") -> None:
        monkeypatch.setattr(sshd_apply, "_session", lambda: Session("198.51.100.2", port, 22, user))

    def fire(self) -> None:
        script = (self.root / "var/lib/hypercode/sshd/undo.sh").read_text().replace("systemctl", "true")
        subprocess.run(["/bin/sh", "-c", script], check=True)
        self.timer = "inactive"


@pytest.fixture(scope="module")
def host_key(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("key") / "host"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path.read_text()


@pytest.fixture
def host(host_key: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    with folder_in_memory() as root:
        for path, text, mode in (
            ("etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n", 0o644),
            ("etc/ssh/ssh_host_ed25519_key", host_key, 0o600),
            ("etc/passwd", "root:x:0:0::/root:/bin/bash\ndeploy:x:1000:1000::/home/deploy:/bin/bash\n", 0o644),
            ("etc/shadow", "deploy:!:1:0:9:7:::\n", 0o600),
            ("etc/group", "deploy:x:1000:\n", 0o644),
            ("home/deploy/.ssh/authorized_keys", KEY, 0o600),
        ):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
            (root / path).chmod(mode)
        found = Host(root)
        monkeypatch.setattr(sshd_apply, "ROOT", root)
        monkeypatch.setattr(sshd_apply, "_run", found)
        found.at(monkeypatch, 40000)
        yield found


def run(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        sshd_apply.main()
    return dict(json.loads(capsys.readouterr().out))


def test_apply_confirm_and_nothing_to_do(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted = run(capsys, _ansible_check_mode=True, _ansible_diff=True)
    assert "PermitRootLogin no" in predicted["diff"]["after"]
    assert not (host.root / DROP_IN).exists()
    first = run(capsys)
    assert (first["actions"], first["trial"]["seconds"]) == (predicted["actions"], 30)
    assert first["effective"]["port"] == ["22"]
    token = first["trial"]["token"]
    # The connection from before proves nothing.
    same = run(capsys, phase="confirm", token=token)
    assert (same["confirmed"], "used again" in same["reason"]) == (False, True)
    host.at(monkeypatch, 40001)
    assert run(capsys, phase="confirm", token=token)["confirmed"] is True
    # The answer was lost, and is asked for again.
    assert run(capsys, phase="confirm", token=token)["confirmed"] is True
    second = run(capsys)
    assert (second["changed"], host.reloads) == (False, 1)
    assert "trial" not in second


def test_undone_settings_are_reported(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    token = run(capsys)["trial"]["token"]
    assert run(capsys, phase="look", token=token)["undone"] is False
    refused = run(capsys)
    assert "Another run is trying settings of sshd out" in refused["msg"]
    host.fire()
    assert run(capsys, phase="look", token=token)["undone"] is True
    late = run(capsys, phase="confirm", token=token)
    assert (late["confirmed"], late["undone"]) == (False, True)
    assert not (host.root / DROP_IN).exists()


def test_a_lockout_is_refused_and_may_be_tried(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, allow_users=["alice"], confirm_timeout=4)
    assert result["failed"] is True
    assert [finding["rule"] for finding in result["findings"]] == ["sshd-setting", "lockout"]
    assert "Fix: Add deploy to base_sshd_allow_users" in result["msg"]
    assert not (host.root / DROP_IN).exists()
    assert "trial" in run(capsys, allow_users=["alice"], refuse_lockout=False)


def test_absent_is_tried_too(host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(capsys, state="absent")["changed"] is False
    token = run(capsys)["trial"]["token"]
    host.at(monkeypatch, 40001)
    run(capsys, phase="confirm", token=token)
    host.timer = "inactive"
    gone = run(capsys, state="absent")
    assert gone["actions"] == [f"remove /{DROP_IN}", "reload sshd"]
    assert not (host.root / DROP_IN).exists()
    host.at(monkeypatch, 40002)
    for _time in range(2):
        assert run(capsys, state="absent", phase="confirm", token=gone["trial"]["token"])["confirmed"] is True
    assert not (host.root / "var/lib/hypercode/sshd").exists()
    assert run(capsys, state="absent")["changed"] is False


def test_no_hash_of_a_user_is_in_the_result(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    canary = "$6$canarysalt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g."
    with patch_module_args({"users": [{"name": "deploy", "password_hash": canary}]}), pytest.raises(SystemExit):
        sshd_apply.main()
    assert canary not in capsys.readouterr().out


def test_validated_only_judges(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, state="validated")["findings"] == []
    assert len(run(capsys, state="validated", root_login="yes")["findings"]) == 1
