# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which alerts fire, as a Prometheus tells it: on the board, by `hypercode alerts`, and when it does not answer."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.monitoring import alerts
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.monitoring.alerts import fired, firing
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.monitoring.check import MonitoringError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.monitoring.command import _span, for_board


def container(service: str = "prometheus", *, running: bool = True, address: str = "127.0.0.1") -> dict[str, Any]:
    return {
        "Config": {"Labels": {"com.docker.compose.service": service}},
        "State": {"Running": running},
        "NetworkSettings": {"Networks": {"net": {"IPAddress": address}}},
    }


def entry(name: str, severity: str, state: str = "firing", **more: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, "severity": severity, **more},
        "annotations": {"summary": f"{name} is\nbad\x1b[2J", "runbook_url": "https://example.com/#x"},
        "state": state,
        "activeAt": "2026-11-30T01:02:03Z",
    }


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    body = b""

    class Prometheus(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/api/v1/alerts"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    def say(text: bytes) -> None:
        nonlocal body
        body = text

    server = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(alerts, "PORT", server.server_port)
    yield say
    server.shutdown()
    server.server_close()


def test_what_fires_the_worst_first_and_nothing_that_is_for_machines(answer: Callable[[bytes], None]) -> None:
    found = [
        entry("Watchdog", "none"),
        entry("Slow", "warning", service="web"),
        entry("Pending", "critical", state="pending"),
        entry("Down", "critical", service="web"),
        entry("Down", "critical", service="api"),
    ]
    answer(json.dumps({"status": "success", "data": {"alerts": found}}).encode())
    shown = firing([container()]) or []
    assert [(alert.name, alert.about) for alert in shown] == [("Down", "api"), ("Down", "web"), ("Slow", "web")]
    assert shown[0].line() == "alert: critical: Down is bad (Down). See https://example.com/#x"
    assert for_board([container()])[1] == [alert.line() for alert in shown]


def test_nothing_fires(answer: Callable[[bytes], None]) -> None:
    answer(b'{"data": {"alerts": []}}')
    assert firing([container()]) == []


@pytest.mark.parametrize("there", [[], [container("web")], [container(running=False)], [container(address="")]])
def test_without_a_prometheus_nobody_knows(there: list[dict[str, Any]]) -> None:
    assert firing(there) is None
    assert for_board(there) == ([], [])


@pytest.mark.parametrize(
    "said", [b"", b"[]", b'{"data": {}}', b'{"data": {"alerts": [1]}}', b"\xff", b'{"data": null}']
)
def test_an_odd_answer_is_told_and_the_board_is_shown_all_the_same(
    answer: Callable[[bytes], None], said: bytes
) -> None:
    answer(said)
    with pytest.raises(MonitoringError, match="docker logs"):
        firing([container()])
    found, lines = for_board([container()])
    assert found == []
    assert lines[0].startswith("alert: Prometheus does not say which alerts fire")


RULES = """
groups:
  - name: of this test
    interval: 1s
    rules:
      - {alert: Loud, expr: vector(1), labels: {severity: critical, service: web}}
      - {alert: Watchdog, expr: vector(1), labels: {severity: none}}
      - {alert: Waiting, expr: vector(1), for: 1h, labels: {severity: warning}}
"""


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def prometheus(tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """A real one, with an alert that fires since about the time that is returned."""
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "prometheus.yml").write_text("rule_files: [rules.yml]\n")
    program = shutil.which("prometheus") or "/usr/bin/prometheus"
    process = subprocess.Popen(
        [
            *(program, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"),
            *(f"--web.listen-address=127.0.0.1:{free_port}", "--log.level=error"),
        ],
        stdin=subprocess.DEVNULL,
    )
    monkeypatch.setattr(alerts, "PORT", free_port)
    began = time.time()
    yield began
    process.terminate()
    process.wait(20)


def test_a_real_prometheus_tells_what_fired_and_since_when(prometheus: float) -> None:
    deadline = time.monotonic() + 30
    found = None
    while not found:
        assert time.monotonic() < deadline
        time.sleep(0.3)
        try:
            found = fired([container()], 600)
        except MonitoringError:
            continue
    assert [(alert.name, alert.severity, alert.about) for alert in found] == [("Loud", "critical", "web")]
    assert abs(found[0].first - prometheus) < 60
    assert 15 <= found[0].seconds <= 60
    assert found[0].line().endswith("UTC  critical: Loud web, for " + f"{found[0].seconds:.0f} s")


def test_without_a_prometheus_nobody_knows_what_fired() -> None:
    assert fired([], 60) is None


@pytest.mark.parametrize("said", [b"", b"[]", b'{"data": {"result": [1]}}', b'{"data": {"result": [{"metric": {}}]}}'])
def test_an_odd_answer_of_what_fired_is_told(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(alerts, "_ask", lambda _address, _what: json.loads(said)["data"])
    with pytest.raises(MonitoringError, match="docker logs"):
        fired([container()], 60)


def test_times_as_people_write_them() -> None:
    assert [_span(text) for text in ("90s", "30m", "12h", "7d")] == [90, 1800, 43200, 604800]


@pytest.mark.parametrize("text", ["", "12", "h", "1.5h", "-1h", "0h", "1w"])
def test_what_is_no_time_is_refused_with_what_one_is(text: str) -> None:
    with pytest.raises(Exception, match="such as 12h"):
        _span(text)


def test_one_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "PORT", 1)
    with pytest.raises(MonitoringError, match="Fix: "):
        firing([container()])
