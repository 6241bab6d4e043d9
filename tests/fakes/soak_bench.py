"""A host on which a soak can be started: a stack that answers, a watch that has looked, and clocks that stand still."""

from __future__ import annotations

import http.server
import json
import socket
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.config import Config
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.control import Control
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.daemon import Recorder
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.paths import Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.daemon import Clocks

from .watch_bench import WatchBench


class Answering:
    """An HTTP server at 127.0.0.1. `status`, or what `act` does with a request, can be changed while it runs."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"ok"
        self.asked: list[tuple[str, str]] = []
        self.act: Callable[[http.server.BaseHTTPRequestHandler], bool] = lambda _handler: False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.asked.append((self.path, str(self.headers["Host"])))
                if outer.act(self):
                    return
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_words: Any) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, *_words: Any) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Raw:
    """A TCP server that answers what it is told, to what it is told first."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                answer(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class SoakBench:
    """The host, and who starts and ends soaks on it."""

    def __init__(self, root: Path) -> None:
        self.watch = WatchBench(root)
        self.root, self.paths, self.host = root, Paths(root), self.watch.host
        self.site = Answering()
        self.calls: list[tuple[str, ...]] = []
        self.unit_code = 0
        self.said: list[str] = []
        self.rebooted = 0
        self.watch.new_daemon(interval=15, journal_interval=1)
        self.configure()
        self.write("etc/hypercode/watch.json", json.dumps({"projects": ["demo"], "journal_interval": 1}))

    def close(self) -> None:
        self.site.close()
        self.host.remove()

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def configure(self, **settings: Any) -> None:
        """What the role writes."""
        document = {"project": "demo", "probes": {"web": self.url()}, "sites": [], "timeout": 2, **settings}
        self.write("etc/hypercode/soak.json", json.dumps(document))
        self.config = Config(
            document["project"], document["probes"], timeout=document["timeout"], prometheus="prometheus"
        )

    def url(self, path: str = "/health") -> str:
        return f"http://web:{self.site.port}{path}"

    def deploy(self) -> None:
        """A stack of one service that answers, and one look of the watch at it."""
        self.web = self.host.add("web", address="127.0.0.1")
        self.watch.release(web={"replicas": 1})
        self.watch.tick()

    def unit(self, *words: str) -> CommandResult:
        self.calls.append(words)
        return CommandResult(self.unit_code, "", "it broke" if self.unit_code else "")

    @property
    def control(self) -> Control:
        return Control(self.paths, self.engine, lambda: self.watch.wall, self.unit, lambda _seconds: None)

    @property
    def engine(self) -> Engine:
        return Engine(str(self.host.socket), 5)

    def start(self, **asked: Any) -> str:
        """Start a soak of ten minutes, and nobody who records it."""
        return self.control.start({"duration": 600, "interval": 10, "probe_interval": 10, **asked})

    def recorder(self, run: str, boot: str = "boot-1") -> Recorder:
        """As when it is started again. Its clocks are those of the watch."""
        clocks = Clocks(lambda: self.watch.wall, lambda: self.watch.monotonic)

        def reboot() -> None:
            self.rebooted += 1

        return Recorder(self.paths, run, self.config, self.engine, self.said.append, clocks, boot, reboot, rest=0.02)

    def wait(self, seconds: float, *, watched: bool = True) -> None:
        """Let time pass; the watch looks."""
        self.watch.wall += seconds
        self.watch.monotonic += seconds
        if watched:
            self.watch.daemon.tick()

    def journal(self, run: str, kind: str = "") -> list[dict[str, Any]]:
        lines = (self.paths.run(run) / "journal.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if kind in ("", line["kind"])]
