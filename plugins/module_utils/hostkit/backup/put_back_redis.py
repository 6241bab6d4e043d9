# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Redis and Valkey come back from their snapshot, also where the append-only file is on.

With `appendonly yes` a server reads its append-only file and no dump.rdb beside it. So a scratch server of the same
image reads the snapshot with the append-only file off, then is told to write one, and ends: afterwards both are there,
and whichever the service reads has all keys.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..command import run_command
from .config import BackupError
from .drill import available_memory, compare_keys
from .redis import CLIENT, parse_info
from .stack import Container, Stack, call_docker, scratch_limits

# What of a server's folder is its data, by the names of a server that was told no others.
DATA = "/data"
DUMP, LOG, LOGS = "dump.rdb", "appendonly.aof", "appendonlydir"
_SOCKET = "/tmp/hypercode-restore.sock"  # noqa: S108  Nobody else is in there.
# $1 the name of the snapshot, $2 that of the append-only file.
_SERVE = (
    'server=$(command -v valkey-server || command -v redis-server) || exit 127; exec "$server" --appendonly no '
    f'--save \'\' --port 0 --unixsocket {_SOCKET} --dir {DATA} --dbfilename "$1" --appendfilename "$2"'
)
_POLL = 0.3


@dataclass(frozen=True)
class Layout:
    """Where a server keeps its data: a folder of the host, and the names in it."""

    folder: Path
    dump: str = DUMP
    log: str = LOG
    logs: str = LOGS
    # Without an append-only file, what is left of an old one is none of its data.
    appends: bool = True

    @property
    def names(self) -> list[str]:
        """Patterns for all that is its data."""
        logs = [f"{self.log}*", self.logs, "temp-*.aof"] if self.appends else []
        return [self.dump, *logs, "temp-*.rdb"]


def layout_of(stack: Stack, container: Container, *, running: bool) -> Layout:
    """Ask the server where its data is; one that does not run is taken to have the usual names. BackupError."""
    told: dict[str, str] = {}
    if running:
        for key in ("dir", "dbfilename", "appendfilename", "appenddirname", "appendonly"):
            done = run_command(stack.inside(container, CLIENT, "CONFIG", "GET", key), timeout=30)
            lines = done.stdout.splitlines()
            if done.code == 0 and len(lines) == 2 and lines[0] == key and lines[1]:
                told[key] = lines[1]
    place = Path(told.get("dir", DATA))
    folder = stack.folder_in(container, place)
    if folder is None:
        raise BackupError(
            f"{container.service} keeps its data in {place}, where no volume is mounted. "
            "Fix: mount one in the Compose file, then run site.yml"
        )
    return Layout(
        folder,
        told.get("dbfilename", DUMP),
        told.get("appendfilename", LOG),
        told.get("appenddirname", LOGS),
        told.get("appendonly") != "no",
    )


def prepare(
    stack: Stack, image: str, item: str, facts: Mapping[str, Any], dump: Path, layout: Layout, folder: Path
) -> None:
    """Make in a new folder what the service is to find: the snapshot and an append-only file. BackupError.

    All of it belongs to the owner of the folder that it goes to.
    """
    owner = layout.folder.stat()
    folder.mkdir(mode=0o700)
    shutil.copyfile(dump, folder / layout.dump)
    (folder / layout.dump).chmod(0o600)
    for path in (folder, folder / layout.dump):
        shutil.chown(path, owner.st_uid, owner.st_gid)
    words = ("--user", f"{owner.st_uid}:{owner.st_gid}", "--volume", f"{folder}:{DATA}", "--tmpfs", "/tmp:mode=1777")  # noqa: S108
    limits = scratch_limits(memory_for_scratch())
    program = ("--entrypoint", "sh", image, "-c", _SERVE, "sh", layout.dump, layout.log)
    found = call_docker(stack.docker, "run", "--detach", *limits, *words, *program, what="the restore")
    container = Container("scratch", found.splitlines()[-1], image, {}, [])
    try:
        seconds = max(60.0, int(facts["bytes"]) / 5e6)
        text = _wait(stack, container, item, seconds, ("loading:0",))
        compare_keys(item, facts, parse_info(text)[0])
        if layout.appends:
            _tell(stack, container, "CONFIG", "SET", "appendonly", "yes")
            wanted = (
                "aof_enabled:1",
                "aof_rewrite_in_progress:0",
                "aof_rewrite_scheduled:0",
                "aof_last_bgrewrite_status:ok",
            )
            _wait(stack, container, item, seconds, wanted)
        # It ends once all is on the disk.
        run_command(_asked(stack, container, "SHUTDOWN", "NOSAVE"), timeout=60)
    finally:
        call_docker(stack.docker, "rm", "--force", "--volumes", container.id, what="the restore")
    made = folder / LOGS
    if made.is_dir() and layout.logs != LOGS:
        made.rename(folder / layout.logs)


def memory_for_scratch() -> int:
    """How much memory a scratch server may take, in bytes."""
    return max(available_memory() // 2, 64 << 20)


def _asked(stack: Stack, container: Container, *words: str) -> list[str]:
    return stack.inside(container, CLIENT, "-s", _SOCKET, *words)


def _tell(stack: Stack, container: Container, *words: str) -> None:
    done = run_command(_asked(stack, container, *words), timeout=60)
    if done.code != 0 or "OK" not in done.stdout:
        reason = (done.stderr or done.stdout).strip()[:200].rstrip(".")
        raise BackupError(f"The scratch server did not take {' '.join(words)}: {reason}. Fix: look at its image")


def _wait(stack: Stack, container: Container, item: str, seconds: float, wanted: Sequence[str]) -> str:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done = run_command(_asked(stack, container, "INFO", "everything"), timeout=30)
        lines = done.stdout.split()
        if done.code == 0 and all(word in lines for word in wanted):
            return done.stdout
        if done.code != 0:
            _check_alive(stack, container, item)
        time.sleep(_POLL)
    raise BackupError(f"{item} was not loaded within {seconds:.0f} s. Fix: look at an earlier run; look at the image")


def _check_alive(stack: Stack, container: Container, item: str) -> None:
    """BackupError where the scratch server has ended: nothing more will come of it."""
    state = run_command([*stack.docker, "inspect", "--format", "{{.State.Running}}", container.id], timeout=30)
    if state.code == 0 and state.stdout.strip() == "false":
        said = run_command([*stack.docker, "logs", "--tail", "5", container.id], timeout=30)
        lines = (said.stdout + said.stderr).strip().splitlines() or ["it said nothing"]
        raise BackupError(
            f"{item} could not be loaded, for the scratch server ended: {lines[-1].strip()[:200].rstrip('.')}. "
            "Fix: look at an earlier run; look at the image"
        )
