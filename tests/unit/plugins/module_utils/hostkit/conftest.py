"""For tests of what works on a host with Docker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.small_stack import SmallStack


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallStack]:
    """A host with Docker on which nothing is deployed yet."""
    # Half of the time would go into waiting for the disk.
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    made = SmallStack(tmp_path / "root")
    yield made
    made.close()
