# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Talks to Caddy: what it is, what it runs, whether a configuration is right, and to load it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..command import NOT_FOUND, CommandResult, run_command
from ..unix_http import ask_caddy
from .layout import CADDYFILE, SOCKET, USER, Paths
from .render import LOG_VARIABLE, Version

Run = Callable[..., CommandResult]
_TIMEOUT, _ADMIN_TIMEOUT = 60.0, 10.0  # seconds
# Lists in Caddy's configuration whose order means nothing: names.
_SETS = ("sni", "host", "subjects")
# In a file that is judged: the folder that it is judged in.
FOLDER_WORD = "@FOLDER@"


class EdgeError(Exception):
    """What is wrong with the edge of this host, and the fix."""


class Caddy:
    """One Caddy of a host. ``run`` runs commands; ``paths`` say where things are."""

    def __init__(self, binary: str, paths: Paths | None = None, run: Run = run_command) -> None:
        self.binary = binary
        self._paths = paths or Paths()
        self._run = run

    def version(self) -> Version | None:
        """Major and minor; None where the program is not there."""
        done = self._run([self.binary, "version"], timeout=_TIMEOUT)
        if done.code == NOT_FOUND:
            return None
        match = re.match(r"v?(\d+)\.(\d+)", done.stdout.strip())
        if done.code or not match:
            words = _last(done)
            raise EdgeError(f"{self.binary} does not say which version it is: {words}. Fix: install Caddy again")
        return int(match[1]), int(match[2])

    def adapted(self) -> Any:
        """What the files of the host mean, as Caddy's JSON."""
        done = self._run(
            [self.binary, "adapt", "--config", str(self._paths.at(CADDYFILE)), "--adapter", "caddyfile"],
            timeout=_TIMEOUT,
        )
        if done.code:
            raise EdgeError(f"Caddy cannot read {CADDYFILE}: {_last(done)}. Fix: apply the role edge again")
        return json.loads(done.stdout)

    def running(self) -> Any:
        """What Caddy runs with, as JSON; None when it does not answer."""
        try:
            status, body = ask_caddy(str(self._paths.at(SOCKET)), "/config/", _ADMIN_TIMEOUT)
            return json.loads(body) if status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def reload(self, *, force: bool = False) -> None:
        """Load the files of the host, without a gap. EdgeError says what Caddy said; it then goes on with the old."""
        words = [self.binary, "reload", "--config", str(self._paths.at(CADDYFILE)), "--adapter", "caddyfile"]
        words += ["--address", f"unix/{self._paths.at(SOCKET)}", *(["--force"] if force else [])]
        done = self._run(words, timeout=_TIMEOUT)
        if done.code:
            raise EdgeError(
                f"Caddy did not take the new configuration, and goes on with the old one: {_last(done)}. "
                "Fix: mend what it names (journalctl -u caddy says more), then run again"
            )

    def runs_its_files(self, running: Any) -> bool:
        """Whether what Caddy runs with, as `running` tells it, is what its files say."""
        return bool(_in_order(running) == _in_order(self.adapted()))

    def settle(self, *, force: bool = False) -> bool:
        """Load the files where Caddy runs with something else; whether that was so. At its start it reads them."""
        running = self.running()
        if running is None or (not force and self.runs_its_files(running)):
            return False
        self.reload(force=force)
        return True

    def judge(self, files: Mapping[str, str], scratch: Path | None = None) -> str:
        """What is wrong with these files (names below the folder of the Caddyfile); empty when nothing is.

        Judged as the user that Caddy runs as, with certificates and keys, and with a folder of its own for what Caddy
        writes already now: a log, a CA. The host is left as it is.
        """
        folder = Path(tempfile.mkdtemp(prefix="hypercode-edge-", dir=scratch))
        try:
            for name, text in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text.replace(FOLDER_WORD, str(folder)), encoding="utf-8")
            as_user = self._hand_over(folder)
            done = self._run(
                [*as_user, self.binary, "validate", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"],
                timeout=_TIMEOUT,
                environment={
                    "XDG_DATA_HOME": str(folder / "data"),
                    "XDG_CONFIG_HOME": str(folder / "config"),
                    "HOME": str(folder),
                    LOG_VARIABLE: str(folder / "access.log"),
                },
            )
            return "" if done.code == 0 else _last(done).replace(f"{folder}/", "")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _hand_over(folder: Path) -> Sequence[str]:
        """Give a folder to Caddy's user, and return how to become that user; nothing where there is none."""
        if os.geteuid() != 0:
            return ()
        try:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, USER, USER)
        except LookupError:
            return ()
        return ("runuser", "--user", USER, "--")


def _in_order(config: Any) -> Any:
    """The same with sets of names in order: Caddy 2.6 writes the names of a site down in another one each time."""
    if isinstance(config, dict):
        return {
            key: sorted(value) if key in _SETS and isinstance(value, list) else _in_order(value)
            for key, value in config.items()
        }
    return [_in_order(item) for item in config] if isinstance(config, list) else config


def _last(done: CommandResult) -> str:
    """What Caddy said last, without the form of its log."""
    lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    words = next((line for line in reversed(lines) if line.startswith("Error:")), lines[-1] if lines else "nothing")
    with contextlib.suppress(ValueError, AttributeError):
        words = str(json.loads(words).get("msg", words))
    return words.removeprefix("Error: ").rstrip(".")
