"""Real load from Locust on servers of this machine, through scripts/load_test's own command."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test import cli

from .conftest import Orchestrator

pytestmark = pytest.mark.playbook

Ran = tuple[int, dict[str, Any], str]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def do(*words: str) -> Ran:
        path = tmp_path / "out" / "report.json"
        capsys.readouterr()
        # A machine that is busy with other tests is slow now and then; where slowness counts, the bound is given.
        bound = () if "--p95" in words else ("--p95", "20000")
        code = cli.main([*words, *bound, "--json", str(path)], tmp_path)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, json.loads(path.read_text()) if path.exists() else {}, said.out + said.err

    return do


def rules(report: dict[str, Any]) -> list[str]:
    return [point["rule"] for point in report["points"]]


def test_missions_that_are_all_good(run: Any, orchestrator: Orchestrator) -> None:
    code, report, said = run("missions", orchestrator.url)
    assert (code, report["good"], report["points"]) == (0, True, [])
    assert report["distinct_ids"] == 10
    assert [mission["status"] for mission in report["missions"]] == ["completed"] * 10
    plans = [body for method, path, body in orchestrator.asked if (method, path) == ("POST", "/plan")]
    assert len(plans) == 10
    assert {*plans[0]} == {"task", "context", "priority", "files"}
    counts = {row["name"]: (row["count"], row["errors"]) for row in report["requests"]}
    assert counts == {"GET /task/{id}": (20, 0), "POST /plan": (10, 0)}
    assert "10 missions at once: 10 completed; 10 different ids" in said
    assert "The limits of the services were not looked at" in said


def test_the_missions_are_under_way_at_the_same_time(run: Any, orchestrator: Orchestrator) -> None:
    orchestrator.plan_delay = 1.0
    orchestrator.looks_until_end = 1
    code, report, said = run("missions", orchestrator.url)
    assert code == 0, said
    # One after the other would be 10 seconds.
    assert report["seconds"] < 8


def test_missions_that_share_an_id(run: Any, orchestrator: Orchestrator) -> None:
    orchestrator.same_id = True
    code, report, said = run("missions", orchestrator.url)
    assert (code, rules(report), report["distinct_ids"]) == (1, ["ids"], 1)
    assert "10 missions were given only 1 different id: missions with the same id overwrite one another" in said
    assert run("missions", orchestrator.url, "--shared-ids")[0] == 0


def test_missions_that_fail(run: Any, orchestrator: Orchestrator) -> None:
    orchestrator.ends_as = "failed"
    code, report, said = run("missions", orchestrator.url, "--missions", "3")
    assert (code, rules(report)) == (1, ["missions"])
    assert "3 of 3 missions did not complete within 60 s: 3 failed." in said


def test_missions_that_never_end(run: Any, orchestrator: Orchestrator) -> None:
    orchestrator.looks_until_end = 10**6
    code, report, said = run("missions", orchestrator.url, "--missions", "2", "--time-limit", "1")
    assert (code, rules(report)) == (1, ["missions"])
    assert "2 of 2 missions did not complete within 1 s: 2 timed out." in said


def test_slow_plans_are_not_hidden_by_quick_looks(run: Any, orchestrator: Orchestrator) -> None:
    orchestrator.plan_delay = 1.5
    code, report, said = run("missions", orchestrator.url, "--missions", "2", "--p95", "1000")
    assert (code, rules(report)) == (1, ["p95"])
    assert "POST /plan: the 95th percentile is" in said
    assert "less than 1000 ms is wanted" in said


def test_requests_that_fail(run: Any, orchestrator: Orchestrator) -> None:
    orchestrator.fails_every, orchestrator.delay = 3, 0.02
    # Without a rate: one that a busy machine does not reach is a point of its own.
    words = ("http", f"{orchestrator.url}/health", "--users", "2", "--seconds", "1")
    code, report, said = run(*words)
    assert (code, rules(report)) == (1, ["errors"])
    failed = report["requests"][0]["errors"]
    # Each one, whatever the machine managed in that time.
    assert failed == len(orchestrator.asked) // 3 > 0
    assert report["errors"] == [{"name": "GET /health", "what": "status 503", "count": failed}]
    assert f"{failed} x GET /health: status 503." in said
    assert run(*words, "--errors", "1000")[0] == 0


def test_the_rate_is_kept(run: Any, orchestrator: Orchestrator) -> None:
    # A user has a second for each request: a machine that stands still for a moment loses none.
    code, report, _said = run("http", f"{orchestrator.url}/a?b=c", "--users", "5", "--rate", "5", "--seconds", "3")
    assert code == 0
    assert 14 <= report["requests"][0]["count"] <= 20
    assert {path for _method, path, _body in orchestrator.asked} == {"/a?b=c"}


def test_a_rate_that_is_not_reached(run: Any, orchestrator: Orchestrator) -> None:
    orchestrator.delay = 0.1
    code, report, said = run("http", orchestrator.url, "--users", "1", "--rate", "50", "--seconds", "1")
    assert (code, rules(report)) == (1, ["rate"])
    assert "of 50 requests a second were made: 1 users waited" in said


def test_a_redirect_is_no_answer(run: Any, orchestrator: Orchestrator) -> None:
    orchestrator.redirect = True
    code, report, _said = run("http", orchestrator.url, "--users", "1", "--rate", "1", "--seconds", "2")
    assert (code, rules(report), report["errors"][0]["what"]) == (1, ["errors"], "status 302")


def test_nobody_answers(run: Any, orchestrator: Orchestrator) -> None:
    code, report, said = run("http", "http://127.0.0.1:9", "--users", "1", "--rate", "1", "--seconds", "2")
    assert (code, rules(report)) == (1, ["errors"])
    assert "no answer: [Errno 111] Connection refused" in said


def test_a_login_is_on_no_command_line_and_in_no_report(
    run: Any, orchestrator: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator.login = "ops:canary word"
    words = ("missions", orchestrator.url, "--missions", "1", "--user", "ops")
    monkeypatch.setenv(cli.PASSWORD, "wrong")
    code, report, _said = run(*words)
    assert (code, report["missions"][0]["status"]) == (1, "refused")
    monkeypatch.setenv(cli.PASSWORD, "canary word")
    lines: list[bytes] = []
    usual = orchestrator.answer

    def look(*args: Any) -> Any:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                lines.append(path.read_bytes())
        return usual(*args)

    monkeypatch.setattr(orchestrator, "answer", look)
    code, report, said = run(*words)
    assert code == 0
    assert any(b"generator.py" in line for line in lines)
    assert not any(b"canary" in line for line in lines)
    assert "canary" not in json.dumps(report) + said


def test_a_name_leads_to_the_address_that_is_given(run: Any, orchestrator: Orchestrator) -> None:
    url = orchestrator.url.replace("127.0.0.1", "crew.test")
    code, report, _said = run("missions", url, "--missions", "1", "--address", "127.0.0.1")
    assert (code, report["url"]) == (0, url)


def test_a_report_that_cannot_be_written(tmp_path: Path, orchestrator: Orchestrator, capsys: Any) -> None:
    (tmp_path / "file").touch()
    words = [
        "http",
        orchestrator.url,
        "--seconds",
        "0.2",
        "--rate",
        "5",
        "--json",
        str(tmp_path / "file" / "report.json"),
    ]
    assert cli.main(words, tmp_path) == 1
    assert "cannot be written" in capsys.readouterr().err
