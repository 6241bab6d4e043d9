"""What needs no program: what an image holds, what goes with age, names, how it stands, the configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import (
    drill,
    redis,
    restore,
    runs,
    saver,
    text,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import restic as restic_module
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import (
    BackupError,
    Paths,
    Repository,
    read_config,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.restic import (
    NoRepository,
    Restic,
    Snapshot,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.stack import kind_of
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from hypothesis import given
from hypothesis import strategies as st

DAY = 86400.0
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("postgres", "postgres"),
        ("docker.io/library/postgres:15.19-bookworm@sha256:0a1b", "postgres"),
        ("pgvector/pgvector:pg16", "postgres"),
        ("registry.example.com:5000/timescale/timescaledb:latest", "postgres"),
        ("redis:7", "redis"),
        ("valkey/valkey@sha256:0a1b", "redis"),
        ("grafana/grafana-oss:12", "grafana"),
        ("prometheuscommunity/postgres-exporter", "none"),
        ("oliver006/redis_exporter:v1", "none"),
        ("grafana/loki:3", "none"),
        ("", "none"),
    ],
)
def test_what_an_image_holds(image: str, kind: str) -> None:
    assert kind_of(image) == kind


def run_of(day: float, *, good: bool = True) -> runs.Run:
    run = runs.Run(runs.make_id(NOW + day * DAY, "abcd"))
    for item in ("x", "manifest") if good else ("x",):
        run.snapshots[item] = Snapshot(f"{run.id}-{item}", "", "web1", (), ())
    return run


def days_after(found: list[runs.Run], now: float) -> list[float]:
    return [round((run.time - NOW) / DAY, 2) for run in runs.to_forget(found, NOW + now * DAY, 30)]


def test_one_good_run_from_before_the_days_stays() -> None:
    found = [run_of(day) for day in range(41)]
    assert days_after(found, 40) == list(range(9))


def test_the_last_good_run_stays_whatever_its_age() -> None:
    assert days_after([run_of(0), run_of(1), run_of(50, good=False), run_of(90, good=False)], 100) == [50]


def test_a_clock_that_ran_ahead_costs_no_history() -> None:
    nightly = [run_of(day) for day in range(20)]
    ahead = [*nightly, run_of(400)]
    # While it is ahead, the newest stay, whatever their age.
    assert days_after(ahead, 400) == list(range(14))
    # Set right again, nothing goes, and the newest is the one of last night.
    assert days_after([*(run_of(day) for day in range(60)), run_of(400)], 60) == []
    assert runs.find(ahead, "latest", "main", NOW + 20 * DAY) is nightly[-1]
    assert runs.find(ahead[-1:], "latest", "main", NOW) is ahead[-1]


def test_a_clock_that_was_set_back_costs_nothing() -> None:
    assert days_after([run_of(day) for day in range(41)], 5) == []


@given(st.dictionaries(st.integers(0, 200), st.booleans(), max_size=30), st.integers(0, 200))
def test_every_point_of_the_days_can_be_gone_back_to(points: dict[int, bool], now: int) -> None:
    found = sorted((run_of(day, good=good) for day, good in points.items()), key=lambda run: run.id)
    gone = {run.id for run in runs.to_forget(found, NOW + now * DAY, 30)}
    stays = [run for run in found if run.good and run.id not in gone]
    bound = NOW + (now - 30) * DAY
    assert all(run in stays for run in found if run.good and run.time >= bound)
    older = [run for run in found if run.good and run.time < bound]
    assert not older or older[-1] in stays
    within = [run for run in found if run.good and run.time >= bound]
    newest_good = [run for run in found if run.good][-1:]
    if any(run.time > NOW + now * DAY for run in newest_good):
        assert not gone
    else:
        assert len(stays) <= max(7, len(within) + 1)


@given(st.text(min_size=1, max_size=40))
def test_any_name_of_a_database_is_a_tag_and_a_file(name: str) -> None:
    item = f"postgres/db/database/{name}"
    assert "," not in saver.quoted(item)
    assert "/" not in saver.file_of(item)
    place = restore.place_of(item)
    assert not place.is_absolute()
    assert ".." not in place.parts


def test_what_redis_cli_says_is_the_size() -> None:
    assert redis.cut(212, "Transfer finished with success after 172 bytes") == 40
    assert redis.cut(172, "Transfer finished with success.") == 0
    for size, said in ((172, ""), (200, "Transfer finished with success after 172 bytes")):
        with pytest.raises(BackupError):
            redis.cut(size, said)


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        (
            1,
            'Fatal: unable to open config file: Head "http://u:pw@h/": dial tcp: refused\nIs there a repository',
            "reached",
        ),
        (1, "Fatal: unable to open config file: stat /x: no such file\nIs there a repository at", "no repository yet"),
        (12, "Fatal: wrong password or no key found", "password is not the one in /pw"),
        (1, "unable to create lock in backend: repository is already locked by PID 1", "another process"),
        (1, "write /x: no space left on device", "disk is full"),
        (127, "", "program restic is missing"),
        (124, "", "did not answer in time"),
        (1, "Fatal: something else, with key AKIA123", "something else, with key ***"),
    ],
)
def test_what_restic_says_in_words(
    code: int, said: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restic_module, "LOCK_WAIT", 0.0)
    repository = Repository("main", "rest:http://u:pw@h/", "/pw", {"AWS_ACCESS_KEY_ID": "AKIA123"})
    restic = Restic(repository, tmp_path, run=lambda *_words, **_options: CommandResult(code, "", said))
    with pytest.raises(BackupError, match="Fix: ") as caught:
        restic.init()
    assert words in str(caught.value)
    assert isinstance(caught.value, NoRepository) == (words == "no repository yet")
    assert "pw@" not in str(caught.value)
    assert "pw@" not in repr(restic)


def test_how_it_stands() -> None:
    facts: dict[str, Any] = {"repositories": {"main": {}}}
    assert text.judge(facts, NOW, NOW - 3600)[0]["good"]
    assert not text.judge(facts, NOW, NOW - 27 * 3600)[0]["good"]
    good = {"id": "x", "began": NOW - 3600, "bytes": 5 << 20, "seconds": 12.0}
    facts = {"repositories": {"main": {"good": good, "failure": ""}}, "unplanned": ["models"]}
    rows = text.judge(facts, NOW, 0)
    assert rows[0]["good"]
    lines = text.board(facts, rows, NOW)
    assert lines[0] == "backup main: last good run 60 min ago, 5 MiB in 12 s"
    assert "In no backup: models" in lines[1]
    assert not text.judge(facts, NOW + 26 * 3600, 0)[0]["good"]
    facts["repositories"]["main"]["failure"] = "It broke."
    assert not text.judge(facts, NOW, 0)[0]["good"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"project": "x", "repositories": []}', '{"project": "x", "repositories": [1]}']
)
def test_a_configuration_that_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "backup.json").write_text(content)
    with pytest.raises(BackupError, match="Fix: "):
        read_config(tmp_path / "backup.json")


def test_the_configuration(tmp_path: Path) -> None:
    path = Paths(tmp_path).config
    path.parent.mkdir(parents=True)
    entry = {"name": "main", "url": "/srv/x", "password_file": "/pw", "environment": {"A": 1}}
    path.write_text(
        json.dumps({"project": "shop", "host": "web1", "repositories": [entry], "sources": {"paths": ["/srv"]}})
    )
    config = read_config(path)
    assert (config.project, config.host, config.paths, config.retention_days) == ("shop", "web1", ("/srv",), 30)
    assert config.repositories[0].environment == {"A": "1"}


@pytest.mark.parametrize(
    ("last", "now", "words"),
    [
        ({"rows": {"a": 1001, "b": 9000}}, {"rows": {"a": 0, "b": 9000}}, "the table a in x is empty"),
        # A small one is emptied in passing, and a migration drops a table.
        ({"rows": {"a": 1000, "b": 9000}}, {"rows": {"a": 0, "b": 9000}}, ""),
        ({"rows": {"a": 1001, "b": 9000}}, {"rows": {"b": 9000}}, ""),
        ({"rows": {"a": 5001, "b": 5000}}, {"rows": {"a": 999, "b": 1}}, "x has only 1000 left, and had 10001"),
        ({"rows": {"a": 5000, "b": 5000}}, {"rows": {"a": 999, "b": 1}}, ""),
        ({"rows": {"a": 900}}, {"rows": {"a": 1}}, ""),
        (
            {"keys": {"0": [5000, 5000]}, "expiring": {"0": 3000}},
            {"keys": {"0": [99, 99]}, "expiring": {"0": 0}},
            "x has only 99 left",
        ),
        # A cache at night.
        ({"keys": {"0": [5000, 5000]}, "expiring": {"0": 4900}}, {"keys": {"0": [90, 90]}, "expiring": {"0": 20}}, ""),
    ],
)
def test_what_is_a_loss(last: dict[str, Any], now: dict[str, Any], words: str) -> None:
    found = saver.Saver("", "", [], saver.Deadline.after(9), last={"x": last}, accept_loss=False)
    if words:
        with pytest.raises(saver.EmptyError, match=words):
            found._guard("x", now)
        found.accept_loss = True
    found._guard("x", now)


@pytest.mark.parametrize(
    ("keys", "expiring", "came", "good"),
    [
        ([50, 50], 0, 50, True),
        ([50, 50], 0, 49, False),
        # Some were there for a moment only.
        ([50, 50], 0, 62, True),
        ([50, 50], 0, 63, False),
        ([1000, 1000], 0, 1060, True),
        # Some have reached their end, but never those that have none.
        ([50, 52], 45, 5, True),
        ([50, 52], 45, 0, False),
        ([50, 50], 50, 0, True),
    ],
)
def test_keys_that_come_back(keys: list[int], expiring: int, came: int, *, good: bool) -> None:
    # Those with an end in another database say nothing of this one.
    facts = {"keys": {"0": keys, "1": [5000, 5000]}, "expiring": {"0": expiring, "1": 5000}}
    if good:
        drill.compare_keys("redis/x", facts, {"0": came, "7": 3})
    else:
        with pytest.raises(BackupError, match=f"came back with {came} keys in database 0"):
            drill.compare_keys("redis/x", facts, {"0": came})


def test_what_redis_says_of_its_keys() -> None:
    told = "redis_version:7.4.1\r\nused_memory:900\r\nused_memory_rss:99\r\n"
    told += "db0:keys=50,expires=7,avg_ttl=0\r\ndb3:keys=1,expires=1,avg_ttl=9\r\n"
    assert redis.parse_info(told) == ({"0": 50, "3": 1}, {"0": 7, "3": 1}, "7.4.1", 900)
