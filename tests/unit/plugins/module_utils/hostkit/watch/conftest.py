"""For tests of the daemon `hypercode watch`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.watch_bench import WatchBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[WatchBench]:
    made = WatchBench(tmp_path / "root")
    yield made
    made.host.remove()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", place]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk, and not in every container")
    yield place
    subprocess.run(["umount", "-l", place], check=True)
