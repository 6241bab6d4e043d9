# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the parts of a soak are on the host, and which run is under way."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...files import write_file

JOURNAL, REPORT, STATE, INBOX = "journal.jsonl", "report.json", "state.json", "inbox"
RUN = re.compile(r"\d{8}T\d{6}Z-[a-z0-9-]{1,40}")
_ODD = re.compile(r"[^a-z0-9]+")
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Paths:
    """Where things are; `root` is / except in tests."""

    root: Path = field(default_factory=lambda: Path("/"))

    @property
    def folder(self) -> Path:
        """A folder for each run."""
        return self.root / "var/lib/hypercode/soak"

    @property
    def unfinished(self) -> Path:
        """While it is there, a run is under way: systemd starts the daemon at boot then."""
        return self.folder / "unfinished.json"

    @property
    def config(self) -> Path:
        return self.root / "etc/hypercode/soak.json"

    @property
    def metrics(self) -> Path:
        return self.root / "var/lib/hypercode/metrics/soak.prom"

    def run(self, run: str) -> Path:
        """The folder of a run."""
        return self.folder / run


def new_run(paths: Paths, name: str, now: float) -> str:
    """An id that no run has: its time, later than that of all there are, and its name."""
    word = _ODD.sub("-", name.lower()).strip("-")[:40].strip("-") or "soak"
    stamp = time.strftime(_TIME, time.gmtime(now))
    there = {run.partition("-")[0] for run in runs(paths)}
    while stamp in there:
        now += 1
        stamp = time.strftime(_TIME, time.gmtime(now))
    return f"{stamp}-{word}"


def runs(paths: Paths) -> list[str]:
    """The ids of all runs, the oldest first. OSError where this user may not look."""
    try:
        found = [path for path in paths.folder.iterdir() if RUN.fullmatch(path.name) and (path / JOURNAL).is_file()]
    except FileNotFoundError:
        return []
    return sorted(path.name for path in found)


def unfinished(paths: Paths) -> str:
    """The run that is under way; empty when there is none."""
    run = str(read_json(paths.unfinished).get("run") or "")
    return run if RUN.fullmatch(run) and (paths.run(run) / JOURNAL).is_file() else ""


def read_json(path: Path) -> dict[str, Any]:
    """A file of ours; empty where it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a file of ours whole. FileError when it cannot be."""
    write_file(path, json.dumps(document, separators=(",", ":")).encode() + b"\n", mode=0o640)
