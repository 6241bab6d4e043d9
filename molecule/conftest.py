"""For the tests of all scenarios. The shared helpers are found through pythonpath in pyproject.toml."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def inventory(request: pytest.FixtureRequest) -> Path:
    """Return the inventory folder of the scenario that the test belongs to."""
    return request.path.parents[1] / "inventory"
