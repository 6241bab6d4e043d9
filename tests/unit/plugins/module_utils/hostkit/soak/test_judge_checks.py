"""Each check, by a day that is well but for one thing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.judge.evaluate import evaluate
from soak.generator import Habits, generate

CALM = Habits(services=2, interval=300.0, gaps=0.0, planned_restarts=0.0, bursts=0, plain=1.0, cycle_mib=0.0)
LINES = list(generate(1, [], CALM).lines())
NAME = "hypercode-service00-1"

Lines = list[dict[str, Any]]
Change = Callable[[Lines], None]


def judged(folder: Path, change: Change, **options: Any) -> dict[str, Any]:
    lines = [json.loads(json.dumps(line)) for line in LINES]
    change(lines)
    (folder / "journal.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return evaluate(folder, **options)


def check_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in report["checks"] if one["id"] == name)


def samples(lines: Lines, begin: int = 0, end: int = 1000) -> Iterator[dict[str, Any]]:
    return (line for line in [line for line in lines if line["kind"] == "sample"][begin:end])


def row(lines: Lines, begin: int, end: int = 1000, **values: Any) -> None:
    for line in samples(lines, begin, end):
        line["containers"][0] |= values


def killed_by_a_boot(lines: Lines, begin: int) -> None:
    """The host is started anew, and what is seen first says that a container was killed."""
    for line in samples(lines, begin):
        line["boot"] = "another"
    row(lines, begin, begin + 1, oom_kills=1)


def host(lines: Lines, begin: int, end: int = 1000, **values: Any) -> None:
    for line in samples(lines, begin, end):
        line["host"] |= values


def put(lines: Lines, key: str, *values: Any) -> None:
    """The same value at each sample, or the last of several from each third on."""
    all_lines = list(samples(lines))
    for index, line in enumerate(all_lines):
        line[key] = values[index * len(values) // len(all_lines)]


def event(lines: Lines, index: int, name: str, **more: Any) -> None:
    at = lines[index]
    stamps = {key: at[key] for key in ("schema", "run", "time", "monotonic", "boot")}
    about = {"service": "service00", "container": NAME, "id": "a" * 12, "project": "hypercode"}
    lines.insert(index, {**stamps, "kind": "event", "event": name, **about, **more})


def expect(lines: Lines, **span: Any) -> None:
    lines[0]["settings"]["expect"] = [{"service": "", **span}]


def restarted(lines: Lines, index: int = 100, count: int = 1) -> None:
    for extra in range(count):
        row(lines, index + extra, restarts=extra + 1, started=lines[index + extra]["time"] + 1)


def flapping(lines: Lines) -> None:
    for index in (50, 100, 150):
        row(lines, index, index + 1, up=False)


def planned_restart(lines: Lines) -> None:
    restarted(lines)
    expect(lines, what="restart", begins=29000, ends=32000)


def die(lines: Lines) -> None:
    restarted(lines)
    event(lines, 100, "die", exit_code=139)
    event(lines, 101, "start")


def fault(lines: Lines, recovered: float | None) -> None:
    event(lines, 100, "fault", fault="kill")
    event(lines, 101, "die", exit_code=137)
    event(lines, 102, "start")
    event(lines, 103, "fault", fault="kill", recovered=recovered)


def gone(lines: Lines) -> None:
    for line in samples(lines, 150):
        del line["containers"][0]


def appears(lines: Lines) -> None:
    for line in samples(lines, 150):
        line["containers"].append({**line["containers"][1], "service": "extra", "container": "hypercode-extra-1"})


def cpu(lines: Lines) -> None:
    for index, line in enumerate(samples(lines)):
        line["containers"][0]["cpu_seconds"] = index * 300 * 0.9


def growing(lines: Lines, key: str) -> None:
    for index, line in enumerate(samples(lines)):
        line["containers"][0][key] = 100 + index


def failing(lines: Lines, every: int, count: int) -> None:
    for line in list(samples(lines, 20))[::every]:
        line["probes"][0]["failures"] = count


def slow(lines: Lines) -> None:
    for line in samples(lines):
        line["probes"][0]["latency"] = {"58": 5, "30": 1}


def few(lines: Lines) -> None:
    for line in samples(lines):
        line["probes"][0] |= {"requests": 1, "latency": {"20": 1}}


def users(lines: Lines, share: float) -> None:
    for index, line in enumerate(samples(lines)):
        line["edge"] = {"requests": index * 100, "errors": round(index * 100 * share)}


def filling(lines: Lines, name: str, most: str) -> None:
    for index, line in enumerate(samples(lines)):
        disk = line["host"]["filesystems"][0]
        disk[name] = disk[most] * max(0.0, 0.9 - max(0, index - 150) / 300)


def logged(lines: Lines) -> None:
    for line in samples(lines, 150):
        line["logs"][0]["errors"] = 20


def targets(lines: Lines, begin: int, end: int) -> None:
    put(lines, "targets", {"up": 9, "down": []})
    for line in samples(lines, begin, end):
        line["targets"] = {"up": 8, "down": ["node/web1:9100"]}


POSTGRES = {
    "connections": 10,
    "connections_max": 100,
    "archived": 5,
    "archive_failed": 0,
    "dead_rows": 1,
    "live_rows": 9,
}
REDIS = {"memory": 10, "memory_max": 100, "evicted": 0, "rejected": 0, "save_ok": True, "append_ok": True}
WELL = {"last_success": 0, "last_drill": 0, "failed": False}

CASES: list[tuple[str, Change, str, str]] = [
    ("calm", lambda lines: None, "restarts", "PASS"),
    ("one restart", restarted, "restarts", "FAIL"),
    ("a planned restart", planned_restart, "restarts", "PASS"),
    ("a crash, by its events", die, "exit_codes", "FAIL"),
    ("a kill for want of memory", lambda lines: row(lines, 100, oom_kills=1), "oom", "FAIL"),
    ("kills before the start", lambda lines: row(lines, 0, oom_kills=3), "oom", "PASS"),
    ("a kill told of what goes down with the host", lambda lines: killed_by_a_boot(lines, 100), "oom", "PASS"),
    ("such a kill, told", lambda lines: event(lines, 100, "oom"), "oom", "FAIL"),
    ("down for long", lambda lines: row(lines, 100, 104, up=False), "services_up", "FAIL"),
    ("down for one look", lambda lines: row(lines, 100, 101, up=False), "services_up", "PASS"),
    ("down now and then", flapping, "services_up", "FAIL"),
    ("missing", lambda lines: put(lines, "missing", [{"project": "p", "service": "db"}]), "services_up", "FAIL"),
    ("a service that goes away", gone, "services_up", "FAIL"),
    ("a service that appears", appears, "services_up", "PASS"),
    ("a service never seen", lambda lines: lines[0]["services"].append("ghost"), "services_up", "FAIL"),
    ("unhealthy", lambda lines: row(lines, 100, 101, health="unhealthy"), "health", "FAIL"),
    ("unhealthy in the warm-up", lambda lines: row(lines, 1, 2, health="unhealthy"), "health", "PASS"),
    ("no health check", lambda lines: row(lines, 0, health="none"), "health", "PASS"),
    ("near its limit", lambda lines: row(lines, 100, 110, memory_limit=1), "memory_share", "FAIL"),
    ("without a limit", lambda lines: row(lines, 0, memory_limit=None), "memory_share", "PASS"),
    ("much CPU", cpu, "cpu_share", "FAIL"),
    ("descriptors that are not closed", lambda lines: growing(lines, "descriptors"), "descriptors", "FAIL"),
    ("threads that stay", lambda lines: growing(lines, "processes"), "threads", "FAIL"),
    ("some errors all day", lambda lines: failing(lines, 20, 2), "probe_errors", "FAIL"),
    ("two errors", lambda lines: failing(lines, 200, 1), "probe_errors", "PASS"),
    ("slow", slow, "latency", "FAIL"),
    ("too few requests", few, "probe_errors", "INCONCLUSIVE"),
    ("users with errors", lambda lines: users(lines, 0.01), "edge_errors", "FAIL"),
    ("users without", lambda lines: users(lines, 0.0), "edge_errors", "PASS"),
    ("a disk that fills", lambda lines: filling(lines, "available", "size"), "disk_full", "FAIL"),
    ("inodes that are used up", lambda lines: filling(lines, "files_free", "files"), "inodes", "FAIL"),
    ("many connections", lambda lines: host(lines, 100, 101, conntrack=60000), "conntrack", "FAIL"),
    ("a clock that is off", lambda lines: host(lines, 100, clock_offset=-1.5), "clock", "FAIL"),
    ("a clock that was off once", lambda lines: host(lines, 100, 101, clock_offset=-1.5), "clock", "PASS"),
    ("more errors in the logs", logged, "logs", "FAIL"),
    ("a target that is down", lambda lines: targets(lines, 100, 120), "targets", "FAIL"),
    ("a target that was down once", lambda lines: targets(lines, 100, 101), "targets", "PASS"),
    ("a critical alert", lambda lines: put(lines, "alerts", [{"name": "A", "severity": "critical"}]), "alerts", "FAIL"),
    ("a warning", lambda lines: put(lines, "alerts", [{"name": "A", "severity": "warning"}]), "alerts", "PASS"),
    ("Postgres", lambda lines: put(lines, "postgres", POSTGRES), "postgres", "PASS"),
    ("its connections", lambda lines: put(lines, "postgres", POSTGRES | {"connections": 95}), "postgres", "FAIL"),
    (
        "its archiver",
        lambda lines: put(lines, "postgres", POSTGRES, POSTGRES | {"archive_failed": 4}),
        "postgres",
        "FAIL",
    ),
    ("Redis", lambda lines: put(lines, "redis", REDIS), "redis", "PASS"),
    ("its memory", lambda lines: put(lines, "redis", REDIS | {"memory": 99}), "redis", "FAIL"),
    ("its clients", lambda lines: put(lines, "redis", REDIS, REDIS | {"rejected": 1}), "redis", "FAIL"),
    ("its snapshots", lambda lines: put(lines, "redis", REDIS | {"save_ok": False}), "redis", "FAIL"),
    (
        "a certificate that ends",
        lambda lines: put(lines, "certificates", [{"name": "a.example", "expires": lines[0]["time"] + 3 * 86400}]),
        "certificates",
        "FAIL",
    ),
    ("no backup", lambda lines: put(lines, "backup", WELL), "backup", "FAIL"),
    ("a backup that fails", lambda lines: put(lines, "backup", WELL | {"failed": True}), "backup", "FAIL"),
    ("no drill", lambda lines: put(lines, "backup", WELL), "drill", "FAIL"),
    (
        "lost data",
        lambda lines: put(lines, "canary", {"ok": True, "stores": {}}, {"ok": False, "stores": {"redis": "missing"}}),
        "canary",
        "FAIL",
    ),
    (
        "data out of reach",
        lambda lines: put(lines, "canary", {"ok": False, "stores": {"redis": "unreachable"}}),
        "canary",
        "INCONCLUSIVE",
    ),
    ("a fault that was mended", lambda lines: fault(lines, 12.0), "recovery", "PASS"),
    ("what it broke is planned", lambda lines: fault(lines, 12.0), "exit_codes", "PASS"),
    ("a fault that was not", lambda lines: fault(lines, None), "recovery", "FAIL"),
    (
        "a load test that failed",
        lambda lines: event(lines, 50, "mark", what="load test", ok=False),
        "load_test",
        "FAIL",
    ),
    ("a gap", lambda lines: lines.__delitem__(slice(100, 130)), "coverage", "INCONCLUSIVE"),
]


@pytest.mark.parametrize(("change", "name", "verdict"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_check(tmp_path: Path, change: Change, name: str, verdict: str) -> None:
    report = judged(tmp_path, change)
    check = check_of(report, name)
    assert check["verdict"] == verdict, check
    if verdict == "FAIL":
        assert report["verdict"] == "FAIL"
        assert check["title"] in report["reason"]
        assert check["next"]
    assert check["observed"]
    assert check["limit"]


def test_what_has_no_figures_is_told_as_not_tested(tmp_path: Path) -> None:
    report = judged(tmp_path, lambda lines: None)
    told = {one["what"]: one["why"] for one in report["not_tested"]}
    assert {"Postgres", "Redis", "Certificates", "Targets of Prometheus", "Recovery from faults"} <= set(told)
    assert all(told.values())


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda lines: None, None),
        (lambda lines: restarted(lines, 100, 1), None),
        (lambda lines: row(lines, 100, oom_kills=1), "FAIL"),
        (lambda lines: failing(lines, 1, 6), "FAIL"),
        (lambda lines: filling(lines, "available", "size"), "FAIL"),
        (lambda lines: put(lines, "canary", {"ok": False, "stores": {"redis": "wrong"}}), "FAIL"),
        (lambda lines: put(lines, "backup", WELL), None),
    ],
)
def test_while_it_runs_only_what_is_certain_is_said(tmp_path: Path, change: Change, verdict: str | None) -> None:
    def cut(lines: Lines) -> None:
        change(lines)
        del lines[220:]

    report = judged(tmp_path, cut, running=True)
    assert report["verdict"] == verdict
    assert report["running"] is True
    assert report["coverage"] > 0.99


def test_a_storm_of_restarts_is_certain_at_once(tmp_path: Path) -> None:
    def change(lines: Lines) -> None:
        row(lines, 100, restarts=3, started=lines[100]["time"] + 1)
        del lines[103:]

    assert judged(tmp_path, change, running=True)["verdict"] == "FAIL"


def test_the_report_has_what_the_contract_says(tmp_path: Path) -> None:
    report = judged(tmp_path, die)
    keys = (
        "schema run name host release verdict running reason next began ended duration warmup interval samples coverage"
    )
    assert set(report) == {*keys.split(), "checks", "not_tested", "events", "gaps", "notes", "series"}
    for check in report["checks"]:
        assert set(check) == {
            *("id", "title", "verdict", "limit", "observed", "evidence", "subjects", "untested", "next"),
        }
        assert check["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE", "NOT TESTED")
    assert {one["kind"] for one in report["events"]} >= {"restart", "die", "start"}
    assert [one["time"] for one in report["events"]] == sorted(one["time"] for one in report["events"])
    assert {one["name"] for one in report["series"]} >= {"memory", "cpu", "latency", "disk", "restarts"}
    assert all(len(one["points"]) <= 300 for one in report["series"])


def test_a_short_soak_finds_a_fast_leak_and_passes_without(tmp_path: Path) -> None:
    """Ten minutes, a sample each 5 seconds: windows are shorter in proportion."""
    habits = Habits(services=2, hours=1 / 6, interval=5.0, gaps=0.0, planned_restarts=0.0, bursts=0, plain=1.0)
    lines = list(generate(4, [], habits).lines())
    lines[0]["settings"] |= {"limits": {"least_requests": 100, "backups": 0, "drills": 0}}
    path = tmp_path / "journal.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    report = evaluate(path)
    assert report["verdict"] == "PASS", report["reason"]
    assert any("short" in note for note in report["notes"])
    for index, line in enumerate(samples(lines)):
        line["containers"][0]["memory_anonymous"] += index * (1 << 20)
    path.write_text("\n".join(map(json.dumps, lines)))
    assert check_of(evaluate(path), "memory_leak")["verdict"] == "FAIL"


def test_one_that_was_stopped_says_by_whom_and_what_to_do(tmp_path: Path) -> None:
    def stop(lines: Lines) -> None:
        lines[:] = [*lines[:100], lines[-1] | {key: lines[99][key] for key in ("time", "monotonic", "boot")}]
        lines[-1] |= {"reason": "stopped", "by": "Ann"}

    report = judged(tmp_path, stop)
    assert report["verdict"] == "INCONCLUSIVE"
    assert report["reason"] == "It was stopped by Ann before its time."
    assert report["next"] == "Soak again, for the whole time: hypercode soak start"
