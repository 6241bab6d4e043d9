# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Caddy that serves this host: its program, its user, its environment and the configuration that it runs with."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..command import run_command
from ..unix_http import ask_caddy
from .wanted import Paths

UNIT = "caddy.service"
_TIMEOUT = 10.0


class CaddyError(Exception):
    """The running Caddy cannot be asked; the text says why, with the fix."""


@dataclass(frozen=True)
class RunningCaddy:
    """A running process and where its admin endpoint is."""

    executable: str
    uid: int
    gid: int
    environment: Mapping[str, str] = field(repr=False)
    admin: Path
    default_storage: Path

    def config(self) -> dict[str, Any]:
        """The configuration that it runs with. CaddyError."""
        try:
            status, data = ask_caddy(str(self.admin), "/config/", _TIMEOUT)
            if status != 200:
                raise CaddyError(f"Caddy's admin endpoint ({self.admin}) answered {status}. Fix: run site.yml again")
            config = json.loads(data)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CaddyError(
                f"Caddy's admin endpoint ({self.admin}) does not answer: {error}. Fix: run site.yml again"
            ) from error
        if not isinstance(config, dict):
            raise CaddyError("Caddy runs without a configuration. Fix: run site.yml again")
        return config

    def as_user(self) -> dict[str, Any]:
        """What subprocess needs to run something as Caddy's user; nothing where that is who we are."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.uid != os.geteuid() else {}

    def storage(self, config: Mapping[str, Any]) -> Path:
        """Where it keeps certificates and challenges."""
        root = (config.get("storage") or {}).get("root")
        return Path(root) if root else self.default_storage


def find_caddy(paths: Paths, pid: int | None = None, proc: Path = Path("/proc")) -> RunningCaddy:
    """The Caddy of the unit, or with this process number. CaddyError when it does not run or may not be looked at."""
    pid = _main_pid() if pid is None else pid
    folder = proc / str(pid)
    try:
        about = folder.stat()
        environment = dict(
            entry.split("=", 1)
            for entry in (folder / "environ").read_text(errors="replace").split("\0")
            if "=" in entry
        )
        executable = os.readlink(folder / "exe").removesuffix(" (deleted)")  # noqa: PTH115 - it is no real path.
    except PermissionError as error:
        raise CaddyError("This needs to look at the running Caddy. Fix: run it with sudo") from error
    except OSError as error:
        raise CaddyError(f"Caddy has just ended: {error.strerror}. Fix: journalctl -u caddy says why") from error
    return RunningCaddy(
        executable, about.st_uid, about.st_gid, environment, paths.root / "run/caddy/admin.socket", paths.storage
    )


def _main_pid() -> int:
    done = run_command(["systemctl", "show", UNIT, "--property", "MainPID", "--value"], timeout=_TIMEOUT)
    if done.code != 0 or not done.stdout.strip().isdecimal() or int(done.stdout) == 0:
        raise CaddyError(
            f"{UNIT} does not run on this host. Fix: systemctl start caddy; journalctl -u caddy says why it ended"
        )
    return int(done.stdout)
