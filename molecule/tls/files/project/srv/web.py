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

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


VERSION = os.environ.get("VERSION", "")
# How it is broken: `never` is never healthy, `soon` ends after some seconds.
BROKEN = os.environ.get("BROKEN", "")


def answer(status: str, body: bytes, kind: str = "text/plain", more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nServer: secret/1.0\r\n"
        f"X-Version: {VERSION}\r\n{more}\r\n"
    )
    return head.encode() + body


async def web_socket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
    """Send a frame ten times a second until the other side is gone."""
    accept = base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()  # noqa: S324  RFC 6455.
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
    gone = asyncio.ensure_future(reader.read())
    while not gone.done():
        writer.write(b"\x81\x04tick")
        await writer.drain()
        await asyncio.sleep(0.1)


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
            if path.startswith("/slow"):
                await asyncio.sleep(float(path.partition("=")[2] or 1))
            if BROKEN == "never":
                writer.write(answer("503 Service Unavailable", b"broken\n"))
            elif path.startswith("/headers"):
                writer.write(answer("200 OK", json.dumps(fields).encode(), "application/json"))
            elif path.startswith("/large"):
                writer.write(answer("200 OK", b"hello " * 2000))
            else:
                writer.write(answer("200 OK", f"{sys.argv[1]} {len(body)}\n".encode(), more="Set-Cookie: a=b\r\n"))
            await writer.drain()
    writer.close()


async def main() -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[2])):
        if BROKEN == "soon":
            asyncio.get_running_loop().call_later(7, ended.set)
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
