"""The states and the rehearsal as a module."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import rehearse as rehearse_file
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.caddy import CaddyError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.rehearsal_log import Rehearsed
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import Paths
from ansible_collections.hypercode.deploy.plugins.modules import certificate_info
from fakes.certificates import DAY, issue, keep, want

APP = "app.example.com"


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(certificate_info, "Paths", lambda: Paths(tmp_path))

    def run(**arguments: Any) -> Any:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            certificate_info.main()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        result = json.loads(output.out)
        assert result.get("changed", False) is False
        return result

    return run


@pytest.mark.parametrize("check", [True, False])
def test_the_states(call: Any, tmp_path: Path, check: bool) -> None:
    want(tmp_path, {"name": APP}, {"name": "b.example.com"})
    now = time.time()
    keep(tmp_path, APP, issue(begin=now - DAY, end=now + 80 * DAY))
    result = call(_ansible_check_mode=check)
    assert [(row["name"], row["state"]) for row in result["certificates"]] == [
        (APP, "ok"),
        ("b.example.com", "missing"),
    ]
    assert result["hypercode_summary"][0] == "certificates: 1 of 2 in order"
    assert [finding["name"] for finding in result["findings"]] == ["b.example.com"]
    assert not result.get("failed")
    strict = call(fail_on_findings=True)
    assert (strict["failed"], strict["findings"][0]["fix"] != "") == (True, True)


def test_a_bare_host(call: Any) -> None:
    assert call(fail_on_findings=True)["certificates"] == []
    assert call(rehearse=True, fail_on_findings=True)["rehearsal"] == []


def test_a_rehearsal(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    want(tmp_path, {"name": APP, "names": [APP, "www.example.com"]}, {"name": "own.example.com", "mode": "internal"})
    asked: list[Any] = []

    def rehearse(caddy: str, names: list[str], **options: Any) -> list[Rehearsed]:
        asked.append((caddy, names, options))
        return [Rehearsed(name, name == APP, "challenge", "why", "Do this.") for name in names]

    monkeypatch.setattr(rehearse_file, "find_caddy", lambda _paths: "the caddy")
    monkeypatch.setattr(rehearse_file, "rehearse", rehearse)
    result = call(rehearse=True, ca="https://ca.example/dir", timeout=5)
    assert asked == [("the caddy", [APP, "www.example.com"], {"ca": "https://ca.example/dir", "timeout": 5.0})]
    assert [row["passed"] for row in result["rehearsal"]] == [True, False]
    assert "would fail, in the step 'challenge': why" in result["findings"][0]["message"]
    assert call(rehearse=True, fail_on_findings=True)["failed"] is True
    assert call(rehearse=True, names=[APP], fail_on_findings=True)["findings"] == []
    wrong = call(rehearse=True, names=["own.example.com"])
    assert (wrong["failed"], f"Fix: use one of these: {APP}" in wrong["msg"]) == (True, True)


def test_when_caddy_does_not_run(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_paths: Paths) -> None:
        raise CaddyError("caddy.service does not run on this host. Fix: systemctl start caddy")

    want(tmp_path, {"name": APP})
    monkeypatch.setattr(rehearse_file, "find_caddy", none)
    result = call(rehearse=True)
    assert (result["failed"], "Fix: systemctl start caddy" in result["msg"]) == (True, True)
