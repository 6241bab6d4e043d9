# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is known of the WAL of one service on this host: the chain of segments, its bases, and what each repository has.

A chain is WAL without a gap, of one server and one timeline. After a gap, or with other data, a new one begins.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..files import explain, write_file
from .config import Paths
from .wal import HISTORY, PARTIAL, Server, begin_of, segments


@dataclass
class Shipped:
    """How one repository stands. Times in seconds since 1970, positions in bytes.

    `until` is up to when all is in the repository, `place` how far, `at` when something was last sent.
    """

    base: str = ""
    # Tells one address from another: with another store under its name, all begins anew.
    url_sum: str = ""
    # How many shipments were begun. Of two the later one has the larger number, whatever the clock says.
    number: int = 0
    until: float = 0.0
    place: int = -1
    at: float = 0.0
    failure: str = ""
    # Attempts at a base that failed one after the other, and when the last one was.
    failed: int = 0
    tried: float = 0.0
    base_failure: str = ""


@dataclass
class Chain:
    """What is remembered of one service; `id` is empty before the first WAL. `bases` has what is known of each.

    `line` is the id of the first chain with this data: it stays the same over a gap.
    """

    service: str
    id: str = ""
    system: str = ""
    timeline: int = 0
    segment: int = 0
    began: float = 0.0
    # Why it is a new one, for the board; and why nothing is received at the moment.
    reason: str = ""
    failure: str = ""
    bases: dict[str, dict[str, Any]] = field(default_factory=dict)
    repositories: dict[str, Shipped] = field(default_factory=dict)
    retained: int = 0
    attached: bool = False
    seen: float = 0.0
    line: str = ""

    def fits(self, server: Server) -> bool:
        """Whether this server goes on with what is here."""
        return bool(self.id) and (self.system, self.timeline) == (server.system, server.timeline)

    def of(self, repository: str) -> Shipped:
        return self.repositories.setdefault(repository, Shipped())

    def used(self) -> set[str]:
        """The bases that are the newest of a repository."""
        return {shipped.base for shipped in self.repositories.values()} & set(self.bases)


@dataclass(frozen=True)
class Folder:
    """The files of one service: `wal` is where they are received. For each repository there are links to them, which
    nobody renames while they are sent.
    """

    root: Path

    @classmethod
    def of(cls, paths: Paths, service: str) -> Folder:
        return cls(paths.state / "wal" / service)

    @property
    def wal(self) -> Path:
        return self.root / "received"

    def ship(self, chain: str, repository: str) -> Path:
        """What of a chain is sent to a repository."""
        return self.root / "ship" / chain / repository

    @property
    def before(self) -> Path:
        return self.root / "before"

    @property
    def gone(self) -> Path:
        """Is there while the service is no more, and its database could not be asked to let its log go."""
        return self.root / "gone"

    @property
    def let_go(self) -> Path:
        """Has the reason why the log was let go while nobody received it."""
        return self.root / "let-go"

    @property
    def state(self) -> Path:
        return self.root / "chain.json"

    def make(self) -> None:
        try:
            for path in (self.root, self.wal):
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise explain(str(self.root), "made", error) from error

    def read(self, service: str) -> Chain:
        """What is remembered; an empty chain where nothing is, or it is damaged: then a new base is made."""
        try:
            found = json.loads(self.state.read_text(encoding="utf-8"))
            found["repositories"] = {name: Shipped(**entry) for name, entry in found["repositories"].items()}
            return Chain(**found)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Chain(service)

    def write(self, chain: Chain) -> None:
        write_file(self.state, json.dumps(asdict(chain), indent=1).encode(), mode=0o600)

    def clear(self) -> None:
        """Begin anew. What was received before stays once more beside it: nothing else may have it."""
        if any(self.wal.iterdir()):
            shutil.rmtree(self.before, ignore_errors=True)
            self.wal.rename(self.before)
        self.make()

    def forget_before(self) -> None:
        shutil.rmtree(self.before, ignore_errors=True)

    def forget_ships(self, chain: str) -> None:
        """Remove the links of all chains but this one."""
        for path in (self.root / "ship").glob("*"):
            if path.name != chain:
                shutil.rmtree(path, ignore_errors=True)

    def size(self) -> int:
        """How many bytes of WAL are here."""
        return sum(path.stat().st_size for place in (self.wal, self.before) for path in place.glob("*"))

    def prune(self, needed: int, size: int) -> None:
        """Remove segments that end before this position."""
        for folder in (self.wal, *(self.root / "ship").glob("*/*")):
            for name, begin in segments(folder, size).items():
                if begin + size <= needed:
                    (folder / name).unlink(missing_ok=True)

    def link(self, folder: Path) -> None:
        """Bring the links up to date. A file that is renamed while it is read would fail its snapshot."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        here = {path.name for path in self.wal.iterdir() if _is_ours(path.name)}
        # In this order a segment that was just completed is there under its new name, once or twice.
        for name in sorted(here):
            source, target = self.wal / name, folder / name
            with contextlib.suppress(FileNotFoundError):
                if target.exists() and target.stat().st_ino != source.stat().st_ino:
                    target.unlink()
                if not target.exists():
                    os.link(source, target)
        for path in folder.iterdir():
            whole = path.name.removesuffix(PARTIAL)
            if _is_ours(path.name) and (path.name not in here or (path.name != whole and (folder / whole).exists())):
                path.unlink()

    def about(self, path: Path, document: dict[str, Any]) -> None:
        write_file(path, json.dumps(document, indent=1).encode(), mode=0o600)


def _is_ours(name: str) -> bool:
    return begin_of(name, 1 << 24) is not None or bool(HISTORY.fullmatch(name))
