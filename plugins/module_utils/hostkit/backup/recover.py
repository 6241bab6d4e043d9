# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings a Postgres to a moment: its base is unpacked, and a server of the same image replays its WAL.

That server has no network and a configuration of ours: settings of the old one are not needed to replay, and its
archive_command must not run. What it leaves is a whole data directory that was shut down in good order.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..board_text import human_size
from ..command import CommandResult, run_command
from ..engine import run_docker
from .config import BackupError
from .points import BASE_FILE, Base, read_about, read_bases, stamp
from .restic import Restic, input_of, start
from .run import Backup
from .streams import Deadline, end, read_back
from .wal import HISTORY, PARTIAL, begin_of, first_missing, position, segments

PURPOSE = "hypercode.purpose=recover"
_PID = "hypercode.pid"
POLL = 0.5
STOP = 600
_IN = "/hypercode-recover"
_SETTINGS = {
    "config_file": f"{_IN}/conf/postgresql.conf",
    "hba_file": f"{_IN}/conf/pg_hba.conf",
    "ident_file": f"{_IN}/conf/pg_ident.conf",
    "listen_addresses": "",
    "unix_socket_directories": f"{_IN}/run",
    "restore_command": f'cp "{_IN}/wal/%f" "%p"',
    "recovery_target_timeline": "current",
    # So the old server's max_connections and the like do not count.
    "hot_standby": "off",
    # ALTER SYSTEM may have said otherwise.
    "archive_mode": "off",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "ssl": "off",
    "shared_buffers": "128MB",
    "huge_pages": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_line_prefix": "",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
}
_NOT_REACHED = "recovery ended before configured recovery target was reached"
_LAST = re.compile(r"last completed transaction was at log time (\S+ \S+)")


@dataclass(frozen=True)
class Recovered:
    """What came back. `data` is the data directory. `reached` is when the last transaction in it ended, in seconds
    since 1970, or when the base began where there was none after it. `exact` when later ones were left out.
    """

    service: str
    base: str
    data: Path
    reached: float
    exact: bool
    seconds: float
    size: int
    image: str
    owner: str
    version: int
    found: Mapping[str, Any] = field(default_factory=dict)


# Asks the recovered server something before it is shut down. It gets the means to run a program in there.
Inspect = Callable[[Callable[..., CommandResult]], Mapping[str, Any]]


def recover(
    backup: Backup,
    restic: Restic,
    base: Base,
    folder: Path,
    deadline: Deadline,
    *,
    moment: float | None = None,
    inspect: Inspect | None = None,
    memory: str = "1g",
) -> Recovered:
    """Bring a base to a moment, or to the end of its WAL, in a folder that is new or empty. BackupError.

    The data directory is `folder`/data. What is left in the folder after a failure is of no use.
    """
    began = time.monotonic()
    work = fetch_current(backup, restic, base, folder, deadline, memory)
    facts = dict(work.facts)
    work.unpack()
    with work.server(moment) as ask:
        found = dict(inspect(ask)) if inspect else {}
    work.close()
    return Recovered(
        base.service,
        base.id,
        work.data,
        work.reached or float(facts["began"]),
        work.exact,
        round(time.monotonic() - began, 1),
        int(facts["bytes"]),
        str(facts["image"]),
        str(facts["owner"]),
        int(facts["version"]),
        found,
    )


def _begin(backup: Backup, restic: Restic, base: Base, folder: Path, deadline: Deadline, memory: str) -> _Recovery:
    """Get the WAL, before the base: that stays, while a newer shipment takes the place of this one each half minute."""
    for name in ("got", "wal"):
        shutil.rmtree(folder / name, ignore_errors=True)
    about = read_about(restic, base)
    _check_room(folder, about)
    work = _Recovery(backup, restic, base, about, folder, deadline, memory)
    work.fetch()
    return work


def fetch_current(
    backup: Backup, restic: Restic, base: Base, folder: Path, deadline: Deadline, memory: str
) -> _Recovery:
    """Get the WAL of a base, and where a newer shipment took the place of that one meanwhile, that. BackupError."""
    try:
        return _begin(backup, restic, base, folder, deadline, memory)
    except BackupError:
        newer = next((found for found in read_bases(restic, base.host) if found.id == base.id and found.good), None)
        if newer is None or newer.wal == base.wal:
            raise
        return _begin(backup, restic, newer, folder, deadline, memory)


def room_for(about: Mapping[str, Any]) -> int:
    """How many bytes a recovery takes at most: the base, and its log twice, since the server has a part of it too."""
    facts = about["base"]
    return int(facts["bytes"]) + 2 * (int(about["place"]) - int(facts["start"])) + (256 << 20)


def _check_room(folder: Path, about: Mapping[str, Any]) -> None:
    free, need = shutil.disk_usage(folder).free, room_for(about)
    if free < need:
        raise BackupError(
            f"{folder} has {human_size(free)} free, and {human_size(need)} are needed to recover there. Fix: free some "
            "space, or name a folder on another disk"
        )


@dataclass
class _Recovery:
    backup: Backup
    restic: Restic
    base: Base
    about: Mapping[str, Any]
    folder: Path
    deadline: Deadline
    memory: str
    reached: float = 0.0
    exact: bool = False

    def __post_init__(self) -> None:
        self.facts = self.about["base"]
        self.segment = int(self.about["segment"])
        self.data, self.wal, self.conf = (self.folder / name for name in ("data", "wal", "conf"))
        self.name = f"hypercode-recover-{secrets.token_hex(4)}"
        self.owner = (0, 0)

    # --- out of the repository --------------------------------------------------------------------------------------

    def fetch(self) -> None:
        """Get the WAL. BackupError where something of it is missing."""
        got = self.folder / "got"
        snapshot = self.base.wal.id if self.base.wal else ""
        self.restic.call("restore", snapshot, "--quiet", "--target", str(got), timeout=self.deadline.left())
        self.wal.mkdir(mode=0o700)
        for path in [found for found in got.rglob("*") if found.is_file()]:
            if begin_of(path.name, self.segment) is not None:
                # A segment in the making ends where it ends.
                target = self.wal / path.name.removesuffix(PARTIAL)
                if not path.name.endswith(PARTIAL) or not target.exists():
                    path.rename(target)
            elif HISTORY.fullmatch(path.name):
                path.rename(self.wal / path.name)
        shutil.rmtree(got)
        missing = first_missing(segments(self.wal, self.segment).values(), int(self.facts["start"]), self.segment)
        if missing is not None:
            raise BackupError(
                f"The WAL of the base {self.base.id} in the repository '{self.restic.name}' has a gap. Fix: take an "
                "earlier time or another repository; hypercode backup verify --all tells how much is damaged"
            )

    def unpack(self) -> None:
        """Unpack the base beside its WAL. BackupError where it is not what was saved."""
        self.data.mkdir(mode=0o700)
        argv = ["tar", "--extract", "--numeric-owner", "--same-owner", "--same-permissions", f"--directory={self.data}"]
        snapshot = self.base.base.id if self.base.base else ""
        process = start(argv, stdin=subprocess.PIPE)
        stream = input_of(process)
        try:
            digest = read_back(self.restic, snapshot, f"/{BASE_FILE}", stream.write, self.deadline)
            stream.close()
            code = process.wait(self.deadline.left())
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BackupError(
                f"The base {self.base.id} could not be unpacked in {self.data}: {error}. Fix: look at its disk"
            ) from error
        finally:
            end(process)
        if code != 0 or digest != self.facts["sha256"]:
            raise BackupError(
                f"The base {self.base.id} came back from the repository '{self.restic.name}' other than it was saved. "
                "Fix: take an earlier time or another repository; hypercode backup verify --all tells more"
            )
        about = (self.data / "PG_VERSION").stat()
        self.owner = (about.st_uid, about.st_gid)
        for path in [self.data, self.wal, *self.wal.iterdir()]:
            os.chown(path, *self.owner)

    # --- the server that replays ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def server(self, moment: float | None) -> Iterator[Callable[..., CommandResult]]:
        """Replay, and have the server there while inside; then it has shut down in good order. BackupError."""
        _remove_leftover(self.backup.docker)
        self._configure()
        try:
            self._replay(moment)
            yield self.ask
            self._docker("stop", "--time", str(STOP), self.name, timeout=STOP + 60)
        finally:
            self._remove()
        state = self._control("Database cluster state")
        if state != "shut down":
            raise BackupError(
                f"The recovered data of {self.base.service} is not in good order ({state}). Fix: try it again; take an "
                "earlier time"
            )

    def _configure(self) -> None:
        self.conf.mkdir(mode=0o700)
        (self.conf / "postgresql.conf").write_text("# Of a recovery.\n")
        (self.conf / "pg_hba.conf").write_text("local all all trust\n")
        (self.conf / "pg_ident.conf").write_text("")
        signal = self.data / "recovery.signal"
        signal.touch(mode=0o600)
        for path in (self.conf, *self.conf.iterdir(), signal):
            os.chown(path, *self.owner)

    def _replay(self, moment: float | None) -> None:
        settings = {**_SETTINGS, "max_prepared_transactions": self._control("max_prepared_xacts setting")}
        target = {}
        if moment is not None:
            when = datetime.fromtimestamp(moment, UTC).isoformat(sep=" ")
            target = {"recovery_target_time": when, "recovery_target_action": "promote"}
        self._run({**settings, **target})
        said = self._wait()
        if said and target and _NOT_REACHED in said:
            # Nothing was written between the last of it and that moment.
            self._note_reached(said)
            self._remove()
            self._run(settings)
            said, target = self._wait(), {}
        if said:
            lines = [line for line in said.splitlines() if re.match(r"(FATAL|PANIC|ERROR):", line)] or said.splitlines()
            reason = (lines or ["it ended without a word"])[-1][:300].rstrip(".")
            raise BackupError(
                f"{self.base.service} could not be recovered from the base {self.base.id}: {reason}. Fix: take an "
                "earlier time or another repository"
            )
        self._note_reached(self._logs())
        self.exact = bool(target)
        if not self.exact:
            self._check_end()

    def _check_end(self) -> None:
        """The replay went to the end: that has to be no nearer than what the snapshot is known to hold."""
        timeline = int(self.about["timeline"])
        found = sorted((self.data / "pg_wal").glob("*.history"))
        lines = found[-1].read_text(encoding="utf-8").splitlines() if found else []
        ends = [line.split("\t")[1] for line in lines if line.startswith(f"{timeline}\t")]
        # The place itself may be within a record, which does not count then.
        if not ends or position(ends[0]) < int(self.about["sure"]):
            raise BackupError(
                f"The WAL of {self.base.service} broke off before its end in the repository '{self.restic.name}'. Fix: "
                "take another repository, or an earlier time; hypercode backup verify --all tells how much is damaged"
            )

    def _run(self, settings: Mapping[str, str]) -> None:
        given = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self._docker("run", "--detach", "--name", self.name, *self._options("postgres"), "-D", f"{_IN}/data", *given)

    def _options(self, program: str) -> list[str]:
        limits = ("--memory", self.memory, "--pids-limit", "512", "--oom-score-adj", "1000", "--shm-size", "256m")
        safe = ("--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        places = (f"{self.folder / name}:{_IN}/{name}" for name in ("data", "wal", "conf"))
        mounts = [*(word for place in places for word in ("--volume", place)), "--tmpfs", f"{_IN}/run:mode=1777"]
        user = ("--user", f"{self.owner[0]}:{self.owner[1]}", "--stop-signal", "SIGINT")
        # What it says is read, whatever driver is usual on this host.
        logs = ("--log-driver", "json-file")
        labels = ("--label", PURPOSE, "--label", f"{_PID}={os.getpid()}")
        return [*limits, *safe, *labels, *logs, *mounts, *user, "--entrypoint", program, self._image()]

    def _image(self) -> str:
        """The very image where it is here; else the one of that name."""
        # What ran at the end of the log comes first: that of the base may have gone with an update since.
        for known in (self.about, self.facts):
            found = str(known.get("image_id") or "")
            if found and run_command([*self.backup.docker, "image", "inspect", found], timeout=60).code == 0:
                return found
        return str(self.about.get("image") or self.facts["image"])

    def _wait(self) -> str:
        """Wait until the server takes statements; return its log where it has ended instead."""
        while not self.deadline.passed():
            done = self.ask("psql", "-XAtqc", "SELECT pg_is_in_recovery()", "postgres")
            if done.code == 0 and done.stdout.strip() == "f":
                return ""
            state = self._docker("inspect", "--format", "{{.State.Status}}", self.name)
            if state != "running":
                return self._logs() or "it ended without a word"
            time.sleep(POLL)
        raise BackupError(f"The recovery of {self.base.service} took too long. Fix: raise backup_timeout_hours")

    def ask(self, *words: str, timeout: float = 0) -> CommandResult:
        """Run one of Postgres's programs in there, as the owner of the databases."""
        login = ("--env", f"PGHOST={_IN}/run", "--env", f"PGUSER={self.facts['owner']}")
        argv = [*self.backup.docker, "exec", *login, self.name, *words]
        return run_command(argv, timeout=timeout or self.deadline.left())

    def _control(self, what: str) -> str:
        text = self._docker("run", "--rm", *self._options("pg_controldata"), "-D", f"{_IN}/data")
        found = re.search(rf"^{re.escape(what)}:\s*(.*)$", text, re.MULTILINE)
        return found[1].strip() if found else "0"

    def _logs(self) -> str:
        done = run_command([*self.backup.docker, "logs", self.name], timeout=60)
        return done.stderr + done.stdout

    def _note_reached(self, said: str) -> None:
        for text in _LAST.findall(said):
            with contextlib.suppress(ValueError):
                self.reached = max(self.reached, datetime.fromisoformat(text).timestamp())

    def _docker(self, *words: str, timeout: float = 0) -> str:
        done = run_docker([*self.backup.docker, *words], timeout=timeout or self.deadline.left())
        if done.code != 0:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.code}"]
            raise BackupError(
                f"docker {words[0]} failed in the recovery of {self.base.service}: {lines[-1][:300].rstrip('.')}. Fix: "
                f"the image {self.facts['image']} has to be on this host, or in its registry"
            )
        return done.stdout.strip()

    def _remove(self) -> None:
        run_command([*self.backup.docker, "rm", "--force", "--volumes", self.name], timeout=120)

    def close(self) -> None:
        """Leave the data directory only."""
        shutil.rmtree(self.wal)
        shutil.rmtree(self.conf)


def _remove_leftover(docker: Sequence[str]) -> None:
    """Remove the servers of recoveries that were killed. What cannot be removed is in nobody's way."""
    form = f'{{{{.ID}}}} {{{{.Label "{_PID}"}}}}'
    listed = run_command([*docker, "ps", "--all", "--filter", f"label={PURPOSE}", "--format", form], timeout=60)
    for container, _space, pid in (line.partition(" ") for line in listed.stdout.splitlines()):
        if not pid.isdecimal() or not Path(f"/proc/{pid}").exists():
            run_command([*docker, "rm", "--force", "--volumes", container], timeout=120)


def told(found: Recovered, moment: float | None) -> str:
    """How far it came, in words."""
    last = f"its last transaction ended {stamp(found.reached)}"
    if moment is None:
        return f"{found.service} is as it was at its newest point: {last}"
    if found.exact:
        return f"{found.service} is as it was at {stamp(moment)}: {last}"
    return f"{found.service} is as it was at {stamp(moment)}: nothing was written since its last transaction, {last}"
