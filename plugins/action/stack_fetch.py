# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fetches a Compose project from git to the controller. Documented in plugins/modules/stack_fetch.py."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.source_git import BuildError, Source
from ansible_collections.hypercode.deploy.plugins.plugin_utils.file_cache import keep_newest

SPEC = {
    "repository": {"type": "str", "required": True},
    "ref": {"type": "str", "default": "main"},
    "path": {"type": "str", "default": ""},
    "cache": {"type": "path", "default": "~/.cache/hypercode/stack"},
}
KEEP = 5


class ActionModule(ActionBase):  # type: ignore[misc]
    """A commit of a repository, as a folder."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the folder; where that cannot be, a finding and ``failed``."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec(argument_spec=SPEC)
        result.update(changed=False, folder="", commit="", findings=[])
        cache = Path(options["cache"]).expanduser()
        source = Source(options["repository"], options["ref"], cache, run_command, "stack_source", "stack_source_ref")
        try:
            commit, tree = fetch(source)
            folder = inside(tree, options["path"], source)
        except BuildError as error:
            return refuse(result, str(error))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return refuse(
                result, f"{error.filename or cache} cannot be written: {reason}. Fix: make it writable for you"
            )
        return {**result, "folder": str(folder), "commit": commit}


def refuse(result: dict[str, Any], text: str) -> dict[str, Any]:
    """The result with what went wrong as a finding too, for a caller that collects them."""
    message, _mark, fix = text.partition(" Fix: ")
    finding = {"rule": "source", "severity": "error", "name": "stack_source", "message": message, "fix": f"{fix}."}
    return {**result, "failed": True, "msg": text, "findings": [finding]}


def fetch(source: Source) -> tuple[str, Path]:
    """Return the commit, and the folder that holds its files. Raises BuildError or OSError."""
    commit = source.resolve()
    tree = source.folder.with_suffix(".trees") / commit
    if not tree.is_dir():
        source.fetch(commit)
        tree.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Unpacked beside its place and moved there whole: several hosts of a play may ask at once.
        with tempfile.TemporaryDirectory(dir=tree.parent, prefix=".unpack-") as name:
            new = Path(name) / "tree"
            source.unpack(commit, new)
            try:
                new.rename(tree)
            except OSError:
                if not tree.is_dir():
                    raise
    os.utime(tree)
    keep_newest(tree.parent, KEEP)
    return commit, tree


def inside(tree: Path, path: str, source: Source) -> Path:
    """Return the project's folder in the tree. Raises BuildError where it has none."""
    folder = (tree / path).resolve()
    if not folder.is_relative_to(tree.resolve()) or not folder.is_dir():
        raise BuildError(
            f"The repository {source.shown} at {source.ref} has no folder '{path}'. Fix: correct stack_source_path"
        )
    return folder
