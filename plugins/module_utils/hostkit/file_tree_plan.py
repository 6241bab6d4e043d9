# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compares a wanted file tree with a host and says what has to change. Reads only: check mode ends here."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from .file_tree import RECORDS, Record, Records, Tree, WantedFile, WantedFolder, WantedLink
from .files import (
    FileError,
    Found,
    HostRoot,
    as_text,
    group_id,
    look,
    parents_of,
    read_file,
    sha256,
    unshowable,
    user_id,
)

FindId = Callable[[str], "int | None"]


@dataclass(frozen=True)
class FileWrite:
    """One file to write (`content` new) or only to give another owner or mode."""

    wanted: WantedFile
    real: Path
    uid: int | None
    gid: int | None
    new_content: bool


@dataclass(frozen=True)
class FolderChange:
    """One folder to make, or to give another owner or mode."""

    wanted: WantedFolder
    real: Path
    uid: int | None
    gid: int | None
    new: bool


@dataclass(frozen=True)
class LinkWrite:
    """One link to make or to point elsewhere."""

    wanted: WantedLink
    real: Path


@dataclass(frozen=True)
class Removal:
    """One file, link or (by then empty) folder to remove."""

    path: str
    real: Path
    folder: bool


@dataclass
class Plan:
    """What has to change on the host, in the order it is done. With `problems`, nothing may be done."""

    folders: list[FolderChange] = field(default_factory=list)
    files: list[FileWrite] = field(default_factory=list)
    links: list[LinkWrite] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    diffs: list[dict[str, str]] = field(default_factory=list)
    records: Records = field(default_factory=Records)

    @property
    def removed(self) -> list[str]:
        return [removal.path for removal in self.removals]

    @property
    def changed_paths(self) -> list[str]:
        return sorted({*self.created, *self.updated, *self.removed})


class Planner:
    """Makes one Plan. `mine` is the record of this tree, `others` that of all other trees on the host.

    `check_mode`: users and groups that do not exist yet are no problem, since a task before this one may be what
    creates them.
    """

    def __init__(
        self,
        tree: Tree,
        root: HostRoot,
        mine: Records,
        others: Records,
        *,
        check_mode: bool = False,
        find_user: FindId = user_id,
        find_group: FindId = group_id,
    ) -> None:
        self._tree, self._root, self._mine, self._others = tree, root, mine, others
        self._check_mode = check_mode
        self._find = {"user": find_user, "group": find_group}
        self._unknown: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._places: dict[Path, str] = {}
        self._going: set[Path] = set()
        self._faulty: set[str] = set()
        self._plan = Plan()

    def plan(self) -> Plan:
        """Look at the host and return what has to change; all problems are collected, none is raised."""
        self._check_conflicts()
        for folder in self._unique_folders():
            with self._noting(folder.path):
                self._plan_folder(folder)
        for file in sorted(self._tree.files, key=lambda wanted: wanted.path):
            with self._noting(file.path):
                self._plan_file(file)
        for link in sorted(self._tree.links, key=lambda wanted: wanted.path):
            with self._noting(link.path):
                self._plan_link(link)
        wanted = {item.path for item in self._tree.files} | {item.path for item in self._tree.links}
        for kind, records in (("file", self._mine.files), ("link", self._mine.links)):
            for path in sorted(records.keys() - wanted - set(self._tree.absent)):
                self._plan_pruning(path, kind, records[path])
        self._plan_absent()
        self._note_unknown()
        return self._plan

    # --- before looking at the host -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _noting(self, path: str) -> Iterator[None]:
        """Note a problem with `path` and go on; what a faulty folder would do to paths inside it is not repeated."""
        try:
            yield
        except FileError as error:
            if self._faulty.isdisjoint(parents_of(path)):
                self._plan.problems.append(str(error))
            self._faulty.add(path)

    def _check_conflicts(self) -> None:
        tree = self._tree
        explicit = [folder.path for folder in tree.folders if not folder.implied]
        solid = [file.path for file in tree.files] + [link.path for link in tree.links]
        counts = Counter([*solid, *explicit, *tree.absent])
        for path in sorted(path for path, count in counts.items() if count > 1):
            self._plan.problems.append(f"{path} is wanted twice (as a file, folder, link or as absent): keep one")
        above = {parent for path in (*solid, *explicit) for parent in parents_of(path)}
        for path in sorted(above & set(solid)):
            self._plan.problems.append(f"{path} is wanted as a file or link, but other paths are to be inside it")
        for path in sorted(above & set(tree.absent)):
            self._plan.problems.append(f"{path} is to be absent, but wanted paths are inside it: take it out of absent")

    def _unique_folders(self) -> list[WantedFolder]:
        """Each folder once, topmost first; where several say how it is to be, the explicit one counts."""
        chosen: dict[str, WantedFolder] = {}
        for folder in sorted(self._tree.folders, key=lambda wanted: wanted.implied):
            chosen.setdefault(folder.path, folder)
        return sorted(chosen.values(), key=lambda wanted: wanted.path)

    def _ids(self, path: str, owner: str, group: str) -> tuple[int | None, int | None]:
        ids = []
        for kind, name in (("user", owner), ("group", group)):
            number = self._find[kind](name)
            if number is None:
                self._unknown[kind, name].append(path)
            ids.append(number)
        return ids[0], ids[1]

    def _note_unknown(self) -> None:
        if self._check_mode:
            return
        for (kind, name), paths in self._unknown.items():
            more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
            self._plan.problems.append(
                f"{kind} {name!r} does not exist on this host, but {paths[0]}{more} is to belong to it."
                f" Fix: create the {kind} in a task before this one, or correct the name"
            )

    def _claim(self, path: str, real: Path) -> None:
        """Two paths must not lead to one place by way of a link."""
        other = self._places.setdefault(real, path)
        if other != path:
            raise FileError(f"{path} and {other} are the same place on this host ({real}): keep one")

    # --- what is wanted -------------------------------------------------------------------------------------------

    def _plan_folder(self, wanted: WantedFolder) -> None:
        path, real = wanted.path, self._root.locate(wanted.path)
        found = look(real)
        if found.kind == "link":
            real = self._root.follow(path)
            found = look(real)
        if found.kind not in ("missing", "folder"):
            raise FileError(f"{path} has to be a folder, but a {found.kind} is there. Fix: move it away (mv {path} …)")
        new = found.kind == "missing"
        if new or path in self._mine.folders | self._others.folders:
            self._plan.records.folders.add(path)
        if wanted.implied and not new:
            return
        uid, gid = self._ids(path, wanted.owner, wanted.group)
        attributes = f"{wanted.owner}:{wanted.group} {wanted.mode:04o}"
        if new:
            self._plan.created.append(path)
            self._show(f"{path}: new folder, {attributes}")
        elif (found.uid, found.gid, found.mode) != (uid, gid, wanted.mode):
            self._plan.updated.append(path)
            self._show(f"{path}: {found.attributes} -> {attributes}")
        else:
            return
        self._plan.folders.append(FolderChange(wanted, real, uid, gid, new))

    def _plan_file(self, wanted: WantedFile) -> None:
        path, real = wanted.path, self._root.locate(wanted.path)
        found, record = look(real), self._mine.files.get(path)
        ours = self._is_ours_as("link", path, real, found)
        if found.kind == "link" and not ours:
            if not wanted.follow:
                raise FileError(
                    f"{path} is a link to {found.target}, and a link is not written through. Fix: rm {path} to have a"
                    " real file there, or set follow: true for it to write its target"
                )
            real = self._root.follow(path)
            found = look(real)
        if found.kind not in ("missing", "file") and not ours:
            raise FileError(f"{path} has to be a file, but a {found.kind} is there. Fix: move it away (mv {path} …)")
        self._claim(path, real)
        new = found.kind == "missing"
        before = read_file(real) if found.kind == "file" else None
        uid, gid = self._ids(path, wanted.owner, wanted.group)
        known = record or self._others.files.get(path)
        self._plan.records.files[path] = Record(
            mark=sha256(wanted.content),
            created=new or ours or bool(known and known.created),
            sensitive=wanted.sensitive,
            earlier=record.mark if record else "",
        )
        if before == wanted.content and (found.uid, found.gid, found.mode) == (uid, gid, wanted.mode):
            return
        (self._plan.created if new else self._plan.updated).append(path)
        self._plan.files.append(FileWrite(wanted, real, uid, gid, before != wanted.content))
        hidden = wanted.sensitive or bool(known and known.sensitive)
        self._show_file(wanted, found, before, hidden)

    def _plan_link(self, wanted: WantedLink) -> None:
        path, real = wanted.path, self._root.locate(wanted.path)
        found = look(real)
        ours = self._is_ours_as("file", path, real, found)
        if found.kind not in ("missing", "link") and not ours:
            raise FileError(
                f"{path} is to be a link to {wanted.target}, but a real {found.kind} is there and is not replaced."
                f" Fix: move it away (mv {path} …)"
            )
        self._claim(path, real)
        record = self._mine.links.get(path)
        known = record or self._others.links.get(path)
        self._plan.records.links[path] = Record(
            mark=wanted.target,
            created=found.kind == "missing" or ours or bool(known and known.created),
            earlier=record.mark if record else "",
        )
        if found.kind == "link" and found.target == wanted.target:
            return
        (self._plan.created if found.kind == "missing" else self._plan.updated).append(path)
        self._plan.links.append(LinkWrite(wanted, real))
        now = {"missing": "not there", "link": f"link to {found.target}"}.get(found.kind, found.kind)
        self._show(f"{path}: {now} -> link to {wanted.target}")

    # --- what is no longer wanted -----------------------------------------------------------------------------

    def _is_ours_as(self, kind: str, path: str, real: Path, found: Found) -> bool:
        """Whether this tree made the file or link that is there, and nobody has changed it since."""
        record = (self._mine.files if kind == "file" else self._mine.links).get(path)
        if record is None or not record.created or found.kind != kind:
            return False
        mark = found.target if kind == "link" else sha256(read_file(real))
        return mark in (record.mark, record.earlier)

    def _plan_pruning(self, path: str, kind: str, record: Record) -> None:
        if path in self._others.paths or path in {folder.path for folder in self._tree.folders}:
            return  # Handed over to another tree, or a folder by now: it is the new owner's.
        try:
            real = self._root.locate(path)
            found = look(real)
            if found.kind == "missing":
                return
            if self._is_ours_as(kind, path, real, found):
                self._remove(path, real, folder=False)
                return
            reason = "was changed since" if record.created else "was there before this tree first wrote it"
        except FileError as error:
            reason = f"cannot be judged ({error})"
        self._plan.kept.append(path)
        self._plan.warnings.append(
            f"{path} is no longer part of tree {self._tree.name!r}, but {reason}: it is kept and from now on yours."
            f" If nothing needs it: rm {path}"
        )

    def _plan_absent(self) -> None:
        """Remove what is listed as absent, then folders that this tree made and that are empty by then."""
        folders: set[str] = set()
        for path in self._tree.absent:
            with self._noting(path):
                real = self._root.locate(path)
                kind = look(real).kind
                if kind == "folder":
                    folders.add(path)
                elif kind == "other":
                    raise FileError(f"{path} is to be absent, but is a device, socket or pipe: remove it by hand")
                elif kind != "missing":
                    self._remove(path, real, folder=False)
        needed = {folder.path for folder in self._tree.folders}
        # The folders that the records live in are not empty yet; they go with the last record: RecordStore.save().
        unneeded = self._mine.folders - needed - self._others.folders - set(parents_of(f"{RECORDS}/x"))
        for path in sorted(folders | unneeded, key=lambda path: (-path.count("/"), path)):
            with self._noting(path):
                self._plan_folder_removal(path, path in folders)

    def _plan_folder_removal(self, path: str, asked_for: bool) -> None:
        real = self._root.locate(path)
        if look(real).kind != "folder":
            return
        left = sorted(child.name for child in real.iterdir() if child not in self._going)
        if not left:
            self._remove(path, real, folder=True)
        elif asked_for:
            raise FileError(
                f"{path} is to be absent, but still holds {', '.join(left[:3])}{' …' if left[3:] else ''}; only empty"
                " folders are removed. Fix: list its files as absent too, or remove it by hand"
            )
        else:
            self._plan.records.folders.add(path)

    def _remove(self, path: str, real: Path, folder: bool) -> None:
        self._going.add(real)
        self._plan.removals.append(Removal(path, real, folder))
        self._show(f"{path}: removed")

    # --- showing ----------------------------------------------------------------------------------------------

    def _show(self, line: str) -> None:
        self._plan.diffs.append({"prepared": f"{line}\n"})

    def _show_file(self, wanted: WantedFile, found: Found, before: bytes | None, hidden: bool) -> None:
        path = wanted.path
        now = found.attributes if found.kind == "file" else {"link": "a link"}.get(found.kind, "not there")
        then = f"{wanted.owner}:{wanted.group} {wanted.mode:04o}"
        if before == wanted.content:
            return self._show(f"{path}: {now} -> {then}")
        reason = "diff hidden: holds secrets" if hidden else unshowable(before or b"", wanted.content)
        if reason:
            return self._show(f"{path}: {now} -> {then}, {reason}" if now != then else f"{path}: {reason}")
        self._plan.diffs.append(
            {
                "before_header": f"{path} ({now})",
                "after_header": f"{path} ({then})",
                "before": as_text(before or b"") or "",
                "after": as_text(wanted.content) or "",
            }
        )
        return None


def settled(records: Records) -> Records:
    """The record once everything is written: without the marks of what was there before."""
    return Records(
        files={path: replace(record, earlier="") for path, record in records.files.items()},
        links={path: replace(record, earlier="") for path, record in records.links.items()},
        folders=set(records.folders),
    )
