# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real Caddy and its addresses in files: a change is followed by the next request, without a reload."""

from __future__ import annotations

import http.client
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge import layout
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.sync import write_upstreams
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.upstreams import upstream_files

REQUESTS = 600


class Service(http.server.BaseHTTPRequestHandler):
    """Says at which address it was asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        body = str(self.server.server_address[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Nothing."""


class Quiet(http.server.ThreadingHTTPServer):
    request_queue_size = 128


@contextmanager
def running(address: str, port: int) -> Iterator[None]:
    server = Quiet((address, port), Service)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Proxy:
    """A Caddy on loopback that leads to the service `app`, whose containers are at addresses of 127.0.0.0/8."""

    def __init__(self, folder: Path) -> None:
        self.paths = layout.Paths(folder)
        self.upstream, self.port = free_port(), free_port()

    def put(self, *places: str) -> None:
        """The containers are there now. What the files say of this host's folder is said of the test's."""
        files = upstream_files({"app": [self.upstream]}, {"app": places}, live=True)
        real = str(self.paths.at(layout.UPSTREAMS))
        write_upstreams(self.paths, {name: text.replace(layout.UPSTREAMS, real) for name, text in files.items()})

    @contextmanager
    def up(self, program: str) -> Iterator[None]:
        main = self.paths.at(layout.CADDYFILE)
        main.write_text(
            "{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n}\nimport upstreams/*.caddy\n"
            f"http://127.0.0.1:{self.port} {{\n\treverse_proxy {{\n\t\timport to-app-{self.upstream}\n\t}}\n}}\n",
            encoding="utf-8",
        )
        home = str(self.paths.root)
        caddy = subprocess.Popen(
            [program, "run", "--config", str(main), "--adapter", "caddyfile"],
            env={**os.environ, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home, "HOME": home},
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                    break
                except OSError:
                    assert time.monotonic() < until, "Caddy does not come up"
                    time.sleep(0.05)
            yield
        finally:
            caddy.terminate()
            caddy.wait(10)

    def ask(self, body: bytes | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request("GET" if body is None else "POST", "/", body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    program = shutil.which("caddy", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("caddy is not installed: scripts/test makes an environment that has it")
    found = Proxy(tmp_path)
    found.put("127.0.0.2")
    with found.up(program):
        yield found


def test_no_request_fails_while_a_service_moves_to_and_fro(proxy: Proxy) -> None:
    """Each switch counts from the next request on, and not one of them is refused, cut or asked twice."""
    wrong: list[object] = []
    places = ("127.0.0.2", "127.0.0.3")
    with running("127.0.0.2", proxy.upstream), running("127.0.0.3", proxy.upstream):
        for number in range(REQUESTS):
            now = places[number // 30 % 2]
            if number % 30 == 0:
                proxy.put(now)
            got = proxy.ask()
            wrong += [] if got == (200, now) else [(number, got)]
    assert wrong == []


def test_of_two_containers_both_are_asked(proxy: Proxy) -> None:
    with running("127.0.0.2", proxy.upstream), running("127.0.0.3", proxy.upstream):
        proxy.put("127.0.0.2", "127.0.0.3")
        assert {proxy.ask()[1] for _number in range(60)} == {"127.0.0.2", "127.0.0.3"}


def test_a_request_waits_for_the_container_that_comes(proxy: Proxy) -> None:
    """Also one with a body: it has not reached anybody yet."""
    proxy.put()
    got: list[tuple[int, str]] = []
    asking = threading.Thread(target=lambda: got.append(proxy.ask(b"x" * 100_000)))
    began = time.monotonic()
    asking.start()
    time.sleep(1)
    assert got == []
    with running("127.0.0.4", proxy.upstream):
        proxy.put("127.0.0.4")
        asking.join()
    assert got == [(200, "127.0.0.4")]
    assert time.monotonic() - began < 5


def test_where_nobody_comes_it_is_refused_and_nobody_else_is_asked(proxy: Proxy) -> None:
    """A program of the host that listens on the same port is not the service."""
    proxy.put()
    with running("0.0.0.0", proxy.upstream):
        assert proxy.ask()[0] == 502
