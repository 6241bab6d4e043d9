# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module: our filter goes out of root's client configuration, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.prune_filter import FILTER, add_filter
from ansible_collections.hypercode.deploy.plugins.modules import prune_filter

LOGIN = {"auths": {"r": {"auth": "Y2FuYXJ5"}}}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(prune_filter, "ROOT", tmp_path)
    return tmp_path / "root/.docker/config.json"


def run(capsys: pytest.CaptureFixture[str], state: str = "absent", *, check: bool = False) -> dict[str, Any]:
    given = {"state": state, "_ansible_check_mode": check, "_ansible_diff": True}
    with patch_module_args(given), pytest.raises(SystemExit):
        prune_filter.main()
    said = capsys.readouterr().out
    assert "Y2FuYXJ5" not in said
    return dict(json.loads(said))


def test_ours_goes_and_all_else_stays(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**LOGIN, "pruneFilters": ["until=1h", FILTER]}))
    path.chmod(0o640)
    before = path.read_text()
    predicted = run(capsys, check=True)
    assert (predicted["changed"], path.read_text()) == (True, before)
    done = run(capsys)
    assert done["diff"] == predicted["diff"]
    assert (done["diff"]["before"], done["diff"]["after"]) == (f"until=1h\n{FILTER}\n", "until=1h\n")
    assert json.loads(path.read_text()) == {**LOGIN, "pruneFilters": ["until=1h"]}
    assert path.stat().st_mode & 0o777 == 0o640
    assert run(capsys)["changed"] is False


def test_what_was_only_ours_leaves_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys)["changed"] is False
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(LOGIN))
    add_filter(path.parents[2])
    assert run(capsys)["changed"] is True
    assert json.loads(path.read_text()) == LOGIN
    path.unlink()
    assert run(capsys, "present")["changed"] is True
    assert json.loads(path.read_text()) == {"pruneFilters": [FILTER]}
    assert run(capsys, "present", check=True)["changed"] is False
    assert run(capsys)["changed"] is True
    assert not path.exists()


def test_what_cannot_be_read_is_left_alone_and_told(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("{")
    result = run(capsys)
    assert (result["failed"], path.read_text()) == (True, "{")
    assert "is not what the docker client writes, so it was left alone. Fix: " in result["msg"]


def test_the_role_calls_it_when_it_goes() -> None:
    tasks = (Path(__file__).parents[4] / "roles/stack/tasks/remove.yml").read_text()
    assert "hypercode.deploy.prune_filter:\n    state: absent" in tasks
