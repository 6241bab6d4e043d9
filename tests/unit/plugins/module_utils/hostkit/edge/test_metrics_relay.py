# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Caddy counts comes into the file for node_exporter: from a real Caddy, and whatever it answers."""

from __future__ import annotations

import os
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.caddy import EdgeError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.layout import METRICS, SOCKET, Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.metrics import Relay, counted
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.exposition import samples_in
from fakes.unix_http import Handler


@pytest.fixture
def host() -> Iterator[Paths]:
    # Not tmp_path: the name of a socket has room for 107 characters.
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths(Path(folder))
        paths.at(SOCKET).parent.mkdir(parents=True)
        paths.at(METRICS).parent.mkdir(parents=True)
        yield paths


@contextmanager
def answering(paths: Paths, body: bytes, status: int = 200) -> Iterator[None]:
    class Answer(Handler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with socketserver.ThreadingUnixStreamServer(str(paths.at(SOCKET)), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()
    paths.at(SOCKET).unlink()


def written(paths: Paths) -> dict[str, float]:
    return {name: value for name, _labels, value in samples_in(paths.at(METRICS).read_text(encoding="utf-8"))}


def test_what_a_real_caddy_counts_is_in_the_file(host: Paths) -> None:
    program = os.environ.get("CADDY") or shutil.which("caddy", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("caddy is not installed: scripts/test makes an environment that has it")
    settings = host.root / "Caddyfile"
    settings.write_text(
        f"{{\n\tadmin unix/{host.at(SOCKET)}\n\tpersist_config off\n\tservers {{\n\t\tmetrics\n\t}}\n}}\n"
        f"http:// {{\n\tbind unix/{host.root}/site\n\trespond 204\n}}\n"
    )
    caddy = subprocess.Popen(
        [program, "run", "--config", settings, "--adapter", "caddyfile"],
        env={"HOME": str(host.root), "PATH": os.environ["PATH"]},
        stderr=subprocess.DEVNULL,
    )
    try:
        told: list[str] = []
        relay, deadline = Relay(host, told.append, clock=lambda: 1234.5), time.monotonic() + 20
        while not told or written(host)["hypercode_edge_up"] != 1:
            assert caddy.poll() is None
            assert time.monotonic() < deadline
            relay.write()
            told = told or ["up at once"]
            time.sleep(0.05)
        names = {name for name, _labels, _value in samples_in(host.at(METRICS).read_text(encoding="utf-8"))}
    finally:
        caddy.terminate()
        caddy.wait(timeout=10)
    assert any(name.startswith("caddy_") for name in names)
    # node_exporter says the same of itself: twice would spoil the file.
    assert not [name for name in names if name.startswith(("go_", "process_", "promhttp_"))]
    assert written(host)["hypercode_edge_last_sample_timestamp_seconds"] == 1234
    relay.write()
    assert written(host) == {"hypercode_edge_up": 0, "hypercode_edge_last_sample_timestamp_seconds": 1234}


def test_only_what_is_of_caddy_and_nothing_of_it_is_lost(host: Paths) -> None:
    body = (
        "# HELP caddy_a Of it.\n# TYPE caddy_a counter\n"
        'caddy_a{path="/a b\u2028c"} 1\n# HELP go_b Not of it.\n# TYPE go_b gauge\ngo_b 2\ncaddy_c 3\n\n# EOF\n'
    )
    with answering(host, body.encode()):
        assert counted(host) == [
            "# HELP caddy_a Of it.",
            "# TYPE caddy_a counter",
            'caddy_a{path="/a b\u2028c"} 1',
            "caddy_c 3",
        ]


@pytest.mark.parametrize(("body", "status"), [(b"no", 404), (b"x" * (8 * 2**20 + 1), 200)])
def test_an_odd_answer_is_told_once_and_the_file_says_that_it_is_down(host: Paths, body: bytes, status: int) -> None:
    told: list[str] = []
    relay = Relay(host, told.append)
    with answering(host, body, status):
        relay.write()
        relay.write()
        with pytest.raises(EdgeError, match="journalctl -u caddy"):
            counted(host)
    assert len(told) == 1
    assert written(host)["hypercode_edge_up"] == 0


def test_it_goes_on_when_it_cannot_write(host: Paths) -> None:
    host.at(METRICS).mkdir()
    told: list[str] = []
    relay = Relay(host, told.append)
    relay.write()
    assert str(host.at(METRICS)) in told[-1]
    host.at(METRICS).rmdir()
    relay.write()
    assert written(host)["hypercode_edge_up"] == 0


def test_it_writes_until_it_is_ended(host: Paths) -> None:
    relay = Relay(host, lambda _text: None)
    relay.ended.set()
    relay.run()
    assert written(host)["hypercode_edge_up"] == 0
