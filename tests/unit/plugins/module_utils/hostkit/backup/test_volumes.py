"""Which volumes hold data and are in no backup, as preflight tells it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.volumes import (
    find_unplanned,
    planned_volumes,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import EngineError
from fakes.backup_host import BackupHost

LABELS = {"com.docker.compose.project": "shop"}


@pytest.fixture
def made(tmp_path: Path) -> BackupHost:
    """Volumes: of Redis, with a label of either kind, full, empty."""
    made = BackupHost(tmp_path)
    mount = {"Type": "volume", "Name": "shop_cache", "Destination": "/data"}
    made.add_service("cache", "redis:7.4", {}, [mount])
    more = {"saved": {"hypercode.backup": "true"}, "meant": {"hypercode.backup": "false"}, "full": {}, "empty": {}}
    for name, labels in {"cache": {}, **more}.items():
        folder = tmp_path / name
        folder.mkdir()
        made.engine.add_volume(f"shop_{name}", folder, {**LABELS, **labels})
        if name != "empty":
            (folder / "file").write_text("x")
    entry = {"name": "main", "url": "/srv/backups", "password_file": "/etc/hypercode/backup/password"}
    made.paths.config.parent.mkdir(parents=True)
    made.paths.config.write_text(json.dumps({"project": "shop", "host": "web1", "repositories": [entry]}))
    return made


def test_only_what_holds_data_and_nobody_has_thought_of_is_told(made: BackupHost) -> None:
    (found,) = find_unplanned(made.paths.root, made.engine)  # type: ignore[arg-type]
    assert (found.rule, found.severity, found.name) == ("volume-in-no-backup", "warning", "volume shop_full")
    assert found.message == "The volume shop_full holds data and is in no backup."
    assert "x-hypercode-backup: true" in found.fix
    assert "backup_volumes" in found.fix


@pytest.mark.parametrize("form", ["key", "label"])
def test_the_compose_file_has_the_last_word(made: BackupHost, form: str) -> None:
    """Docker never changes the labels of a volume that is there."""
    said = {"full": False, "meant": True, "saved": False}
    for name, value in said.items():
        word = {"x-hypercode-backup": value} if form == "key" else {"labels": {"hypercode.backup": str(value).lower()}}
        made.model["volumes"][name] = word
    # Not made yet: there is nothing to save.
    made.model["volumes"]["later"] = {"x-hypercode-backup": True}
    made.write_release()
    assert find_unplanned(made.paths.root, made.engine) == []  # type: ignore[arg-type]
    assert planned_volumes(made.backup().stack()) == ["shop_meant"]


def test_a_volume_of_another_project_that_asks_for_it_is_saved_too(made: BackupHost, tmp_path: Path) -> None:
    made.engine.add_volume("other", tmp_path / "other", {"hypercode.backup": "true"})
    assert planned_volumes(made.backup().stack()) == ["other", "shop_saved"]


def test_a_host_without_backups_or_without_an_engine_is_left_in_peace(
    made: BackupHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_words: object, **_more: object) -> None:
        raise EngineError("away")

    assert find_unplanned(made.folder / "elsewhere", made.engine) == []  # type: ignore[arg-type]
    monkeypatch.setattr(made.engine, "get", away)
    assert find_unplanned(made.paths.root, made.engine) == []  # type: ignore[arg-type]
    Paths(made.paths.root).config.write_text("{")
    assert find_unplanned(made.paths.root, made.engine) == []  # type: ignore[arg-type]
