# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the rules about the edge take for a request, and for a failed one, is what Caddy counts: with real Caddy."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge import render
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.read import read_settings

ROOT = Path(__file__).resolve().parents[6]
RULES = ROOT / "roles/stack/templates/tree/etc/hypercode/stack/prometheus/rules/slo.yml"
SITE = {
    "name": "app.test",
    "certificate": "internal",
    "routes": [
        {"path": "/", "service": "app", "port": 8000},
        {"path": "/dead", "service": "dead", "port": 8000, "websocket": False},
    ],
}


class Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class Edge:
    """Caddy with the Caddyfile of the role, on ports of its own, and with metrics."""

    def __init__(self, program: str, folder: Path, service: int) -> None:
        self.https, self.http, self.admin, dead = (free_port() for _number in range(4))
        found, findings = read_settings({"sites": [SITE], "health_path": "/edge-health"})
        assert findings == []
        said = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
        major, minor = map(int, re.findall(r"\d+", said)[:2])
        self.version = (major, minor)
        text = render.caddyfile(found, self.version)
        ports = f"http_port {self.http}\n\thttps_port {self.https}\n\tstorage file_system {folder}/data"
        text = re.sub(r"admin unix/\S+", f"admin 127.0.0.1:{self.admin}\n\t{ports}", text)
        (folder / "Caddyfile").write_text(text)
        (folder / "users.caddy").write_text("# nobody\n")
        (folder / "upstreams").mkdir()
        alive, away = (route.upstream for route in found.sites[0].routes)
        (folder / "upstreams/all.caddy").write_text(
            f"({alive}) {{\n\tto 127.0.0.1:{service}\n}}\n({away}) {{\n\tto 127.0.0.1:{dead}\n}}\n"
        )
        self.process = subprocess.Popen(
            [program, "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"],
            env={"HOME": str(folder), "PATH": os.environ["PATH"], render.LOG_VARIABLE: str(folder / "access.log")},
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )

    def ask(self, path: str, *, plain: bool = False) -> int:
        port = self.http if plain else self.https
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            stream = connection if plain else trusting.wrap_socket(connection, server_hostname="app.test")
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while more := stream.recv(65536):
                answer += more
        return int(answer.split()[1])

    def count(self, series: str) -> float:
        """The sum of all series of the metric that its selector takes: `name{label="text", other=~"pattern"}`."""
        name, selector = re.fullmatch(r"(\w+)\{(.*)\}", series).groups()  # type: ignore[union-attr]
        total = 0.0
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                if found := re.fullmatch(rf"{name}\{{(.*)\}} (\S+)", line):
                    labels = dict(re.findall(r'(\w+)="([^"]*)"', found[1]))
                    wanted = re.findall(r'(\w+)=~?"([^"]*)"', selector)
                    if all(re.fullmatch(pattern, labels.get(label, "")) for label, pattern in wanted):
                        total += float(found[2])
        return total


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    # CADDY names another one, such as Debian's.
    program = os.environ.get("CADDY") or shutil.which("caddy", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("caddy is not installed: scripts/test makes an environment that has it")
    service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    caddy = Edge(program, tmp_path, service.server_port)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                caddy.ask("/200")
                break
            except OSError:
                assert time.monotonic() < deadline
                assert caddy.process.poll() is None
                time.sleep(0.05)
        yield caddy
    finally:
        caddy.process.terminate()
        caddy.process.wait(timeout=10)
        service.shutdown()
        service.server_close()


def looked_at(record: str) -> str:
    """The series that the rule of this name looks at."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    expression = next(rule["expr"] for rule in rules if rule.get("record") == record)
    return re.search(r"rate\((.*?)\[", expression)[1]  # type: ignore[index]


def test_each_request_to_a_site_counts_once_and_fails_as_it_is_answered(edge: Edge) -> None:
    requests, errors = looked_at("host:edge_requests:rate5m"), looked_at("host:edge_errors:rate5m")
    before = edge.count(requests), edge.count(errors)
    for path, times in (("/200", 5), ("/404", 3), ("/500", 2), ("/503", 1)):
        assert {edge.ask(path) for _number in range(times)} == {int(path[1:])}
    # A way from HTTP to HTTPS is no answer of a site.
    assert edge.ask("/", plain=True) == 308
    assert (edge.count(requests) - before[0], edge.count(errors) - before[1]) == (11, 3)
    assert edge.ask("/dead/200") == 502
    # Before 2.8 a failure of Caddy's own has no status: docs/runbooks/slo.md says so.
    own = 1 if edge.version >= (2, 8) else 0
    assert (edge.count(requests) - before[0], edge.count(errors) - before[1]) == (12, 3 + own)
