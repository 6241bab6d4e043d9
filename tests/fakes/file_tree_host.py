# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A root folder in place of a host, and short ways to say which files, folders and links are wanted there."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree import (
    Tree,
    WantedFile,
    WantedFolder,
    WantedLink,
    implied_folders,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree_apply import apply_tree
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree_plan import Plan
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import HostRoot

USER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name


def wanted_file(path: str, content: str | bytes = "x\n", **options: Any) -> WantedFile:
    data = content.encode() if isinstance(content, str) else content
    return WantedFile(**{"path": path, "content": data, "mode": 0o644, "owner": USER, "group": GROUP, **options})


def wanted_folder(path: str, mode: int = 0o755, **options: Any) -> WantedFolder:
    return WantedFolder(**{"path": path, "mode": mode, "owner": USER, "group": GROUP, **options})


def tree(*items: WantedFile | WantedFolder | WantedLink, name: str = "base", absent: Sequence[str] = ()) -> Tree:
    paths = [item.path for item in items]
    return Tree(
        name=name,
        files=tuple(item for item in items if isinstance(item, WantedFile)),
        folders=(
            *(item for item in items if isinstance(item, WantedFolder)),
            *implied_folders(paths, 0o755, USER, GROUP),
        ),
        links=tuple(item for item in items if isinstance(item, WantedLink)),
        absent=tuple(absent),
    )


class Host:
    """A root folder, and a runner of validate commands that notes what it was asked to run."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.commands: list[list[str]] = []
        self.seen: list[str] = []
        self.answer = CommandResult(0)

    def run(self, argv: Sequence[str]) -> CommandResult:
        self.commands.append(list(argv))
        self.seen.append(Path(argv[-1]).read_text() if Path(argv[-1]).is_file() else "")
        return self.answer

    def apply(self, wanted: Tree, check: bool = False) -> Plan:
        return apply_tree(wanted, HostRoot(self.root), check_mode=check, run=self.run)

    def put(self, path: str, text: str = "foreign\n") -> Path:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def read(self, path: str) -> str:
        return (self.root / path.lstrip("/")).read_text()

    def snapshot(self, inodes: bool = True) -> dict[str, tuple[Any, ...]]:
        """Everything below the root: kind, mode, owner, inode and content."""
        found = {}
        for path in self.root.rglob("*"):
            info = path.lstat()
            content: Any = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(self.root))] = (
                info.st_mode,
                info.st_uid,
                info.st_gid,
                info.st_ino * inodes,
                content,
            )
        return found

    def files(self) -> set[str]:
        records = self.root / "var/lib/hypercode"
        return {
            f"/{path.relative_to(self.root)}"
            for path in self.root.rglob("*")
            if not path.is_dir() and not path.is_relative_to(records)
        }
