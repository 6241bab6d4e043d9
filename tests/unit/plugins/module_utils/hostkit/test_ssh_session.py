# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From where and as whom we came, read from made-up processes below a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.ssh_session import Session, find_session

CONNECTION = "198.51.100.2 40000 198.51.100.1 22"


def process(root: Path, pid: int, parent: int, name: str, **environment: str) -> None:
    folder = root / "proc" / str(pid)
    folder.mkdir(parents=True)
    (folder / "stat").write_text(f"{pid} ({name[:15]}) S {parent} 1 1")
    (folder / "environ").write_text("".join(f"{key}={value}\0" for key, value in environment.items()))


def test_the_session_is_found_above_sudo(tmp_path: Path) -> None:
    process(tmp_path, 30, 20, "python3", PATH="/bin", USER="root")
    process(tmp_path, 20, 10, "sudo (odd) name", SUDO_USER="x", USER="root")
    process(tmp_path, 10, 5, "sh", HOME="/", SSH_CONNECTION=CONNECTION, USER="deploy", LOGNAME="deploy")
    assert find_session(tmp_path, 30, {}) == Session("198.51.100.2", 40000, 22, "deploy")
    assert find_session(tmp_path, 30, {"SSH_CONNECTION": "fe80::1%eth0 5 fe80::2%eth0 2222"}) == Session(
        "fe80::1%eth0", 5, 2222
    )


def test_who_logged_in_stands_in_the_outermost_environment(tmp_path: Path) -> None:
    """sudo may keep SSH_CONNECTION, and makes root of the user."""
    process(tmp_path, 20, 10, "sudo", SSH_CONNECTION=CONNECTION, USER="deploy")
    process(tmp_path, 10, 1, "bash", SSH_CONNECTION=CONNECTION, USER="deploy")
    inner = {"SSH_CONNECTION": CONNECTION, "USER": "root", "LOGNAME": "root"}
    found = find_session(tmp_path, 20, inner)
    assert found is not None
    assert found.user == "deploy"


@pytest.mark.parametrize("text", ["", "a b c d", "198.51.100.2 x y 22", "198.51.100.2 1 2"])
def test_no_session(tmp_path: Path, text: str) -> None:
    process(tmp_path, 30, 0, "python3", SSH_CONNECTION=text)
    assert find_session(tmp_path, 30, {}) is None
