"""The journal of a soak, and what is read of that of the watch."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.journal import (
    RunJournal,
    WatchTail,
    boot_of,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.journal import Journal
from fakes.watch_bench import fill


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(place)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk, and not in every container")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def journal(folder: Path) -> RunJournal:
    return RunJournal(folder, "boot-1", lambda: 1_800_000_000.0, lambda: 5.0)


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_each_line_says_of_which_run_boot_and_time_it_is(tmp_path: Path) -> None:
    made = journal(tmp_path / "20270115T080000Z-soak")
    assert made.write([made.line("start", host="web1")])
    assert lines(made.folder) == [
        {
            "schema": 1,
            "kind": "start",
            "run": "20270115T080000Z-soak",
            "time": 1_800_000_000.0,
            "monotonic": 5.0,
            "boot": "boot-1",
            "host": "web1",
        }
    ]
    assert made.first()["host"] == "web1"
    assert made.file.stat().st_mode & 0o777 == 0o640


def test_a_line_that_was_torn_by_a_power_cut_spoils_no_other(tmp_path: Path) -> None:
    made = journal(tmp_path / "run")
    made.write([made.line("start")])
    with made.file.open("ab") as stream:
        stream.write(b'{"schema":1,"kind":"sam')
    assert made.last()["kind"] == "start"  # type: ignore[index]
    made.write([made.line("end", reason="finished")])
    texts = made.file.read_text().splitlines()
    assert len(texts) == 3
    assert json.loads(texts[2])["reason"] == "finished"


def test_a_full_disk_loses_lines_and_a_gap_says_so(small_disk: Path) -> None:
    made = journal(small_disk / "run")
    made.write([made.line("start")])
    fill(small_disk)
    assert not made.write([made.line("sample", note="x" * 8192)])
    assert not made.write([made.line("sample", note="x" * 8192), made.line("event")])
    assert made.errors == 3
    (small_disk / "filler").unlink()
    assert made.write([made.line("sample")])
    found = lines(made.folder)
    assert [line["kind"] for line in found] == ["start", "gap", "sample"]
    assert (found[1]["reason"], found[1]["lost"]) == ("journal", 3)


def watch_journal(folder: Path, now: list[float]) -> Journal:
    return Journal(folder, "boot-1", 30, 2**20, lambda: now[0], lambda: 1.0)


def test_of_the_watch_the_newest_sample_and_all_that_happened_are_read_once(tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    made, tail = watch_journal(tmp_path, now), WatchTail(tmp_path)
    made.write([made.line("event", event="die")])
    tail.skip()
    assert tail.read().lines == []
    made.write([made.line("sample", n=1), made.line("event", event="start"), made.line("sample", n=2)])
    # Over midnight: another file.
    now[0] += 86400
    made.write([made.line("gap", reason="engine"), made.line("sample", n=3), made.line("odd")])
    news = tail.read()
    assert news.sample is not None
    assert news.sample["n"] == 3
    assert [line["kind"] for line in news.lines] == ["event", "gap"]
    again = WatchTail(tmp_path, json.loads(json.dumps(tail.place))).read()
    assert (again.sample, again.lines) == (None, [])


def test_where_the_clock_is_set_back_over_midnight_an_older_file_is_read_on(tmp_path: Path) -> None:
    now, since = [1_800_000_000.0], [5.0]
    made, tail = watch_journal(tmp_path, now), WatchTail(tmp_path)
    made.monotonic = lambda: since[0]
    made.write([made.line("sample", n=1)])
    now[0] += 86400
    made.write([made.line("sample", n=2)])
    first = tail.read().sample
    assert first is not None
    assert first["n"] == 2
    since[0] = 9.0
    made.write([made.line("sample", n=3)])
    since[0] = 12.0
    now[0] -= 86400
    made.write([made.line("event", event="die"), made.line("sample", n=4)])
    news = tail.read()
    assert news.sample is not None
    assert news.sample["n"] == 4
    assert [line["event"] for line in news.lines] == ["die"]


def test_to_look_whether_there_is_a_sample_takes_nothing_away(tmp_path: Path) -> None:
    made, tail = watch_journal(tmp_path, [1_800_000_000.0]), WatchTail(tmp_path)
    made.write([made.line("event", event="die")])
    assert not tail.has_sample()
    before = dict(tail.place)
    made.write([made.line("sample", n=1), made.line("event", event="start")])
    assert tail.has_sample()
    assert tail.has_sample()
    assert tail.place == before, "another process would read it all again"
    news = tail.read()
    assert news.sample is not None
    assert [line["event"] for line in news.lines] == ["die", "start"]
    assert not tail.has_sample()


def test_a_part_of_a_line_is_left_for_the_next_time(tmp_path: Path) -> None:
    made, tail = watch_journal(tmp_path, [1_800_000_000.0]), WatchTail(tmp_path)
    made.write([made.line("sample", n=1)])
    file = next(tmp_path.iterdir())
    text = file.read_bytes()
    file.write_bytes(text + b'{"schema":1,"kind":"sample","n"')
    first = tail.read()
    assert first.sample is not None
    assert first.sample["n"] == 1
    with file.open("ab") as stream:
        stream.write(b":2}\n")
    second = tail.read()
    assert second.sample is not None
    assert second.sample["n"] == 2


def test_a_journal_that_is_gone_or_never_was_is_no_trouble(tmp_path: Path) -> None:
    tail = WatchTail(tmp_path / "nowhere")
    tail.skip()
    assert tail.read().sample is None
    made = watch_journal(tmp_path, [1_800_000_000.0])
    made.write([made.line("sample", n=1)])
    gone = WatchTail(tmp_path, {"journal-20200101.jsonl": 99999, "odd": "x"}).read()
    assert gone.sample is not None


def test_the_boot_is_another_one_where_only_the_first_process_is(tmp_path: Path) -> None:
    boot = tmp_path / "proc/sys/kernel/random/boot_id"
    boot.parent.mkdir(parents=True)
    boot.write_text("8c2b-41\n")
    stat = tmp_path / "proc/1/stat"
    stat.parent.mkdir()
    fields = ["S", *(["0"] * 18), "4711", "0"]
    stat.write_text(f"1 (sys (te) md) {' '.join(fields)}\n")
    first = boot_of(tmp_path)
    assert first == "8c2b-41.4711"
    stat.write_text(f"1 (systemd) {' '.join(fields)}\n".replace("4711", "9999"))
    assert boot_of(tmp_path) != first
    stat.unlink()
    assert boot_of(tmp_path) == "8c2b-41"
    assert boot_of(tmp_path / "nowhere") == ""
    assert len(boot_of()) > 10
