# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Trying a drop-in out: real files and the real undo script; systemd and fail2ban are played."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult, run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.sshd.trial import UNDO_UNIT, Paths, SshdTrials
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.trial import Trial, TrialError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.units import Systemd
from fakes.network_lab import folder_in_memory

# What is active stands in a file beside it.
SYSTEMCTL = """
case "$1" in
show) while [ "$1" != -- ]; do shift; done; shift
  for unit; do state=inactive; grep -qx "$unit" $0.active && state=active
    printf "Id=x\\nActiveState=$state\\n\\n"; done;;
--quiet) shift 2; for unit; do grep -qx "$unit" $0.active && exit 0; done; exit 3;;
esac
"""
TRIAL = Trial("t1", "hypercode-sshd-undo-t1", "198.51.100.2 40000 22", 30)


class Bench:
    """A trial on a folder. The programs of the host are scripts that note how they were called."""

    def __init__(self, root: Path, programs: Path) -> None:
        self.paths, self._programs = Paths(root), programs
        self.notes = programs / "notes"
        self.notes.touch()
        self.program("systemctl", SYSTEMCTL)
        self.active(f"{TRIAL.timer}.timer", "ssh.service")
        self.program("systemd-run", "")
        self.program("fail2ban-client", "")
        self.trials = SshdTrials(Systemd(self.run, "web1"), self.run, self.paths, "web1", "ssh.service", "198.51.100.2")

    def program(self, name: str, body: str) -> None:
        path = self._programs / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.notes}\n{body}\n')
        path.chmod(0o755)

    def active(self, *units: str) -> None:
        (self._programs / "systemctl.active").write_text("".join(f"{unit}\n" for unit in units))

    def run(self, argv: Sequence[str]) -> CommandResult:
        return run_command(argv, timeout=20, environment={"PATH": f"{self._programs}:{os.environ['PATH']}"})

    def called(self, words: str) -> int:
        return sum(words in line for line in self.notes.read_text().splitlines())

    def fire(self) -> None:
        """What the timer does, or the unit at a boot."""
        environment = {"PATH": f"{self._programs}:{os.environ['PATH']}"}
        subprocess.run(["/bin/sh", self.paths.trial / "undo.sh"], check=True, env=environment)

    def files(self) -> set[str]:
        root = self.paths.root
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() or path.is_symlink()}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with folder_in_memory() as root:
        yield Bench(root, tmp_path)


def test_confirmed_settings_stay(bench: Bench) -> None:
    bench.trials.start(TRIAL, "LoginGraceTime 30\n")
    assert bench.paths.drop_in.read_text() == "LoginGraceTime 30\n"
    assert bench.called("try-reload-or-restart ssh.service") == 1
    assert bench.called("systemd-run") == 1
    assert bench.trials.confirm(TRIAL)
    bench.fire()
    assert bench.paths.drop_in.read_text() == "LoginGraceTime 30\n"
    assert bench.called("try-reload-or-restart") == 1
    assert not [name for name in bench.files() if UNDO_UNIT in name]


@pytest.mark.parametrize("before", [None, "LoginGraceTime 60\n"])
@pytest.mark.parametrize("after", [None, "LoginGraceTime 30\n"])
def test_what_nobody_confirms_is_undone(bench: Bench, before: str | None, after: str | None) -> None:
    if before:
        bench.paths.drop_in.parent.mkdir(parents=True)
        bench.paths.drop_in.write_text(before)
    bench.trials.start(TRIAL, after)
    assert bench.paths.drop_in.exists() is (after is not None)
    # A reboot in between: the unit is there, and starts the same script.
    assert bench.paths.wants.resolve() == bench.paths.unit
    assert f"ExecStart=/bin/sh {bench.paths.trial}/undo.sh" in bench.paths.unit.read_text()
    bench.fire()
    assert (bench.paths.drop_in.read_text() if before else None) == before
    assert bench.paths.drop_in.exists() is (before is not None)
    assert bench.called("--no-block try-reload-or-restart ssh.service") == 1
    assert not bench.paths.unit.exists()
    assert not bench.paths.wants.is_symlink()
    assert bench.trials.undone("t1")
    assert not bench.trials.confirm(TRIAL)


def test_a_socket_of_systemd_needs_a_restart(bench: Bench) -> None:
    """Told to reload, such a sshd finds its own port taken and dies."""
    bench.active("ssh.socket", "ssh.service")
    bench.trials.start(TRIAL, "x\n")
    assert bench.called("systemctl try-restart ssh.service") == 1
    bench.fire()
    assert bench.called("systemctl --no-block try-restart ssh.service") == 1
    assert bench.called("reload") == 0


def test_the_unit_of_the_boot_is_one_that_systemd_takes(bench: Bench) -> None:
    bench.trials.start(TRIAL, "x\n")
    text = bench.paths.unit.read_text()
    assert "Before=ssh.service sshd.service ssh.socket" in text
    assert f"ConditionPathExists={bench.paths.trial}/pending.json" in text


def test_the_address_that_proves_is_not_counted_as_an_attacker(bench: Bench) -> None:
    bench.trials.start(TRIAL, "x\n")
    assert bench.called("fail2ban-client set sshd addignoreip 198.51.100.2") == 1
    bench.fire()
    assert bench.called("fail2ban-client set sshd delignoreip 198.51.100.2") == 1
    bench.trials.start(TRIAL, "x\n")
    bench.trials.confirm(TRIAL)
    assert bench.called("delignoreip") == 2


def test_an_address_that_is_never_counted_stays_so(bench: Bench) -> None:
    bench.program("fail2ban-client", "[ $1 != get ] || echo 198.51.100.2")
    bench.trials.start(TRIAL, "x\n")
    bench.trials.confirm(TRIAL)
    assert bench.called("ignoreip 198") == 0


def test_without_fail2ban_there_is_nothing_to_spare(bench: Bench) -> None:
    bench.program("fail2ban-client", "exit 255")
    bench.trials.start(TRIAL, "x\n")
    assert bench.called("addignoreip") == 0
    bench.fire()
    assert bench.called("delignoreip") == 0


def test_without_a_timer_nothing_changes(bench: Bench) -> None:
    bench.program("systemd-run", "echo 'Failed to connect to bus' >&2; exit 1")
    with pytest.raises(TrialError, match=r"The timer that puts the old settings of sshd back did not start on web1"):
        bench.trials.start(TRIAL, "x\n")
    assert not bench.paths.drop_in.exists()
    assert not bench.paths.unit.exists()
    assert bench.trials.pending() is None


def test_a_reload_that_fails_is_undone_at_once(bench: Bench) -> None:
    bench.program("systemctl", 'case "$*" in try*) echo "Job failed." >&2; exit 1;; esac' + SYSTEMCTL)
    with pytest.raises(TrialError, match=r"ssh.service on web1 did not reload: Job failed\. The old settings are back"):
        bench.trials.start(TRIAL, "x\n")
    assert not bench.paths.drop_in.exists()
    assert bench.trials.pending() is None


def test_a_second_run_during_a_trial_waits_for_it(bench: Bench) -> None:
    bench.trials.start(TRIAL, "x\n")
    with pytest.raises(TrialError, match=r"Another run is trying settings of sshd out on web1.*Fix: wait 30 s"):
        bench.trials.clear()
    # Its timer got lost.
    bench.active()
    assert bench.trials.clear() is True
    assert not bench.paths.drop_in.exists()
    assert bench.trials.clear() is False
