"""Release folders, the link `current`, pruning and the lock."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import (
    Paths,
    Release,
    ReleaseError,
    Store,
    lock,
    lock_holder,
)
from hypothesis import given, settings
from hypothesis import strategies as st

ABOUT = {"project": "demo", "services": {}, "order": []}
MODEL: dict[str, Any] = {"services": {}}


class Time:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    return Store(Paths(tmp_path), Time())


def create(store: Store, status: str = "done", text: str = "x") -> Release:
    return store.create(MODEL, text, "A='secret'\n", {**ABOUT, "status": status})


def deployed(store: Store, text: str = "x") -> Release:
    release = create(store, text=text)
    store.switch(release)
    return release


# ---- folders ----------------------------------------------------------------------------------------------------


def test_a_new_release(store: Store) -> None:
    release = store.create(MODEL, "services: {}\n", "A='b'\n", {**ABOUT, "who": "ann"})
    assert release.id.startswith("20270115T080000Z-")
    assert release.read() == {
        **ABOUT,
        "schema": 1,
        "id": release.id,
        "created": "2027-01-15T08:00:00Z",
        "status": "prepared",
        "previous": None,
        "who": "ann",
    }
    assert release.read_env() == "A='b'\n"
    modes = {path.name: path.stat().st_mode & 0o777 for path in release.folder.iterdir()}
    assert modes == {"compose.yaml": 0o600, "env": 0o600, "model.json": 0o600, "release.json": 0o644}
    assert store.get(release.id) == release


def test_two_in_one_second_and_a_clock_that_went_back(store: Store) -> None:
    first = create(store)
    second = create(store)
    Time.now, before = Time.now - 1000, Time.now
    try:
        third = create(store)
    finally:
        Time.now = before
    assert [first, second, third] == store.all()


def test_a_folder_that_is_no_release_is_left_alone(store: Store) -> None:
    create(store)
    (store.paths.releases / "20290101T000000Z-00000000").mkdir()
    (store.paths.releases / "notes").mkdir()
    newer = create(store)
    assert store.all() == [store.all()[0], newer]
    assert newer.id.startswith("20290101T000001Z")


def test_nothing_of_a_release_stays_when_it_cannot_be_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.replace

    def full(source: Any, target: Any, **options: Any) -> None:
        if str(target).endswith("release.json"):
            raise OSError(28, "No space left on device")
        real(source, target, **options)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(
        ReleaseError, match=r"release\.json cannot be written: No space left on device\. Fix: free some"
    ):
        create(store)
    assert list(store.paths.releases.iterdir()) == []


def test_what_a_killed_run_left_is_swept(store: Store) -> None:
    left = store.paths.releases / ".20260101T000000Z-00000000.partial"
    left.mkdir(parents=True)
    (left / "env").write_text("A='secret'")
    create(store)
    assert not left.exists()


@pytest.mark.parametrize("name", ["x", "../../etc", "20270115T080000Z-00000000", "20270115T080000Z-00000000\n", ""])
def test_an_id_that_does_not_exist(store: Store, name: str) -> None:
    there = create(store)
    with pytest.raises(ReleaseError, match=f"Releases: {there.id}$"):
        store.get(name)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no JSON"),
        ('{"status": "do', "no JSON"),
        ("[]", "does not hold a mapping"),
        ("{}", "'status' is missing"),
        (json.dumps({**ABOUT, "status": 1}), "'status' is missing or of the wrong kind"),
        (json.dumps({**ABOUT, "status": "done", "services": []}), "'services'"),
        (json.dumps({**ABOUT, "status": "done", "services": {"a": 1}}), "a service in it is no mapping"),
        (json.dumps({**ABOUT, "status": "done", "order": ["a"]}), "'order' is no list of lists"),
        (json.dumps({"status": "done", "services": {}, "order": []}), "'project'"),
    ],
)
def test_a_torn_record(store: Store, text: str, problem: str) -> None:
    release = create(store)
    (release.folder / "release.json").write_text(text)
    with pytest.raises(ReleaseError) as caught:
        release.read()
    assert problem in str(caught.value)
    assert "Fix: run site.yml again" in str(caught.value)
    assert release.status == "damaged"
    # The other things that go over all releases do not stumble over it.
    assert store.unfinished() is None
    store.abandon_others(None)
    assert create(store).read()["status"] == "done"


def test_a_record_that_is_not_text(store: Store) -> None:
    release = create(store)
    (release.folder / "release.json").write_bytes(b"\xff\xfe")
    assert release.status == "damaged"


def test_model_and_env_that_are_gone(store: Store) -> None:
    release = create(store)
    release.env_file.unlink()
    (release.folder / "model.json").write_text('{"services": 3}')
    with pytest.raises(ReleaseError, match="env cannot be used"):
        release.read_env()
    with pytest.raises(ReleaseError, match="it has no services"):
        release.read_model()


# ---- current ----------------------------------------------------------------------------------------------------


def test_current(store: Store) -> None:
    assert store.current() is None
    assert store.lost() is None
    first = deployed(store)
    assert store.current() == first
    second = deployed(store)
    assert store.current() == second
    assert second.read()["previous"] == first.id
    assert {path.name for path in store.paths.home.iterdir()} == {"current", "releases"}


def test_current_leads_nowhere(store: Store) -> None:
    release = deployed(store)
    (release.folder / "release.json").unlink()
    assert store.current() is None
    assert store.lost() == f"releases/{release.id}"
    again = deployed(store)
    assert (store.current(), store.lost()) == (again, None)


def test_current_is_a_folder(store: Store) -> None:
    release = create(store)
    store.paths.current.mkdir()
    with pytest.raises(ReleaseError, match=r"current is not the link.*Fix: move it away"):
        store.current()
    with pytest.raises(ReleaseError, match="current cannot be switched"):
        store.switch(release)


def test_unfinished_is_the_newest_only(store: Store) -> None:
    cut = create(store, "running")
    assert store.unfinished() == cut
    done = create(store)
    assert store.unfinished() is None
    store.abandon_others(done)
    assert cut.status == "abandoned"
    assert done.status == "done"


# ---- prune ------------------------------------------------------------------------------------------------------


def test_prune_keeps_what_can_be_gone_back_to(store: Store) -> None:
    good = [deployed(store) for _ in range(4)]
    bad = [create(store, "failed") for _ in range(6)]
    newest = deployed(store)
    for release in (*good, *bad):
        (store.paths.evidence / release.id).mkdir(parents=True)
        (store.paths.state / f"{release.id}.jsonl").write_text("{}\n")
    removed = store.prune(3)
    # Failed attempts do not push out the releases that worked.
    assert removed == [good[0].id, good[1].id, *(release.id for release in bad[:3])]
    assert store.all() == [good[2], good[3], *bad[3:], newest]
    kept = {release.id for release in store.all()} - {newest.id}
    assert {path.name for path in store.paths.evidence.iterdir()} == kept
    assert {path.stem for path in store.paths.state.glob("*.jsonl")} == kept
    assert store.prune(3) == []


def test_prune_never_removes_the_current_one_and_the_one_before(store: Store) -> None:
    first = deployed(store)
    second = deployed(store)
    for _ in range(5):
        create(store)
    store.prune(1)
    assert {first, second} <= set(store.all())


@settings(max_examples=40, deadline=None)
@given(
    statuses=st.lists(st.sampled_from(["done", "failed", "reverted", "abandoned"]), max_size=8), keep=st.integers(0, 4)
)
def test_prune_keeps_the_newest(tmp_path_factory: pytest.TempPathFactory, statuses: list[str], keep: int) -> None:
    store = Store(Paths(tmp_path_factory.mktemp("root")))
    for number, status in enumerate(statuses):
        folder = store.paths.releases / f"20270115T0800{number:02}Z-00000000"
        folder.mkdir(parents=True)
        (folder / "release.json").write_text(json.dumps({**ABOUT, "status": status}))
    before = store.all()
    good = [release for release in before if release.status == "done"]
    removed = store.prune(keep)
    assert removed == sorted(removed)
    assert {release.id for release in good[-max(keep, 2) :]}.isdisjoint(removed)
    assert len(store.all()) == len(before) - len(removed) <= 2 * max(keep, 2)


# ---- the lock ---------------------------------------------------------------------------------------------------


def test_the_lock_is_held_by_one(store: Store) -> None:
    assert lock_holder(store.paths) is None
    with lock(store.paths, holder="me") as first:
        assert first
        assert lock_holder(store.paths) == "me"
        with lock(store.paths, holder="you") as second:
            assert not second
        with lock(store.paths, wait_seconds=0.06) as third:
            assert not third
        assert lock_holder(store.paths) == "me"
    assert lock_holder(store.paths) is None
    with lock(store.paths) as again:
        assert again
        assert lock_holder(store.paths) == "unknown"


def test_looking_takes_nothing(store: Store) -> None:
    """A look in between must not make the one who comes for the lock believe that somebody has it."""
    with lock(store.paths):
        pass
    # Another one looks at this very moment.
    with (store.paths.state / "lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert lock_holder(store.paths) is None
    with lock(store.paths) as held:
        assert held


def test_a_holder_that_is_killed_holds_it_no_more(store: Store) -> None:
    program = (
        "import sys, time; from pathlib import Path;"
        f"from {lock.__module__} import Paths, lock;"
        "manager = lock(Paths(Path(sys.argv[1])), holder='it'); manager.__enter__(); print('held', flush=True);"
        "time.sleep(60)"
    )
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(store.paths.root)], stdout=subprocess.PIPE, env={"PYTHONPATH": path}
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        assert lock_holder(store.paths) == "it"
        process.kill()
    assert lock_holder(store.paths) is None
    with lock(store.paths) as held:
        assert held


def test_a_lock_that_cannot_be_made(store: Store) -> None:
    store.paths.state.parent.mkdir(parents=True)
    store.paths.state.write_text("a file in the way")
    with pytest.raises(ReleaseError, match="lock cannot be opened"), lock(store.paths):
        pass
