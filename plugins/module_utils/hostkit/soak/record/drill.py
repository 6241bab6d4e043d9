# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One drill of a restore within a day of soaking: they are made once a week, so most days have none of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...command import CommandResult, run_command
from ..settings import Settings

UNIT = "hypercode-soak-drill"
# As a share of the time: by then there was a backup, and there is time for the drill and for another try.
AT, AGAIN = 0.6, 0.1
TRIES = 3
_DAY = 86400.0


def start_drill() -> CommandResult:
    """Start it as a unit of its own: it takes a while, and needs more than the recorder may have."""
    gently = ("--property=Nice=15", "--property=IOSchedulingClass=idle", "--property=RuntimeMaxSec=6h")
    words = ("systemd-run", "--quiet", "--collect", f"--unit={UNIT}", *gently)
    return run_command([*words, "/usr/local/bin/hypercode", "backup", "drill"], timeout=60)


class Drills:
    """Of one run. `state` is kept between runs of the recorder."""

    def __init__(
        self, settings: Settings, began: float, state: dict[str, Any], start: Callable[[], CommandResult] = start_drill
    ) -> None:
        self._settings, self._began, self._state, self._start = settings, began, state, start

    def see_to_it(self, elapsed: float, backup: Mapping[str, Any] | None) -> str:
        """Start one where there should be one and was none; what came of that, in words. `backup` as in a sample."""
        settings = self._settings
        if (
            settings.limits.drills < 1
            or settings.duration < 0.95 * _DAY
            or not backup
            or not backup.get("last_success")
        ):
            return ""
        tries = int(self._state.get("tries") or 0)
        if float(backup.get("last_drill_run") or 0) >= self._began or tries >= TRIES:
            return ""
        if elapsed < (AT + AGAIN * tries) * settings.duration:
            return ""
        self._state["tries"] = tries + 1
        done = self._start()
        return "a drill is started" if done.code == 0 else f"a drill cannot be started: {done.stderr.strip()[-200:]}"
