"""Who is stopped for a restore, who is started after it, and what becomes of one that was cut off."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import (
    put_back_command,
    put_back_files,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import BackupError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.facts import alone
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_command import put_right
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_hands import Hands, UndoError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_plan import part_of
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_record import (
    DONE,
    STARTING,
    WORKING,
    Record,
    cut_off,
    place_of_record,
    read_record,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths as ReleasePaths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Store
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_error import RolloutError
from fakes.backup_host import RESTIC, BackupHost
from fakes.put_back_host import FakeRelease, hands

pytestmark = pytest.mark.skipif(not RESTIC, reason="not installed: restic")


@pytest.fixture
def two(host: BackupHost) -> tuple[Hands, FakeRelease]:
    """Two services, each with a volume that was exchanged."""
    for name in ("web", "other"):
        host.engine.add_volume(name, host.folder / "volumes" / name / "_data", {})
        mount = {"Type": "volume", "Name": name, "Destination": "/data"}
        host.add_service(name, "example/web:1", {}, [mount])
        (host.folder / "volumes" / name / "_data" / "note").write_text("old")
    return hands(host, {"web": [], "other": []})


def state(host: BackupHost, name: str, status: str, policy: dict[str, Any] | None = None) -> None:
    for item in host.engine.found:
        if item["Id"].startswith(f"{name}-"):
            item["State"] = {"Status": status}
            item["HostConfig"] = {"RestartPolicy": policy or {}}


def note(host: BackupHost, name: str) -> str:
    return (host.folder / "volumes" / name / "_data" / "note").read_text()


def exchanged(host: BackupHost, phase: str) -> Record:
    """A restore of both volumes that got as far as that."""
    record = Record(host.paths, "abcd", "20261129T020000Z-1a2b", ["web", "other"], ["web", "other"])
    record.starts = ["web", "other"]
    for number, name in enumerate(("web", "other")):
        staged = host.folder / f"staged-{name}"
        staged.mkdir()
        (staged / "note").write_text("new")
        target = host.folder / "volumes" / name / "_data"
        deed = put_back_files.exchange_of(f"volume/{name}", target, staged, [name], f"abcd_{number}")
        record.deeds.append(deed)
        put_back_files.put(deed, record)
    record.advance(phase)
    return record


# --- who is up --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["running", "restarting", "paused"])
def test_whoever_may_write_is_stopped(host: BackupHost, two: tuple[Hands, FakeRelease], status: str) -> None:
    """One that crashes again and again, as with a broken database, has the volume too."""
    hand, release = two
    state(host, "web", status)
    assert hand.running(["web"]) == ["web"]
    hand.stop(["web"])
    assert release.done == ["stop web"]
    assert ("unpause web-1" in host.commands) == (status == "paused")


def test_of_several_containers_one_is_enough(host: BackupHost, two: tuple[Hands, FakeRelease]) -> None:
    hand, _release = two
    host.engine.found.append({**host.engine.found[0], "Id": "web-2", "State": {"Status": "restarting"}})
    host.engine.found[0]["State"] = {"Status": "exited"}
    assert hand.running(["web"]) == ["web"]


def test_each_policy_is_held_and_given_back(host: BackupHost, two: tuple[Hands, FakeRelease]) -> None:
    """on-failure:3 is what the toolkit gives a service that says nothing."""
    hand, _release = two
    state(host, "web", "restarting", {"Name": "on-failure", "MaximumRetryCount": 3})
    host.engine.found.append({**host.engine.found[0], "Id": "web-2"})
    state(host, "other", "running", {"Name": "no"})
    record = Record(host.paths, "abcd", "20261129T020000Z-1a2b")
    hand.hold(["web", "other"], record)
    assert record.policies == {"web-1": "on-failure:3", "web-2": "on-failure:3"}
    record.policies["gone-1"] = "always"
    hand.release_hold(record)
    assert [line for line in host.commands.splitlines() if line.startswith("update")] == [
        "update --restart no web-1",
        "update --restart no web-2",
        "update --restart on-failure:3 web-1",
        "update --restart on-failure:3 web-2",
    ]


def test_policies_are_back_before_anything_starts(
    host: BackupHost, two: tuple[Hands, FakeRelease], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that ends once at its start is started again by its policy, and is not crashed at once."""
    hand, release = two
    state(host, "web", "running", {"Name": "always"})
    record = exchanged(host, WORKING)
    hand.hold(["web"], record)
    seen: list[str] = []
    monkeypatch.setattr(release, "compose_up", lambda names: seen.append(host.commands))
    hand.start(record)
    assert "update --restart always web-1" in seen[0]
    seen.clear()
    hand.undo(record)
    assert seen[0].splitlines()[-1] == "update --restart always web-1"
    assert [line for line in host.commands.splitlines() if line.startswith("update")][2] == "update --restart no web-1"


def test_one_that_was_broken_before_undoes_nothing(host: BackupHost, two: tuple[Hands, FakeRelease]) -> None:
    hand, release = two
    record = exchanged(host, STARTING)
    release.broken = {"other"}
    state(host, "other", "exited")
    record.sick = hand.sick(["web", "other"])
    assert record.sick == ["other"]
    hand.start(record)
    assert any("as it was before the restore: other did not get healthy" in line for line in host.told)
    record.sick = []
    with pytest.raises(RolloutError):
        hand.start(record)


# --- cut off ----------------------------------------------------------------------------------------------------------


def test_half_restored_data_is_put_back(host: BackupHost, two: tuple[Hands, FakeRelease]) -> None:
    exchanged(host, WORKING)
    assert "half old and half new" in cut_off(host.paths)
    said, well = put_right(two[0])
    assert well
    assert "the old data is back" in said
    assert note(host, "web") == note(host, "other") == "old"


def test_where_services_may_have_written_it_goes_forward(host: BackupHost, two: tuple[Hands, FakeRelease]) -> None:
    """Days later a start of Docker must not take back what was written since."""
    exchanged(host, STARTING)
    (host.folder / "volumes" / "web" / "_data" / "note").write_text("written since")
    assert "its data is in place" in cut_off(host.paths)
    said, well = put_right(two[0])
    assert well
    assert "was brought to its end" in said
    assert note(host, "web") == "written since"
    assert not place_of_record(host.paths).exists()
    assert json.loads(host.paths.facts.read_text())["restored"]["run"] == "20261129T020000Z-1a2b"


def test_where_it_cannot_go_forward_nothing_is_taken_back_by_itself(
    host: BackupHost, two: tuple[Hands, FakeRelease]
) -> None:
    hand, release = two
    exchanged(host, STARTING)
    (host.folder / "volumes" / "web" / "_data" / "note").write_text("written since")
    release.broken = {"web"}
    with pytest.raises(BackupError, match=r"data is in place, and not all is well: web did not get healthy.*--undo"):
        put_right(hand)
    assert note(host, "web") == "written since"
    # Asked to, it saves what is there, and then takes it back.
    release.broken = set()
    said, _well = put_right(hand, back=True)
    assert "What was written since is the run " in said
    assert note(host, "web") == note(host, "other") == "old"
    run = said.partition("is the run ")[2].split(".")[0]
    restic, found, manifest = hand.backup.find(run)
    assert set(manifest["items"]) == {"volume/web", "volume/other"}
    place = host.folder / "volumes" / "web" / "_data" / "note"
    assert restic.call("dump", found.snapshots["volume/web"].id, str(place)).stdout == "written since"


def test_what_cannot_be_saved_is_not_taken_back_unless_it_is_said(
    host: BackupHost, two: tuple[Hands, FakeRelease]
) -> None:
    hand, release = two
    exchanged(host, STARTING)
    (host.folder / "repository-main" / "config").rename(host.folder / "config")
    with pytest.raises(BackupError, match=r"nothing was taken back: .*--undo --yes"):
        put_right(hand, back=True)
    assert note(host, "web") == "new"
    assert release.done[-1].startswith("up ")
    put_right(hand, back=True, unsaved=True)
    assert note(host, "web") == "old"


def test_one_that_cannot_be_undone_keeps_only_its_own_service_down(
    host: BackupHost, two: tuple[Hands, FakeRelease], monkeypatch: pytest.MonkeyPatch
) -> None:
    hand, release = two
    record = exchanged(host, WORKING)
    real = put_back_files.undo

    def undo(deed: dict[str, Any], record: Record) -> None:
        if deed["item"] == "volume/other":
            raise BackupError("the disk is broken")
        real(deed, record)

    with monkeypatch.context() as patched:
        patched.setattr(put_back_files, "undo", undo)
        with pytest.raises(UndoError, match=r"the disk is broken.* Until then other stays down") as raised:
            hand.undo(record)
    assert raised.value.services == {"other"}
    assert note(host, "web") == "old"
    assert release.done[-1] == "up web"
    # Mended, it goes on with the rest.
    found = read_record(host.paths)
    assert found is not None
    assert hand.undo(found) == []
    assert note(host, "other") == "old"


def test_what_cannot_be_tidied_up_blocks_nothing(host: BackupHost, two: tuple[Hands, FakeRelease]) -> None:
    hand, release = two
    record = exchanged(host, DONE)
    record.deeds.append({"kind": "database", "service": "web", "aside": "hypercode_aside_1", "state": "exchanging"})
    record.write()
    state(host, "web", "exited")
    release.broken = {"web"}
    assert "came to its end" in cut_off(host.paths)
    assert "was tidied up" in put_right(hand)[0]
    assert any("The old database stays in web, as hypercode_aside_1" in line for line in host.told)
    assert not place_of_record(host.paths).exists()


def test_the_staging_folder_is_gone_before_anything_is_put_back(
    host: BackupHost, two: tuple[Hands, FakeRelease], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk may be full of it."""
    record = exchanged(host, WORKING)
    record.staging.mkdir(parents=True)
    real = put_back_files.undo

    def undo(deed: dict[str, Any], record: Record) -> None:
        assert not record.staging.exists()
        real(deed, record)

    monkeypatch.setattr(put_back_files, "undo", undo)
    assert two[0].undo(record) == []


# --- the start of the stack -------------------------------------------------------------------------------------------


@pytest.fixture
def board(host: BackupHost, two: tuple[Hands, FakeRelease], monkeypatch: pytest.MonkeyPatch) -> cli.Host:
    """The host as `hypercode stack start` sees it."""
    host.paths.config.parent.mkdir(parents=True)
    repositories = [{"name": entry.name, "url": entry.url, "password_file": "x"} for entry in host.repositories]
    host.paths.config.write_text(json.dumps({"project": "shop", "host": "web1", "repositories": repositories}))
    monkeypatch.setattr(put_back_command, "hands_of", lambda _host, _backup: two[0])
    two[1].start = lambda stays=(): two[1].done.append(f"start all but {sorted(stays)}") or []  # type: ignore[attr-defined]
    rollout = SimpleNamespace(stack=lambda evidence: two[1])
    return cli.Host(Store(ReleasePaths(host.paths.root)), host.engine, rollout=lambda *_words, **_named: rollout)  # type: ignore[arg-type,return-value]


def test_a_failed_undo_at_boot_keeps_one_service_down(
    host: BackupHost,
    board: cli.Host,
    two: tuple[Hands, FakeRelease],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    exchanged(host, WORKING)
    monkeypatch.setattr(two[0], "_undo", lambda deed, _record: (_ for _ in ()).throw(BackupError("no")))
    record = read_record(host.paths)
    assert record is not None
    record.deeds = record.deeds[:1]
    record.write()
    assert cli.main(["stack", "start"], board) == 1
    assert two[1].done[-1] == "start all but ['web']"
    assert "Until then web stays down" in capsys.readouterr().err


def test_at_boot_it_goes_forward_and_a_done_one_is_tidied_up_after_the_start(
    host: BackupHost, board: cli.Host, two: tuple[Hands, FakeRelease]
) -> None:
    record = exchanged(host, STARTING)
    assert cli.main(["stack", "start"], board) == 0
    assert note(host, "web") == "new"
    assert not place_of_record(host.paths).exists()
    two[1].done.clear()
    record.advance(DONE)
    assert cli.main(["stack", "start"], board) == 0
    assert two[1].done == ["start all but []"]
    assert not place_of_record(host.paths).exists()


def test_a_backup_that_is_at_work_is_waited_for(host: BackupHost, board: cli.Host) -> None:
    """And no drill begins while one is cut off, for it takes long."""
    exchanged(host, WORKING)
    assert cli.main(["backup", "drill"], board) == 1
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with alone(host.paths, "drill"):
            held.set()
            end.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    threading.Timer(0.7, end.set).start()
    began = time.monotonic()
    assert cli.main(["stack", "start"], board) == 0
    assert time.monotonic() - began > 0.5
    thread.join()
    assert note(host, "web") == "old"


def test_plan_and_undo_say_how_it_stands(
    host: BackupHost, board: cli.Host, two: tuple[Hands, FakeRelease], capsys: pytest.CaptureFixture[str]
) -> None:
    exchanged(host, WORKING)
    with alone(host.paths, "restore"):
        assert cli.main(["backup", "restore", "--into-stack", "--plan"], board) == 75
    assert "A restore is at work" in capsys.readouterr().out
    # Not written to the folder without a word of it.
    assert cli.main(["backup", "restore", "--to", str(host.folder / "to"), "--plan"], board) == 1
    assert "--plan goes with --into-stack" in capsys.readouterr().err
    two[1].broken = {"web"}
    # The data is back, and not all is well.
    assert cli.main(["backup", "restore", "--undo"], board) == 1
    # Docker may be started again, as for an upgrade.
    assert host.engine.patience == [put_back_command.ENGINE_PATIENCE]
    assert "the old data is back. Not well: web did not get healthy" in capsys.readouterr().out
    assert cli.main(["backup", "restore", "--undo"], board) == 0


def test_a_service_may_have_the_name_database(tmp_path: Path) -> None:
    assert part_of("postgres/database/roles").database == ""
    assert part_of("postgres/database/database/a/database/b").database == "a/database/b"
    assert part_of("postgres/db/database/shop").database == "shop"
    assert part_of("volume/x").database == ""
