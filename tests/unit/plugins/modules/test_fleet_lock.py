"""The lock of a fleet as a module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.fleet_lease import Leases
from ansible_collections.hypercode.deploy.plugins.modules import fleet_lock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "fleet"


@pytest.fixture
def call(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(fleet_lock, "Leases", lambda host: Leases(folder, host=host))

    def run(**arguments: Any) -> Any:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            fleet_lock.main()
        return json.loads(capsys.readouterr().out)

    return run


def test_taken_renewed_and_freed(call: Any, folder: Path) -> None:
    taken = call(owner="a", who="alice", seconds=60)
    assert taken["changed"]
    assert taken["lease"]["who"] == "alice"
    assert call(state="renewed", owner="a")["lease"]["seconds"] == 3600
    refused = call(owner="b", who="bob")
    assert refused["failed"]
    assert "alice" in refused["msg"]
    assert refused["lease"]["owner"] == "a"
    assert call(state="absent", owner="b")["changed"] is False
    assert call(state="absent", owner="a")["changed"] is True
    assert call(state="absent", owner="a")["changed"] is False
    assert call(state="renewed", owner="a")["failed"]


def test_check_mode_tells_and_writes_nothing(call: Any, folder: Path) -> None:
    assert call(owner="a", _ansible_check_mode=True)["changed"] is True
    assert not folder.exists()
    call(owner="a", who="alice")
    before = (folder / "lease.json").read_bytes()
    assert call(owner="b", _ansible_check_mode=True)["failed"]
    assert call(state="absent", force=True, _ansible_check_mode=True)["changed"] is True
    assert call(state="absent", owner="b", _ansible_check_mode=True)["changed"] is False
    assert (folder / "lease.json").read_bytes() == before


def test_freed_by_force_whoever_has_it(call: Any, folder: Path) -> None:
    call(owner="a", who="alice")
    assert call(state="absent", force=True)["changed"] is True
    assert not (folder / "lease.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({}, "owner is empty"), ({"state": "absent"}, "owner is empty"), ({"owner": "a", "seconds": 0}, "seconds is 0")],
)
def test_what_makes_no_lease_is_refused(call: Any, folder: Path, arguments: dict[str, Any], said: str) -> None:
    refused = call(**arguments)
    assert said in refused["msg"]
    assert "Fix:" in refused["msg"]
    assert not folder.exists()
