# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action by itself: what it judges, and what it hands to the work."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.hypercode.deploy.plugins.action import dns_records
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns import child
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.judge import HERITAGE

KEY = "Y2FuYXJ5LW9mLXRoZS1hY3Rpb24="
ZONES = {"example.com": {"provider": "rfc2136", "server": "192.0.2.53", "key_name": "deploy", "key": KEY}}
HOSTVARS = {"web1": {"ansible_host": "192.0.2.10"}, "web2": {"dns_addresses": ["192.0.2.11"], "dns_host_name": "two"}}


def record(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "type": "A", "ttl": 300, "values": [value]}


class Work:
    """In place of the process: keeps the job, and reports what the test says."""

    def __init__(self, **report: Any) -> None:
        self.report = {"findings": [], "warnings": [], "changed": False, "changes": [], **report}
        self.job: dict[str, Any] = {}

    def __call__(self, job: dict[str, Any]) -> dict[str, Any]:
        self.job = job
        zone = {"zone": "example.com", "where": "there", "left": [], "servers": [], "changes": self.report["changes"]}
        return {**self.report, "zones": [zone]}


def run(monkeypatch: pytest.MonkeyPatch, work: Work, check: bool = False, **options: Any) -> dict[str, Any]:
    monkeypatch.setattr(child, "do", work)
    args = {"zones": ZONES, "hosts": ["web1", "web2"], "owner": "tests", **options}
    task = MagicMock(args=args, async_val=0, check_mode=check, diff=True)
    action = dns_records.ActionModule(task, MagicMock(), MagicMock(), DataLoader(), MagicMock(), MagicMock())
    result: dict[str, Any] = action.run(task_vars={"hostvars": HOSTVARS})
    assert KEY not in str(result)
    return result


def test_what_is_planned_is_shown_record_by_record(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = {"name": "_owner.a.web1.example.com", "type": "TXT", "ttl": 300, "values": [f'"{HERITAGE}tests"']}
    new = record("web1.example.com", "192.0.2.10")
    changes = [
        {"before": None, "after": new},
        {"before": None, "after": mark},
        {"before": record("old.example.com", "192.0.2.9"), "after": None},
        {"before": record("two.example.com", "192.0.2.9"), "after": record("two.example.com", "192.0.2.11")},
    ]
    work = Work(changes=changes)
    result = run(monkeypatch, work, check=True)
    assert work.job["mode"] == "plan"
    assert [item["name"] for item in work.job["zones"][0]["records"]] == ["two.example.com", "web1.example.com"]
    assert result["changed"] is True
    assert result["actions"] == [
        "add web1.example.com A 192.0.2.10",
        "remove old.example.com A 192.0.2.9",
        "change two.example.com A 192.0.2.11 (now 192.0.2.9)",
    ]
    assert result["diff"] == [
        {
            "before_header": "example.com at there",
            "after_header": "example.com at there",
            "before": "old.example.com. 300 A 192.0.2.9\ntwo.example.com. 300 A 192.0.2.9\n",
            "after": "web1.example.com. 300 A 192.0.2.10\ntwo.example.com. 300 A 192.0.2.11\n",
        }
    ]


def test_a_failure_after_something_was_written_is_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = {"rule": "dns-answers", "severity": "error", "name": "x", "message": "Late.", "fix": "Wait."}
    result = run(monkeypatch, Work(findings=[finding], changed=True))
    assert (result["failed"], result["changed"]) == (True, True)
    assert result["msg"] == "Records were changed, but something is wrong: 1 problem."


def test_a_verification_fails_for_what_is_still_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(changes=[{"before": None, "after": record("web1.example.com", "192.0.2.10")}])
    result = run(monkeypatch, work, state="verified")
    assert (work.job["mode"], result["failed"], result["changed"]) == ("verify", True, False)
    assert "add web1.example.com A 192.0.2.10" in result["findings"][0]["message"]


def test_to_take_everything_away_is_a_yes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work()
    run(monkeypatch, work, state="absent")
    assert (work.job["force"], work.job["zones"][0]["records"]) == (True, [])


def test_bad_settings_are_told_without_asking_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work()
    result = run(monkeypatch, work, ttl=1, caa=["no name"])
    assert (work.job, result["failed"], result["changed"]) == ({}, True, False)
    assert [finding["name"] for finding in result["findings"]] == ["dns_ttl", "dns_caa"]
    judged = run(monkeypatch, work, ttl=1, caa=["no name"], state="validated")
    assert (work.job, judged.get("failed"), judged["findings"]) == ({}, None, result["findings"])


def test_an_option_of_a_wrong_type_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, Work(), timeout="soon", state="validated")
    assert "timeout" in result["findings"][0]["message"]


def test_work_that_does_not_come_to_an_end_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(job: dict[str, Any]) -> dict[str, Any]:
        raise child.WorkError("It was stopped. Fix: look")

    work = Work()
    monkeypatch.setattr(Work, "__call__", lambda self, job: never(job))
    result = run(monkeypatch, work)
    assert (result["failed"], result["changed"]) == (True, False)
    # A finding, so that preflight reports it with all others.
    assert [(item["message"], item["fix"]) for item in result["findings"]] == [("It was stopped.", "look.")]
