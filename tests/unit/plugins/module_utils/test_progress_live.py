# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The line that is rewritten in place, and whoever else writes to the same terminal."""

from __future__ import annotations

import io
import threading
import time
from types import SimpleNamespace

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.progress_live import (
    Delay,
    LiveLine,
    terminal_width,
    wants_live,
)

ERASE = "\r\x1b[K"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def until(condition, seconds: float = 2.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


@pytest.fixture
def made():
    """A live line with a fast tick, its stream and its lock."""
    stream, lock = Terminal(), threading.RLock()
    line = LiveLine(stream, lock, lambda width: f"busy {width}", tick=0.01)
    yield SimpleNamespace(line=line, stream=stream, lock=lock)
    line.stop()


@pytest.mark.parametrize(
    ("mode", "environ", "live"),
    [
        ("auto", {"TERM": "xterm"}, True),
        ("auto", {"TERM": "dumb"}, False),
        ("auto", {}, False),
        ("auto", {"TERM": "xterm", "CI": "true"}, False),
        ("auto", {"TERM": "xterm", "CI": "false"}, True),
        ("live", {"TERM": "xterm", "CI": "true"}, True),
        ("plain", {"TERM": "xterm"}, False),
    ],
)
def test_when_to_show_it(mode, environ, live):
    assert wants_live(mode, Terminal(), environ) is live
    assert wants_live(mode, io.StringIO(), environ) is False


def test_it_ticks_by_itself_and_stops_cleanly(made):
    made.line.start()
    assert until(lambda: made.stream.getvalue().count("busy 79") >= 3)
    made.line.stop()
    text = made.stream.getvalue()
    assert text.endswith(ERASE)
    time.sleep(0.05)
    assert made.stream.getvalue() == text
    assert not any(thread.name == "progress" for thread in threading.enumerate())


def test_it_keeps_quiet_while_someone_else_holds_the_lock(made):
    made.line.start()
    assert until(lambda: "busy" in made.stream.getvalue())
    with made.lock:
        before = made.stream.getvalue()
        time.sleep(0.05)
        assert made.stream.getvalue() == before
    assert until(lambda: made.stream.getvalue() != before)


def test_others_write_on_a_clear_line(made):
    made.line.start()
    made.line.refresh()
    with made.line.aside():
        made.stream.write("a warning\n")
    assert f"{ERASE}a warning\n{ERASE}busy 79" in made.stream.getvalue()


def test_an_unfinished_line_of_others_is_left_alone(made):
    made.line.start()
    with made.line.aside(redraw=False):
        made.stream.write("half a line")
    time.sleep(0.05)
    assert made.stream.getvalue().endswith("half a line")
    with made.line.aside():
        made.stream.write(" and the rest\n")
    assert "half a line and the rest\n" in made.stream.getvalue()


def test_a_question_is_not_overwritten(made):
    made.line.start()
    made.line.refresh()
    with made.line.paused():
        made.stream.write("Who? ")
        time.sleep(0.05)
        made.line.refresh()
        assert made.stream.getvalue().endswith(f"{ERASE}Who? ")
    assert until(lambda: made.stream.getvalue().endswith("busy 79"))


def test_an_exception_of_the_writer_releases_the_lock(made):
    made.line.start()
    with pytest.raises(KeyboardInterrupt), made.line.aside():
        raise KeyboardInterrupt
    assert until(lambda: "busy" in made.stream.getvalue())
    assert made.lock.acquire(timeout=1)
    made.lock.release()


def test_a_terminal_that_is_gone_ends_it_without_an_error(made):
    made.stream.close()
    made.line.start()
    made.line.refresh()
    made.line.stop()


def test_stop_does_not_wait_for_ever(made):
    made.line.start()
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with made.lock:
            held.set()
            release.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)
    threading.Timer(0.1, release.set).start()
    made.line.stop()
    thread.join()


def test_all_that_ansible_prints_clears_the_line_and_it_can_be_undone(made):
    class Display:
        def display(self, msg, color=None, *, newline=True):
            made.stream.write(msg + ("\n" if newline else ""))

        def prompt(self, msg, private=False):
            made.stream.write(msg)
            made.line.refresh()
            return "yes"

        prompt_until = prompt

    display = Display()
    made.line.start(display)
    made.line.refresh()
    display.display("warned")
    assert f"{ERASE}warned\n{ERASE}busy" in made.stream.getvalue()
    assert display.prompt("Sure? ") == "yes"
    assert made.stream.getvalue().endswith("Sure? ") or "Sure? \r" in made.stream.getvalue()
    made.line.stop()
    assert vars(display) == {}


def test_width_of_what_is_no_terminal():
    assert terminal_width(io.StringIO()) == 80
    assert terminal_width(io.StringIO(), 100) == 100


def test_delay_acts_once_and_can_be_cancelled():
    calls: list[float] = []
    delay = Delay(lambda: calls.append(time.monotonic()), 0.02)
    delay.later()
    delay.later()
    assert until(lambda: len(calls) == 1)
    delay.cancel()
    delay.later()
    delay.cancel()
    time.sleep(0.06)
    assert len(calls) == 1
