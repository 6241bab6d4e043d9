"""For the tests of all scenarios. The shared helpers are found through pythonpath in pyproject.toml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FIGURES: list[str] = []


@pytest.fixture(scope="module")
def inventory(request: pytest.FixtureRequest) -> Path:
    """Return the inventory folder of the scenario that the test belongs to."""
    return request.path.parents[1] / "inventory"


@pytest.fixture
def figure() -> Callable[[str, str], None]:
    """Note what was measured; scripts/test shows it."""

    def note(what: str, value: str) -> None:
        FIGURES.append(f"{what}|{value}")

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for text in FIGURES:
        terminalreporter.write_line(f"measured  {text}")
