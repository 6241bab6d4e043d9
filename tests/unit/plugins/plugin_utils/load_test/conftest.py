"""Servers on loopback for real load: orchestrators, good and bad."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Orchestrator:
    """How it answers, and what it was asked."""

    delay: float = 0.0
    plan_delay: float = 0.0
    fails_every: int = 0
    same_id: bool = False
    ends_as: str = "completed"
    looks_until_end: int = 2
    login: str = ""
    redirect: bool = False
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    url: str = ""
    _tasks: dict[str, int] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, body: Any, login: str) -> tuple[int, Any]:
        with self._lock:
            self.asked.append((method, path, body))
            number = len(self.asked)
        time.sleep(self.plan_delay if path == "/plan" else self.delay)
        if self.login and login != f"Basic {base64.b64encode(self.login.encode()).decode()}":
            return 401, {}
        if self.redirect:
            return 302, {}
        if self.fails_every and number % self.fails_every == 0:
            return 503, {"detail": "busy"}
        if method == "POST" and path == "/plan":
            task = "task_1" if self.same_id else f"task_{number}"
            self._tasks[task] = 0
            return 200, {"task_id": task, "status": "planning"}
        if path.startswith("/task/"):
            with self._lock:
                self._tasks[path[6:]] += 1
                ended = self._tasks[path[6:]] >= self.looks_until_end
            return 200, {"status": self.ends_as if ended else "planning"}
        return 200, {"status": "healthy"}


def serve(orchestrator: Orchestrator) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            login = self.headers.get("Authorization") or ""
            status, content = orchestrator.answer(self.command, self.path, json.loads(raw) if raw else None, login)
            data = json.dumps(content).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = respond

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    orchestrator.url = f"http://127.0.0.1:{server.server_address[1]}"
    return server


@pytest.fixture
def orchestrator() -> Iterator[Orchestrator]:
    made = Orchestrator()
    server = serve(made)
    yield made
    server.shutdown()
    server.server_close()
