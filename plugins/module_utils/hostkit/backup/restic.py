# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One restic repository, through the program restic (0.14 or newer).

The address may hold a password, so it goes into the environment, as all else that is secret.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from ..command import NOT_FOUND, PATH, TIMED_OUT, CommandResult, run_command
from .config import BackupError, Repository

TAG = "hypercode"
# Newer versions of restic try for a quarter of an hour to reach a store that is away.
PROBE = 120.0
LONG = 6 * 3600.0
GRACE = 3.0
INCOMPLETE = 3
# Hosts that share a repository wait for each other. The lock of a host that died is stale after 30 minutes.
LOCK_WAIT = 35 * 60.0
LOCK_POLL = 15.0

# What restic says (its exit codes tell this since 0.17 only) -> what it means, and the fix. The first that fits counts.
_WORDS = (
    (
        r"wrong password or no key found",
        "its password is not the one in {password}. Fix: set backup_password to the one that it was made with",
    ),
    (
        r"no space left on device|disk quota exceeded",
        "its disk is full. Fix: free some space there, or shorten backup_retention_days",
    ),
    (
        r"dial tcp|no such host|connection re|i/o timeout|network is unreachable|no route to host|ssh command exited",
        "it cannot be reached. Fix: look at the network and at the store, then run it again",
    ),
    (
        r"repository is already locked|unable to create lock",
        "another process works on it, and did not end in 35 minutes. Fix: wait for its end, then run it again",
    ),
    (
        r"repository does not exist|unable to open config file|unable to stat config",
        "there is no repository yet. Fix: hypercode backup init makes it, and so does site.yml",
    ),
    (
        r"permission denied|access denied",
        "the store refuses the login, or this user. Fix: check its environment, or run it with sudo",
    ),
)
MISSING = re.compile(_WORDS[4][0])
_AWAY = re.compile(_WORDS[2][0])
LOCKED = re.compile(_WORDS[3][0])


class ResticError(BackupError):
    """What restic did not do, in words. `output` is its own."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


class NoRepository(ResticError):
    """There is nothing at the address yet."""


class Unreadable(ResticError):
    """A file that was to be saved could not be read: nothing is wrong with the repository."""


class Locked(ResticError):
    """Another process works on the repository: nothing is wrong with it."""


@dataclass(frozen=True)
class Snapshot:
    """A snapshot of restic; `time` as restic writes it (RFC 3339)."""

    id: str
    time: str
    host: str
    tags: tuple[str, ...]
    paths: tuple[str, ...]

    @property
    def moment(self) -> datetime:
        """The same as a time that can be compared, whatever the zone was."""
        return datetime.fromisoformat(self.time)

    def tagged(self, key: str) -> str:
        """The value of a tag key=value; "" where there is none."""
        return next((tag.partition("=")[2] for tag in self.tags if tag.startswith(f"{key}=")), "")


@dataclass(frozen=True)
class Restic:
    """Talks to one repository. Program and place of the cache are injected."""

    repository: Repository
    cache: Path
    program: str = "restic"
    run: Callable[..., CommandResult] = field(default=run_command, repr=False)
    # For how many seconds a lock of another process is waited for; the usual time where it is not said.
    patience: float | None = None

    @property
    def name(self) -> str:
        return self.repository.name

    @property
    def environment(self) -> dict[str, str]:
        """What every call needs; nothing of this process's own environment but HOME."""
        return {
            # It tidies up its memory more often: a third less of it, for little more time. The stack needs the memory.
            "GOGC": "20",
            **self.repository.environment,
            "RESTIC_REPOSITORY": self.repository.url,
            "RESTIC_PASSWORD_FILE": self.repository.password_file,
            "RESTIC_CACHE_DIR": str(self.cache),
        }

    def call(self, *words: str, timeout: float = LONG, accept: Sequence[int] = (0,)) -> CommandResult:
        """Run restic. While another process has a lock, wait for its end; the lock of one that died is taken away."""
        until = time.monotonic() + (LOCK_WAIT if self.patience is None else self.patience)
        done = self._once(words, timeout)
        while done.code not in accept and LOCKED.search(done.stderr):
            self.unlock()
            done = self._once(words, timeout)
            if time.monotonic() > until:
                break
            if done.code not in accept and LOCKED.search(done.stderr):
                time.sleep(LOCK_POLL)
        if done.code not in accept:
            raise self.problem(done)
        return done

    def _once(self, words: Sequence[str], timeout: float) -> CommandResult:
        return self.run([self.program, *words], timeout=timeout, environment=self.environment, inherit=False)

    def problem(self, done: CommandResult) -> ResticError:
        """Turn a failure into words."""
        if done.code == NOT_FOUND:
            return ResticError(
                "The program restic is missing. Fix: run site.yml for this host, or apt-get install restic"
            )
        said = self.redacted(done.stderr or done.stdout)
        where = f"The repository '{self.name}'"
        if done.code == TIMED_OUT:
            return ResticError(f"{where} did not answer in time. Fix: look at the network and at the store", said)
        for pattern, words in _WORDS:
            if re.search(pattern, said, re.IGNORECASE):
                kind = NoRepository if MISSING.search(said) and not _AWAY.search(said) else ResticError
                kind = Locked if pattern == LOCKED.pattern else kind
                return kind(f"{where}: {words.format(password=self.repository.password_file)}", said)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        reason = (lines[-1] if lines else f"exit code {done.code}").removeprefix("Fatal: ").rstrip(".")
        return ResticError(
            f"{where}: restic says: {reason[:300]}. Fix: hypercode backup verify looks at all of it", said
        )

    def redacted(self, text: str) -> str:
        """What restic said, without a password in an address or a key of the store."""
        text = re.sub(r"(://[^:/@\s]*):[^@/\s]+@", r"\1:***@", text)
        for value in self.repository.environment.values():
            text = text.replace(value, "***") if len(value) > 3 else text
        return text

    # --- what it does -----------------------------------------------------------------------------------------------

    def probe(self) -> None:
        """Look whether the repository is there and opens. NoRepository, or ResticError."""
        self.call("cat", "config", "--no-lock", timeout=PROBE)

    def unlock(self) -> None:
        """Take away the locks of processes that have died; without an option, restic leaves all others."""
        self._once(["unlock"], PROBE)

    def wait_for_lock(self) -> None:
        """Wait until no other process has the repository for itself. Locked where that does not end."""
        self.call("cat", "config", timeout=PROBE)

    def init(self) -> None:
        """Make the repository."""
        self.call("init", "--quiet", timeout=PROBE)

    def snapshots(self, *tags: str, host: str = "") -> list[Snapshot]:
        """List the snapshots that have all these tags, oldest first."""
        words = ["snapshots", "--json", "--no-lock", *(["--tag", ",".join(tags)] if tags else [])]
        done = self.call(*words, *(["--host", host] if host else []), timeout=PROBE * 5)
        found = [_snapshot(entry) for entry in json.loads(done.stdout or "[]") or []]
        return sorted(found, key=lambda snapshot: snapshot.moment)

    def forget(self, ids: Sequence[str]) -> None:
        """Forget these snapshots, and free what only they used."""
        if ids:
            self.call("forget", "--quiet", "--prune", *ids)

    def back_up_paths(
        self, paths: Sequence[str], exclude: Sequence[str], words: Sequence[str], timeout: float = LONG
    ) -> dict[str, Any]:
        """Save files and folders; return restic's summary. A file that cannot be read fails it, and nothing stays."""
        leave = [word for pattern in exclude for word in ("--exclude", pattern)]
        wanted = ("backup", "--json", "--quiet", *leave, *words, "--", *paths)
        done = self.call(*wanted, timeout=timeout, accept=(0, INCOMPLETE))
        summary = _summary(done.stdout)
        if done.code == INCOMPLETE:
            self.call("forget", "--quiet", str(summary["snapshot_id"]))
            lines = self.redacted(done.stderr).strip().splitlines() or ["some files cannot be read"]
            raise Unreadable(
                f"Not every file could be read: {lines[0][:300]}. Fix: run it again; else look at that file"
            )
        return summary

    def check(self, part: str) -> None:
        """Read a part of all data, such as 3/30 or 100%, and check the structure. ResticError says what is wrong."""
        try:
            self.call("check", f"--read-data-subset={part}")
        except (NoRepository, Locked):
            raise
        except ResticError as error:
            lines = [line for line in error.output.splitlines() if re.search(r"error|damaged|does not|Fatal", line)]
            if not re.search(r"repository contains errors|pack|blob|hash|ciphertext", error.output):
                raise
            raise ResticError(
                f"The repository '{self.name}' is damaged: {(lines or ['restic check failed'])[0].strip()[:200]}. "
                f"Fix: put it right with restic repair (see docs/backup.md), then hypercode backup run",
                error.output,
            ) from error

    def open_dump(self, snapshot: str, path: str) -> subprocess.Popen[bytes]:
        """Start to read one file of a snapshot, once no other process has the repository for itself."""
        self.wait_for_lock()
        return start([self.program, "dump", snapshot, path], self.environment)

    def open_backup(self, file: str, words: Sequence[str]) -> Sink:
        """Start to save what is written to the sink under this file name."""
        return Sink(self, ["backup", "--json", "--quiet", "--stdin", "--stdin-filename", file, *words])


class Sink:
    """A restic that saves what is written to it. Only `finish` makes a snapshot; `abort` ends it without one."""

    def __init__(self, restic: Restic, words: Sequence[str]) -> None:
        self.restic = restic
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  It lives as long as the sink.
        self._process = start([restic.program, *words], restic.environment, stdin=subprocess.PIPE, stderr=self._said)
        self.failure: ResticError | None = None

    def write(self, data: bytes) -> None:
        """Hand data on. A restic that has ended is a `failure`; the rest is then left out."""
        if self.failure is None:
            try:
                input_of(self._process).write(data)
            except OSError:
                self._fail()

    def finish(self) -> str:
        """Let restic make the snapshot; return its id. Raises ResticError."""
        if self.failure is None:
            try:
                stdout, _none = self._process.communicate()
            except OSError:
                self._fail()
            else:
                if self._process.returncode == 0:
                    self._said.close()
                    return str(_summary(stdout.decode())["snapshot_id"])
                self._fail()
        raise self.failure or ResticError("restic has ended")

    def abort(self) -> None:
        """End restic before it saves: its input stays open until it is gone."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self.kill()
                self._process.wait()
            # One that is interrupted at its very beginning leaves its lock too.
            with contextlib.suppress(BackupError):
                self.restic.unlock()
        self._close()

    def kill(self) -> None:
        """End it at once, from another thread too."""
        if self._process.poll() is None:
            self._process.kill()

    def _fail(self) -> None:
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace")
        self.failure = self.restic.problem(CommandResult(code or 1, "", said))
        self._close()

    def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except OSError:
                continue
        self._said.close()


def start(
    argv: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    stdin: int = subprocess.DEVNULL,
    stderr: IO[bytes] | int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a program whose output is read as it comes. BackupError where it is not there."""
    inherited = {"HOME": os.environ.get("HOME", "/root")}
    try:
        return subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**inherited, "LC_ALL": "C.UTF-8", "PATH": PATH, **(environment or {})},
            start_new_session=True,
        )
    except OSError as error:
        raise BackupError(f"{argv[0]} cannot be run: {error.strerror}. Fix: run site.yml for this host") from error


def input_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    """The input of a program that was started with one."""
    if process.stdin is None:
        raise ValueError("it has no input")
    return process.stdin


def output_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    """The output of a program."""
    if process.stdout is None:
        raise ValueError("it has no output")
    return process.stdout


def _summary(text: str) -> dict[str, Any]:
    for line in reversed(text.splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("message_type") == "summary" and found.get("snapshot_id"):
            return found
    raise ResticError("restic has not said which snapshot it made. Fix: look at its version: restic version")


def _snapshot(entry: Mapping[str, Any]) -> Snapshot:
    return Snapshot(
        str(entry["id"]),
        str(entry["time"]),
        str(entry.get("hostname") or ""),
        tuple(entry.get("tags") or ()),
        tuple(entry.get("paths") or ()),
    )
