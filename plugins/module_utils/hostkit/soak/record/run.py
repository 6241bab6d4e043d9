# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hypercode soak run`: what systemd runs. It imports little, since it is there for a day and that is memory."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from pathlib import Path

from ...command import run_command
from ...engine import SOCKET, Engine
from ...watch.notify import notify
from ..settings import SoakError
from .config import read_config
from .daemon import Recorder
from .paths import Paths, unfinished

# A question that the engine does not answer within so many seconds is asked again at the next look.
TIMEOUT = 10.0


def main(root: Path = Path("/"), socket: str = SOCKET) -> int:
    """Record the run that is under way until its end, or SIGTERM. Exit code 1 when that makes no sense."""
    paths = Paths(root)
    run = unfinished(paths)
    if not run:
        # Nothing to do, as when the file was taken away by hand.
        notify("READY=1")
        return 0
    handle = os.open(paths.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say("another one records already. Fix: systemctl status hypercode-soak")
        return 1
    try:
        recorder = Recorder(paths, run, read_config(paths.config), Engine(socket, TIMEOUT), _say, reboot=_reboot)
    except SoakError as error:
        _say(str(error))
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: recorder.stop())
    _say(f"recording {run}. How it stands: hypercode soak status")
    recorder.run()
    os.close(handle)
    return 0


def _reboot() -> None:
    run_command(["systemctl", "reboot"], timeout=60)


def _say(text: str) -> None:
    sys.stderr.write(f"hypercode soak: {text}\n")
    sys.stderr.flush()
