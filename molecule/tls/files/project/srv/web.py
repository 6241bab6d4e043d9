"""A small HTTP and WebSocket server, for the tests of the edge: python3 web.py NAME PORT."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import signal
import sys
import time

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


VERSION = os.environ.get("VERSION", "")
# How it is broken: `never` is never healthy, `soon` ends after some seconds; `errors` is healthy and answers 500, and
# `later` does so after a while.
BROKEN = os.environ.get("BROKEN", "")
LATER = 14
# A service (host:port) that is called again and again; how that went is told at /calls.
CALLS = os.environ.get("CALLS", "")
CALLS_A_SECOND = 20
# What RFC 6455 has for a server that goes away: a close frame with the code 1001.
GOING_AWAY = b"\x88\x02\x03\xe9"

ended = asyncio.Event()
began = time.monotonic()
counts = {"calls": 0, "again": 0, "failed": 0}
# Requests that are under way.
busy: set[object] = set()


def answer(status: str, body: bytes, kind: str = "text/plain", more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nServer: secret/1.0\r\n"
        f"X-Version: {VERSION}\r\n{more}\r\n"
    )
    return head.encode() + body


async def web_socket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
    """Send a frame ten times a second until the other side is gone, or this one goes and says so."""
    accept = base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()  # noqa: S324  RFC 6455.
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    gone = asyncio.ensure_future(reader.read())
    while not gone.done() and not ended.is_set():
        writer.write(b"\x81\x04tick")
        await writer.drain()
        await asyncio.sleep(0.1)
    if ended.is_set():
        writer.write(GOING_AWAY)
        await writer.drain()
        await asyncio.wait([gone], timeout=2)


def is_broken(path: str) -> bool:
    late = BROKEN == "later" and time.monotonic() - began > LATER
    return path != "/health" and (BROKEN == "errors" or late)


async def call() -> None:
    """Ask for / there, each time over a connection of its own, and once more where that fails."""
    host, _colon, port = CALLS.partition(":")
    while not ended.is_set():
        counts["calls"] += 1
        for attempt in ("again", "failed"):
            try:
                async with asyncio.timeout(5):
                    reader, writer = await asyncio.open_connection(host, int(port))
                    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                    answered = await reader.readline()
                    writer.close()
                if b" 200 " in answered:
                    break
            except (OSError, TimeoutError):
                pass
            counts[attempt] += 1
        await asyncio.sleep(1 / CALLS_A_SECOND)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            _verb, path, _version = head[0].split(" ")
            fields = {
                name.strip().lower(): text.strip()
                for name, _sign, text in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(fields.get("content-length") or 0))
            if fields.get("upgrade", "").lower() == "websocket":
                await web_socket(reader, writer, fields["sec-websocket-key"])
                break
            busy.add(writer)
            if path.startswith("/slow"):
                await asyncio.sleep(float(path.partition("=")[2] or 1))
            busy.discard(writer)
            if is_broken(path):
                writer.write(answer("500 Internal Server Error", b"broken\n"))
            elif path.startswith("/calls"):
                writer.write(answer("200 OK", json.dumps(counts).encode(), "application/json"))
            elif BROKEN == "never":
                writer.write(answer("503 Service Unavailable", b"broken\n"))
            elif path.startswith("/headers"):
                writer.write(answer("200 OK", json.dumps(fields).encode(), "application/json"))
            elif path.startswith("/large"):
                writer.write(answer("200 OK", b"hello " * 2000))
            else:
                writer.write(answer("200 OK", f"{sys.argv[1]} {len(body)}\n".encode(), more="Set-Cookie: a=b\r\n"))
            await writer.drain()
            if ended.is_set():
                break
    writer.close()


async def main() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    calling = asyncio.ensure_future(call()) if CALLS else None
    async with await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[2])) as server:
        if BROKEN == "soon":
            asyncio.get_running_loop().call_later(4, ended.set)
        await ended.wait()
        # Nobody new, and what is under way is finished, as any good server does.
        server.close()
        for _look in range(100):
            await asyncio.sleep(0.1)
            if not busy:
                break
    if calling:
        await calling


if __name__ == "__main__":
    asyncio.run(main())
