"""The content of a folder is exchanged; cut off at any moment, it is as before once that is undone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import put_back_files
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import BackupError, Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_files import exchange_of
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_record import Record, read_record

OLD = {"one": "1", "folder/two": "2", ".hidden": "3"}
FRESH = {"one": "new", "other/four": "4"}


def fill(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(Paths(tmp_path / "root"), "abcd", "20261129T020000Z-1a2b")


@pytest.fixture(params=["same", "other"])
def staging(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The new content lies on the same file system, or on another one."""
    if request.param == "same":
        yield tmp_path / "staged"
        return
    place = Path("/dev/shm")
    if not place.is_dir() or place.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    folder = place / f"hypercode-test-{os.getpid()}-{tmp_path.name}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_new_for_old_and_back(tmp_path: Path, staging: Path, record: Record) -> None:
    target = fill(tmp_path / "volume" / "_data", OLD)
    target.chmod(0o750)
    staged = fill(staging, FRESH)
    staged.chmod(0o700)
    deed = exchange_of("volume/x", target, staged, ["web"], "abcd_1")
    record.deeds.append(deed)
    put_back_files.put(deed, record)
    assert content(target) == FRESH
    assert target.stat().st_mode & 0o777 == 0o700
    assert content(Path(deed["aside"])) == OLD
    put_back_files.undo(deed, record)
    assert content(target) == OLD
    assert target.stat().st_mode & 0o777 == 0o750
    assert list(target.parent.iterdir()) == [target]
    # Once more changes nothing.
    put_back_files.undo(deed, record)
    assert content(target) == OLD


def test_only_a_part_of_a_folder(tmp_path: Path, record: Record) -> None:
    target = fill(tmp_path / "data", {"dump.rdb": "old", "appendonlydir/base": "old", "users.acl": "kept"})
    staged = fill(tmp_path / "staged", {"dump.rdb": "new"})
    only = ["dump.rdb", "appendonly.aof*", "appendonlydir"]
    deed = exchange_of("redis/cache", target, staged, ["cache"], "abcd_1", only=only)
    put_back_files.put(deed, record)
    assert content(target) == {"dump.rdb": "new", "users.acl": "kept"}
    put_back_files.undo(deed, record)
    assert content(target) == {"dump.rdb": "old", "appendonlydir/base": "old", "users.acl": "kept"}


def test_a_folder_that_was_not_there(tmp_path: Path, record: Record) -> None:
    deed = exchange_of("path/srv/x", tmp_path / "srv" / "x", fill(tmp_path / "staged", FRESH), [], "abcd_1")
    put_back_files.put(deed, record)
    assert content(tmp_path / "srv" / "x") == FRESH
    put_back_files.undo(deed, record)
    assert not (tmp_path / "srv" / "x").exists()


class Cut(BaseException):
    """The power goes."""


@pytest.mark.parametrize("moment", range(1, 40))
def test_cut_off_at_any_moment(
    tmp_path: Path, staging: Path, record: Record, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """At each call that changes a folder, in the exchange and then, once more, in its undoing."""
    target = fill(tmp_path / "volume" / "_data", OLD)
    deed = exchange_of("volume/x", target, fill(staging, FRESH), ["web"], "abcd_1")
    record.deeds.append(deed)
    left = [moment]

    def cut(real: object) -> object:
        def once(*words: object, **named: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise Cut
            return real(*words, **named)  # type: ignore[operator]

        return once

    with monkeypatch.context() as patched:
        for name in ("rename", "mkdir", "unlink", "rmdir", "chmod"):
            patched.setattr(Path, name, cut(getattr(Path, name)))
        patched.setattr(shutil, "rmtree", cut(shutil.rmtree))
        patched.setattr(os, "chown", cut(os.chown))
        try:
            record.write()
            put_back_files.put(deed, record)
            put_back_files.undo(deed, record)
        except Cut:
            pass
    # All that is known afterwards is what is on the disk.
    found = read_record(record.paths)
    if found is not None:
        put_back_files.undo(found.deeds[0], found)
    assert content(target) == OLD
    assert list(target.parent.iterdir()) == [target]


# --- other file systems -----------------------------------------------------------------------------------------------


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with old content that is a mount, as the kernel would tell of it."""
    target = fill(tmp_path / "a disk", OLD)
    told = str(target).replace(" ", r"\040")
    (tmp_path / "mountinfo").write_text(
        f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n36 22 8:2 / {told} rw - ext4 /dev/b rw\n"
    )
    monkeypatch.setattr(put_back_files, "MOUNTS", tmp_path / "mountinfo")
    return target


def test_what_is_mounted_goes_aside_in_there(mounted: Path, tmp_path: Path, record: Record) -> None:
    """Beside it is another file system: there it could only be copied."""
    deed = exchange_of("path/a disk", mounted, fill(tmp_path / "staged", FRESH), ["web"], "abcd_1")
    assert Path(deed["aside"]).parent == mounted
    put_back_files.put(deed, record)
    assert {name: text for name, text in content(mounted).items() if not name.startswith(".hyper")} == FRESH
    put_back_files.undo(deed, record)
    assert content(mounted) == OLD
    assert not Path(deed["aside"]).exists()
    again = exchange_of("path/a disk", mounted, fill(tmp_path / "staged", FRESH), ["web"], "abcd_2")
    put_back_files.put(again, record)
    put_back_files.finish(again)
    assert content(mounted) == FRESH


def test_a_mount_within_is_refused(mounted: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match=r"something is mounted in .*a disk.* Fix: umount"):
        exchange_of("path/x", mounted.parent, fill(tmp_path / "staged", FRESH), [], "abcd_1")


def test_the_real_mounts_are_read() -> None:
    assert put_back_files.is_mount(Path("/proc"))
    assert not put_back_files.is_mount(Path("/proc/self"))


def test_what_was_set_aside_is_never_removed_for_what_was_made_since(tmp_path: Path, record: Record) -> None:
    """A service that was not stopped makes a new, empty file under the name of the old one."""
    target = fill(tmp_path / "volume" / "_data", OLD)
    deed = exchange_of("volume/x", target, fill(tmp_path / "staged", FRESH), ["web"], "abcd_1")
    put_back_files.put(deed, record)
    deed["state"] = put_back_files.ASIDE
    put_back_files.undo(deed, record)
    assert {name: text for name, text in content(target).items() if name in OLD} == OLD


def test_a_name_that_somebody_made_meanwhile_ends_it(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = fill(tmp_path / "volume" / "_data", OLD)
    deed = exchange_of("volume/x", target, fill(tmp_path / "staged", FRESH), ["web"], "abcd_1")
    real = Record.write

    def write(record: Record, *, moved: bool = False) -> None:
        real(record, moved=moved)
        if deed["state"] == put_back_files.IN:
            (target / "one").write_text("of a program that starts again and again")

    with monkeypatch.context() as patched:
        patched.setattr(Record, "write", write)
        with pytest.raises(BackupError, match="somebody still writes there"):
            put_back_files.put(deed, record)
    assert (tmp_path / "staged" / "one").read_text() == "new"
    put_back_files.undo(deed, record)
    assert content(target) == OLD


def test_moves_are_on_the_disk_before_it_is_written_that_they_were_made(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut loses moves that were not synced, and not what restore.json says."""
    target = fill(tmp_path / "volume" / "_data", OLD)
    deed = exchange_of("volume/x", target, fill(tmp_path / "staged", FRESH), ["web"], "abcd_1")
    record.deeds.append(deed)
    synced: list[dict[str, str]] = []
    monkeypatch.setattr(os, "sync", lambda: synced.append(content(target)))
    put_back_files.put(deed, record)
    assert synced == [{}]
    record.advance("starting")
    assert synced == [{}, FRESH]
    put_back_files.undo(deed, record)
    assert synced == [{}, FRESH, {}, OLD]
    record.close()
    assert len(synced) == 5
