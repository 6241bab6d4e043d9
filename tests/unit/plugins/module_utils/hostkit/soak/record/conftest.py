"""For tests of what records a soak."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.soak_bench import Answering, SoakBench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[SoakBench]:
    made = SoakBench(tmp_path / "root")
    yield made
    made.close()


@pytest.fixture
def server() -> Iterator[Answering]:
    made = Answering()
    yield made
    made.close()
