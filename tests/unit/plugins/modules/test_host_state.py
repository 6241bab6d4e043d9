# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module: all that is not in force is one failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.modules import host_state


def run(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        host_state.main()
    return dict(json.loads(capsys.readouterr().out))


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "proc/sys/net").mkdir(parents=True)
    (tmp_path / "proc/sys/net/x").write_text("1\n")
    monkeypatch.setattr(host_state, "ROOT", tmp_path)
    up = "Id=x\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n"
    answers = {"systemctl": CommandResult(0, up), "fail2ban-client": CommandResult(255, "", "no such jail")}
    monkeypatch.setattr(host_state, "_run", lambda argv: answers[argv[0]])


def test_what_is_in_force(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, sysctl={"net.x": 1}, units=[{"name": "cron", "enabled": True, "state": "started"}])
    assert (result["changed"], result["findings"]) == (False, [])


def test_all_that_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, sysctl={"net.x": 2, "net.y": 1}, units=[{"name": "cron", "state": "stopped"}], jails=["sshd"])
    assert result["failed"] is True
    assert [finding["rule"] for finding in result["findings"]] == ["sysctl", "sysctl", "unit", "jail"]
    assert result["msg"].count("Fix:") == 4


def test_a_unit_that_cannot_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not the name of a unit" in run(capsys, units=[{"name": "a b"}])["msg"]


def test_the_example_names_real_options() -> None:
    options = yaml.safe_load(host_state.DOCUMENTATION)["options"]
    (example,) = yaml.safe_load(host_state.EXAMPLES)
    assert set(example["hypercode.deploy.host_state"]) <= set(options)
