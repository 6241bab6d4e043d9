"""What was measured is shown by scripts/test."""

from __future__ import annotations

import pytest

FIGURES: list[str] = []


@pytest.fixture
def figure():
    """Note what was measured."""

    def note(what: str, value: str) -> None:
        FIGURES.append(f"{what}|{value}")

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for text in FIGURES:
        terminalreporter.write_line(f"measured  {text}")
