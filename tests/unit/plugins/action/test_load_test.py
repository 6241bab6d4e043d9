# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which way the load takes, and what becomes of what the host saw. The load itself: plugin_utils/load_test."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible_collections.hypercode.deploy.plugins.action import load_test
from ansible_collections.hypercode.deploy.plugins.modules import load_test as documented
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test.job import Job
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test.run import LoadError
from fakes.documented import options_of

SITES = [{"name": "app.test", "service": "core", "port": 8000}, {"name": "crew.test", "service": "crew-orchestrator"}]
MISSED = {"rule": "memory", "service": "web", "message": "web: it used 94% of its memory limit of 256 MiB."}


class Desk:
    """A host that says what it is told here, and load whose figures are given."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.report = folder / "out" / "web1.json"
        self.points: list[dict[str, str]] = []
        self.calls: list[dict[str, Any]] = []
        self.jobs: list[Job] = []
        self.tunnels: list[tuple[Any, str]] = []
        self.status = "completed"
        self.fails = ""
        monkeypatch.setattr(load_test, "put_load", self.load)
        monkeypatch.setattr(load_test, "tunnel", self.tunnel)

    def load(self, job: Job, show: Any) -> dict[str, Any]:
        self.jobs.append(job)
        show({"seconds": 6.0, "requests": 12, "errors": 0, "p95_ms": 9.0, "ended": 3})
        if self.fails:
            raise LoadError(self.fails)
        row = {"name": "POST /plan", "count": 2, "errors": 0, "per_second": 2.0, "mean_ms": 5.0}
        row |= {"p50_ms": 5.0, "p95_ms": 9.0, "p99_ms": 9.0, "max_ms": 9.0}
        missions = [{"number": n, "task_id": f"t{n}", "status": self.status, "seconds": 1.0} for n in (1, 2)]
        return {"seconds": 1.0, "requests": [row], "errors": [], "missions": missions}

    @contextlib.contextmanager
    def tunnel(self, login: Any, target: str) -> Iterator[int]:
        self.tunnels.append((login, target))
        yield 40001

    def host(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        assert module_name == load_test.WATCH
        self.calls.append(module_args)
        if module_args["state"] == "started":
            return {"addresses": {"crew-orchestrator": ["198.51.100.77"]}}
        limits = {"held": not self.points, "points": self.points, "services": []}
        return {"report": limits, "table": ["service  memory peak"]}

    def run(self, *, check: bool = False, transport: str = "ssh", **args: Any) -> dict[str, Any]:
        options = {"report": str(self.report), "missions": 2, **args}
        task = MagicMock(args=options, async_val=0, check_mode=check)
        connection = MagicMock(transport=transport)
        settings = {"host": "198.51.100.11", "remote_user": "ops", "port": None, "ssh_args": "-o A=b"}
        connection.get_option = settings.get
        action = load_test.ActionModule(task, connection, MagicMock(), DataLoader(), MagicMock(), MagicMock())
        action._execute_module = self.host
        action._display = self.display = MagicMock()
        result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "web1"})
        return result


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_a_good_run(desk: Desk) -> None:
    result = desk.run(memory_share=0.8)
    assert (result["failed"], result["changed"], result["findings"]) == (False, False, [])
    assert [call["state"] for call in desk.calls] == ["started", "stopped"]
    assert desk.calls[0]["memory_share"] == 0.8
    # The watch outlives the load, whatever becomes of the controller, and ends by itself.
    assert desk.calls[0]["seconds"] > desk.jobs[0].seconds_at_most
    report = json.loads(desk.report.read_text())
    assert (report["host"], report["way"], report["limits"]["held"], report["good"]) == ("web1", "tunnel", True, True)
    assert "  service  memory peak" in result["hypercode_summary"]
    desk.display.display.assert_called_once_with("  web1: 6 s  3 of 2 missions ended, 12 requests, 0 errors, p95 9 ms")


def test_each_point_that_was_missed_is_one_finding(desk: Desk) -> None:
    desk.points = [MISSED]
    desk.status = "failed"
    result = desk.run()
    assert result["failed"]
    assert result["msg"] == "The load test of web1 has missed 2 points."
    assert [finding["rule"] for finding in result["findings"]] == ["missions", "memory"]
    assert result["findings"][1]["message"] == MISSED["message"]
    assert json.loads(desk.report.read_text())["good"] is False


def test_through_the_site_of_the_service(desk: Desk) -> None:
    desk.run(sites=SITES, address="198.51.100.11", user="ops", password="word")
    (job,) = desk.jobs
    assert (job.url, job.address, job.user, desk.tunnels) == ("https://crew.test", "198.51.100.11", "ops", [])


def test_without_a_site_through_a_tunnel_to_the_container(desk: Desk) -> None:
    desk.run(sites=SITES[:1], address="198.51.100.11", ca_file="/not/used")
    (job,) = desk.jobs
    ((login, target),) = desk.tunnels
    assert (job.url, job.address, target) == ("http://127.0.0.1:40001", "", "198.51.100.77:8080")
    assert (login.host, login.user, login.port, login.arguments) == ("198.51.100.11", "ops", 0, "-o A=b")


def test_to_the_url_that_is_given(desk: Desk) -> None:
    desk.run(url="https://other.test", sites=SITES)
    assert (desk.jobs[0].url, desk.tunnels) == ("https://other.test", [])


def test_check_mode_puts_no_load(desk: Desk) -> None:
    result = desk.run(check=True, sites=SITES)
    assert (result["skipped"], result["msg"]) == (True, "A load test would go to https://crew.test.")
    assert (desk.calls, desk.jobs, desk.report.exists()) == ([], [], False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"missions": 0}, "The number of missions is 0"),
        ({"url": "crew.test"}, "is no address"),
        ({"sites": SITES, "ca_file": "/nowhere/ca.crt"}, "/nowhere/ca.crt is not there"),
    ],
)
def test_wrong_settings_are_refused_before_the_host_is_asked(desk: Desk, options: dict[str, Any], said: str) -> None:
    with pytest.raises(AnsibleActionFail, match=said):
        desk.run(**options)
    assert desk.calls == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"service": "nobody"}, "no running service 'nobody' on web1. Fix: load_test_service, of: crew-orchestrator"),
        ({"transport": "local"}, "web1 is not reached over SSH"),
    ],
)
def test_no_way_to_the_service_ends_the_watch(desk: Desk, options: dict[str, Any], said: str) -> None:
    with pytest.raises(AnsibleActionFail, match=said):
        desk.run(**options)
    assert [call["state"] for call in desk.calls] == ["started", "stopped"]


def test_load_that_breaks_ends_the_watch(desk: Desk) -> None:
    desk.fails = "The process ended without a result."
    with pytest.raises(AnsibleActionFail, match="ended without a result"):
        desk.run()
    assert [call["state"] for call in desk.calls] == ["started", "stopped"]


def test_the_documentation_has_every_option() -> None:
    options = options_of(documented)
    assert options.keys() == load_test.SPEC.keys()
    for name, spec in load_test.SPEC.items():
        assert options[name]["type"] == spec["type"], name
        assert options[name].get("default") == spec.get("default"), name
