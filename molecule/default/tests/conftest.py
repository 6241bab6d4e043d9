"""Makes the shared helpers importable, and says where this scenario's inventory is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SCENARIO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SCENARIO.parent / "shared"))


@pytest.fixture(scope="session")
def inventory() -> Path:
    """Return the inventory folder of this scenario."""
    return SCENARIO / "inventory"
