"""The stream of one real Postgres into real repositories, whose ticks a test calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import wal_stream

from fakes import backup_host
from fakes.backup_host import BackupHost


class Running:
    """A stream whose ticks are called here."""

    def __init__(self, host: BackupHost, cluster: Path, **settings: Any) -> None:
        self.host, self.cluster = host, cluster
        self.backup = host.backup(point_in_time=True, **settings)
        self.backup.clock = time.time
        self.stream = wal_stream.Stream(self.backup, self.backup.stack(), "db")

    def anew(self) -> None:
        """Begin again, with the repositories that the host has now."""
        self.stream.stop()
        self.backup = self.host.backup(point_in_time=True)
        self.backup.clock = time.time
        self.stream = wal_stream.Stream(self.backup, self.backup.stack(), "db")

    def sql(self, text: str) -> str:
        return backup_host.sql(self.cluster, "shop", text)

    def until(self, what: Callable[[], object], seconds: float = 300) -> None:
        """Tick until it holds. The time is only against a hang: a busy machine takes its time."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"{self.host.told} {self.stream.chain}"
            self.stream.tick()
            time.sleep(0.1)

    def until_shipped(self, name: str = "main") -> None:
        """Wait until all that has been written is in a repository."""
        moment = time.time()
        self.until(lambda: self.stream.chain.of(name).until > moment)

    def base(self, name: str = "main") -> str:
        return self.stream.chain.of(name).base

    def switch(self, times: int) -> None:
        """Write so many segments, and let the server throw away those that nobody needs."""
        for _time in range(times):
            for text in ("UPDATE account SET balance = balance", "SELECT pg_switch_wal()", "CHECKPOINT"):
                self.sql(text)

    def pid(self) -> int:
        return int((self.host.docker_folder / "hypercode-wal-shop-db.pid").read_text())
