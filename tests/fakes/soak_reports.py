"""Reports of soaks as they would be: a good one, bad ones, one that runs, a hostile one, and broken ones."""

from __future__ import annotations

import math
import random
from typing import Any

BEGAN = 1_796_090_400.0  # 2026-12-01 02:00 UTC
HOUR = 3600.0
DAY = 24 * HOUR
MIB = 1024**2

SERVICES = (
    *("hypercode-core", "agent-x", "crew-orchestrator", "healer-agent", "coder-agent", "frontend-specialist"),
    *("backend-specialist", "qa-engineer", "devops-engineer", "project-strategist", "super-hyper-broski-agent"),
    *("postgres", "redis", "grafana", "prometheus", "minio", "dashboard"),
)
# A name as a person who means harm would choose it, and what breaks where it is not escaped.
HOSTILE = (
    "</script><svg onload=alert(1)>",
    "</title></style><img src=https://evil.example/x.png onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "line\nbreak\r\n# heading\n| a | b |",
    "\x00\x08\x1b[31mred\x1b[0m\x9b\ufffe\uffff",
    "\ud800 half a pair",
    "שלום \u202egnp.exe\u202c عالم",
    "🦄👩‍👩‍👧‍👦 emoji",
    "[link](javascript:alert(1)) @everyone `code` ~~x~~ http://evil.example",
    "x" * 5000,
    "&lt;b&gt;&amp;&#x41;]]>",
    "",
)

CHECKS = (
    ("restarts", "Restarts", "at most 0, outside of what is planned", "0"),
    ("oom", "Killed for want of memory", "none", "none"),
    ("health", "Health of containers", "none unhealthy", "none was unhealthy"),
    ("presence", "All services are there", "each has a container", "17 of 17, all the time"),
    ("memory_share", "Memory against its limit", "at most 75 % of the limit", "highest 61 %: agent-x"),
    ("memory_leak", "Growth of memory", "at most 1 MiB an hour", "highest 0.2 MiB an hour: redis"),
    ("cpu_share", "CPU against its limit", "at most 60 % for half an hour", "highest 34 %: coder-agent"),
    ("growth", "Descriptors and threads", "at most 1.5 times as many", "no growth"),
    ("pressure", "Waiting for memory and disks", "at most 10 % of the time", "highest 0.4 %"),
    ("errors", "Errors of requests", "at most 0.1 %", "0.004 % of 155,412"),
    ("latency", "Latency", "95 % within 200 ms", "95 % within 118 ms: edge shop.example"),
    ("disk", "Room on disks", "not full within 24 h", "/ would be full in 61 days"),
    ("conntrack", "Connections that the kernel keeps", "at most 80 % of its table", "highest 3 %"),
    ("clock", "Clock", "off by at most 0.5 s", "off by 0.004 s at most"),
    ("log_errors", "Error lines in logs", "at most 5 times as many as at first", "1.3 times: agent-x"),
    ("targets", "Targets of Prometheus", "all up", "31 of 31"),
    ("alerts", "Alerts", "none critical", "none"),
    ("postgres", "Postgres", "at most 80 % of connections, all archived", "highest 22 %, 288 archived"),
    ("redis", "Redis", "at most 90 % of memory, nothing evicted", "highest 12 %"),
    ("certificates", "Certificates", "good for at least 7 days", "61 days: shop.example"),
    ("backup", "Backups", "at least 1", "1, at 2026-12-01 03:04 UTC"),
    ("drill", "Restore drill", "at least 1", "1, in 74 s"),
    ("canary", "Canary data", "all there", "postgres, redis and minio: all there"),
    ("coverage", "Coverage of the time", "at least 99 %", "99.9 %"),
)


def good(services: int = 17, *, hours: float = 24.0) -> dict[str, Any]:
    """A soak without a finding."""
    checks = [_check(id_, title, "PASS", limit, observed) for id_, title, limit, observed in CHECKS]
    ended = BEGAN + hours * HOUR
    return {
        "schema": 1,
        "run": "20261201T020000Z-web1",
        "name": "soak",
        "host": "web1",
        "release": {"id": "20261201T013012Z-4f2a", "version": "v2.4.1"},
        "verdict": "PASS",
        "running": False,
        "reason": f"All {len(checks)} checks passed over {hours:.0f} hours.",
        "next": "Nothing to do. The next release is compared with this soak.",
        "began": BEGAN,
        "ended": ended,
        "duration": DAY,
        "warmup": 1800,
        "interval": 60,
        "samples": int(hours * 60),
        "coverage": 0.9993,
        "checks": checks,
        "not_tested": [
            {"what": "Way from another host", "why": "there is no second host in the inventory"},
            {"what": "Load test", "why": "none was asked for"},
        ],
        "events": [
            _event(1.07, "backup", "", "ended well", planned=True),
            _event(9.5, "drill", "", "ended well in 74 s", planned=True),
        ],
        "gaps": [],
        "notes": [],
        "series": _series(names(services), hours),
    }


def names(count: int) -> list[str]:
    """So many names of services."""
    return [SERVICES[place] if place < len(SERVICES) else f"worker-{place:02d}" for place in range(count)]


def failed(services: int = 17) -> dict[str, Any]:
    """A leak, a crash loop and slow answers; too few requests on one way; a planned reboot and an unplanned gap."""
    report = good(services)
    report |= {
        "verdict": "FAIL",
        "reason": "Memory of agent-x grows by 6.1 MiB an hour, and 2 more checks failed.",
        "next": "Look at what agent-x keeps in memory, or go back: hypercode rollback.",
        "coverage": 0.9931,
        "notes": ["2 lines of the journal were torn and left out.", "The clock was set by 3.2 s at 14:20 UTC."],
        "gaps": [
            {"from": BEGAN + 6 * HOUR, "to": BEGAN + 6 * HOUR + 240, "reason": "boot", "planned": True},
            {"from": BEGAN + 17.2 * HOUR, "to": BEGAN + 17.6 * HOUR, "reason": "engine", "planned": False},
        ],
    }
    _set(
        report,
        "memory_leak",
        "FAIL",
        "6.1 MiB an hour, 5.8 at the least (95 % sure): agent-x",
        [
            (BEGAN + 4 * HOUR, "agent-x 201 MiB"),
            (BEGAN + 23.5 * HOUR, "agent-x 326 MiB"),
            (None, "no daily cycle fits"),
        ],
        [("agent-x", "FAIL", "6.1 MiB an hour, from 190 to 332 MiB"), ("redis", "PASS", "0.2 MiB an hour")],
        "hypercode diagnose agent-x collects what is needed to find it.",
    )
    _set(
        report,
        "restarts",
        "FAIL",
        "4, outside of what is planned: crew-orchestrator",
        [(BEGAN + at * HOUR, "crew-orchestrator ended with exit code 137") for at in (11.2, 11.25, 11.31, 15.0)],
        [("crew-orchestrator", "FAIL", "4 restarts, 3 of them within 7 min")],
        "docker logs hypercode-crew-orchestrator-1 says why it ends.",
    )
    _set(
        report,
        "latency",
        "FAIL",
        "95 % within 251 ms: edge shop.example",
        [(BEGAN + 13 * HOUR, "over 200 ms from here on")],
        [("edge shop.example", "FAIL", "95 % within 251 ms"), ("hypercode-core", "PASS", "95 % within 61 ms")],
        "Compare with the traces of before 13:00.",
    )
    _set(
        report,
        "errors",
        "INCONCLUSIVE",
        "412 requests, too few to say: healer-agent",
        [],
        [("healer-agent", "INCONCLUSIVE", "0 of 412")],
        "Shorten probe_interval, or let it run for longer.",
    )
    _set(report, "drill", "NOT TESTED", "none was wanted", [], [], "")
    report["events"] += [
        _event(6.0, "fault", "host", "reboot, well again after 92 s", planned=True),
        *(_event(at, "die", "crew-orchestrator", "exit code 137", planned=False) for at in (11.2, 11.25, 11.31, 15.0)),
        _event(12.1, "fault", "agent-x", "killed, well again after 4 s", planned=True),
        _event(17.2, "health", "postgres", "unhealthy", planned=False),
        _event(20.0, "mark", "", "load test", planned=True),
    ]
    for series in report["series"]:
        _spoil(series)
    return report


def inconclusive() -> dict[str, Any]:
    """The host was away, and nobody planned it."""
    report = good()
    report |= {
        "verdict": "INCONCLUSIVE",
        "reason": "The host was started anew at 11:30 UTC, and nobody planned that.",
        "next": "Find out why (journalctl -b -1), then start another soak.",
        "coverage": 0.981,
        "gaps": [{"from": BEGAN + 9.5 * HOUR, "to": BEGAN + 9.9 * HOUR, "reason": "boot", "planned": False}],
    }
    _set(report, "coverage", "INCONCLUSIVE", "98.1 %, the host was away for 24 min", [], [], "Start another soak.")
    return report


def running(*, found: bool = False) -> dict[str, Any]:
    """After 17 of 24 hours."""
    report = failed() if found else good(hours=17)
    report |= {
        "running": True,
        "verdict": "FAIL" if found else None,
        "reason": report["reason"] if found else "",
        "next": "" if not found else report["next"],
        "ended": BEGAN + 17 * HOUR,
    }
    return report


def hostile() -> dict[str, Any]:
    """Names and messages of somebody who means harm, everywhere."""
    report = failed()
    for place, name in enumerate(HOSTILE):
        for row in (report["series"][place], report["checks"][place], report["events"][place % 3]):
            row["subject"] = name
        check = report["checks"][place]
        check |= {"id": name, "title": name, "limit": name, "observed": name, "untested": name, "next": name}
        check["verdict"] = ("FAIL", "INCONCLUSIVE", "PASS", "NOT TESTED")[place % 4]
        check["evidence"] = [{"time": BEGAN, "text": name}, {"time": None, "text": name}]
        check["subjects"] = [{"subject": name, "verdict": "FAIL", "observed": name, "values": {name: 1.5}}]
        report["not_tested"].append({"what": name, "why": name})
        report["notes"].append(name)
        report["gaps"].append({"from": BEGAN, "to": BEGAN + 60, "reason": name, "planned": False})
        report["events"].append(
            {"time": BEGAN + place * HOUR, "kind": name, "subject": name, "text": name, "planned": bool(place % 2)}
        )
    report |= {"reason": HOSTILE[0], "next": HOSTILE[1], "host": HOSTILE[2], "run": HOSTILE[3], "name": HOSTILE[4]}
    report["release"] = {"id": HOSTILE[6], "version": HOSTILE[5]}
    return report


def broken() -> list[dict[str, Any]]:
    """Reports in which something is missing, null, huge or of another kind. Small: there are hundreds of them."""
    odd: list[Any] = [None, "text", 10**400, -1, float("nan"), float("inf"), 1e300, True, [], {}, [None], [[]]]
    whole = failed(3)
    whole["series"] = [one | {"points": one["points"][::90]} for one in whole["series"][:6]]
    whole["checks"] = [one for one in whole["checks"] if one["verdict"] != "PASS"]
    made: list[dict[str, Any]] = [{}, {"schema": 2}, {"verdict": "FAIL"}, {"running": True}]
    made += [{key: value for key, value in whole.items() if key != left} for left in whole]
    made += [whole | {key: value} for key in whole for value in odd]
    for part in ("checks", "events", "gaps", "series", "not_tested"):
        first = whole[part][0]
        made += [whole | {part: [first | {key: value}, None, 7]} for key in first for value in odd]
        made += [whole | {part: [{}]}]
    curve = whole["series"][0]
    for points in (
        *([[BEGAN, None]], [[BEGAN, 10**400]], [[None, 1]], [[1e300, 1]], [BEGAN], [[BEGAN, 1, 2]], [[BEGAN, -5]]),
        *([[0, 1]], [[BEGAN, 1e29], [BEGAN + 60, 1e-29]], [[BEGAN + 60, 5], [BEGAN, 5]]),
    ):
        made.append(whole | {"series": [curve | {"points": points}]})
    return made


def _check(id_: str, title: str, verdict: str, limit: str, observed: str) -> dict[str, Any]:
    return {
        "id": id_,
        "title": title,
        "verdict": verdict,
        "limit": limit,
        "observed": observed,
        "evidence": [],
        "subjects": [],
        "untested": "",
        "next": "",
    }


def _set(
    report: dict[str, Any],
    id_: str,
    verdict: str,
    observed: str,
    evidence: list[tuple[float | None, str]],
    subjects: list[tuple[str, str, str]],
    next_: str,
) -> None:
    check = next(one for one in report["checks"] if one["id"] == id_)
    check |= {"verdict": verdict, "observed": observed, "next": next_}
    check["evidence"] = [{"time": at, "text": text} for at, text in evidence]
    check["subjects"] = [
        {"subject": name, "verdict": said, "observed": seen, "values": {}} for name, said, seen in subjects
    ]


def _event(hour: float, kind: str, subject: str, text: str, *, planned: bool) -> dict[str, Any]:
    return {"time": BEGAN + hour * HOUR, "kind": kind, "subject": subject, "text": text, "planned": planned}


def _series(services: list[str], hours: float) -> list[dict[str, Any]]:
    chance = random.Random(7)  # noqa: S311
    made = []
    for place, service in enumerate(services):
        cap = (256, 512, 768, 1024)[place % 4] * MIB
        base = cap * chance.uniform(0.2, 0.5)
        made += [
            _curve(
                "memory", "bytes", service, cap * 0.75, hours, lambda at, b=base: b * (1 + 0.04 * _wave(at)), chance
            ),
            _curve("cpu", "share", service, 0.6, hours, lambda at: max(0.0, 0.12 + 0.1 * _wave(at)), chance),
            _curve("restarts", "count", service, 0, hours, lambda at: 0.0, None),
        ]
    for way in ("edge shop.example", *services):
        base = 110 if way.startswith("edge") else chance.uniform(8, 60)
        made += [
            _curve("latency", "ms", way, 200, hours, lambda at, b=base: b * (1 + 0.2 * _wave(at)), chance),
            _curve("errors", "share", way, 0.001, hours, lambda at: 0.0, None),
        ]
    for disk, share in (("/", 0.41), ("/var/lib/docker", 0.63)):
        made.append(_curve("disk", "share", disk, 0.95, hours, lambda at, s=share: s + at / DAY * 0.01, None))
    return made


def _wave(at: float) -> float:
    """A day of a week: few at night, most in the afternoon."""
    return math.sin((at / DAY - 0.25) * 2 * math.pi)


def _curve(
    name: str, unit: str, subject: str, limit: float | None, hours: float, shape: Any, chance: random.Random | None
) -> dict[str, Any]:
    points = []
    for step in range(289):
        at = step * 300.0
        if at > hours * HOUR:
            break
        value = shape(at) * (chance.uniform(0.96, 1.04) if chance else 1.0)
        points.append([BEGAN + at, round(value, 6)])
    return {"name": name, "unit": unit, "subject": subject, "limit": limit, "points": points}


def _spoil(series: dict[str, Any]) -> None:
    what = (series["name"], series["subject"])
    for point in series["points"]:
        hour = (point[0] - BEGAN) / HOUR
        if 17.2 < hour < 17.6 or 6 < hour < 6.08:
            point[1] = None
        elif what == ("memory", "agent-x"):
            point[1] += hour * 6.1 * MIB
        elif what == ("latency", "edge shop.example") and hour > 12:
            point[1] *= 1 + (hour - 12) * 0.16
        elif what == ("restarts", "crew-orchestrator"):
            point[1] = sum(hour >= at for at in (11.2, 11.25, 11.31, 15.0))
        elif what == ("errors", "hypercode-core") and 11.2 < hour < 11.6:
            point[1] = 0.0004
