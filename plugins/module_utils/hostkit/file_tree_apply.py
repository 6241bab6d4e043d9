# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings a file tree onto a host: plan, validate, stage everything, then put it in place."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .command import NOT_FOUND, CommandResult
from .file_tree import Records, RecordStore, Tree
from .file_tree_plan import FileWrite, Plan, Planner, settled
from .files import (
    FileError,
    HostRoot,
    change_attributes,
    commit,
    explain,
    make_folder,
    stage,
    sweep,
    sync_folders,
    write_link,
)

Run = Callable[[Sequence[str]], CommandResult]
_OUTPUT_LINES = 20


class TreeError(FileError):
    """A tree could not be applied. `done` are the paths that were changed before it failed; mostly none."""

    def __init__(self, problems: Sequence[str], done: Sequence[str] = ()) -> None:
        self.problems, self.done = list(problems), list(done)
        if len(self.problems) == 1:
            text = self.problems[0]
        else:
            text = "\n".join([f"{len(self.problems)} problems:", *(f"- {problem}" for problem in self.problems)])
        written = f"Already changed: {', '.join(self.done)}" if self.done else "Nothing was changed."
        super().__init__(f"{text}\n{written}")


def apply_tree(tree: Tree, root: HostRoot, *, check_mode: bool, run: Run, scratch: Path | None = None) -> Plan:
    """Bring `tree` onto the host, or in check mode only say what would change; return what changed.

    `run` runs a validate command; `scratch` is a private folder for the copies that are validated. TreeError when
    something is wrong; then nothing was changed, unless the error lists it in `done`.
    """
    try:
        store = RecordStore(root)
        with store.locked():
            mine = store.load(tree.name)
            if not check_mode:
                _sweep(root, mine)
            plan = Planner(tree, root, mine, store.others(tree.name), check_mode=check_mode).plan()
            if plan.problems:
                raise TreeError(plan.problems)
            problems = _validate(plan, tree, run, scratch, check_mode)
            if problems and check_mode and not mine.paths:
                # A first run: what the command needs may come with the tasks before this one.
                plan.warnings.extend(f"{problem}\nA run may still bring what is missing." for problem in problems)
            elif problems:
                raise TreeError(problems)
            if not check_mode:
                _write(plan, mine, store, tree.name)
            return plan
    except TreeError:
        raise
    except FileError as error:
        raise TreeError([str(error)]) from error
    except OSError as error:
        raise TreeError([str(explain(str(error.filename), "used", error))]) from error


# --- validation -----------------------------------------------------------------------------------------------------


def _validate(plan: Plan, tree: Tree, run: Run, scratch: Path | None, check_mode: bool) -> list[str]:
    """Run the validate command of every file whose content changes, on a copy of the whole tree; return what failed.

    The copy is laid out as on the host, so a command sees the right file name and what the file includes by a relative
    path. In check mode a command that is not there yet is passed over: its package may come with the real run.
    """
    checked = [write.wanted for write in plan.files if write.new_content and write.wanted.validate]
    if not checked:
        return []
    folder = Path(tempfile.mkdtemp(prefix="hypercode-validate-", dir=scratch))
    try:
        for file in tree.files:
            copy = folder / file.path.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.touch(mode=0o600)
            copy.write_bytes(file.content)
            copy.chmod(file.mode | 0o400)
        problems = []
        for file in checked:
            argv = [word.replace("%s", f"{folder}{file.path}") for word in shlex.split(file.validate)]
            result = run(argv)
            if result.code == 0 or (result.code == NOT_FOUND and check_mode):
                continue
            output = _last_lines(f"{result.stdout}\n{result.stderr}").replace(str(folder), "")
            if file.sensitive:
                output = "(output hidden: the file holds secrets)"
            if result.code == NOT_FOUND:
                output += "\nFix: install it in a task before this one"
            command = file.validate.replace("%s", file.path)
            problems.append(f"{file.path} is not valid. `{command}` ended with {result.code}:\n{output}")
        return problems
    except OSError as error:
        raise explain(str(error.filename or folder), "written for validation", error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _last_lines(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-_OUTPUT_LINES:]) or "(no output)"


# --- writing ------------------------------------------------------------------------------------------------------


def _sweep(root: HostRoot, mine: Records) -> None:
    """Remove what a killed run of this tree left beside its files."""
    for folder in {path.rpartition("/")[0] for path in mine.files}:
        with contextlib.suppress(FileError):
            sweep(root.locate(f"{folder}/x").parent)


def _write(plan: Plan, mine: Records, store: RecordStore, name: str) -> None:
    """Record the intent, stage all files, then rename. A full disk is noticed while nothing has changed yet."""
    if plan.changed_paths:
        staged = _stage_all(plan, mine, store, name)
        _commit_all(plan, staged)
    try:
        store.save(name, settled(plan.records))
    except FileError as error:
        raise TreeError([str(error)], plan.changed_paths) from error


def _stage_all(plan: Plan, mine: Records, store: RecordStore, name: str) -> list[tuple[Path, FileWrite]]:
    made: list[Path] = []
    staged: list[tuple[Path, FileWrite]] = []
    # From here on a killed run may leave old or new content: the record knows both, and what is not yet removed.
    intent = Records({**mine.files, **plan.records.files}, {**mine.links, **plan.records.links})
    intent.folders = mine.folders | plan.records.folders
    store.save(name, intent)
    path = ""
    try:
        for folder in plan.folders:
            if folder.new and not folder.real.is_dir():  # The record, just saved, may have brought it.
                path = folder.wanted.path
                make_folder(folder.real, folder.wanted.mode, folder.uid, folder.gid)
                made.append(folder.real)
        for write in plan.files:
            if write.new_content:
                path = write.wanted.path
                file = write.wanted
                staged.append((stage(write.real, file.content, mode=file.mode, uid=write.uid, gid=write.gid), write))
    except BaseException as error:
        for temporary, _file in staged:
            temporary.unlink(missing_ok=True)
        for real in reversed(made):
            with contextlib.suppress(OSError):
                real.rmdir()
        with contextlib.suppress(FileError):
            store.save(name, mine)
        if isinstance(error, OSError):
            raise explain(path, "written", error) from error
        raise
    return staged


def _commit_all(plan: Plan, staged: list[tuple[Path, FileWrite]]) -> None:
    done: list[str] = []
    waiting = [temporary for temporary, _file in staged]
    path = ""
    try:
        for folder in plan.folders:
            path = folder.wanted.path
            change_attributes(folder.real, folder.wanted.mode, folder.uid, folder.gid)
            done.append(path)
        for temporary, write in staged:
            path = write.wanted.path
            commit(temporary, write.real)
            waiting.remove(temporary)
            done.append(path)
        for write in plan.files:
            if not write.new_content:
                path = write.wanted.path
                change_attributes(write.real, write.wanted.mode, write.uid, write.gid)
                done.append(path)
        for link in plan.links:
            path = link.wanted.path
            write_link(link.real, link.wanted.target)
            done.append(path)
        for removal in plan.removals:
            path = removal.path
            if removal.folder:
                removal.real.rmdir()
            else:
                removal.real.unlink(missing_ok=True)
            done.append(path)
        touched = [
            item.real.parent for items in (plan.folders, plan.files, plan.links, plan.removals) for item in items
        ]
        sync_folders(touched)
    except OSError as error:
        raise TreeError([str(explain(path, "changed", error))], done) from error
    finally:
        for temporary in waiting:
            temporary.unlink(missing_ok=True)
