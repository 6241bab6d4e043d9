"""A host to watch, and a daemon on it whose clocks stand still until somebody lets time pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.exposition import samples_in
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths as ReleasePaths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Store
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.config import Config, Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.daemon import Clocks, Daemon
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.journal import read_lines

from .watched_host import WatchedHost

NOW = 1_800_000_000.0


class WatchBench:
    """A host, a daemon on it, and what can be seen of it from outside."""

    def __init__(self, root: Path) -> None:
        self.root, self.paths = root, Paths(root)
        self.host = WatchedHost(root)
        self.store = Store(ReleasePaths(root))
        self.wall, self.monotonic, self.boot = NOW, 1000.0, "boot-1"
        self.said: list[str] = []
        self.config = Config(("demo",))
        self.daemon = self.new_daemon()

    def new_daemon(self, **settings: Any) -> Daemon:
        """As when it is started again."""
        if settings:
            self.config = Config(("demo",), **settings)
        engine, clocks = Engine(str(self.host.socket), 5), Clocks(lambda: self.wall, lambda: self.monotonic)
        self.daemon = Daemon(self.paths, self.config, engine, self.said.append, clocks, self.boot)
        self.daemon.begin()
        return self.daemon

    def tick(self, seconds: float = 0) -> None:
        """Let time pass, then look."""
        self.wall += seconds
        self.monotonic += seconds
        self.daemon.tick()

    def unhealthy(self, service: str = "web", **facts: Any) -> str:
        """Make an unhealthy container, and look; return its name."""
        one = self.host.add(service, health="unhealthy", **facts)
        self.tick()
        return one.name

    def heal(self, seconds: float = 0) -> None:
        """Let time pass; wait for a restart that this begins, and look again."""
        self.tick(seconds)
        self.daemon.healer.wait()
        self.look_again()

    def look_again(self) -> None:
        """Look at all of it: Docker tells of what has happened, and here nobody listens."""
        self.daemon.roster._signatures.clear()
        self.tick()

    def metric(self, name: str, container: str = "", **labels: str) -> float | None:
        """One sample; of a container, or of the daemon."""
        for found, found_labels, value in samples_in(self.paths.metrics.read_text()):
            wanted = {**({"container": container} if container else {}), **labels}
            if found == f"hypercode_{name}" and wanted.items() <= found_labels.items():
                return value
        return None

    def journal(self, kind: str = "") -> list[dict[str, Any]]:
        return [line for line in read_lines(self.paths.folder) if kind in ("", line["kind"])]

    def release(self, **services: dict[str, Any]) -> None:
        """Put a release into use that wants these."""
        about = {"project": "demo", "services": services, "order": [list(services)]}
        release = self.store.create({"services": {}}, str(services), "", about)
        release.update(status="done")
        self.store.switch(release)


def fill(disk: Path) -> None:
    """Fill a disk to its last byte, with a file of the name filler."""
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 512)


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is so; AssertionError when it does not come to that."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
