"""The journal of a rollout."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.journal import Journal
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(Paths(tmp_path), "r1", clock=lambda: 12.34567)


def test_events_come_back(journal: Journal) -> None:
    assert journal.read() == []
    journal.write("started", release="r1", previous=None)
    journal.write("done")
    assert journal.read() == [
        {"time": 12.346, "event": "started", "release": "r1", "previous": None},
        {"time": 12.346, "event": "done"},
    ]


def test_a_torn_line_costs_only_itself(journal: Journal) -> None:
    journal.write("started")
    with journal.path.open("a") as stream:
        stream.write('{"event": "pul')
    journal.write("done")
    assert [event["event"] for event in journal.read()] == ["started", "done"]


def test_lines_that_are_no_events(journal: Journal) -> None:
    journal.path.parent.mkdir(parents=True)
    journal.path.write_bytes(b'[]\n3\n"x"\n{"event": 3}\n{}\n\xff\xfe\n{"event": "done"}\n')
    assert journal.read() == [{"event": "done"}]


def test_echo_is_for_people(journal: Journal) -> None:
    said: list[str] = []
    journal.echo = said.append
    journal.write("up", services=["a"], nothing=None)
    assert said == ["up services=['a']"]


def test_a_disk_that_is_full_is_said_and_stops_nothing(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    journal.path.mkdir(parents=True)
    journal.write("started")
    assert "r1.jsonl cannot be written: Is a directory" in capsys.readouterr().err
    assert journal.read() == []


@pytest.mark.parametrize(
    ("events", "touched"),
    [
        ("", False),
        ("started pulling", False),
        ("started bringing", True),
        ("started bringing started pulling", True),
        ("started bringing done", False),
        ("started bringing failing reverting bringing reverted started pulling", False),
        ("started bringing failed started bringing", True),
    ],
)
def test_touched_looks_back_to_the_last_end(journal: Journal, events: str, touched: bool) -> None:
    for event in events.split():
        journal.write("bringing up" if event == "bringing" else event)
    assert journal.touched() is touched
