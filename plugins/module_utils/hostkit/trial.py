# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tries a change out that may cut the operator off: a timer on the host undoes it, unless someone confirms it over a
new connection.

Confirming and undoing race for one file: whoever renames ``pending.json`` has won, and the other leaves things alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from .command import CommandResult
from .files import write_file
from .units import Systemd

Run = Callable[[Sequence[str]], CommandResult]


class TrialError(Exception):
    """What keeps a change from being tried, and the fix."""


@dataclass(frozen=True)
class Trial:
    """A change that is in force and not yet confirmed. ``session`` marks the connection that made it, if known."""

    token: str
    timer: str
    session: str
    seconds: int


@contextlib.contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Two runs on one host come one after the other."""
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class Trials(ABC):
    """The trial of a host; there is at most one at a time. A subclass knows what is tried, and how to undo it."""

    tried: ClassVar[str]
    """How messages call what is tried, in the plural: rules."""
    error: ClassVar[type[Exception]] = TrialError
    """What is raised, with a message for the operator."""

    def __init__(self, systemd: Systemd, run: Run, folder: Path, host: str) -> None:
        self._systemd, self._run, self._host = systemd, run, host
        self._folder = folder
        self._pending = folder / "pending.json"

    @abstractmethod
    def undo_lines(self) -> str:
        """Shell lines that undo the change. They run in the folder of the trial."""

    @abstractmethod
    def undo_now(self) -> None:
        """Undo the change from here."""

    def pending(self) -> Trial | None:
        """The trial that waits for its confirmation."""
        try:
            return Trial(**json.loads(self._pending.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise self.error(
                f"{self._pending} on {self._host} cannot be read: {error}. Fix: remove it, then run again"
            ) from error

    def undone(self, token: str) -> bool:
        """Whether the host has undone this trial."""
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
            raise self.error(
                f"Another run is trying {self.tried} out on {self._host} and has not confirmed them. Nothing was"
                f" changed. Fix: wait {trial.seconds} s, until they are confirmed or undone, then run again"
            )
        self.undo_now()
        self._pending.replace(self._folder / "undone.json")
        return True

    def begin(self, trial: Trial, change: Callable[[], None]) -> None:
        """Start the timer, then make the change. What undoes it must lie in the folder by now."""
        for left in ("undone.json", "confirmed.json"):
            (self._folder / left).unlink(missing_ok=True)
        write_file(self._folder / "undo.sh", self._script().encode(), mode=0o600)
        write_file(self._pending, json.dumps(asdict(trial)).encode(), mode=0o600)
        try:
            self._start_timer(trial)
            change()
        except self.error:
            self._pending.unlink(missing_ok=True)
            self._stop_timer(trial)
            raise

    def confirm(self, trial: Trial) -> bool:
        """Stop the timer. False when it was faster, so that the change is undone."""
        try:
            self._pending.rename(self._folder / "confirmed.json")
        except FileNotFoundError:
            return False
        self._stop_timer(trial)
        return True

    def forget(self) -> None:
        """End a trial without a word on its outcome, before everything is removed."""
        trial = self.pending()
        if trial is not None and self.confirm(trial):
            (self._folder / "confirmed.json").unlink(missing_ok=True)

    def _script(self) -> str:
        lines = "".join(f"  {line}\n" for line in self.undo_lines().splitlines())
        return (
            f"cd {self._folder} || exit 1\n"
            "# Whoever renames the file has won: the confirmation or this.\n"
            "if mv -f pending.json undone.json 2>/dev/null || [ -e pending.json ]; then\n"
            f"{lines}"
            "fi\n"
        )

    def _start_timer(self, trial: Trial) -> None:
        # The last second is for the undoing itself: within the promised time the host is as it was.
        wait = max(1, trial.seconds - 1)
        answer = self._run(
            [
                *("systemd-run", "--quiet", "--collect", f"--unit={trial.timer}", f"--on-active={wait}s"),
                *("--timer-property=AccuracySec=100ms", f"--description=Put the old {self.tried} back"),
                *("/bin/sh", str(self._folder / "undo.sh")),
            ]
        )
        if answer.code:
            reason = (answer.stderr or answer.stdout).strip().splitlines()
            raise self.error(
                f"The timer that puts the old {self.tried} back did not start on {self._host}, so the new ones were not"
                f" loaded: {reason[0] if reason else 'systemd-run did not say why'}. Fix: deploy to a host that booted"
                " with systemd"
            )

    def _stop_timer(self, trial: Trial) -> None:
        # It may have gone off by now; then it found nothing to do, and there is nothing to stop.
        self._systemd.call("stop", f"{trial.timer}.timer")
