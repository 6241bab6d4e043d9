# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One line at the bottom of a terminal, rewritten in place, and its peace with whoever else writes. No Ansible."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, TextIO

_ERASE = "\r\x1b[K"


class Lock(Protocol):
    """A re-entrant lock, as ``threading.RLock`` makes."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...

    def release(self) -> None: ...

    def __enter__(self) -> bool: ...

    def __exit__(self, *details: Any) -> None: ...


def wants_live(mode: str, stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to show the live line: ``mode`` is ``auto``, ``live`` or ``plain``."""
    if mode == "plain" or not stream.isatty():
        return False
    in_ci = environ.get("CI", "").lower() not in ("", "0", "false")
    return mode == "live" or not (in_ci or environ.get("TERM", "") in ("", "dumb"))


def interrupted() -> bool:
    """Whether Ctrl-C was pressed: Ansible's handler puts the default back when it has seen the signal."""
    return signal.getsignal(signal.SIGINT) == signal.SIG_DFL


def terminal_width(stream: TextIO, fallback: int = 80) -> int:
    """Columns of the terminal behind ``stream``."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns if columns > 0 else fallback


class LiveLine:
    """Keeps a line up to date from its own thread.

    ``compose(width)`` gives the text. ``lock`` guards the stream; whoever else writes there holds it too. The cursor is
    never hidden and no mode of the terminal is changed, so a process that is killed leaves nothing to repair.
    """

    def __init__(self, stream: TextIO, lock: Lock, compose: Callable[[int], str], tick: float = 1.0) -> None:
        self._stream = stream
        self._lock = lock
        self._compose = compose
        self._tick = tick
        self._owner = os.getpid()
        self._stopped = threading.Event()
        self._stopped.set()
        self._thread: threading.Thread | None = None
        self._paused = 0
        self._drawn = False
        self._unfinished = False
        self._display: Any = None

    def start(self, display: Any = None) -> None:
        """Show the line and keep it fresh until ``stop``.

        ``display`` is Ansible's; all that it prints or asks clears the line first.
        """
        if not self._stopped.is_set():
            return
        if display is not None:
            self._display = display
            _hook(display, self)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._stopped,), name="progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wipe the line and end the thread. May be called more than once, and from an exit handler."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread() and os.getpid() == self._owner:
            # The thread never waits for the lock, so it ends at once unless the terminal itself is blocked.
            thread.join(timeout=2)
        # Without end, this would hang the exit when a thread that holds the lock was left behind.
        if self._lock.acquire(timeout=2):
            try:
                self._erase()
            finally:
                self._lock.release()
        if self._display is not None:
            _unhook(self._display)
            self._display = None

    def refresh(self) -> None:
        """Draw now."""
        with self._lock:
            self._draw()

    @contextlib.contextmanager
    def aside(self, *, redraw: bool = True) -> Iterator[None]:
        """Clear the line while the caller writes. ``redraw=False`` when the caller leaves its own line unfinished."""
        # A forked worker has a copy of this object; the terminal is not its own.
        if os.getpid() != self._owner:
            yield
            return
        with self._lock:
            self._erase()
            yield
            self._unfinished = not redraw
            self._draw()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stay off the terminal, without holding the lock: a person is being asked something."""
        if os.getpid() != self._owner:
            yield
            return
        with self._lock:
            self._erase()
            self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    def _run(self, stopped: threading.Event) -> None:
        while not stopped.wait(self._tick):
            # When someone else is writing, this tick is simply left out.
            if self._lock.acquire(blocking=False):
                try:
                    if not stopped.is_set():
                        self._draw()
                finally:
                    self._lock.release()

    def _draw(self) -> None:
        if self._stopped.is_set() or self._paused or self._unfinished or not self._in_foreground():
            return
        # The last column stays free: writing there makes some terminals wrap.
        text = self._compose(terminal_width(self._stream) - 1)
        if text:
            self._drawn = self._write(f"{_ERASE}{text}")

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = False
            self._write(_ERASE)

    def _write(self, text: str) -> bool:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # The terminal is gone; the run goes on without the line.
            self._stopped.set()
            return False
        return True

    def _in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except (OSError, ValueError):
            # Not our controlling terminal: nothing else to go by.
            return True


class Delay:
    """Calls ``action`` once, ``seconds`` after ``later``, from a thread of its own; ``cancel`` forgets it."""

    def __init__(self, action: Callable[[], None], seconds: float) -> None:
        self._action = action
        self._seconds = seconds
        self._timer: threading.Timer | None = None

    def later(self) -> None:
        """Start the time, unless it runs already."""
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, self._action)
            self._timer.daemon = True
            self._timer.start()

    def cancel(self) -> None:
        """The action is done, or no longer wanted."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


_HOOKED = ("display", "prompt", "prompt_until")


def _hook(display: Any, live: LiveLine) -> None:
    show = display.display

    @functools.wraps(show)
    def show_aside(*args: Any, **kwargs: Any) -> Any:
        newline = kwargs.get("newline", args[5] if len(args) > 5 else True)
        with live.aside(redraw=bool(newline)):
            return show(*args, **kwargs)

    def while_paused(ask: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(ask)
        def asks(*args: Any, **kwargs: Any) -> Any:
            with live.paused():
                return ask(*args, **kwargs)

        return asks

    display.display = show_aside
    display.prompt = while_paused(display.prompt)
    display.prompt_until = while_paused(display.prompt_until)


def _unhook(display: Any) -> None:
    # The methods of the class show through again.
    for name in _HOOKED:
        with contextlib.suppress(AttributeError):
            delattr(display, name)
