# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP over a socket of the file system, as Docker and Caddy speak it."""

from __future__ import annotations

import http.client
import socket

# Before 2.7, Caddy answers at a socket only who names no host, as RFC 9112 (3.2) has it. Later ones do not mind.
NO_HOST = {"Host": ""}


class UnixConnection(http.client.HTTPConnection):
    """A connection to the program that listens on ``path``. ``timeout`` in seconds, for each answer."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect. OSError when nobody listens, or this user may not."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask_caddy(path: str, target: str, timeout: float, most: int | None = None) -> tuple[int, bytes]:
    """GET a page at Caddy's admin socket: the status, and the answer, of which ``most`` bytes are read at most.

    OSError or HTTPException when there is no answer.
    """
    connection = UnixConnection(path, timeout)
    try:
        connection.request("GET", target, headers=NO_HOST)
        answer = connection.getresponse()
        return answer.status, answer.read(most)
    finally:
        connection.close()
