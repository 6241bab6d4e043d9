# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A drill: the newest run goes into scratch containers that nothing can reach, and is compared with its manifest."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from ..command import run_command
from ..engine import EngineError
from ..files import FileError
from ..journal import Journal
from .config import BackupError
from .drill_points import point_parts
from .facts import read_facts, write_facts
from .grafana import count_database
from .postgres import PSQL, ask, command, count_rows
from .postgres_sums import read_sums, sums_of
from .redis import CLIENT, parse_info
from .restic import input_of, start
from .restore import restore_item
from .run import Backup
from .runs import Run
from .saver import TREE, file_of
from .stack import Container, Stack, call_docker, remove_scratch, scratch_limits
from .streams import Deadline, end, read_back

READY = 120.0
POLL = 0.5
# In a scratch Redis; nobody else is in there.
_FOLDER = "/tmp/hypercode-drill"  # noqa: S108
_START = (
    'server=$(command -v valkey-server || command -v redis-server) || exit 127; exec "$server" --appendonly no '
    f"--save '' --port 0 --unixsocket {_FOLDER}/socket --daemonize yes --dir {_FOLDER} --dbfilename dump.rdb"
)
_AMCHECK = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck');\n"
_WRONG = (BackupError, EngineError, FileError, OSError)


class Drill:
    """One drill on one repository. The lock is the caller's."""

    def __init__(self, backup: Backup, repository: str = "") -> None:
        self.backup = backup
        self.restic = backup.repository(repository)
        self.run, self.manifest = Run(""), dict[str, Any]()
        self.deadline = Deadline.after(backup.config.timeout)
        self.docker = backup.docker
        # Only the means to run something in a container are used of it.
        self.stack = Stack(backup.engine, backup.config, {"services": {}}, backup.docker)
        self.folder = backup.paths.work / "drill"
        # For each scratch container, in bytes.
        self.memory = max(available_memory() // 2, 64 << 20)
        self.failures: list[str] = []
        self.left_out: list[str] = []

    def go(self) -> dict[str, Any]:
        """Restore and compare everything; return the report, which is also remembered, whatever ends the drill.

        No container is left behind.
        """
        began = self.backup.clock()
        clock = time.monotonic()
        try:
            self._compare_all()
        except _WRONG as error:
            self._fail(error)
        except BaseException as error:
            self.failures.append(f"It was stopped before its end ({error!r}). Fix: run it again")
            raise
        finally:
            report = self._remember(began, round(time.monotonic() - clock, 1))
        return report

    def _compare_all(self) -> None:
        compared = 0
        self.sweep()
        try:
            _restic, self.run, self.manifest = self.backup.find("latest", self.restic.name)
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True, mode=0o700)
            for what, work in self._parts():
                try:
                    work()
                except _WRONG as error:
                    self._fail(error)
                else:
                    compared += 1
                    self.backup.tell(f"as it was saved: {what}")
        finally:
            self.sweep()
            shutil.rmtree(self.folder, ignore_errors=True)
        if not compared and not self.failures:
            raise BackupError(
                f"Nothing of {self.run.id} was compared: the host has no room for {', '.join(self.left_out) or 'it'}. "
                "Fix: free some disk and memory there"
            )

    def _fail(self, error: Exception) -> None:
        self.failures.append(str(error))
        self.backup.tell(f"FAILED: {error}")

    def _remember(self, began: float, seconds: float) -> dict[str, Any]:
        report = {
            "run": self.run.id,
            "repository": self.restic.name,
            "ended": self.backup.clock(),
            "rto_seconds": seconds,
            "rpo_seconds": round(began - float(self.manifest["began"]), 1) if self.manifest else None,
            "failures": self.failures,
            "left_out": self.left_out,
        }
        facts = read_facts(self.backup.paths)
        facts["drill"] = report
        write_facts(self.backup.paths, facts)
        Journal(self.backup.paths, "journal", self.backup.clock).write("drilled", **report)
        return report

    def _parts(self) -> list[tuple[str, Callable[[], None]]]:
        """What is to be done, one by one. Databases of one service share a container."""
        parts: list[tuple[str, Callable[[], None]]] = []
        items: Mapping[str, Mapping[str, Any]] = self.manifest["items"]
        # Scratch containers lie beside the real ones, and all of them stay until the end.
        room = shutil.disk_usage(call_docker(self.docker, "info", "--format", "{{.DockerRootDir}}")).free
        for service in sorted({name.split("/")[1] for name in items if name.startswith("postgres/")}):
            fitting = []
            for name, facts in items.items():
                if name.startswith(f"postgres/{service}/database/"):
                    # As much again for the log of changes and for sorting.
                    need = 2 * int(facts.get("size") or facts["bytes"])
                    if need > room:
                        self.left_out.append(name)
                    else:
                        room -= need
                        fitting.append(name)
            if fitting:
                parts.append((f"postgres/{service}", partial(self._postgres, service, fitting)))
        for name, facts in items.items():
            if name.startswith("redis/"):
                if 2 * int(facts["bytes"]) > room or 2 * int(facts.get("memory") or 0) > self.memory:
                    self.left_out.append(name)
                else:
                    parts.append((name, partial(self._redis, name)))
            elif name.startswith("grafana/") and facts["kind"] != TREE:
                parts.append((name, partial(self._sqlite, name)))
            elif facts["kind"] != TREE:
                continue
            elif shutil.disk_usage(self.backup.paths.state).free < 2 * int(facts["bytes"]):
                self.left_out.append(name)
            else:
                parts.append((name, partial(self._tree, name)))
        return [*parts, *point_parts(self)]

    # --- containers -------------------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Remove the containers of this drill, and of one that was cut off."""
        remove_scratch(self.docker)

    def _scratch(self, service: str, image: str, variables: Mapping[str, str], *words: str) -> Container:
        """Start a container of the same image that nothing can reach. Values go by our environment, not the command."""
        given = [word for name in variables for word in ("--env", name)]
        limits = scratch_limits(self.memory)
        shell = ["--entrypoint", "sh"] if words else []
        found = call_docker(
            self.docker, "run", "--detach", *limits, *given, *shell, image, *words, environment=variables
        )
        return Container(service, found.splitlines()[-1], image, dict(variables), [])

    def _feed(self, item: str, argv: Sequence[str], what: str) -> None:
        """Lead an item out of the repository into a program. BackupError where either end breaks off."""
        with tempfile.TemporaryFile() as said:
            process = start(argv, stdin=subprocess.PIPE, stderr=said)
            try:
                stream = input_of(process)
                try:
                    snapshot = self.run.snapshots[item].id
                    found = read_back(self.restic, snapshot, f"/{file_of(item)}", stream.write, self.deadline)
                    stream.close()
                except BrokenPipeError as error:
                    raise self._refused(what, said) from error
                if process.wait(self.deadline.left()) != 0:
                    raise self._refused(what, said)
            except subprocess.TimeoutExpired as error:
                raise BackupError(f"{what} took too long in the drill. Fix: raise backup_timeout_hours") from error
            finally:
                end(process)
        if found != self.manifest["items"][item]["sha256"]:
            raise BackupError(f"{item} came back other than it was saved. Fix: hypercode backup verify --all")

    def _refused(self, what: str, said: IO[bytes]) -> BackupError:
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines() or ["it ended without a word"]
        return BackupError(f"{what} refused what was saved: {lines[-1][:300].rstrip('.')}. Fix: look at an earlier run")

    # --- each kind --------------------------------------------------------------------------------------------------

    def _postgres(self, service: str, names: Sequence[str]) -> None:
        prefix = f"postgres/{service}/database/"
        items = {name: self.manifest["items"][name] for name in names}
        first = next(iter(items.values()))
        owner = str(first.get("owner") or "postgres")
        variables = {"POSTGRES_USER": owner, "POSTGRES_DB": "postgres", "POSTGRES_PASSWORD": secrets.token_hex(16)}
        container = self._scratch(service, str(first["image"]), variables)
        # Over TCP: while it sets itself up, the image's server listens on a socket only.
        self._wait(
            command(self.stack, container, "pg_isready", "--quiet", "--host=127.0.0.1"), f"Postgres for {service}"
        )
        # The owner is there already, and that one statement fails.
        roles = command(
            self.stack, container, *[word for word in PSQL if "ON_ERROR_STOP" not in word], "--dbname=postgres"
        )
        self._feed(f"postgres/{service}/roles", roles, f"psql for the roles of {service}")
        for name, facts in items.items():
            database = name.removeprefix(prefix)
            # Made with the encoding that it had; this one is there in any case.
            made = ["--dbname=postgres"] if database == "postgres" else ["--create", "--dbname=postgres"]
            words = ("pg_restore", "--exit-on-error", *made)
            self._feed(name, command(self.stack, container, *words), f"pg_restore of {database}")
            compare(name, facts["rows"], count_rows(self.stack, container, database))
            sums = facts.get("sums") or {}
            compare_sums(name, sums, read_sums(ask(self.stack, container, database, sums_of(sums)).splitlines()))
            self._check_structure(name, container, database)

    def _check_structure(self, item: str, container: Container, database: str) -> None:
        """Have Postgres look at every table and index itself, where its image has the means to."""
        there = run_command(self.stack.inside(container, "command -v pg_amcheck"), timeout=60).code == 0
        if not there or ask(self.stack, container, database, _AMCHECK).strip() != "t":
            self.backup.tell(f"its tables and indexes were not looked at, pg_amcheck is not in its image: {item}")
            return
        # It takes a pattern; in quotes it is a name.
        pattern = '"' + database.replace('"', '""') + '"'
        words = ("pg_amcheck", "--install-missing", "--heapallindexed", f"--database={pattern}")
        done = run_command(command(self.stack, container, *words), timeout=self.deadline.left())
        if done.code:
            lines = (done.stdout.strip() or done.stderr.strip()).splitlines() or [f"exit code {done.code}"]
            raise BackupError(
                f"{item} came back damaged, says pg_amcheck: {lines[0][:300].rstrip('.')}. Fix: look at an earlier run"
            )

    def _redis(self, item: str) -> None:
        facts = self.manifest["items"][item]
        container = self._scratch(item.partition("/")[2], str(facts["image"]), {}, "-c", "sleep 86400")
        self._feed(
            item, self.stack.inside(container, f"mkdir -p {_FOLDER} && cat > {_FOLDER}/dump.rdb"), "The container"
        )
        call_docker(self.docker, *self.stack.inside(container, _START)[len(self.docker) :])
        info = self.stack.inside(container, CLIENT, "-s", f"{_FOLDER}/socket", "INFO", "everything")
        keys = self._loaded(info, item)
        compare_keys(item, facts, keys)

    def _loaded(self, argv: Sequence[str], item: str) -> dict[str, int]:
        """Wait until a scratch Redis has read its file; return its keys."""
        until = time.monotonic() + max(READY, self.manifest["items"][item]["bytes"] / 10e6)
        while time.monotonic() < until:
            done = run_command(argv, timeout=30)
            if done.code == 0 and "loading:0" in done.stdout:
                return parse_info(done.stdout)[0]
            time.sleep(POLL)
        raise BackupError(f"{item} was not loaded in time in the drill. Fix: look at an earlier run; look at the image")

    def _wait(self, argv: Sequence[str], what: str) -> None:
        until = time.monotonic() + READY
        while run_command(argv, timeout=30).code != 0:
            if time.monotonic() > until:
                raise BackupError(f"{what} did not get ready within {READY:.0f} s in the drill. Fix: look at its image")
            time.sleep(POLL)

    def _sqlite(self, item: str) -> None:
        target = self.folder / "database"
        try:
            restore_item(self.restic, self.run, self.manifest, item, target, self.deadline)
            compare(item, self.manifest["items"][item]["rows"], count_database(target, target))
        finally:
            target.unlink(missing_ok=True)

    def _tree(self, item: str) -> None:
        target = Path(tempfile.mkdtemp(dir=self.folder)) / "files"
        try:
            restore_item(self.restic, self.run, self.manifest, item, target, self.deadline)
        finally:
            shutil.rmtree(target.parent, ignore_errors=True)


def available_memory() -> int:
    """What of the host's memory can be had without swapping, in bytes."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def compare(item: str, saved: Mapping[str, int], found: Mapping[str, int]) -> None:
    """BackupError where a table has other rows than were saved."""
    wrong = sorted(name for name in {*saved, *found} if saved.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        raise BackupError(
            f"{item} came back with {found.get(name, 'no')} rows in {name}, and {saved.get(name, 'no')} were saved "
            f"({len(wrong)} tables differ). Fix: look at an earlier run"
        )


def compare_sums(item: str, saved: Mapping[str, str], found: Mapping[str, str]) -> None:
    """BackupError where the rows of a table hold something else than was saved."""
    wrong = sorted(name for name in saved if saved[name] != found.get(name))
    if wrong:
        raise BackupError(
            f"{item} came back with as many rows in {wrong[0]} as were saved, and something else in them "
            f"({len(wrong)} of {len(saved)} tables that were summed up). Fix: look at an earlier run"
        )


def compare_keys(item: str, facts: Mapping[str, Any], found: Mapping[str, int]) -> None:
    """BackupError where a database of Redis has other keys than were saved.

    They were counted shortly before and after the snapshot. Of those with an end of life any may be gone by now, and
    some more may have been there for a moment in between. Where keys without an end were, none is always too few.
    """
    for name, pair in facts["keys"].items():
        low = min(pair) - int((facts.get("expiring") or {}).get(name, 0))
        high = max(pair) + max(pair) // 20 + 10
        if not low <= found.get(name, 0) <= high:
            raise BackupError(
                f"{item} came back with {found.get(name, 0)} keys in database {name}; {pair[0]} to {pair[1]} "
                "were saved. Fix: look at an earlier run"
            )
