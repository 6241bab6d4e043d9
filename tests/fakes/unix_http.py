"""Answers HTTP on a Unix socket."""

from __future__ import annotations

import http.server


class Handler(http.server.BaseHTTPRequestHandler):
    """Says nothing of what it is asked; whoever asks on a socket has no address."""

    def log_message(self, format: str, *args: object) -> None:
        pass

    def address_string(self) -> str:
        return "socket"
