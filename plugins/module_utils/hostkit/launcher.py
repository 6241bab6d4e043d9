# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts a rollout in a process of its own on the host, waits for its end, and says in words how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .command import CommandResult
from .engine import Engine, run_docker
from .release import UNFINISHED, Paths, Release, Store, lock_holder
from .rollout_run import run_release

HOST_COMMAND = Path("/usr/local/bin/hypercode")
SYSTEMD = Path("/run/systemd/system")
# An unfinished rollout whose lock is free for that long is not at work: it takes it first of all.
DEAD_AFTER = 5.0
POLL = 0.5
# A release is run again after it was cut off; units of earlier attempts can still be there.
ATTEMPTS = 9
# How the host command begins what it has to say to a person.
SAYS = "hypercode: "


class LaunchError(Exception):
    """The rollout could not be started; nothing was changed. The text says why and the fix."""


class Launcher:
    """Starts a rollout and waits for it. Command runner, clock and sleep are injected."""

    def __init__(
        self,
        run: Callable[..., CommandResult] = run_docker,
        sleep: Callable[[float], None] = time.sleep,
        host_command: Path = HOST_COMMAND,
        *,
        clock: Callable[[], float] = time.monotonic,
        systemd: Path = SYSTEMD,
        run_here: Callable[[Store, Release, Engine], int] = run_release,
    ) -> None:
        self._run = run
        self._sleep = sleep
        self._host_command = host_command
        self._clock = clock
        self._systemd = systemd
        self._run_here = run_here
        self.unit = ""

    def start(self, store: Store, release: Release, engine: Engine) -> None:
        """Start it under systemd, so that it ends well without the controller. Raises LaunchError.

        Where there is no systemd or no host command, it runs in this process.
        """
        if not self._host_command.exists() or not self._systemd.is_dir():
            self._run_here(store, release, engine)
            return
        done = CommandResult(0)
        for attempt in range(1, ATTEMPTS + 1):
            unit = f"hypercode-rollout-{release.id}" + (f"-{attempt}" if attempt > 1 else "")
            done = self._run(
                [
                    *("systemd-run", "--quiet", "--collect", f"--unit={unit}", "--setenv=HOME=/root"),
                    *(str(self._host_command), "rollout", "apply", release.id),
                ],
                timeout=30,
            )
            if done.code == 0:
                self.unit = unit
                return
            if "already" not in done.stderr:
                break
        reason = " ".join(done.stderr.split()).rstrip(".") or f"exit code {done.code}"
        raise LaunchError(
            f"systemd did not start the rollout: {reason}. Nothing was changed. "
            "Fix: see systemctl status, mend what it names, then run the same command again"
        )

    def wait(self, store: Store, release: Release, timeout: float) -> dict[str, Any]:
        """Wait until the rollout ended; return its release.json. A time-out leaves it running.

        The status `died` stands for a process that is gone without having ended its work.
        """
        start = self._clock()
        idle_since: float | None = None
        while True:
            about = release.read()
            now = self._clock()
            if about["status"] not in UNFINISHED:
                return about
            if lock_holder(store.paths) == release.id:
                idle_since = None
            elif idle_since is None:
                idle_since = now
            elif now - idle_since >= DEAD_AFTER and not self._unit_is_active():
                # It may have ended between the two looks.
                about = release.read()
                if about["status"] not in UNFINISHED:
                    return about
                return about | {"status": "died", "failure": {"message": self._last_words()}}
            if now - start >= timeout:
                return about
            self._sleep(POLL)

    def _last_words(self) -> str:
        """What the process said last, such as that its disk is full; empty when it said nothing."""
        words = ("journalctl", "--quiet", "--no-pager", "--output=cat", "--lines=50", f"--unit={self.unit}.service")
        lines = self._run(list(words), timeout=30).stdout.splitlines() if self.unit else []
        return next((line.removeprefix(SAYS) for line in reversed(lines) if line.startswith(SAYS)), "")

    def _unit_is_active(self) -> bool:
        if not self.unit:
            return False
        return self._run(["systemctl", "is-active", "--quiet", f"{self.unit}.service"], timeout=30).code == 0


def failure_of(about: Mapping[str, Any], paths: Paths, *, timeout: float) -> str:
    """Return what a person is told of a rollout that is not done, given its release.json after the wait."""
    failure = about.get("failure") or {}
    status, again = about.get("status"), "run the same command again"
    if status in UNFINISHED:
        return f"The rollout is still at work after {timeout:.0f} s. Fix: {again}; it waits on"
    if status == "died":
        all_of_it = f"journalctl --unit 'hypercode-rollout-{about.get('id')}*'"
        if failure.get("message"):
            return f"The rollout's process ended without a result. {failure['message']}. All that it said: {all_of_it}"
        return f"The rollout's process ended without a result. Fix: {again}; it finishes the job. Why: {all_of_it}"
    if status == "abandoned":
        return f"Another rollout took the place of this one before it began. Fix: {again}"
    message = str(failure.get("message") or "The rollout failed and left no reason")
    journal = paths.state / f"{about.get('id')}.jsonl"
    previous, current = about.get("previous"), paths.current
    if status == "reverted":
        return f"{message}. The previous release {previous} is running again"
    if failure.get("revert") and current.is_symlink() and current.readlink().name == about.get("id"):
        # It is not reversible, and stays.
        return f"{message}. {failure['revert']}"
    if failure.get("revert"):
        return (
            f"{message}. Putting the previous release {previous} back failed too: {failure['revert']}. "
            f"Every step is in {journal}"
        )
    if failure.get("touched") and not current.exists():
        return f"{message}. Nothing was running before; what started is left for you to look at: hypercode status"
    if failure.get("touched"):
        return f"{message}. The other services of the release go on running"
    return message
