"""What a restore writes down, so that it can be undone; and what is not done while one was cut off."""

from __future__ import annotations

import json

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import BackupError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.facts import alone, is_at_work
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_record import (
    Record,
    cut_off,
    place_of_record,
    read_record,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.restic import Snapshot
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.runs import (
    SAFETY,
    Run,
    find,
    newest,
    to_forget,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.text import runs_table
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Store
from fakes.backup_host import BackupHost


def test_it_is_read_as_it_was_written(host: BackupHost) -> None:
    record = Record(host.paths, "abcd", "20261129T020000Z-1a2b", ["app"], ["app", "db"], {"c1": "always"})
    record.deeds.append({"kind": "roles", "service": "db", "names": ["reader"], "state": "made"})
    assert read_record(host.paths) is None
    assert cut_off(host.paths) == ""
    record.write()
    assert place_of_record(host.paths).stat().st_mode & 0o777 == 0o600
    assert read_record(host.paths) == record
    assert "Fix: hypercode backup restore --undo" in cut_off(host.paths)
    record.close()
    assert read_record(host.paths) is None


def test_one_that_cannot_be_read_is_not_passed_over(host: BackupHost) -> None:
    host.paths.state.mkdir(parents=True)
    place_of_record(host.paths).write_text("{")
    with pytest.raises(BackupError, match="put them back by hand"):
        read_record(host.paths)
    assert cut_off(host.paths)


def test_whether_somebody_is_at_work(host: BackupHost) -> None:
    assert not is_at_work(host.paths)
    with alone(host.paths, "restore"):
        assert is_at_work(host.paths)
    assert not is_at_work(host.paths)


# --- what was replaced ------------------------------------------------------------------------------------------------


def run(day: int, *tags: str) -> Run:
    run_id = f"2026{day // 30 + 1:02d}{day % 30 + 1:02d}T020000Z-0000"
    snapshots = {name: Snapshot(f"{run_id}{name}", "", "web1", ("hypercode", *tags), ()) for name in ("a", "manifest")}
    return Run(run_id, snapshots)


def test_what_was_replaced_is_no_backup_of_its_own() -> None:
    backup, replaced = run(100), run(101, SAFETY)
    now = replaced.time + 100
    assert newest([backup, replaced], now) is backup
    assert find([backup, replaced], "latest", "near", now) is backup
    assert find([backup, replaced], replaced.id, "near", now) is replaced
    assert newest([replaced], now) is None
    table = runs_table([backup, replaced], {}, now)
    assert "before a restore" in table[2]
    assert table[1].endswith("good")


def test_what_was_replaced_goes_with_age_and_keeps_no_backup_from_staying() -> None:
    """Seven restores in a row do not make all backups too many."""
    old = [run(day) for day in range(3)]
    replaced = [run(day, SAFETY) for day in range(10, 20)]
    now = run(120).time
    gone = to_forget([*old, *replaced], now, 30)
    assert gone == replaced
    assert to_forget([*old, *replaced], run(25).time, 30) == []


def test_a_cut_off_restore_is_on_the_board_and_no_backup_is_made(
    host: BackupHost, capsys: pytest.CaptureFixture[str]
) -> None:
    host.paths.config.parent.mkdir(parents=True)
    repositories = [{"name": entry.name, "url": entry.url, "password_file": "x"} for entry in host.repositories]
    host.paths.config.write_text(json.dumps({"project": "shop", "host": "web1", "repositories": repositories}))
    Record(host.paths, "abcd", "20261129T020000Z-1a2b").write()
    board = cli.Host(Store(host.paths), host.engine)  # type: ignore[arg-type]
    assert cli.main(["backup", "status"], board) == 1
    assert "restore: A restore into the stack was cut off" in capsys.readouterr().out
    assert cli.main(["backup", "run"], board) == 1
    assert "half old and half new" in capsys.readouterr().err
    with alone(host.paths, "restore"):
        assert cli.main(["backup", "status"], board) == 0
        assert "cut off" not in capsys.readouterr().out
