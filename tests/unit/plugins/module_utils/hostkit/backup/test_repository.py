"""What may go wrong with a repository: away, gone, locked, full, damaged. Earlier runs stay whole."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import restic as restic_module
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import BackupError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.drill import Drill
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.facts import read_facts
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.restore import restore_to_folder
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.runs import read_runs
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.saver import Saver
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.streams import (
    Deadline,
    Producer,
    write_back,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.verify import verify
from fakes.backup_host import BackupHost, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")


def items_in(host: BackupHost) -> list[str]:
    """The items of the newest run, complete or not."""
    return sorted(read_runs(host.backup().repository(), "web1")[-1].snapshots)


def test_a_repository_that_is_away_does_not_take_the_other_with_it(
    host: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restic_module, "PROBE", 5.0)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        host.add_repository("away", f"rest:http://user:canary-0815@127.0.0.1:{port}/")
        failures = host.backup().run()
    assert len(failures) == 1
    assert "'away'" in failures[0]
    assert "canary-0815" not in str(read_facts(host.paths)) + failures[0]
    assert "manifest" in items_in(host)
    metrics = host.paths.metrics.read_text()
    assert 'last_run_success{repository="main"} 1' in metrics
    assert 'last_run_success{repository="away"} 0' in metrics


def test_a_wrong_password(host: BackupHost) -> None:
    assert host.backup().run() == []
    (host.folder / "password").write_text("another\n")
    failures = host.backup().run()
    assert "its password is not the one in" in failures[0]


def test_a_repository_that_is_gone_is_not_made_anew(host: BackupHost) -> None:
    """As where the disk that it lies on is not mounted."""
    assert host.backup().run() == []
    (host.folder / "repository-main").rename(host.folder / "elsewhere")
    assert "is gone" in host.backup().run()[0]
    assert not (host.folder / "repository-main").exists()


def hold_lock(host: BackupHost) -> subprocess.Popen[bytes]:
    """A restic that is at work on the repository."""
    restic = host.backup().repository()
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(host.folder), **restic.environment}
    words = [restic.program, "backup", "-q", "--stdin", "--stdin-filename", "x"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, env=environment)
    until = time.monotonic() + 20
    while not list((host.folder / "repository-main" / "locks").iterdir()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return process


def test_a_lock_of_a_dead_process_goes_and_that_of_a_living_one_stays(
    host: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restic_module, "LOCK_WAIT", 1.0)
    monkeypatch.setattr(restic_module, "LOCK_POLL", 0.1)
    assert host.backup().run() == []
    restic = host.backup().repository()
    process = hold_lock(host)
    try:
        with pytest.raises(BackupError, match="another process works on it"):
            restic.check("1/30")
        assert list((host.folder / "repository-main" / "locks").iterdir())
        # That is no damage.
        assert "another process works on it" in verify(host.backup())["main"]
        assert "verify_success" not in host.paths.metrics.read_text()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list((host.folder / "repository-main" / "locks").iterdir())
    restic.check("1/30")
    assert not list((host.folder / "repository-main" / "locks").iterdir())


def test_the_lock_of_a_check_that_was_killed_does_not_stop_a_run(host: BackupHost, redis_port: int) -> None:
    """An exclusive one, which a restic that saves a stream would not take away."""
    host.add_redis(redis_port)
    assert host.backup().run() == []
    restic = host.backup().repository()
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(host.folder), **restic.environment}
    locks = host.folder / "repository-main" / "locks"
    process = subprocess.Popen([restic.program, "check", "-q"], env=environment)
    until = time.monotonic() + 20
    # It is written under another name at first.
    while not list(locks.glob("?" * 64)):
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert list(locks.glob("?" * 64))
    host.now += 86400
    assert host.backup().run() == []
    assert not list(locks.glob("?" * 64))


def test_a_check_waits_for_the_end_of_another_host(host: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restic_module, "LOCK_POLL", 0.2)
    assert host.backup().run() == []
    process = hold_lock(host)
    ending = threading.Timer(6, process.kill)
    ending.start()
    reaper = threading.Thread(target=process.wait)
    reaper.start()
    assert verify(host.backup()) == {"main": ""}
    reaper.join()


def test_a_restore_waits_for_the_end_of_a_check(
    host: BackupHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restic_module, "LOCK_POLL", 0.2)
    backup = host.backup()
    assert backup.run() == []
    restic, run, _manifest = backup.find("latest")
    locks = host.folder / "repository-main" / "locks"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(host.folder), **restic.environment}
    process = subprocess.Popen([restic.program, "check", "-q"], env=environment)
    until = time.monotonic() + 20
    while not list(locks.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGSTOP)
    going_on = threading.Timer(4, process.send_signal, [signal.SIGCONT])
    going_on.start()
    try:
        write_back(restic, run.snapshots["manifest"].id, "/manifest.json", tmp_path / "it", Deadline.after(60))
    finally:
        going_on.join()
        process.wait()
    assert json.loads((tmp_path / "it").read_text())["id"] == run.id


@pytest.fixture
def unreadable(host: BackupHost) -> Iterator[Path]:
    """A file that not even root can read, in a path that is backed up."""
    file = host.paths.at("/srv/a/bad")
    file.parent.mkdir(parents=True)
    file.touch()
    (file.parent / "good").write_text("x")
    if subprocess.run(["mount", "--bind", "/proc/1/mem", file], check=False, capture_output=True).returncode:
        pytest.skip("this machine mounts nothing")
    try:
        yield file
    finally:
        subprocess.run(["umount", file], check=False, capture_output=True)


@pytest.mark.usefixtures("unreadable")
def test_a_file_that_cannot_be_read_costs_no_more_than_its_item(host: BackupHost) -> None:
    (host.paths.at("/srv/b")).mkdir()
    (host.paths.at("/srv/b") / "file").write_text("x")
    failures = host.backup(paths=("/srv/a", "/srv/b")).run()
    assert len(failures) == 1
    assert "Not every file could be read" in failures[0]
    assert items_in(host) == ["path/srv/b", "release"]


def test_a_file_that_vanishes_meanwhile_costs_nothing(host: BackupHost, unreadable: Path) -> None:
    backup = host.backup(paths=("/srv/a",))
    program = host.folder / "restic"
    program.write_text(
        f'#!/bin/sh\n{backup.restic} "$@"; code=$?\n'
        f"case $* in *item=path*) umount {unreadable} && rm {unreadable} ;; esac >/dev/null 2>&1\nexit $code\n"
    )
    program.chmod(0o755)
    backup.repositories = [dataclasses.replace(restic, program=str(program)) for restic in backup.repositories]
    assert backup.run() == []
    assert not unreadable.exists()


def test_without_a_repository_nothing_is_called_saved(host: BackupHost) -> None:
    saver = Saver("20261129T020000Z-1a2b", "web1", host.backup().repositories, Deadline.after(60))
    saver.lost["main"] = "It broke"
    with pytest.raises(BackupError, match="x was not saved: no repository is left"):
        saver.stream("x", Producer(["echo", "x"], "echo"))
    assert saver.items == {}


@pytest.fixture
def small_disk(host: BackupHost, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The repository lies on a disk of its own, of the size that the test asks for."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    place = host.folder / "repository-main"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "none", place]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("this machine mounts nothing")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("small_disk", ["3m"], indirect=True)
@pytest.mark.usefixtures("small_disk")
def test_a_full_disk(host: BackupHost) -> None:
    assert host.backup().run() == []
    big = host.paths.at("/srv/big")
    big.parent.mkdir(parents=True)
    big.write_bytes(os.urandom(8 << 20))
    host.now += 86400
    failures = host.backup(paths=("/srv/big",)).run()
    assert "its disk is full" in failures[0]
    runs = read_runs(host.backup().repository(), "web1")
    assert runs[0].good
    assert not any(run.good for run in runs[1:])


@pytest.mark.parametrize("small_disk", ["20m"], indirect=True)
def test_a_disk_of_the_host_that_is_nearly_full(host: BackupHost, small_disk: Path) -> None:
    assert host.backup().run() == []
    (small_disk / "other").write_bytes(bytes(19 << 20))
    host.now += 86400
    failures = host.backup().run()
    assert "2 MiB are needed there" in failures[0]
    assert len(read_runs(host.backup().repository(), "web1")) == 1
    (small_disk / "other").unlink()
    assert host.backup().run() == []


def test_a_flipped_bit_is_found(host: BackupHost, tmp_path: Path) -> None:
    big = host.paths.at("/srv/big")
    big.parent.mkdir(parents=True)
    big.write_bytes(os.urandom(1 << 20))
    backup = host.backup(paths=("/srv/big",))
    assert backup.run() == []
    assert verify(backup, everything=True) == {"main": ""}
    pack = max(
        (host.folder / "repository-main" / "data").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size
    )
    data = bytearray(pack.read_bytes())
    data[len(data) // 3] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    assert "is damaged" in verify(backup, everything=True)["main"]
    assert 'hypercode_backup_verify_success{repository="main"} 0' in host.paths.metrics.read_text()
    restic, run, manifest = backup.find("latest")
    with pytest.raises(BackupError):
        restore_to_folder(restic, run, manifest, ["path/srv/big"], tmp_path / "back", Deadline.after(60))
    assert not (tmp_path / "back/path/srv/big").exists()


def test_each_day_another_part_is_read(host: BackupHost) -> None:
    backup = host.backup()
    assert backup.run() == []
    parts = []
    for _day in range(3):
        host.now += 86400
        assert verify(backup) == {"main": ""}
        parts.append(sorted(read_facts(host.paths)["repositories"]["main"]["verify"]["parts"], key=int))
    assert parts == [["1"], ["1", "2"], ["1", "2", "3"]]
    assert 'verify_oldest_timestamp_seconds{repository="main"} 0' in host.paths.metrics.read_text()
    assert verify(backup, everything=True) == {"main": ""}
    assert read_facts(host.paths)["repositories"]["main"]["verify"]["all_read_since"] == host.now


def test_a_drill_that_cannot_begin_has_failed(host: BackupHost) -> None:
    report = Drill(host.backup()).go()
    assert "There is no run 'latest'" in report["failures"][0]
    assert "hypercode_backup_drill_success 0" in host.paths.metrics.read_text()
    assert "drill_rpo_seconds" not in host.paths.metrics.read_text()


def test_a_drill_that_compared_nothing_has_failed(host: BackupHost) -> None:
    backup = host.backup()
    assert backup.run() == []
    path = next(host.paths.manifests.iterdir())
    document = json.loads(path.read_text())
    document["items"]["release"]["bytes"] = 1 << 60
    path.write_text(json.dumps(document))
    report = Drill(backup).go()
    assert report["left_out"] == ["release"]
    assert "was compared: the host has no room for release" in report["failures"][0]
    assert "hypercode_backup_drill_success 0" in host.paths.metrics.read_text()


def test_a_run_that_fails_early_does_not_say_that_every_volume_is_planned(host: BackupHost) -> None:
    host.engine.add_volume("shop_x", host.folder / "x", {"com.docker.compose.project": "shop"})
    assert host.backup().run() == []
    (host.folder / "password").write_text("another\n")
    assert host.backup().run() != []
    metrics = host.paths.metrics.read_text()
    assert "hypercode_backup_unplanned_volumes 1" in metrics
    assert 'configured_timestamp_seconds{repository="main"} 1800000000' in metrics


def test_a_path_that_changes_between_two_repositories_comes_back_from_both(host: BackupHost, tmp_path: Path) -> None:
    folder = host.paths.at("/srv/living")
    folder.mkdir(parents=True)
    (folder / "one").write_text("1")
    host.add_repository("second")
    backup = host.backup(paths=("/srv/living",))
    program = host.folder / "restic"
    program.write_text(
        f'#!/bin/sh\n{backup.restic} "$@"; code=$?\n'
        f"case $* in *item=path*) echo 2 > {folder}/two ;; esac >/dev/null 2>&1\nexit $code\n"
    )
    program.chmod(0o755)
    backup.repositories = [dataclasses.replace(restic, program=str(program)) for restic in backup.repositories]
    assert backup.run() == []
    for name, count in (("main", 1), ("second", 2)):
        restic, run, manifest = backup.find("latest", name)
        target = tmp_path / name
        restore_to_folder(restic, run, manifest, ["path/srv/living"], target, Deadline.after(60))
        assert len([path for path in target.rglob("*") if path.is_file()]) == count


def test_an_item_that_differs_is_kept_and_the_others_come_back(host: BackupHost, tmp_path: Path) -> None:
    host.paths.at("/srv/a").mkdir(parents=True)
    (host.paths.at("/srv/a") / "file").write_text("x")
    backup = host.backup(paths=("/srv/a",))
    assert backup.run() == []
    restic, run, manifest = backup.find("latest")
    manifest["items"]["release"]["files_in"]["main"] = 7
    with pytest.raises(BackupError, match="1 of 2 items did not come back as they were saved"):
        restore_to_folder(restic, run, manifest, ["release", "path/srv/a"], tmp_path / "back", Deadline.after(60))
    assert next((tmp_path / "back/release.differs").rglob("env")).read_text() == "API_KEY=abc\n"
    assert not (tmp_path / "back/release").exists()
    assert next((tmp_path / "back/path/srv/a").rglob("file")).read_text() == "x"
