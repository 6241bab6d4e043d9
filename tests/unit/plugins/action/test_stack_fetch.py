# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Compose project out of a real git repository."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.hypercode.deploy.plugins.action.stack_fetch import KEEP, ActionModule

IDENTITY = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *IDENTITY, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path, text: str) -> str:
    (folder / "stack").mkdir(exist_ok=True)
    (folder / "stack" / "compose.yaml").write_text(text, encoding="utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", text)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "--quiet")
    commit(folder, "one")
    git(folder, "tag", "v1")
    return folder


def fetch(tmp_path: Path, **options: Any) -> dict[str, Any]:
    args = {"repository": str(tmp_path / "origin"), "cache": str(tmp_path / "cache"), **options}
    task = MagicMock(args=args, async_val=0, check_mode=True)
    action = ActionModule(task, MagicMock(), MagicMock(), DataLoader(), MagicMock(), MagicMock())
    result: dict[str, Any] = action.run(task_vars={})
    return result


def test_the_project_of_a_branch_and_of_a_tag(origin: Path, tmp_path: Path) -> None:
    new = commit(origin, "two")
    result = fetch(tmp_path, path="stack")
    assert (result["commit"], result["changed"], result["findings"]) == (new, False, [])
    assert Path(result["folder"], "compose.yaml").read_text(encoding="utf-8") == "two"
    old = fetch(tmp_path, ref="v1", path="stack")
    assert Path(old["folder"], "compose.yaml").read_text(encoding="utf-8") == "one"


def test_a_commit_is_unpacked_once(origin: Path, tmp_path: Path) -> None:
    first = fetch(tmp_path)
    inode = Path(first["folder"]).stat().st_ino
    assert fetch(tmp_path) == first
    assert Path(first["folder"]).stat().st_ino == inode


def test_the_newest_commits_stay(origin: Path, tmp_path: Path) -> None:
    folders = []
    for number in range(KEEP + 2):
        commit(origin, f"text {number}")
        folders.append(Path(fetch(tmp_path)["folder"]))
    assert [folder.is_dir() for folder in folders] == [False] * 2 + [True] * KEEP


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"ref": "no-such"}, "stack_source_ref"),
        ({"repository": "/nowhere/at/all"}, "stack_source"),
        ({"path": "no/such"}, "stack_source_path"),
        ({"path": "../.."}, "stack_source_path"),
        ({"ref": "--upload-pack=x"}, "stack_source_ref"),
    ],
    ids=["ref", "repository", "folder", "outside", "option"],
)
def test_what_cannot_be_fetched_is_a_finding(origin: Path, tmp_path: Path, options: dict[str, Any], word: str) -> None:
    result = fetch(tmp_path, **options)
    assert result["failed"] is True
    assert result["folder"] == ""
    (finding,) = result["findings"]
    assert word in finding["fix"]
    assert finding["message"]


def test_a_login_in_the_address_is_not_shown(tmp_path: Path) -> None:
    result = fetch(tmp_path, repository="http://robot:canary-9d1f@127.0.0.1:9/x.git")
    assert result["failed"] is True
    assert "canary-9d1f" not in str(result)


def test_a_cache_that_cannot_be_written(origin: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way", encoding="utf-8")
    result = fetch(tmp_path)
    assert result["failed"] is True
    assert "cache" in result["findings"][0]["message"]
    assert result["findings"][0]["fix"]
