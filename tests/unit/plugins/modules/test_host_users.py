# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module on a host that is a folder, with the real programs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.ssh_session import Session
from ansible_collections.hypercode.deploy.plugins.modules import host_users
from fakes.network_lab import folder_in_memory

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or any(shutil.which(tool) is None for tool in ("useradd", "visudo")),
    reason="needs root and the packages passwd and sudo",
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti me@laptop"
CANARY = "$6$canarysalt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g."
USER = {"name": "alice", "keys": [KEY], "password_hash": CANARY, "sudo": "password"}


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with folder_in_memory() as folder:
        (folder / "etc/sudoers.d").mkdir(parents=True)
        (folder / "home").mkdir()
        for name, text in (
            ("passwd", "root:x:0:0:root:/root:/bin/bash\n"),
            ("shadow", "root:*:1:0:9:7:::\n"),
            ("group", "root:x:0:\n"),
            ("gshadow", "root:*::\n"),
            ("login.defs", "UID_MIN 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\n"),
            ("sudoers", f"root ALL=(ALL:ALL) ALL\n@includedir {folder}/etc/sudoers.d\n"),
        ):
            (folder / "etc" / name).write_text(text)
        monkeypatch.setattr(host_users, "ROOT", folder)
        monkeypatch.setattr(host_users, "_session", lambda: Session("198.51.100.2", 1, 22, "deploy"))
        yield folder


def run(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        host_users.main()
    out = capsys.readouterr().out
    assert CANARY not in out
    return dict(json.loads(out))


def test_check_mode_tells_what_a_run_does(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (root / "etc/passwd").read_text()
    predicted = run(capsys, users=[USER], _ansible_check_mode=True, _ansible_diff=True)
    assert (predicted["changed"], (root / "etc/passwd").read_text()) == (True, before)
    done = run(capsys, users=[USER], _ansible_diff=True)
    assert done["actions"] == predicted["actions"]
    assert done["diff"] == {"prepared": "".join(f"{words}\n" for words in done["actions"])}
    assert run(capsys, users=[USER])["changed"] is False


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_changed(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    users = [
        USER,
        {"name": "bob", "sudo": "password"},
        {"name": "deploy", "state": "absent"},
        {"name": "carl", "keys": ["x"]},
    ]
    result = run(capsys, users=users)
    assert result["failed"] is True
    assert result["msg"].partition("\n")[0].endswith("were not changed: 3 problems.")
    assert [finding["rule"] for finding in result["findings"]] == ["user-setting", "lockout", "lockout"]
    assert "alice" not in (root / "etc/passwd").read_text()


def test_validated_only_judges(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, state="validated", users=[USER])["findings"] == []
    assert len(run(capsys, state="validated", users=[{}])["findings"]) == 1
    assert "alice" not in (root / "etc/passwd").read_text()


def test_what_sudo_refuses_is_the_message(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "etc/sudoers").write_text("nonsense\n")
    result = run(capsys, users=[USER])
    assert result["failed"] is True
    assert "visudo" in result["msg"]
    assert "Fix:" in result["msg"]
