# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal of a rollout: one JSON line an event, fsynced. It tells where a rollout stood when the power went."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .release import Paths

# The events that end an attempt.
ENDS = ("done", "failed", "reverted")


@dataclass
class Journal:
    """Appends to `/var/lib/hypercode/rollout/<id>.jsonl`. `echo` gets each event as a line for a person too."""

    paths: Paths
    release_id: str
    clock: Callable[[], float] = time.time
    echo: Callable[[str], None] | None = None

    @property
    def path(self) -> Path:
        return self.paths.state / f"{self.release_id}.jsonl"

    def write(self, event: str, **details: Any) -> None:
        """Write one event. A full disk must not stop a rollout half-way, so that is only said on standard error."""
        line = json.dumps({"time": round(self.clock(), 3), "event": event, **details}, sort_keys=True, default=str)
        try:
            self.paths.state.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as stream:
                # A line that was torn by a power cut ends here, so that this one can be read.
                stream.write(line + "\n" if stream.tell() == 0 or self._ends_whole() else "\n" + line + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            sys.stderr.write(f"{self.path} cannot be written: {error.strerror}\n")
        if self.echo:
            self.echo(" ".join([event, *(f"{key}={value}" for key, value in details.items() if value)]))

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read() == b"\n"

    def read(self) -> list[dict[str, Any]]:
        """Return the events, oldest first. A torn line is left out."""
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        events = []
        for line in text.splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                events.append(event)
        return events

    def touched(self) -> bool:
        """True when containers were touched since the last attempt that came to an end."""
        return self.since_the_end("bringing up")

    def since_the_end(self, what: str) -> bool:
        """True when this event has happened since the last attempt that came to an end."""
        for event in reversed(self.read()):
            if event["event"] == what:
                return True
            if event["event"] in ENDS:
                return False
        return False
