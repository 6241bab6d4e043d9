# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is remembered of each container over its starts, and over those of the daemon and of the host."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..files import FileError, write_file
from .roster import Facts

SCHEMA = 1
# Docker waits for twice as long, in seconds, before it starts a container again. And before it has noted the time of a
# start, the kernel may have ended the container already.
AT_ONCE = 0.05


@dataclass
class Track:
    """One container. Times in seconds since 1970."""

    # Which start of it the counts are of.
    started: float = 0.0
    unhealthy_since: float = 0.0
    last_exit_code: int = 0
    # Kills of earlier starts, and of this one: as it was told, and as the kernel counts them.
    oom_before: int = 0
    oom_told: int = 0
    oom_counted: int = 0
    heals: int = 0
    # When it was restarted, in the last hour.
    healed: list[float] = field(default_factory=list)
    given_up: bool = False

    @property
    def oom_kills(self) -> int:
        """All of them. The kernel and the engine tell of the same ones, and each of them misses some."""
        return self.oom_before + max(self.oom_told, self.oom_counted)

    def begin(self, started: float) -> None:
        """It was started again: the kernel counts from nothing."""
        self.oom_before, self.oom_told, self.oom_counted = self.oom_kills, 0, 0
        self.started = started

    def update(self, facts: Facts, counted: int | None, now: float, told: Sequence[float] = ()) -> None:
        """Take over what was seen. `counted` are the kernel's kills of this start, `told` when the engine told of some.

        Several starts may have come and gone since one looked last.
        """
        of_this = sum(when >= facts.started - AT_ONCE for when in told)
        if facts.started != self.started:
            self.oom_told += len(told) - of_this
            self.begin(facts.started)
        self.oom_told += of_this
        self.oom_counted = max(self.oom_counted, counted or 0, int(facts.oom_killed))
        if not facts.running and facts.started:
            self.last_exit_code = facts.exit_code
        if facts.running and facts.health == "unhealthy":
            self.unhealthy_since = self.unhealthy_since or now
        else:
            self.unhealthy_since = 0.0
            # Well again, or stopped: what comes next is a new story.
            self.given_up = self.given_up and facts.health == "starting"

    def shift(self, seconds: float) -> None:
        """The clock was set: the times go with it. When a container was started is the engine's to say."""
        self.unhealthy_since += seconds if self.unhealthy_since else 0.0
        self.healed = [when + seconds for when in self.healed]


class Tracks(dict[str, Track]):
    """The tracks by the id of the container."""

    def of(self, found: str) -> Track:
        """The track of a container, which may be a new one."""
        if found not in self:
            self[found] = Track()
        return self[found]

    def keep_only(self, known: Collection[str]) -> None:
        """Forget the containers that are no more."""
        for gone in self.keys() - set(known):
            del self[gone]

    def as_bytes(self) -> bytes:
        """What is written to the disk."""
        tracks = {found: asdict(track) for found, track in self.items()}
        return json.dumps({"schema": SCHEMA, "containers": tracks}, sort_keys=True).encode()


def read_tracks(path: Path) -> Tracks:
    """What was remembered; nothing where the file is missing or damaged."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return Tracks()
    entries = document.get("containers") if isinstance(document, dict) else None
    tracks = Tracks()
    for found, entry in (entries if isinstance(entries, dict) else {}).items():
        track = _track(entry)
        if track:
            tracks[found] = track
    return tracks


def _track(entry: Any) -> Track | None:
    kinds: Mapping[str, type] = {name.name: type(getattr(Track(), name.name)) for name in fields(Track)}
    if not isinstance(entry, dict) or entry.keys() != kinds.keys():
        return None
    if any(not isinstance(entry[name], kind) for name, kind in kinds.items()):
        return None
    return Track(**entry) if all(isinstance(when, float) for when in entry["healed"]) else None


def write_tracks(path: Path, data: bytes) -> bool:
    """Write them whole; False when that is not possible, as on a full disk."""
    try:
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        write_file(path, data, mode=0o640)
    except (FileError, OSError):
        return False
    return True
