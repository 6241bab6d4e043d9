# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import sys
import time
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult, run_command


def test_returns_what_the_program_said() -> None:
    program = "import sys, os; print('out', sys.stdin.read()); print(os.environ['X'], file=sys.stderr); sys.exit(3)"
    result = run_command([sys.executable, "-c", program], timeout=10, environment={"X": "err"})
    assert result == CommandResult(3, "out \n", "err\n")


def test_says_something_to_the_program() -> None:
    program = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])"
    assert run_command([sys.executable, "-c", program], timeout=10, text="a\udcffb") == CommandResult(0, "b\ufffda")
    assert run_command(["printf", r"a\r\nb\rc"], timeout=10).stdout == "a\nb\nc"


def test_nothing_is_raised(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert run_command(["no-such-program"], timeout=10).code == 127
    assert run_command([str(plain)], timeout=10).code == 126
    assert run_command(["true", "a\0b"], timeout=10).code == 126
    assert run_command(["sleep", "5"], timeout=0.05) == CommandResult(124, "", "sleep did not end within 0 s")


def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    """`docker` runs its plugin `compose` as a child: when the time is over, that must not go on."""
    note = tmp_path / "pid"
    assert run_command(["sh", "-c", f"sleep 60 & echo $! > {note}; wait"], timeout=0.3).code == 124
    child = Path("/proc", note.read_text().strip(), "cmdline")
    deadline = time.monotonic() + 5
    # A dead process that nobody waited for is still listed, with nothing in it.
    while child.exists() and child.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_undecodable_output_is_kept_readable() -> None:
    assert run_command(["printf", r"a\377b"], timeout=10).stdout == "a\ufffdb"
