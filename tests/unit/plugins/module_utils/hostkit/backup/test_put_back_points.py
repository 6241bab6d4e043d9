"""Postgres goes back to a moment in the running stack: what is planned, refused, exchanged, and left alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import put_back_points
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import BackupError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.points import Base, stamp
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back import PutBack
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_points import Points
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.restic import Snapshot
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.streams import Deadline
from fakes.backup_host import RESTIC, BackupHost
from fakes.put_back_host import FakeRelease, hands

pytestmark = pytest.mark.skipif(not RESTIC, reason="not installed: restic")
DEPENDS: dict[str, list[str]] = {"db": [], "other": [], "app": ["db"]}
ABOUT = {"place": 5000, "base": {"version": 150018, "bytes": 3000, "start": 4000}}


@pytest.fixture
def stack(host: BackupHost, monkeypatch: pytest.MonkeyPatch) -> BackupHost:
    """A database of version 15 that does not run, and two services beside it."""
    data = host.folder / "volumes" / "db" / "_data"
    host.engine.add_volume("db", data, {})
    mount = {"Type": "volume", "Name": "db", "Source": str(data), "Destination": "/var/lib/postgresql/data"}
    host.add_service("db", "postgres:15", {"PGDATA": "/var/lib/postgresql/data/pgdata"}, [mount])
    for name in ("other", "app"):
        host.add_service(name, "example/program:1", {})
    (data / "pgdata").mkdir()
    (data / "pgdata" / "PG_VERSION").write_text("broken")
    host.engine.found[0]["State"] = {"Status": "exited"}
    monkeypatch.setattr(put_back_points, "read_about", lambda _restic, _base: ABOUT)
    monkeypatch.setattr(put_back_points, "major_in", lambda *_words: 15)
    return host


@pytest.fixture
def recovery(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """In place of a server that replays its log; returns the moments that were asked for."""
    moments: list[float | None] = []

    def recover(
        _backup: Any, _restic: Any, base: Base, folder: Path, _deadline: Deadline, *, moment: float | None
    ) -> Any:
        moments.append(moment)
        (folder / "data").mkdir()
        (folder / "data" / "PG_VERSION").write_text("15")
        return SimpleNamespace(service=base.service, reached=base.begins, exact=moment is not None)

    monkeypatch.setattr(put_back_points, "recover", recover)
    return moments


def base(host: BackupHost, service: str = "db") -> Base:
    tags = ("hypercode-pitr", "kind=base")
    snapshot = Snapshot("1", "2027-01-15T08:00:00Z", "web1", tags, ("/base.tar",))
    found = Base("20270115T080000Z-1a2b", service, "c", "c", snapshot, snapshot)
    found.begins, found.ends = host.now - 3600, host.now - 10
    return found


def points(host: BackupHost, *services: str, moment: float | None = None) -> tuple[Points, Any, FakeRelease]:
    hand, release = hands(host, DEPENDS)
    bases = [base(host, name) for name in services or ("db",)]
    return Points(hand.backup, hand.backup.repository(), bases, moment), hand, release


def test_the_plan_in_words(stack: BackupHost) -> None:
    stack.engine.found[0]["State"] = {"Status": "running"}
    work, _hand, release = points(stack, moment=stack.now - 60)
    plan = work.plan(release)  # type: ignore[arg-type]
    said = "\n".join(plan.lines())
    then = stamp(stack.now - 60)
    assert f"db: the state of {then} of web1 goes into the running stack, from 'main'." in said
    assert f"what was written after {then} is not in it" in said
    assert "All databases, roles and settings of the server go back to that time." in said
    assert plan.stops == {"app": "needs db", "db": "its files are exchanged"}
    assert plan.goes_on == ["other"]
    # The base and its log, and once more the log, which the server that replays it keeps too.
    assert max(need for need, _free in plan.disks.values()) >= 3000 + 2 * 1000 + (256 << 20)


def test_the_newest_point_is_named_by_its_time(stack: BackupHost) -> None:
    work, _hand, release = points(stack)
    assert work.plan(release).run.id == f"the state of {stamp(stack.now - 10)}"  # type: ignore[arg-type]


def test_a_service_that_is_not_there(stack: BackupHost) -> None:
    work, _hand, release = points(stack, "db", "other")
    with pytest.raises(BackupError, match=r"no service 'other' with Postgres.*with Postgres: db\..*Fix: .*--service"):
        work.plan(release)  # type: ignore[arg-type]


def test_another_version(stack: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(put_back_points, "major_in", lambda *_words: 16)
    work, _hand, release = points(stack)
    with pytest.raises(BackupError, match=r"was Postgres 15 .* is Postgres 16 now.*Fix: deploy Postgres 15"):
        work.plan(release)  # type: ignore[arg-type]


def test_no_room(stack: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(put_back_points, "room_for", lambda _about: 1 << 60)
    work, _hand, release = points(stack)
    with pytest.raises(BackupError, match=r"needed there\. Nothing was changed"):
        work.plan(release)  # type: ignore[arg-type]


def test_in_the_place_of_one_that_does_not_start(stack: BackupHost, recovery: list[float | None]) -> None:
    work, hand, release = points(stack, moment=stack.now - 60)
    plan = work.plan(release)  # type: ignore[arg-type]
    assert plan.lost == ["db"]
    assert "db does not run well. It is started; where that fails, its files are set aside." in plan.lines()
    real = release.wait_ready
    # It does not start from the files that it has.
    release.broken = {"db"}

    def wait_ready(names: Sequence[str], *, first_crash_ends: bool = True) -> object:
        outcome = real(names)
        release.broken = set()
        return outcome

    release.wait_ready = wait_ready  # type: ignore[method-assign]
    with work.recovered():
        safety = PutBack(hand, plan).go()
    data = stack.folder / "volumes" / "db" / "_data" / "pgdata"
    assert (data / "PG_VERSION").read_text() == "15"
    assert recovery == [stack.now - 60]
    assert not work.folder.exists()
    _restic, _run, manifest = hand.backup.find(safety)
    assert set(manifest["items"]) == {"volume/db"}
    assert manifest["before_restore_of"] == plan.run.id


def test_a_recovery_that_fails_touches_nothing(stack: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def recover(*_words: Any, **_named: Any) -> None:
        raise BackupError("The WAL has a gap")

    monkeypatch.setattr(put_back_points, "recover", recover)
    work, _hand, release = points(stack)
    plan = work.plan(release)  # type: ignore[arg-type]
    with pytest.raises(BackupError, match="has a gap"), work.recovered():
        raise AssertionError(plan)
    assert release.done == []
    assert not work.folder.exists()


def test_a_restore_that_fails_leaves_the_old_data(stack: BackupHost, recovery: list[float | None]) -> None:
    work, hand, release = points(stack)
    plan = work.plan(release)  # type: ignore[arg-type]
    release.broken = {"db"}
    with pytest.raises(BackupError, match="The old data was put back"), work.recovered():
        PutBack(hand, plan).go()
    data = stack.folder / "volumes" / "db" / "_data" / "pgdata"
    assert (data / "PG_VERSION").read_text() == "broken"
    assert not work.folder.exists()
    assert recovery == [None]
