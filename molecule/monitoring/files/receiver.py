"""Takes what Alertmanager sends, and writes a line for each call: when, where to, and what.

PUT of a number to a path: with that it answers there from now on.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STATUS: dict[str, int] = {}


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with Path(sys.argv[2]).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"at": time.time(), "path": self.path, "body": body}) + "\n")
        self.answer(STATUS.get(self.path, 200))

    def do_PUT(self) -> None:
        STATUS[self.path] = int(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


ThreadingHTTPServer(("", int(sys.argv[1])), Receiver).serve_forever()
