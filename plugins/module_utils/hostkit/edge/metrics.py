# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Caddy counts, for node_exporter's textfile collector.

Caddy tells it at its admin socket, which nobody else may use. So nothing has to listen on the network for it.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..exposition import head
from ..files import FileError, write_file
from ..unix_http import ask_caddy
from .caddy import EdgeError
from .layout import METRICS, SOCKET, Paths

INTERVAL = 15.0  # seconds
_TIMEOUT = 10.0
# So many bytes are more than any number of sites makes.
_MOST = 8 * 2**20
# The rest is about the process, and named as node_exporter names what it says of itself.
_KEPT = "caddy_"


def counted(paths: Paths) -> list[str]:
    """What Caddy counts, as lines in the text format of Prometheus. EdgeError says why it cannot be had."""
    try:
        status, body = ask_caddy(str(paths.at(SOCKET)), "/metrics", _TIMEOUT, _MOST + 1)
    except (OSError, http.client.HTTPException) as error:
        raise EdgeError(f"Caddy does not answer at {SOCKET}: {error}. Fix: systemctl status caddy") from error
    if status != 200 or len(body) > _MOST:
        what = f"with status {status}" if status != 200 else f"with more than {_MOST} bytes"
        raise EdgeError(f"Caddy answers {what} when it is asked for its metrics. Fix: journalctl -u caddy")
    return list(_kept(body.decode(errors="replace")))


def _kept(text: str) -> Iterator[str]:
    # Not splitlines(): the value of a label may hold what Python takes for the end of a line.
    for line in text.split("\n"):
        words = line.split(" ", 3)
        name = words[2] if line.startswith(("# HELP ", "# TYPE ")) and len(words) > 2 else line
        if name.startswith(_KEPT):
            yield line


@dataclass
class Relay:
    """Writes the file again and again. ``say`` takes a line for a person."""

    paths: Paths
    say: Callable[[str], None]
    clock: Callable[[], float] = time.time
    ended: threading.Event = field(default_factory=threading.Event)
    _told: str = field(default="", init=False)

    def start(self) -> None:
        """Do it beside what else this process does, and end with it."""
        threading.Thread(target=self.run, name="metrics", daemon=True).start()

    def run(self) -> None:
        """Write until it is ended."""
        while True:
            self.write()
            if self.ended.wait(INTERVAL):
                return

    def write(self) -> None:
        """Write once. Where Caddy does not answer, the file says so, and nothing of what Caddy counts."""
        try:
            lines, problem = counted(self.paths), ""
        except EdgeError as error:
            lines, problem = [], str(error)
        text = [
            *head("hypercode_edge_up", "1 while Caddy answers."),
            f"hypercode_edge_up {int(not problem)}",
            *head("hypercode_edge_last_sample_timestamp_seconds", "When Caddy was asked last."),
            f"hypercode_edge_last_sample_timestamp_seconds {self.clock():.0f}",
            *lines,
        ]
        try:
            write_file(self.paths.at(METRICS), ("\n".join(text) + "\n").encode(errors="replace"))
        except (FileError, OSError) as error:
            problem = str(error)
        if problem and problem != self._told:
            self.say(f"hypercode edge: {problem}")
        self._told = problem
