# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tries a configuration of sshd out. The host puts the old one back unless someone confirms over a new connection.

The drop-in lies where it counts while it is tried, so a reboot must undo it too: the trial is kept on disk, and while
it lasts there is a unit that undoes it before sshd starts.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from .. import trial
from ..files import sync_folders, write_file
from ..trial import Run, Trial, TrialError
from ..units import Systemd
from .settings import DROP_IN

UNDO_UNIT = "hypercode-sshd-undo.service"
# A sshd whose socket is systemd's cannot bind it anew when it is told to reload, and dies. A restart takes it over
# again, and leaves sessions alone (KillMode=process). One that does not run reads its settings when somebody comes.
_SOCKETS = ("ssh.socket", "sshd.socket")
_WITH_SOCKET, _ALONE = "try-restart", "try-reload-or-restart"
# Before sshd and before anything that hands it connections. Without default dependencies, since ssh.socket is a part of
# what these wait for.
_UNIT = """\
[Unit]
Description=Put the old settings of sshd back, which a reboot kept from being proved
DefaultDependencies=no
After=local-fs.target
Before=ssh.service sshd.service ssh.socket sshd.socket shutdown.target
Conflicts=shutdown.target
ConditionPathExists={pending}

[Service]
Type=oneshot
ExecStart=/bin/sh {script}
"""


@dataclass(frozen=True)
class Paths:
    """Where things lie, below ``root``."""

    root: Path = Path("/")

    @property
    def drop_in(self) -> Path:
        """What this is all about."""
        return self.root / DROP_IN.lstrip("/")

    @property
    def trial(self) -> Path:
        """What belongs to a trial. On disk, unlike that of the firewall: see above."""
        return self.root / "var/lib/hypercode/sshd"

    @property
    def unit(self) -> Path:
        """The unit of a boot during a trial."""
        return self.root / "etc/systemd/system" / UNDO_UNIT

    @property
    def wants(self) -> Path:
        """What has it started at boot."""
        return self.root / "etc/systemd/system/sysinit.target.wants" / UNDO_UNIT

    @property
    def lock(self) -> Path:
        """What two runs at once fight for."""
        return self.root / "run/hypercode/sshd.lock"


class SshdTrials(trial.Trials):
    """The trial of a drop-in. ``unit`` is the one that runs sshd, ``client`` the address that is to prove it."""

    tried = "settings of sshd"

    def __init__(self, systemd: Systemd, run: Run, paths: Paths, host: str, unit: str, client: str = "") -> None:
        super().__init__(systemd, run, paths.trial, host)
        self._paths, self._unit, self._client = paths, unit, client

    def undo_lines(self) -> str:
        target = shlex.quote(str(self._paths.drop_in))
        leftovers = " ".join(shlex.quote(str(path)) for path in (self._paths.wants, self._paths.unit))
        return (
            # Not under a name that sshd reads, until it is whole.
            f"if [ -e before.conf ]; then cp before.conf {target}.old && mv -f {target}.old {target};"
            f" else rm -f {target}; fi\n"
            f"rm -f {leftovers}\n"
            f"if systemctl --quiet is-active {' '.join(_SOCKETS)}; then how={_WITH_SOCKET}; else how={_ALONE}; fi\n"
            # At boot sshd does not run yet: then this does nothing.
            f"systemctl --no-block $how {self._unit}\n"
            # Written by _spare.
            "if [ -e unspare.sh ]; then sh unspare.sh; rm -f unspare.sh; fi"
        )

    def undo_now(self) -> None:
        answer = self._run(["/bin/sh", "-e", "-c", f"cd {shlex.quote(str(self._folder))}\n{self.undo_lines()}"])
        if answer.code:
            raise TrialError(
                f"The old settings of sshd could not be put back on {self._host}: {answer.stderr.strip()}. Fix: see"
                f" {self._folder}/before.conf and {self._paths.drop_in}, then systemctl reload {self._unit}"
            )

    def start(self, trial: Trial, text: str | None) -> None:
        """Put the drop-in in place, or take it away, and have sshd read it."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = self._folder / "before.conf"
        if self._paths.drop_in.exists():
            write_file(before, self._paths.drop_in.read_bytes(), mode=0o644)
        else:
            before.unlink(missing_ok=True)
        self._arm_boot()
        self._spare()
        try:
            self.begin(trial, lambda: self._change(text))
        except TrialError:
            self._disarm_boot()
            self._end_sparing()
            raise

    def confirm(self, trial: Trial) -> bool:
        """Keep the drop-in. False when it has been undone meanwhile."""
        if not super().confirm(trial):
            return False
        self._disarm_boot()
        self._end_sparing()
        return True

    def _change(self, text: str | None) -> None:
        put(self._paths.drop_in, text)
        sockets = self._systemd.states(_SOCKETS)
        by_socket = any(state.running for state in sockets.values())
        answer = self._systemd.call(_WITH_SOCKET if by_socket else _ALONE, self._unit)
        if answer.code:
            self.undo_now()
            said = [line.rstrip(". ") for line in answer.stderr.splitlines() if line.strip()]
            raise TrialError(
                f"{self._unit} on {self._host} did not reload: {said[0] if said else 'systemctl did not say why'}."
                f" The old settings are back. Fix: see journalctl -u {self._unit}"
            )

    def _spare(self) -> None:
        """Have fail2ban not count what the proof fails at: else the host stays shut when all has been undone."""
        words = ["fail2ban-client", "set", "sshd"]
        seen = self._run(["fail2ban-client", "get", "sshd", "ignoreip"])
        # Without fail2ban, or without its jail for sshd, nobody counts.
        if not self._client or seen.code or self._client in seen.stdout.split():
            return
        if self._run([*words, "addignoreip", self._client]).code == 0:
            line = shlex.join([*words, "delignoreip", self._client])
            write_file(self._folder / "unspare.sh", f"{line}\n".encode(), mode=0o600)

    def _end_sparing(self) -> None:
        script = self._folder / "unspare.sh"
        if script.exists():
            self._run(["/bin/sh", str(script)])
            script.unlink(missing_ok=True)

    def _arm_boot(self) -> None:
        unit = _UNIT.format(pending=self._pending, script=self._folder / "undo.sh")
        self._paths.wants.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        write_file(self._paths.unit, unit.encode(), mode=0o644)
        if not self._paths.wants.is_symlink():
            self._paths.wants.symlink_to(f"../{UNDO_UNIT}")
        sync_folders([self._paths.wants.parent])

    def _disarm_boot(self) -> None:
        for path in (self._paths.wants, self._paths.unit):
            path.unlink(missing_ok=True)


def put(path: Path, text: str | None) -> None:
    """Write a drop-in whole, or take it away."""
    if text is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    write_file(path, text.encode(), mode=0o644)
