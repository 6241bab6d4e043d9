"""The verdict, told from figures."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test import report as reports
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test.job import HTTP, MISSIONS, Job
from ansible_collections.hypercode.deploy.plugins.plugin_utils.load_test.verdict import judge

BEGAN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def row(name: str = "GET /health", **figures: Any) -> dict[str, Any]:
    usual = {"count": 100, "errors": 0, "per_second": 10.0, "mean_ms": 9.0}
    return {"name": name, **usual, "p50_ms": 8.0, "p95_ms": 20.0, "p99_ms": 30.0, "max_ms": 40.0, **figures}


def result(*rows: dict[str, Any], missions: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    return {"seconds": 10.0, "requests": list(rows), "errors": [], "missions": missions or [], **more}


def mission(number: int, task_id: str = "", status: str = "completed") -> dict[str, Any]:
    return {"number": number, "task_id": task_id or f"task_{number}", "status": status, "seconds": 1.0}


def rules(found: dict[str, Any], **job: Any) -> list[str]:
    return [point.rule for point in judge(found, Job(**{"profile": HTTP, "url": "http://127.0.0.1", **job}))]


def test_the_95th_percentile_has_to_stay_below_the_bound() -> None:
    assert rules(result(row(p95_ms=499.0))) == []
    assert rules(result(row(p95_ms=500.0))) == ["p95"]


def test_the_bound_of_errors_is_allowed() -> None:
    found = result(row(errors=2), errors=[{"name": "GET /health", "what": "status 500", "count": 2}])
    assert rules(found) == ["errors"]
    assert rules(found, errors=2) == []


def test_no_request_at_all_is_no_good_verdict() -> None:
    assert rules(result()) == ["nothing"]
    assert rules(result(row(count=0))) == ["nothing"]


def test_the_most_frequent_errors_are_told() -> None:
    counts = ((500, 1), (502, 9), (503, 5), (504, 3))
    kinds = [{"name": "GET /", "what": f"status {code}", "count": count} for code, count in counts]
    (point,) = judge(result(row(errors=18), errors=kinds), Job(HTTP, "http://127.0.0.1"))
    assert point.message == (
        "18 of 100 requests failed, 0 are allowed: 9 x GET /: status 502; 5 x GET /: status 503; "
        "3 x GET /: status 504; and 1 other kinds."
    )


def test_a_rate_is_judged_where_one_was_asked_for() -> None:
    assert rules(result(row(per_second=80.0)), rate=100.0) == ["rate"]
    assert rules(result(row(per_second=96.0)), rate=100.0) == []
    assert rules(result(row(per_second=1.0))) == []


@pytest.mark.parametrize(
    ("missions", "wanted"),
    [
        ([mission(1), mission(2)], []),
        ([mission(1, "same"), mission(2, "same")], ["ids"]),
        ([mission(1), mission(2, status="failed")], ["missions"]),
        ([mission(1), mission(2, status="")], ["missions"]),
        ([mission(1)], ["missions"]),
        ([mission(1, "same", "timed out"), mission(2, "same", "timed out")], ["missions", "ids"]),
    ],
)
def test_missions(missions: list[dict[str, Any]], wanted: list[str]) -> None:
    found = result(row("POST /plan"), missions=missions)
    assert rules(found, profile=MISSIONS, missions=2) == wanted


def test_missions_without_an_id_do_not_share_one() -> None:
    refused = [{**mission(number, status="refused"), "task_id": ""} for number in (1, 2)]
    assert rules(result(row("POST /plan"), missions=refused), profile=MISSIONS, missions=2) == ["missions"]


def test_the_report_has_no_password_and_says_whether_limits_were_looked_at() -> None:
    job = Job(HTTP, "http://127.0.0.1", user="ops", password="canary")
    found = reports.document(job, result(row()), [], began=BEGAN)
    assert "canary" not in str(found)
    assert (found["began"], found["limits"], found["good"]) == ("2026-01-02T03:04:05+00:00", None, True)
    assert "limits of the services were not looked at" in reports.verdict(found)[-1]
    looked = reports.document(job, result(row()), [], began=BEGAN, limits={"held": True})
    assert reports.verdict(looked) == [
        "Good: no more errors than allowed, quick enough, and the limits of every service held."
    ]
    assert "canary" not in repr(job)


def test_a_progress_line_names_missions_only_where_there_are_some() -> None:
    progress = {"seconds": 3.2, "requests": 25, "errors": 1, "p95_ms": 44.0, "ended": 4}
    line = reports.progress_line(Job(MISSIONS, "http://127.0.0.1"), progress)
    assert line == "3 s  4 of 10 missions ended, 25 requests, 1 error, p95 44 ms"
    assert "missions" not in reports.progress_line(Job(HTTP, "http://127.0.0.1"), progress)
