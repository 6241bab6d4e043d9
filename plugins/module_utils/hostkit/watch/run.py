# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hypercode watch run`: what systemd runs. It imports little, since it is there all the time and that is memory."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from ..engine import SOCKET, Engine
from .config import Paths, WatchError, read_config
from .daemon import Daemon

# A question that the engine does not answer within so many seconds is asked again at the next look.
TIMEOUT = 10.0


def main(root: Path = Path("/"), socket: str = SOCKET) -> int:
    """Run until SIGTERM or SIGINT. Exit code 1 when the settings make no sense."""
    paths = Paths(root)
    try:
        config = read_config(paths.config)
    except WatchError as error:
        _say(str(error))
        return 1
    daemon = Daemon(paths, config, Engine(socket, TIMEOUT), _say)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: daemon.stop())
    _say(f"watching {', '.join(config.projects)} every {config.interval:g} s. How it stands: hypercode watch status")
    daemon.run()
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"hypercode watch: {text}\n")
    sys.stderr.flush()
