"""What scripts/bench alerts reads from hosts, and what it does with it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from benchmark import alerts
from testbed.shell import TestbedError

QUIET = """web1 | CHANGED | rc=0 >>
{
  "alerts": []
}
"""
LOUD = """web2 | FAILED | rc=1 >>
{
  "alerts": [{"name": "ServiceDown", "severity": "critical", "about": "web", "first": 1.0, "seconds": 15.0}]
}non-zero return code
"""


class Plays:
    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    def play(self, *words: str) -> None:
        self.done.append(words)


def test_what_hosts_say_with_what_ansible_says_of_it() -> None:
    found = alerts.said(QUIET + LOUD)
    assert found["web1"] == []
    assert [row["name"] for row in found["web2"]] == ["ServiceDown"]


@pytest.mark.parametrize("output", ["", "web1 | UNREACHABLE! => {}", 'web1 | CHANGED | rc=0 >>\n{"alerts": null}'])
def test_a_host_that_does_not_tell_is_no_quiet_host(output: str) -> None:
    with pytest.raises(TestbedError):
        alerts.said(output)


def test_a_page_is_a_failure_and_the_figures_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    told: list[tuple[tuple[str, str, str], ...]] = [(), (("critical", "web2", "ServiceDown web"),), ()]
    monkeypatch.setattr(alerts, "alerts_of", lambda *_words: told.pop(0))
    plays: Any = Plays()
    with pytest.raises(TestbedError, match="1 pages"):
        alerts.run(tmp_path, tmp_path, plays, 60, "1.1.0", "", tmp_path / "figures.json")
    assert plays.done == [("site.yml", "-e", "stack_version=1.1.0"), ("site.yml",)]
    assert waited == [3600, alerts.AFTERWARDS, alerts.AFTERWARDS]
    assert "1 pages" in capsys.readouterr().out
    written = json.loads((tmp_path / "figures.json").read_text())
    assert [len(phase["alerts"]) for phase in written] == [0, 1, 0]
