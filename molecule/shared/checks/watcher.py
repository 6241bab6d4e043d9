"""Somebody who watches an onboarding: every process of the machine and of its servers, and what the runner keeps."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

TEMPORARY = Path("/tmp")


class Watcher:
    """Reads command lines and environments of all processes, and the artifacts of ansible-runner, while it is entered.

    The servers are containers: their processes are seen from here, too.
    """

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.kept: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        round_number = 0
        while not self._stop.is_set():
            self._processes()
            if round_number % 10 == 0:
                self._artifacts()
            round_number += 1
            time.sleep(0.03)

    def _processes(self) -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    self.seen.update((folder / name).read_bytes().split(b"\0"))

    def _artifacts(self) -> None:
        for folder in TEMPORARY.glob("hypercode-secrets-*/run"):
            for path in folder.rglob("*"):
                with contextlib.suppress(OSError):
                    if path.is_file():
                        self.kept.add(path.read_bytes())

    def found(self, value: str) -> list[bytes]:
        """Where a value was seen."""
        needle = value.encode()
        assert len(needle) >= 8
        return [text for text in (*self.seen, *self.kept) if needle in text]
