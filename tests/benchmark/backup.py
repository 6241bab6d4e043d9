"""Backups day by day, against the usual script (gzip of a dump, copies, tar), on real PostgreSQL, Redis and restic.

Both save the same state each day. What changes is mostly new, as in most stacks.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.drill import Drill
from fakes import backup_host
from fakes.backup_host import BackupHost

DAY = 86400.0
MIB = 1 << 20
# A row of about so many bytes, half of which compress well, as in most tables.
ROW = 400
ROWS = """
CREATE TABLE item (id bigint PRIMARY KEY, at timestamptz, kind text, note text, raw bytea);
INSERT INTO item SELECT n, timestamptz '2026-01-01' + n * interval '1 s', 'kind ' || n % 40, repeat('words ', 25),
  decode(md5(n::text) || md5('a' || n) || md5('b' || n) || md5('c' || n), 'hex') FROM generate_series(1, {count}) n;
"""
# Each day: one of 90 of the newest tenth changes, one of 100,000 of all, and one of 1000 is new.
NEXT_DAY = """
UPDATE item SET note = note || '{day}', raw = decode(md5('{day}' || id) || md5(id || '{day}'), 'hex')
WHERE id % 100000 = {day} OR id % 90 = {day} AND id > (SELECT max(id) * 9 / 10 FROM item);
INSERT INTO item SELECT n, now(), 'new', repeat('words ', 25), decode(md5('{day}' || n), 'hex')
FROM generate_series((SELECT max(id) + 1 FROM item), (SELECT max(id) + {more} FROM item)) n;
"""


@dataclass
class Way:
    """One way of saving: seconds of each day, bytes of all days together, and the most memory at once, in bytes."""

    name: str
    seconds: list[float] = field(default_factory=list)
    size: int = 0
    memory: int = 0


class Memory:
    """Looks all the time how much memory a process and all that it started have; what they share counts once."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak = pid, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.peak = max(self.peak, sum(proportional(pid) for pid in family(self.pid)))


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(word) for word in task.read_text().split()]
            except OSError:
                continue
    return found


def proportional(pid: int) -> int:
    """What a process has of the memory, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def in_a_process(work: Callable[[], object]) -> tuple[float, int]:
    """Do some work in a process of its own; return its seconds and the most memory it had, in bytes."""
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    with Memory(pid) as memory:
        _pid, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError("a run failed; see above")
    return time.monotonic() - began, memory.peak


class Bench:
    """A host with data, and both ways."""

    def __init__(self, folder: Path, database: Path, port: int, megabytes: int) -> None:
        self.host = BackupHost(folder)
        self.database, self.port, self.megabytes = database, port, megabytes
        self.usual = folder / "usual"
        self.usual.mkdir()
        self.redis = folder / "redis"
        self.grafana = folder / "grafana"
        self.grafana.mkdir()

    def fill(self) -> None:
        self.host.add_postgres(self.database)
        self.host.add_redis(self.port)
        self.host.engine.add_volume("grafana", self.grafana, {"hypercode.backup": "true"})
        backup_host.sql(self.database, "postgres", "CREATE DATABASE shop")
        self.count = self.megabytes * MIB // ROW
        backup_host.sql(self.database, "shop", ROWS.format(count=self.count))
        words = "for i = 1, 20000 do redis.call('set', 'key:' .. i, string.rep('value ' .. i, 10)) end"
        backup_host.redis_cli(self.port, "eval", words, "0")
        (self.grafana / "plugin").write_bytes(os.urandom(8 * MIB))
        with sqlite3.connect(self.grafana / "boards") as connection:
            connection.execute("CREATE TABLE board (text TEXT)")
            connection.executemany("INSERT INTO board VALUES (?)", [(str(n) * 2000,) for n in range(200)])

    def next_day(self, day: int) -> None:
        self.host.now += DAY
        backup_host.sql(self.database, "shop", NEXT_DAY.format(day=day, more=max(1, self.count // 1000)))
        backup_host.redis_cli(
            self.port, "eval", f"for i = {day * 600}, {day * 600 + 600} do redis.call('set', 'key:' .. i, i) end", "0"
        )

    def run_ours(self) -> None:
        failures = self.host.backup().run()
        if failures:
            raise RuntimeError("; ".join(failures))

    def run_usual(self) -> None:
        folder = self.usual / str(int(self.host.now))
        folder.mkdir()
        login = {**os.environ, "PGHOST": str(self.database), "PGUSER": "hypercode"}
        with (folder / "shop.sql.gz").open("wb") as target:
            dump = subprocess.Popen(["pg_dump", "shop"], stdout=subprocess.PIPE, env=login)
            subprocess.run(["gzip"], stdin=dump.stdout, stdout=target, check=True)
            if dump.wait():
                raise RuntimeError("pg_dump failed")
        backup_host.redis_cli(self.port, "save")
        shutil.copy(self.redis / "dump.rdb", folder)
        subprocess.run(["tar", "czf", folder / "grafana.tar.gz", "-C", self.grafana, "."], check=True)

    def go(self, days: int, tell: Callable[[str], None]) -> dict[str, Any]:
        ours, usual = Way("hypercode backup run"), Way("gzip of a dump, tar")
        for day in range(days):
            if day:
                self.next_day(day)
            ways = [(ours, self.run_ours), (usual, self.run_usual)]
            for way, work in ways if day % 2 else reversed(ways):
                seconds, memory = in_a_process(work)
                way.seconds.append(seconds)
                way.memory = max(way.memory, memory)
            tell(f"day {day + 1} of {days}: {ours.seconds[-1]:.1f} s and {usual.seconds[-1]:.1f} s")
        ours.size, usual.size = size_of(self.host.folder / "repository-main"), size_of(self.usual)
        return {"days": days, "ways": [vars(ours), vars(usual)], "restore": self.bring_back()}

    def bring_back(self) -> dict[str, Any]:
        """A drill of the last run, into a PostgreSQL of its own."""
        with backup_host.postgres() as scratch:
            programs = backup_host.postgres_programs()
            lines = f"PGHOST={scratch}\nPOSTGRES_USER=hypercode\nPATH={programs}:/usr/bin:/bin\n"
            (self.host.docker_folder / "scratch-db-1.env").write_text(lines)
            (self.host.docker_folder / "scratch-cache-1.env").write_text("PATH=/usr/bin:/bin\n")
            self.host.replace_program("scratch-db", "pg_isready", "exit 0")
            report = Drill(self.host.backup()).go()
        if report["failures"]:
            raise RuntimeError("; ".join(report["failures"]))
        _restic, _run, manifest = self.host.backup().find("latest")
        size = int(manifest["items"]["postgres/db/database/shop"]["size"])
        seconds = float(report["rto_seconds"])
        return {"seconds": seconds, "database_bytes": size, "seconds_per_gib": round(seconds / (size / (1 << 30)), 1)}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def lines_of(figures: dict[str, Any]) -> list[str]:
    """The figures as a table, and a sentence on each."""
    ours, usual = figures["ways"]
    lines = [f"{'way':24}{'first':>8}{'later':>8}{'together':>10}{'on disk':>12}{'memory':>10}"]
    for way in (ours, usual):
        later = sorted(way["seconds"][1:] or way["seconds"])
        lines.append(
            f"{way['name']:24}{way['seconds'][0]:6.1f} s{later[len(later) // 2]:6.1f} s{sum(way['seconds']):8.0f} s"
            f"{way['size'] / MIB:8.0f} MiB{way['memory'] / MIB:6.0f} MiB"
        )
    share = ours["size"] / usual["size"]
    back = figures["restore"]
    size = back["database_bytes"] / MIB
    return [
        *lines,
        "",
        f"{figures['days']} days take {share:.2f} times the space of the usual way, "
        f"and {sum(ours['seconds']) / sum(usual['seconds']):.2f} times its time.",
        f"A drill of the last day took {back['seconds']:.0f} s for a database of {size:.0f} MiB: "
        f"{back['seconds_per_gib']:.0f} s for each GiB.",
    ]


def run(days: int, megabytes: int, json_path: Path, tell: Callable[[str], None] = print) -> None:
    """Measure, print and write down. RuntimeError when a run or the drill fails."""
    folder = Path(tempfile.mkdtemp(prefix="hypercode-bench-"))
    try:
        with backup_host.postgres() as database, backup_host.redis(folder / "redis", "--save", "") as port:
            bench = Bench(folder, database, port, megabytes)
            bench.fill()
            figures = bench.go(days, tell)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    _tell_all(["", *lines_of(figures), f"All figures: {json_path}"], tell)


def _tell_all(lines: Sequence[str], tell: Callable[[str], None]) -> None:
    for line in lines:
        tell(line)
