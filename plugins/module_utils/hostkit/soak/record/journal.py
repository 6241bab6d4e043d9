# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal of one soak, and the end of the watch's journal.

What stands in them: docs/soak_journal.md and docs/watch.md.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...watch.journal import Journal, decoded, journal_files, last_line
from .paths import JOURNAL

# So many bytes of the watch's journal are read at once at most; what is more comes with the next sample.
_MOST = 16 * 2**20


def boot_of(root: Path = Path("/")) -> str:
    """Which boot of the host this is. A host that is a container keeps its kernel: there, its first process tells."""
    boot = ""
    with suppress(OSError, ValueError):
        boot = (root / "proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    with suppress(OSError, ValueError, IndexError):
        # Behind the name, which may hold anything but the last bracket: its start is the 22nd field (proc_pid_stat(5)).
        stat = (root / "proc/1/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot += f".{int(stat[19])}"
    return boot


class RunJournal(Journal):
    """Appends to the journal of one run, fsynced.

    A full disk loses lines, and a gap says so when there is room again.
    """

    def __init__(
        self,
        folder: Path,
        boot: str,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(folder, boot, 0, 0, clock, monotonic)
        self.file = folder / JOURNAL

    def line(self, kind: str, **details: Any) -> dict[str, Any]:
        """A line of now, to be written."""
        return super().line(kind, run=self.folder.name, **details)

    def gap(self, reason: str, since: float, **details: Any) -> dict[str, Any]:
        """A line that says from when until now something is missing."""
        return self.line("gap", reason=reason, **{"from": round(since, 3), "to": round(self.clock(), 3)}, **details)

    def _file(self, more: int) -> Path:
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        return self.file

    def first(self) -> dict[str, Any]:
        """The line that began it; empty where that is missing or torn."""
        with suppress(OSError), self.file.open("rb") as stream:
            for text in stream:
                line = decoded(text)
                if line is not None and line.get("kind") == "start" and line.get("run") == self.folder.name:
                    return line
        return {}

    def last(self) -> dict[str, Any] | None:
        """The last whole line there is; None when there is none."""
        return last_line(self.file)


@dataclass
class News:
    """What the watch wrote down since the last time."""

    sample: dict[str, Any] | None
    lines: list[dict[str, Any]]


class WatchTail:
    """Reads what was added to the watch's journal. `place` is how far it has got in each file, to be kept between runs.

    All files are looked at: where a clock is set back over midnight, an older one grows again.
    """

    def __init__(self, folder: Path, place: Mapping[str, Any] | None = None) -> None:
        self._folder = folder
        # What is no place is forgotten.
        self.place = {str(name): at for name, at in (place or {}).items() if isinstance(at, int) and at >= 0}
        # What was read and not yet asked for, and the places behind it.
        self._news, self._ahead = News(None, []), self.place

    def skip(self) -> None:
        """Begin with what comes next."""
        self.place = {path.name: path.stat().st_size for path in journal_files(self._folder)}
        self._news, self._ahead = News(None, []), self.place

    def read(self) -> News:
        """The newest sample, if there is one, and all events and gaps, in their order."""
        self.has_sample()
        news, self._news, self.place = self._news, News(None, []), self._ahead
        return news

    def has_sample(self) -> bool:
        """Whether there is a sample that was not read yet."""
        left = _MOST
        files = journal_files(self._folder)
        # What is gone was too old.
        self._ahead = {path.name: self._ahead.get(path.name, 0) for path in files}
        for path in files:
            for text in _whole_lines(path, self._ahead[path.name], left):
                self._ahead[path.name] += len(text)
                left -= len(text)
                self._take(decoded(text), self._news)
            if left <= 0:
                break
        return self._news.sample is not None

    @staticmethod
    def _take(line: dict[str, Any] | None, news: News) -> None:
        if line is None:
            return
        if line["kind"] == "sample":
            if news.sample is None or not _is_older(line, news.sample):
                news.sample = line
        elif line["kind"] in ("event", "gap"):
            news.lines.append(line)


def _is_older(line: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a line of the same boot was written before another, whatever its name says."""
    before, after = line.get("monotonic"), other.get("monotonic")
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return False
    return line.get("boot") == other.get("boot") and before < after


def _whole_lines(path: Path, at: int, most: int) -> list[bytes]:
    with suppress(OSError), path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) > at:
            stream.seek(at)
            piece = stream.read(max(0, most))
            return [line for line in piece.splitlines(keepends=True) if line.endswith(b"\n")]
    return []


def encoded_size(document: Mapping[str, Any]) -> int:
    """How many bytes a line takes."""
    return len(json.dumps(document, separators=(",", ":"))) + 1
