# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long the tasks of earlier runs took, and the time left that follows from it. No Ansible, no clock."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

_KEPT_RUNS = 3
_KEPT_KEYS = 30
_KEPT_STEPS = 2000

Steps = list[tuple[str, float]]


class Eta:
    """Time left, from the durations of earlier runs.

    ``runs`` are step lists, newest first: ``(digest, seconds)`` in the order of the run. Times given to the methods
    are seconds since this run began. Of several runs the one that took as long as this one to get here tells best: a
    first deploy and a run that changes nothing differ by minutes.
    """

    def __init__(self, runs: Sequence[Steps] = ()) -> None:
        self._runs = [run for run in runs if run]
        self._started: Steps = []
        self._seen: dict[str, int] = {}
        self._here: dict[int, int] = {}

    def start(self, name: str, now: float) -> None:
        """A task begins."""
        digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:12]
        self._seen[digest] = self._seen.get(digest, 0) + 1
        self._started.append((digest, now))
        for index, run in enumerate(self._runs):
            places = [place for place, (known, _duration) in enumerate(run) if known == digest]
            if len(places) >= self._seen[digest]:
                self._here[index] = places[self._seen[digest] - 1]

    def left(self, now: float) -> float | None:
        """Seconds until the end, or None when no earlier run has come this way."""
        best: tuple[float, float] | None = None
        begun = self._started[-1][1] if self._started else 0.0
        for index, place in list(self._here.items()):
            run = self._runs[index]
            before = sum(duration for _digest, duration in run[:place])
            after = sum(duration for _digest, duration in run[place + 1 :])
            rest = after + max(0.0, run[place][1] - (now - begun))
            distance = abs(before - begun)
            if best is None or distance < best[0]:
                best = (distance, rest)
        return best[1] if best else None

    def steps(self, now: float) -> Steps:
        """This run, to be stored: every task with its duration."""
        started = self._started[:_KEPT_STEPS]
        ends = [*(begun for _digest, begun in self._started[1:]), now]
        return [(digest, round(max(0.0, end - begun), 2)) for (digest, begun), end in zip(started, ends, strict=False)]


def run_key(playbook: str | None, **parts: object) -> str:
    """A short name for runs that are alike; the parts (paths, tags) cannot be read back from it."""
    path = str(Path(playbook).resolve()) if playbook else ""
    return hashlib.sha256(json.dumps([path, parts], sort_keys=True, default=str).encode()).hexdigest()[:16]


class TimingStore:
    """Durations of earlier runs in one JSON file of mode 0600. What is missing or damaged counts as empty."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    @classmethod
    def at(cls, path: str | None, config_file: str | None) -> TimingStore:
        """The store at ``path``, else in the project: beside its ``ansible.cfg``.

        A configuration of the system or of the user's home names no project; nothing is stored then.
        """
        if path:
            return cls(Path(path))
        config = Path(config_file).resolve() if config_file else None
        if config is None or config.name != "ansible.cfg" or config.parts[:2] == ("/", "etc"):
            return cls(None)
        return cls(config.parent / ".cache" / "progress.json")

    def load(self, key: str) -> list[Steps]:
        """The runs stored under ``key``, newest first."""
        return self._read().get(key, [])

    def save(self, key: str, steps: Steps) -> bool:
        """Add a run under ``key``; False when the file cannot be written, which is no reason to fail."""
        if self._path is None or not steps:
            return False
        table = self._read()
        runs = [steps, *table.pop(key, [])][:_KEPT_RUNS]
        # The key used last comes first, so that the oldest fall off at the end.
        table = dict([(key, runs), *table.items()][:_KEPT_KEYS])
        try:
            _write(self._path, json.dumps({"version": 1, "runs": table}, separators=(",", ":")))
        except OSError:
            return False
        return True

    def _read(self) -> dict[str, list[Steps]]:
        if self._path is None:
            return {}
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        table = data.get("runs") if isinstance(data, dict) and data.get("version") == 1 else None
        if not isinstance(table, dict):
            return {}
        return {key: [_steps(run) for run in runs] for key, runs in table.items() if isinstance(runs, list)}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes the file with mode 0600.
    handle, name = tempfile.mkstemp(prefix=".progress-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _steps(run: object) -> Steps:
    """The sound entries of one stored run."""
    steps: Steps = []
    for entry in run if isinstance(run, list) else []:
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str):
            seconds = entry[1]
            if isinstance(seconds, (int, float)) and math.isfinite(seconds) and 0 <= seconds < 1e6:
                steps.append((entry[0], float(seconds)))
    return steps
