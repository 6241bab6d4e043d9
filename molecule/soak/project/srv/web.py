"""A small HTTP server that gets ill when it is told to: python3 web.py PORT.

POST /ill takes JSON: `errors`, the share of requests that get a 500; `slower`, by how many seconds each request gets
slower in a second; `leak`, how many bytes are kept in a second. /health stays well, as it does with such illnesses.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ill = {"errors": 0.0, "slower": 0.0, "leak": 0.0, "since": time.monotonic()}
kept: list[bytearray] = []


def leak() -> None:
    while True:
        time.sleep(0.2)
        if ill["leak"]:
            # Written to: else the kernel would not count it.
            kept.append(bytearray(b"x" * int(ill["leak"] / 5)))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(min(2.0, ill["slower"] * (time.monotonic() - ill["since"])))
        # Not a matter of secrecy.
        self.say(500 if random.random() < ill["errors"] else 200)  # noqa: S311

    def do_POST(self) -> None:
        ill.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        ill["since"] = time.monotonic()
        self.say(200)

    def say(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True


threading.Thread(target=leak, daemon=True).start()
signal.signal(signal.SIGTERM, lambda *_words: sys.exit(0))
Server(("", int(sys.argv[1])), Handler).serve_forever()
