"""The journal on a real file system: torn lines, full disks, rotation and its cap."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.journal import (
    Journal,
    journal_files,
    read_lines,
)
from fakes.watch_bench import fill

DAY = 86400
NOW = 1_800_000_000.0


class Writer:
    """A journal, and the time."""

    def __init__(self, folder: Path, *, days: int = 5, max_bytes: int = 2**20) -> None:
        self.folder, self.now = folder, NOW
        self.journal = Journal(folder, "boot-1", days, max_bytes, lambda: self.now, lambda: 7.0)

    def write(self, *texts: str) -> bool:
        return self.journal.write([self.journal.line("event", event=text) for text in texts])

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in read_lines(self.folder) if line["kind"] == "event"]


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "watch")


def test_a_line_says_when_by_both_clocks_and_in_which_boot(writer: Writer) -> None:
    assert writer.write("start")
    (path,) = journal_files(writer.folder)
    assert path.name == "journal-20270115.jsonl"
    assert json.loads(path.read_text()) == {
        "schema": 1,
        "kind": "event",
        "time": NOW,
        "monotonic": 7.0,
        "boot": "boot-1",
        "event": "start",
    }
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_line_torn_by_a_power_cut_is_closed_off_and_left_out(writer: Writer) -> None:
    writer.write("a")
    (path,) = journal_files(writer.folder)
    with path.open("ab") as stream:
        stream.write(b'{"schema":1,"kind":"event","event":"to')
    again = Writer(writer.folder)
    assert (again.journal.last() or {})["event"] == "a"
    again.write("b")
    assert again.events == ["a", "b"]
    assert len(path.read_bytes().splitlines()) == 3


@pytest.mark.parametrize("junk", [b"\0" * 100_000, b"\xff\xfe\n[1]\n{}\n", b"[" * 100_000 + b"\n", b""])
def test_whatever_a_file_holds_the_last_whole_line_is_found(writer: Writer, junk: bytes) -> None:
    writer.write("a", "b")
    (path,) = journal_files(writer.folder)
    with path.open("ab") as stream:
        stream.write(junk)
    assert (writer.journal.last() or {})["event"] == "b"
    assert writer.events == ["a", "b"]


def test_each_day_has_its_file_and_old_days_go(writer: Writer) -> None:
    for _day in range(10):
        writer.write("x")
        writer.now += DAY
    names = [path.name for path in journal_files(writer.folder)]
    assert names == [f"journal-{20270119 + day}.jsonl" for day in range(6)]


def test_it_is_never_larger_than_it_may_be(tmp_path: Path) -> None:
    most = 2**20
    writer = Writer(tmp_path / "watch", max_bytes=most)
    largest = 0
    for number in range(600):
        writer.write(f"{number} {'x' * 5000}")
        writer.now += 60
        largest = max(largest, sum(path.stat().st_size for path in journal_files(writer.folder)))
    assert most / 2 < largest <= most
    # The newest stay, in order.
    kept = [int(event.split()[0]) for event in writer.events]
    assert kept == list(range(kept[0], 600))
    # A daemon that was started again goes on in the same part.
    before = len(journal_files(writer.folder))
    again = Writer(tmp_path / "watch", max_bytes=most)
    again.now = writer.now
    again.write("600")
    assert len(journal_files(writer.folder)) == before
    assert again.events[-1] == "600"


def test_a_folder_that_was_taken_away_is_made_again(writer: Writer) -> None:
    writer.write("a")
    shutil.rmtree(writer.folder)
    assert not writer.write("b")
    assert writer.write("c")
    assert [line["kind"] for line in read_lines(writer.folder)] == ["gap", "event"]


def test_other_files_are_left_alone(writer: Writer) -> None:
    writer.folder.mkdir()
    for name in ("state.json", "journal-old.jsonl", "journal-20200101.jsonl.bak"):
        (writer.folder / name).write_text("mine")
    writer.write("a")
    assert len(list(writer.folder.iterdir())) == 4


def test_a_full_disk_stops_nothing_and_is_told_of_afterwards(small_disk: Path) -> None:
    writer = Writer(small_disk)
    assert writer.write("before")
    fill(small_disk)
    writer.now += 10
    results = [writer.write("lost" + "y" * 3000) for _line in range(5)]
    # The first may fit into the page that is there already.
    lost = results.count(False)
    assert lost >= 4
    assert writer.journal.errors == lost
    writer.now += 50
    (small_disk / "filler").unlink()
    assert writer.write("after")
    gap = next(line for line in read_lines(small_disk) if line["kind"] == "gap")
    assert (gap["reason"], gap["lost"], gap["detail"]) == ("journal", lost, "No space left on device")
    assert (gap["from"], gap["to"]) == (NOW + 10, NOW + 60)
    assert (writer.events[0], writer.events[-1]) == ("before", "after")
    assert len(writer.events) == 2 + results.count(True)
    assert all(json.loads(line) for path in journal_files(small_disk) for line in path.open())


def test_a_folder_that_cannot_be_made_is_told_of_once_it_can(tmp_path: Path) -> None:
    place = tmp_path / "watch"
    place.write_text("a file is in the way")
    writer = Writer(place)
    assert not writer.write("a", "b")
    place.unlink()
    assert writer.write("c")
    lines = list(read_lines(place))
    assert [line["kind"] for line in lines] == ["gap", "event"]
    assert lines[0]["lost"] == 2
