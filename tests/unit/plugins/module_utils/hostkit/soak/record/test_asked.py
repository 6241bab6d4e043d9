"""What others know: Prometheus, the files of other parts of the host, the kernel, and logs."""

from __future__ import annotations

import http.server
import json
import time
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record import asked
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.host import look_at_host
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.services import is_error
from fakes.soak_bench import Answering

TARGETS = {
    "activeTargets": [
        {"labels": {"job": "node", "instance": "node:9100"}, "health": "up"},
        {"labels": {"job": "redis", "instance": "redis:9121"}, "health": "down"},
        {"labels": {"job": "new", "instance": "new:1"}, "health": "unknown"},
    ]
}
ALERTS = {
    "alerts": [
        {"state": "firing", "labels": {"alertname": "ServiceDown", "severity": "critical", "service": "web"}},
        {"state": "pending", "labels": {"alertname": "Later", "severity": "critical"}},
        {"state": "firing", "labels": {"alertname": "Watchdog", "severity": "none"}},
    ]
}


def series(**values: float) -> dict[str, Any]:
    return {
        "result": [{"metric": {"__name__": name}, "value": [0, str(value)]} for name, value in values.items()],
        "resultType": "vector",
    }


def prometheus(server: Answering, **pages: Any) -> None:
    """Answer as Prometheus does."""
    found = {"/api/v1/targets": TARGETS, "/api/v1/alerts": ALERTS, "/api/v1/query": series(), **pages}

    def act(handler: http.server.BaseHTTPRequestHandler) -> bool:
        page = found[urllib.parse.urlsplit(handler.path).path]
        body = page if isinstance(page, bytes) else json.dumps({"status": "success", "data": page}).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        return True

    server.act = act


def test_prometheus_tells_of_targets_alerts_and_databases(server: Answering) -> None:
    values = series(
        pg_stat_activity_count=12,
        pg_settings_max_connections=100,
        pg_stat_archiver_failed_count=2,
        redis_memory_used_bytes=5e6,
        redis_rdb_last_bgsave_status=1,
        redis_aof_last_write_status=0,
    )
    prometheus(server, **{"/api/v1/query": values})
    found = asked.ask_prometheus("127.0.0.1", server.port)
    assert found == {
        "targets": {"up": 1, "down": ["redis/redis:9121"]},
        "alerts": [{"name": "ServiceDown", "severity": "critical", "service": "web"}],
        "postgres": {"connections": 12, "connections_max": 100, "archive_failed": 2},
        "redis": {"memory": 5_000_000, "save_ok": True, "append_ok": False},
    }
    (query,) = [path for path, _host in server.asked if "query" in path]
    assert "sum by (__name__)" in urllib.parse.unquote_plus(query)


@pytest.mark.parametrize("page", [b"", b"<html>", b'{"status": "error"}', b'{"status":"success","data":{}}'])
def test_what_it_does_not_say_is_left_out(server: Answering, page: bytes) -> None:
    prometheus(server, **{"/api/v1/query": page, "/api/v1/alerts": page})
    assert asked.ask_prometheus("127.0.0.1", server.port) == {"targets": {"up": 1, "down": ["redis/redis:9121"]}}
    assert asked.ask_prometheus("127.0.0.1", 1) == {}


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_requests_through_the_edge_are_counted_once(tmp_path: Path) -> None:
    assert asked.read_edge(tmp_path) is None
    name = "caddy_http_request_duration_seconds_count"
    lines = [
        f'{name}{{code="200",handler="subroute",method="GET",server="srv0"}} 90',
        f'{name}{{code="502",handler="subroute",method="GET",server="srv0"}} 7',
        f'{name}{{code="404",handler="subroute",method="GET",server="srv0"}} 3',
        f'{name}{{code="200",handler="reverse_proxy",method="GET",server="srv0"}} 90',
        'caddy_http_requests_in_flight{handler="subroute"} 1',
    ]
    write(tmp_path, "var/lib/hypercode/metrics/edge.prom", "\n".join(lines) + "\n")
    assert asked.read_edge(tmp_path) == {"requests": 100, "errors": 7}


def test_certificates_are_known_by_their_end_and_their_beginning(tmp_path: Path) -> None:
    assert asked.read_certificates(tmp_path) == []
    metric = "hypercode_certificate_not_after_timestamp_seconds"
    modes = {"b": ("acme", "1.9e9"), "a": ("files", "1800000000"), "c": ("internal", "1")}
    text = "".join(f'{metric}{{name="{name}",mode="{mode}"}} {end}\n' for name, (mode, end) in modes.items())
    text += 'hypercode_certificate_not_before_timestamp_seconds{name="a",mode="files"} 1790000000\n'
    write(tmp_path, "var/lib/hypercode/metrics/certificates.prom", text)
    assert asked.read_certificates(tmp_path) == [
        {"name": "a", "expires": 1_800_000_000, "begins": 1_790_000_000},
        {"name": "b", "expires": 1_900_000_000},
        {"name": "c", "expires": 1},
    ]


def test_backups_and_drills(tmp_path: Path) -> None:
    assert asked.read_backup(tmp_path) is None
    facts = {
        "last": {"ended": 500.0},
        "repositories": {"a": {"good": {"began": 400.0}, "failure": ""}, "b": {"good": None, "failure": "no room"}},
        "drill": {"ended": 600.0, "failures": ["postgres"]},
    }
    write(tmp_path, "var/lib/hypercode/backup/state.json", json.dumps(facts))
    found = asked.read_backup(tmp_path)
    assert found == {"last_success": 400.0, "last_run": 500.0, "failed": True, "last_drill": 0, "last_drill_run": 600.0}
    facts["drill"] = {"ended": 600.0, "failures": []}
    facts["repositories"] = {"a": {"good": {"began": 400.0}, "failure": ""}}
    write(tmp_path, "var/lib/hypercode/backup/state.json", json.dumps(facts))
    found = asked.read_backup(tmp_path)
    assert found is not None
    assert (found["failed"], found["last_drill"]) == (False, 600.0)
    write(tmp_path, "var/lib/hypercode/backup/state.json", '{"repositories": [1]}')
    assert asked.read_backup(tmp_path) is None


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        (b"2026-11-30 ERROR something broke", True),
        (b"Traceback (most recent call last):", True),
        (b"[critical] no room", True),
        (b"ValueError: Exception in thread", True),
        (b"errors=0 error=0 all is well", False),
        (b"INFO handled 3 errors of the user", False),
        (b"level=info error: none", False),
        (b"x" * 300 + b" error", False),
        (b'{"level": "error", "message": "no"}', True),
        (b'{"level": "info", "message": "the word error in a text"}', False),
        (b'{"severity":"CRITICAL"}', True),
        (b'{"message": "error without a level"}', True),
        (b"", False),
    ],
)
def test_lines_that_tell_of_an_error(line: bytes, bad: bool) -> None:
    assert is_error(line) is bad


def test_reading_lines_costs_little() -> None:
    line = b"2026-11-30T12:00:00Z INFO request handled in 12 ms path=/api/v1/things user=17 " * 3
    began = time.process_time()
    for _number in range(20_000):
        is_error(line)
    assert time.process_time() - began < 2


def test_the_kernel_tells_of_this_host() -> None:
    found = look_at_host()
    assert found["memory_total"] >= found["memory_available"] > 0
    assert isinstance(found.get("clock_synchronised", False), bool)
    for disk in found.get("filesystems", []):
        assert disk["size"] >= disk["available"] >= 0


def test_of_what_is_not_there_nothing_is_said(tmp_path: Path) -> None:
    assert set(look_at_host(tmp_path)) <= {"clock_synchronised", "clock_offset"}
    write(tmp_path, "proc/sys/net/netfilter/nf_conntrack_count", "12\n")
    assert "conntrack" not in look_at_host(tmp_path)
    write(tmp_path, "proc/sys/net/netfilter/nf_conntrack_max", "262144\n")
    write(tmp_path, "proc/pressure/cpu", "some avg10=1.00 avg60=0.00 avg300=0.00 total=99\n")
    found = look_at_host(tmp_path)
    assert (found["conntrack"], found["conntrack_max"], found["cpu_some"]) == (12, 262_144, 99)
