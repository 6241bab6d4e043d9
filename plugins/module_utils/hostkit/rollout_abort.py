# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ends a rollout that is at work, by hand: it puts the previous release back, as after a failure."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from .release import UNFINISHED, Release, Store, lock_holder
from .rollout_error import RolloutError

# Not SIGTERM: that is how a host that shuts down ends everything, and then there is nothing to put back.
SIGNAL = signal.SIGUSR1
POLL = 0.5
MESSAGE = (
    "The rollout was stopped by hand (hypercode rollout abort). "
    "Fix: nothing has to be mended for that; run the same command again when the release is to go on"
)


class AbortError(Exception):
    """There is nothing to stop, or it cannot be stopped. The text says why."""


@contextlib.contextmanager
def abortable() -> Iterator[None]:
    """While inside, the signal raises RolloutError, once. On the way out, or a second time, it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(SIGNAL, signal.SIG_IGN)
        raise RolloutError(MESSAGE)

    before = signal.signal(SIGNAL, stop)
    try:
        yield
    finally:
        # What follows, the way back too, is not to be broken off.
        signal.signal(SIGNAL, signal.SIG_IGN if before is signal.SIG_DFL else before)


def abort(
    store: Store,
    *,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    kill: Callable[[int, int], None] = os.kill,
    root: Path = Path("/"),
) -> Release:
    """Tell the rollout at work to end, and wait until it has, for at most `timeout` seconds. Raises AbortError."""
    holder = lock_holder(store.paths)
    release = next((found for found in store.all() if found.id == holder), None)
    if release is None:
        raise AbortError("No rollout is at work on this host. Next: hypercode rollout status")
    pid = release.read().get("pid")
    if not isinstance(pid, int) or not _is_python(pid, root):
        raise AbortError(f"The rollout of {release.id} is just beginning or ending. Fix: run this once more")
    kill(pid, SIGNAL)
    began = clock()
    while release.status in UNFINISHED and lock_holder(store.paths) == release.id:
        if clock() - began >= timeout:
            raise AbortError(
                f"It was told to end, and is not done after {timeout:.0f} s. Next: hypercode rollout status"
            )
        sleep(POLL)
    return release


def _is_python(pid: int, root: Path) -> bool:
    """Whether a process is one of ours: a number may have gone to another one by now."""
    try:
        return b"python" in (root / f"proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
