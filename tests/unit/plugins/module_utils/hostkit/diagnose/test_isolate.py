"""Steps and programs that fail, hang or flood cost their own part only."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose import isolate
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.bounded import (
    is_binary,
    read_bounded,
    run_bounded,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.entries import (
    Absent,
    Entry,
    File,
    Problem,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.diagnose.isolate import run_apart, run_here

SHELL = ("sh", "-c")


def test_what_a_step_gives_comes_over_as_it_is() -> None:
    given: list[Entry] = [File("a/b", 'ä\n\t"\0\ud800', cut=True), Problem("why"), Absent("what")]
    assert run_apart(lambda: iter(given), 10) == given
    assert run_here(lambda: iter(given), 10) == given


@pytest.mark.parametrize("run", [run_apart, run_here])
def test_a_step_that_fails_keeps_what_it_gave(run: isolate.Isolate) -> None:
    def work() -> Iterator[Entry]:
        yield File("a", "b")
        raise ZeroDivisionError("by nothing")

    assert run(work, 10) == [File("a", "b"), Problem("by nothing")]


def test_one_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    def work() -> Iterator[Entry]:
        yield File("a", "b")
        # In a session of its own, as run_command() starts programs.
        words = [*SHELL, f"echo $$ > {tmp_path}/pid; exec sleep 600"]
        subprocess.run(words, start_new_session=True, check=False)

    began = time.monotonic()
    assert run_apart(work, 1) == [File("a", "b"), Problem("it took longer than 1 s")]
    assert time.monotonic() - began < 10
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("it is still there")


def test_one_that_stops_itself_is_ended_too() -> None:
    def work() -> Iterator[Entry]:
        os.kill(os.getpid(), signal.SIGSTOP)
        yield File("a", "b")

    assert run_apart(work, 1) == [Problem("it took longer than 1 s")]


def test_one_that_is_killed_says_so() -> None:
    def work() -> Iterator[Entry]:
        yield File("a", "b")
        os.kill(os.getpid(), signal.SIGKILL)

    assert run_apart(work, 10) == [File("a", "b"), Problem("its process was ended")]


def test_one_that_gives_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolate, "MOST", 3_000_000)

    def work() -> Iterator[Entry]:
        while True:
            yield File("a", "x" * 1_000_000)

    found = run_apart(work, 30)
    assert found[-1] == Problem("it gave more than can be looked through")
    assert 1 < len(found) < 8


def test_a_step_neither_reads_nor_says_anything(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> Iterator[Entry]:
        os.write(2, b"said")
        yield File("a", os.read(0, 1).decode())

    assert run_apart(work, 10) == [File("a", "")]
    assert capfd.readouterr() == ("", "")


# ---- programs ----------------------------------------------------------------------------------------------------


def test_a_program() -> None:
    done = run_bounded([*SHELL, "echo out; echo bad >&2; exit 3"])
    assert (done.code, done.stdout, done.stderr, done.cut) == (3, "out\n", "bad\n", False)


def test_it_sees_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "here")
    assert "CANARY" not in run_bounded(["env"]).stdout


def test_only_the_end_is_kept_from_the_begin_of_a_line_on() -> None:
    done = run_bounded([*SHELL, "seq 1 200000"], limit=1000)
    lines = done.stdout.splitlines()
    assert done.cut
    assert lines[-1] == "200000"
    assert lines == [str(number) for number in range(int(lines[0]), 200001)]
    assert 900 <= len(done.stdout) <= 1000


def test_one_endless_line_leaves_nothing_of_it() -> None:
    done = run_bounded([*SHELL, "head -c 500000 /dev/zero | tr '\\0' x; echo; echo last"], limit=1000)
    assert (done.stdout, done.cut) == ("last\n", True)


def test_one_that_hangs_leaves_whole_lines() -> None:
    done = run_bounded([*SHELL, "echo whole; printf half; exec sleep 600"], timeout=1)
    assert (done.code, done.stdout, done.cut) == (124, "whole\n", True)
    assert "did not end within 1 s" in done.stderr


def test_one_that_closes_its_output_and_stays() -> None:
    began = time.monotonic()
    assert run_bounded([*SHELL, "exec >&- 2>&-; sleep 600"], timeout=1).code == 124
    assert time.monotonic() - began < 10


def test_one_that_is_not_there(tmp_path: Path) -> None:
    assert run_bounded(["no-such-program"]).code == 127
    (tmp_path / "it").write_text("x")
    assert run_bounded([str(tmp_path / "it")]).code == 126


# ---- files -------------------------------------------------------------------------------------------------------


def test_the_end_of_a_file_from_the_begin_of_a_line_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("first secret-begins\nsecond\nthird\n")
    assert read_bounded(path, limit=20) == (b"second\nthird\n", True)
    assert read_bounded(path) == (path.read_bytes(), False)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        read_bounded(tmp_path / "pipe")


def test_what_is_text() -> None:
    assert not is_binary("ä text\n".encode())
    assert not is_binary(b"")
    assert is_binary(b"ELF\0")
    assert is_binary(bytes(range(128, 256)))
