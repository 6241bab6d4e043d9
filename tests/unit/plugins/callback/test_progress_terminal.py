# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The progress callback on a terminal: one live line, Ctrl-C, and a screen that ends clean."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.playbook

# Ctrl-C came when Ansible had closed a worker and not yet forgotten it; its clean-up then asks that worker how it is.
ANSIBLES_OWN_FAULT = re.compile(
    r"in _cleanup_processes\b.{1,400}\bis_alive\(\).{1,800}\bValueError: process object is closed", re.DOTALL
)


def screen(text: str) -> list[str]:
    """What the terminal shows in the end: carriage return, erase to the end of the line, newline."""
    rows, column = [""], 0
    for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.|\n", text, re.DOTALL):
        if part == "\r":
            column = 0
        elif part == "\n":
            rows.append("")
        elif part == "\x1b[K":
            rows[-1] = rows[-1][:column]
        elif not part.startswith("\x1b"):
            rows[-1] = rows[-1][:column].ljust(column) + part + rows[-1][column + 1 :]
            column += 1
    return rows


def test_a_terminal_has_one_live_line_and_ends_clean(runs):
    done = runs["live"].result()
    assert done.code == 0, done.out
    # It goes on counting while nothing happens.
    assert len(set(re.findall(r"\r\x1b\[KSlow · 2 hosts · Take a while · (\d+) s", done.out))) >= 2
    assert not re.findall(r"\x1b\[[0-9;]*m", done.out)
    assert all(len(row) <= 59 for row in re.findall(r"\r\x1b\[K(Slow ·[^\r]*)", done.out))
    rows = screen(done.out)
    assert rows[0] == "Who: me"
    assert "[WARNING]: mind the gap" in " ".join(rows)
    assert any(re.fullmatch(r"done  Slow  \d+ s, 2 changed", row) for row in rows)
    assert not [row for row in rows if " · " in row]
    assert re.fullmatch(r"Done in \d+ s, 3 tasks on 2 hosts\. tasks=3", rows[-2])
    assert rows[-1] == ""


def test_ctrl_c_leaves_a_clean_terminal_and_says_what_next(runs):
    done = runs["stop"].result()
    if done.code != 250 or not ANSIBLES_OWN_FAULT.search(done.out):
        assert done.code == 99, done.out
        assert "Traceback" not in done.out
    rows = screen(done.out)
    assert not [row for row in rows if " · " in row]
    assert re.fullmatch(r"Stopped by Ctrl-C after \d+ s, in Take a while\.", rows[-3])
    assert rows[-2:] == ["Next: Run the same command again.", ""]
    assert "\x1b[?25l" not in done.out


def test_a_terminal_of_ci_gets_plain_lines(runs):
    done = runs["ci"].result()
    assert done.code == 0, done.out
    assert "start  Slow  on web1\r\n" in done.out
    assert "\x1b[K" not in done.out
