# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tries rules out: a timer on the host puts the old ones back, unless someone confirms over a new connection.

Confirming and undoing race for one file: whoever renames ``pending.json`` has won, and the other leaves things alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..files import write_file
from ..units import Systemd
from .nft import FirewallError, Nft, Run
from .render import removal
from .unit import Paths


@dataclass(frozen=True)
class Trial:
    """Rules that are loaded and not yet confirmed. ``session`` marks the connection that loaded them, if known."""

    token: str
    timer: str
    session: str
    seconds: int


@contextlib.contextmanager
def one_at_a_time(paths: Paths) -> Iterator[None]:
    """Two runs on one host come one after the other."""
    paths.trial.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    with (paths.trial.parent / "firewall.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class Trials:
    """The trial of a host; there is at most one at a time."""

    def __init__(self, nft: Nft, systemd: Systemd, run: Run, paths: Paths, host: str) -> None:
        self._nft, self._systemd, self._run, self._host = nft, systemd, run, host
        self._folder, self._rules = paths.trial, paths.rules
        self._pending = self._folder / "pending.json"

    def pending(self) -> Trial | None:
        """The trial that waits for its confirmation."""
        try:
            return Trial(**json.loads(self._pending.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise FirewallError(
                f"{self._pending} on {self._host} cannot be read: {error}. Fix: remove it, then run again"
            ) from error

    def undone(self, token: str) -> bool:
        """Whether the timer has put the old rules back after this trial."""
        return self._is("undone.json", token)

    def confirmed(self, token: str) -> bool:
        """Whether this trial was confirmed. Who asks may have missed the answer when the connection broke."""
        return self._is("confirmed.json", token)

    def _is(self, name: str, token: str) -> bool:
        try:
            return bool(json.loads((self._folder / name).read_text(encoding="utf-8"))["token"] == token)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def clear(self) -> bool:
        """Make room for a trial. One whose timer got lost is undone now: True then."""
        trial = self.pending()
        if trial is None:
            return False
        timer = f"{trial.timer}.timer"
        if self._systemd.states([timer])[timer].running:
            raise FirewallError(
                f"Another run is trying rules out on {self._host} and has not confirmed them. Nothing was changed. Fix:"
                f" wait {trial.seconds} s, until they are confirmed or undone, then run again"
            )
        self._nft.load(self._folder / "undo.nft")
        self._pending.replace(self._folder / "undone.json")
        return True

    def start(self, trial: Trial, candidate: Path, before: str | None) -> None:
        """Load the candidate. ``before`` is the listing of the rules that are loaded now, to go back to."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in ("undone.json", "confirmed.json"):
            (self._folder / left).unlink(missing_ok=True)
        self._write_undo(before)
        write_file(self._folder / "undo.sh", self._script().encode(), mode=0o600)
        write_file(self._pending, json.dumps(asdict(trial)).encode(), mode=0o600)
        try:
            self._start_timer(trial)
            self._nft.load(candidate)
        except FirewallError:
            self._pending.unlink(missing_ok=True)
            self._stop_timer(trial)
            raise

    def confirm(self, trial: Trial) -> bool:
        """Stop the timer. False when it was faster, so that the old rules are back."""
        try:
            self._pending.rename(self._folder / "confirmed.json")
        except FileNotFoundError:
            return False
        self._stop_timer(trial)
        return True

    def forget(self) -> None:
        """End a trial without a word on its rules, before everything is removed."""
        trial = self.pending()
        if trial is not None and self.confirm(trial):
            (self._folder / "confirmed.json").unlink(missing_ok=True)

    def _write_undo(self, before: str | None) -> None:
        """What is loaded now is what to go back to; where nft cannot read its own listing, the rules of the boot."""
        undo = self._folder / "undo.nft"
        write_file(undo, (removal() + (before or "")).encode(), mode=0o600)
        problem = self._nft.problem(undo)
        if not problem:
            return
        if self._rules.exists() and not self._nft.problem(self._rules):
            write_file(undo, self._rules.read_bytes(), mode=0o600)
            return
        raise FirewallError(
            f"There would be no way back on {self._host}: nft cannot load the rules that it listed ({problem}). Nothing"
            f" was changed. Fix: see {undo}; 'nft delete table inet hypercode' clears the way"
        )

    def _script(self) -> str:
        return (
            f"cd {self._folder} || exit 1\n"
            "# Whoever renames the file has won: the confirmation or this.\n"
            "if mv -f pending.json undone.json 2>/dev/null || [ -e pending.json ]; then\n"
            "  nft -f undo.nft\n"
            "fi\n"
        )

    def _start_timer(self, trial: Trial) -> None:
        answer = self._run(
            [
                *("systemd-run", "--quiet", "--collect", f"--unit={trial.timer}", f"--on-active={trial.seconds}s"),
                *("--timer-property=AccuracySec=100ms", "--description=Put the old firewall rules back"),
                *("/bin/sh", str(self._folder / "undo.sh")),
            ]
        )
        if answer.code:
            reason = (answer.stderr or answer.stdout).strip().splitlines()
            raise FirewallError(
                f"The timer that puts the old rules back did not start on {self._host}, so the new ones were not"
                f" loaded: {reason[0] if reason else 'systemd-run did not say why'}. Fix: deploy to a host that booted"
                " with systemd"
            )

    def _stop_timer(self, trial: Trial) -> None:
        # It may have gone off by now; then it found nothing to do, and there is nothing to stop.
        self._systemd.call("stop", f"{trial.timer}.timer")
