"""What every stand-in shares: a small JSON server that stops on SIGTERM, and real pings of Redis and Postgres."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any]


def redis_command(url: str, *words: str, timeout: float = 3.0) -> str:
    """Send one command to Redis (RESP, with AUTH when the URL has a password); return the first line of the answer."""
    parts = urllib.parse.urlsplit(url)
    commands = [list(words)]
    if parts.password:
        commands.insert(0, ["AUTH", urllib.parse.unquote(parts.password)])
    with socket.create_connection((parts.hostname or "redis", parts.port or 6379), timeout=timeout) as connection:
        reader = connection.makefile("rb")
        line = b""
        for command in commands:
            payload = f"*{len(command)}\r\n" + "".join(f"${len(w.encode())}\r\n{w}\r\n" for w in command)
            connection.sendall(payload.encode())
            line = reader.readline().strip()
            if line.startswith(b"-"):
                raise OSError(line.decode())
    return line.decode()


def redis_url() -> str:
    """Return the address of Redis, under whichever of the stack's names it is given."""
    for name in ("REDIS_URL", "CELERY_BROKER_URL", "HYPERCODE_REDIS_URL"):
        if os.environ.get(name):
            return os.environ[name]
    raise OSError("no REDIS_URL is set")


def redis_is_connected() -> bool:
    try:
        return redis_command(redis_url(), "PING") == "+PONG"
    except OSError:
        return False


def postgres_answers(url: str) -> bool:
    """Run a real query."""
    import psycopg2  # noqa: PLC0415  Only the services that use Postgres pay for the import.

    try:
        with psycopg2.connect(url, connect_timeout=3) as connection, connection.cursor() as cursor:
            cursor.execute("select 1")
            return cursor.fetchone() == (1,)
    except psycopg2.Error:
        return False


def post(url: str, body: dict[str, Any], timeout: float = 3.0) -> Any:
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.load(answer)


def build_server(port: int, route: Callable[[str, str, dict[str, Any]], Answer]) -> ThreadingHTTPServer:
    """Make a server for `route(method, path, body)`. A str answer is sent as text, all else as JSON."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An idle keep-alive connection must not hold up a stop for longer than this.
        timeout = 5

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length) if length else b""
            try:
                body = json.loads(raw) if raw else {}
            except ValueError:
                body = {}
            status, content = route(self.command, urllib.parse.urlsplit(self.path).path, body)
            text = isinstance(content, str)
            data = content.encode() if text else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4" if text else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_HEAD = answer

        def log_message(self, format: str, *args: Any) -> None:
            if "/health" not in str(args[:1]):
                super().log_message(format, *args)

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        # In-flight requests are finished on SIGTERM.
        daemon_threads = False

    # Reached over the container network only.
    return Server(("0.0.0.0", port), Handler)


def serve(port: int, route: Callable[[str, str, dict[str, Any]], Answer], *also: int) -> None:
    """Serve until SIGTERM, on `port` and on the ports in `also`."""
    servers = [build_server(each, route) for each in (port, *also)]

    def stop(_signal: int, _frame: object) -> None:
        for server in servers:
            threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threads = [threading.Thread(target=server.serve_forever, args=(0.1,)) for server in servers]
    for thread in threads:
        thread.start()
    print(f"listening on {port}", flush=True)
    for thread in threads:
        thread.join()
    for server in servers:
        server.server_close()
