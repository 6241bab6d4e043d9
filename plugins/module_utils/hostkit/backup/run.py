# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run: all that is to be saved, into every repository, looked at afterwards. Then what is too old is forgotten."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .. import __version__
from ..board_text import human_size
from ..certificates.wanted import Paths as CertificatePaths
from ..certificates.wanted import read_wanted
from ..certificates.x509 import CertificateError
from ..engine import Engine, EngineError
from ..files import FileError
from ..journal import Journal
from ..release import ReleaseError, Store
from . import grafana, postgres, prometheus, redis
from .config import BackupError, Config, Paths
from .facts import read_facts, write_facts
from .points import read_bases
from .points import to_forget as to_forget_points
from .restic import Locked, NoRepository, Restic
from .runs import Run, find, keep_manifest, make_id, newest, read_manifest, read_runs, to_forget
from .saver import STREAM, Saver, file_of
from .stack import GRAFANA, POSTGRES, PROMETHEUS, REDIS, Stack, remove_scratch, stack_in_use
from .streams import Deadline, read_back
from .volumes import planned_volumes, unplanned_volumes

# What is read back after a run, at most, where anything is so small.
SAMPLE = 256 << 20
# A tenth of a disk has to be free for a repository on the host itself, and no more than this.
ROOM = 10 << 30
_WRONG = (BackupError, CertificateError, EngineError, FileError, ReleaseError, OSError)


@dataclass
class Backup:
    """What a backup works with. Engine, clock, programs and places are injected."""

    config: Config
    paths: Paths
    engine: Engine
    restic: str = "restic"
    docker: tuple[str, ...] = ("docker",)
    clock: Callable[[], float] = time.time
    tell: Callable[[str], None] = lambda _line: None
    repositories: list[Restic] = field(init=False)

    def __post_init__(self) -> None:
        self.repositories = [Restic(entry, self.paths.cache, self.restic) for entry in self.config.repositories]

    def repository(self, name: str = "") -> Restic:
        """The repository of this name; the first one where none is named. BackupError lists them."""
        for restic in self.repositories:
            if name in ("", restic.name):
                return restic
        known = ", ".join(restic.name for restic in self.repositories)
        raise BackupError(f"There is no repository '{name}' in {self.paths.config}. Repositories: {known}")

    def stack(self) -> Stack:
        """The stack whose release is in use; one without services where nothing is deployed."""
        return stack_in_use(self.config, self.paths, self.engine, self.docker)

    # --- a run ------------------------------------------------------------------------------------------------------

    def run(self, *, accept_loss: bool = False) -> list[str]:
        """Make one backup; return what went wrong, nothing when all is well. The lock is the caller's."""
        run_id, began = make_id(self.clock(), secrets.token_hex(2)), self.clock()
        journal = Journal(self.paths, "journal", self.clock)
        journal.write("began", run=run_id)
        saver = Saver(run_id, self.config.host, self.repositories, Deadline.after(self.config.timeout), tell=self.tell)
        saver.accept_loss = accept_loss
        unplanned: list[str] | None = None
        try:
            # What a run or a drill that was killed left.
            with contextlib.suppress(BackupError):
                remove_scratch(self.docker)
            shutil.rmtree(self.paths.work, ignore_errors=True)
            self.paths.work.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._open(saver)
            saver.last = self._last_items(saver)
            self._check_room(saver)
            self._guard_first(saver)
            stack = self.stack()
            self._save_all(stack, saver)
            saver.guard_all()
            unplanned = unplanned_volumes(stack)
            manifest = self._manifest(saver, began)
            good = [] if saver.failures else self._complete(saver, manifest)
        except _WRONG as error:
            saver.fail(error)
            manifest, good = {}, []
        except BaseException:
            failures = ["It was stopped before its end"]
            self._remember(saver, {}, [], failures, began, unplanned)
            journal.write("failed", run=run_id, failures=failures)
            raise
        finally:
            shutil.rmtree(self.paths.work, ignore_errors=True)
        failures = [*saver.failures, *saver.lost.values()]
        if failures:
            self._forget_failed(saver)
        self._remember(saver, manifest, good, failures, began, unplanned)
        journal.write("failed" if failures else "done", run=run_id, repositories=good, failures=failures)
        return failures

    def _open(self, saver: Saver) -> None:
        """Look at every repository before the work begins."""
        for restic in self.repositories:
            try:
                self.open_repository(restic)
            except BackupError as error:
                saver.lost[restic.name] = str(error)
        self._check_left(saver)

    def _check_left(self, saver: Saver) -> None:
        if len(saver.lost) == len(self.repositories):
            saver.failures += saver.lost.values()
            saver.lost.clear()
            raise BackupError("No repository can be used, so nothing was saved")

    def _check_room(self, saver: Saver) -> None:
        """Leave out a repository on a disk of this host that a run might fill: the stack lives there too."""
        # Files are mostly in the repository already; dumps are mostly new.
        dumps = sum(int(facts["bytes"]) for facts in saver.last.values() if facts["kind"] == STREAM)
        for restic in self.repositories:
            url = restic.repository.url.removeprefix("local:")
            if restic.name not in saver.lost and url.startswith("/"):
                disk = shutil.disk_usage(url)
                need = max(dumps, min(disk.total // 10, ROOM))
                if disk.free < need:
                    saver.lost[restic.name] = (
                        f"The repository '{restic.name}' is on a disk of this host with {human_size(disk.free)} free. "
                        f"{human_size(need)} are needed there, so nothing was saved in it. Fix: free some space, "
                        "shorten backup_retention_days, or set backup_repositories to a place elsewhere"
                    )
        self._check_left(saver)

    def open_repository(self, restic: Restic, *, make: bool = False) -> None:
        """See that the repository is there, without dead locks. With `make`, make one that never was. BackupError.

        Two hosts that make one repository at once destroy it, so no run makes any: site.yml does, host by host.
        """
        try:
            restic.probe()
        except NoRepository as error:
            known = (read_facts(self.paths).get("repositories") or {}).get(restic.name) or {}
            if known.get("good") and known.get("url_sum") == url_sum(restic):
                raise BackupError(
                    f"The repository '{restic.name}' was there in the last good run and is gone: an unmounted disk, or "
                    f"a loss. No new one was made. Fix: bring it back; where it is meant to be gone, remove "
                    f"{self.paths.facts}"
                ) from error
            if not make:
                raise
            restic.init()
            self.tell(f"made the repository '{restic.name}'")
        else:
            restic.unlock()

    def _last_items(self, saver: Saver) -> dict[str, dict[str, Any]]:
        """What the last good run held, from the first repository that has one."""
        for restic in self.repositories:
            if restic.name not in saver.lost:
                run = newest(read_runs(restic, self.config.host), self.clock())
                if run:
                    return dict(read_manifest(self.paths, restic, run)["items"])
        return {}

    def _guard_first(self, saver: Saver) -> None:
        """Fail the first run of a host under whose name there are runs already: it may have been built anew, empty."""
        facts = read_facts(self.paths)
        # After a restore into the stack its data is no fresh one; what is missing all the same is seen item by item.
        if saver.last and not facts.get("good") and not facts.get("restored") and not saver.accept_loss:
            saver.fail(
                BackupError(
                    f"This is the first run of this host, and there are runs of a {self.config.host} already. Where it "
                    "was built anew, its fresh data must not become the newest backup. Fix: bring the data back "
                    "(hypercode backup restore --into-stack). When all is as it is meant to be: hypercode backup run "
                    "--accept-loss"
                )
            )

    def _save_all(self, stack: Stack, saver: Saver) -> None:
        """Save each part; one that fails does not keep the others from being saved."""
        parts: list[Callable[[], None]] = [
            stack.check_names,
            *(partial(postgres.back_up, stack, name, saver) for name in stack.of_kind(POSTGRES)),
            *(partial(redis.back_up, stack, name, saver) for name in stack.of_kind(REDIS)),
            *(partial(grafana.back_up, stack, name, saver, self.paths.work) for name in stack.of_kind(GRAFANA)),
            *(partial(prometheus.back_up, stack, name, saver) for name in stack.of_kind(PROMETHEUS)),
            partial(self._save_files, saver),
            *(partial(self._save_volume, stack, saver, name) for name in planned_volumes(stack)),
            *(partial(self._save_path, saver, name) for name in self.config.paths),
        ]
        for part in parts:
            try:
                part()
            except _WRONG as error:
                saver.fail(error)

    def _save_files(self, saver: Saver) -> None:
        """The release in use with its environment, the configuration, and certificates with their keys."""
        release = Store(self.paths).current()
        if release is not None:
            saver.tree("release", [str(self.paths.current), str(release.folder)])
        if self.paths.at("/etc/hypercode").is_dir():
            saver.tree("configuration", [str(self.paths.at("/etc/hypercode"))])
        places = CertificatePaths(self.paths.root)
        given = [
            places.at(name)
            for entry in read_wanted(places.wanted) or []
            for name in (entry.certificate_file, entry.key_file)
            if name
        ]
        found = sorted({str(path) for path in (*given, places.storage) if path.exists()})
        if found:
            # Locks of Caddy come and go, and say nothing.
            saver.tree("certificates", found, exclude=[f"{places.storage}/locks"])

    def _save_volume(self, stack: Stack, saver: Saver, name: str) -> None:
        saver.tree(f"volume/{name}", [str(stack.volume_folder(name))])

    def _save_path(self, saver: Saver, name: str) -> None:
        path = self.paths.at(name)
        # restic would leave it out with a warning, and call that a success.
        if not path.exists():
            raise BackupError(
                f"{name} is to be backed up and is not there. Fix: take it out of backup_paths, or bring it back"
            )
        saver.tree(f"path{name}", [str(path)])

    # --- its end ----------------------------------------------------------------------------------------------------

    def _manifest(self, saver: Saver, began: float) -> dict[str, Any]:
        release = Store(self.paths).current()
        return {
            "schema": 1,
            "id": saver.run_id,
            "host": self.config.host,
            "project": self.config.project,
            "release": release.id if release else None,
            "hostkit": __version__,
            "began": began,
            "seconds": round(self.clock() - began, 1),
            "bytes": sum(int(facts["bytes"]) for facts in saver.items.values()),
            "items": saver.items,
        }

    def _complete(self, saver: Saver, manifest: dict[str, Any]) -> list[str]:
        """Ask each repository for the run back, then make it count there. Returns the repositories in which it does."""
        good = []
        text = self.paths.work / "manifest.json"
        text.write_text(json.dumps(manifest), encoding="utf-8")
        for restic in self.repositories:
            if restic.name in saver.lost:
                continue
            try:
                run = next(
                    (found for found in read_runs(restic, self.config.host) if found.id == saver.run_id),
                    Run(saver.run_id),
                )
                ask_back(restic, run, saver.items)
                saver.save_manifest(restic, text)
                good.append(restic.name)
                self._forget_old(restic)
            except Locked as error:
                if restic.name not in good:
                    saver.lost[restic.name] = str(error)
                else:
                    self.tell(f"nothing old was forgotten this time: {error}")
            except BackupError as error:
                saver.lost[restic.name] = str(error)
        if good:
            keep_manifest(self.paths, manifest)
        return good

    def _forget_old(self, restic: Restic) -> None:
        runs, now = read_runs(restic, self.config.host), self.clock()
        for run in runs:
            if run.good and run.time > now:
                self.tell(
                    f"'{restic.name}' holds {run.id}, a run from the future, so nothing is forgotten: the clock was "
                    "wrong then, or is now. Fix: set the clock; docs/backup.md, Traps, says how to forget that run"
                )
        old = to_forget(runs, now, self.config.retention_days)
        points = to_forget_points(read_bases(restic, self.config.host), now, self.config.retention_days)
        restic.forget([*(snapshot for run in old for snapshot in run.ids()), *points])
        for run in old:
            (self.paths.manifests / f"{run.id}.json").unlink(missing_ok=True)
            self.tell(f"forgot the run {run.id}")

    def _forget_failed(self, saver: Saver) -> None:
        """Forget failed runs of before that have nothing which this one has not: a lasting failure fills no disk."""
        for restic in self.repositories:
            if restic.name not in saver.lost:
                try:
                    runs = [run for run in read_runs(restic, self.config.host) if not run.good]
                    restic.forget(
                        [
                            snapshot
                            for run in runs
                            if run.id != saver.run_id and set(run.snapshots) <= set(saver.items)
                            for snapshot in run.ids()
                        ]
                    )
                except BackupError as error:
                    self.tell(f"failed runs of before were not forgotten: {error}")

    def _remember(
        self,
        saver: Saver,
        manifest: dict[str, Any],
        good: Sequence[str],
        failures: Sequence[str],
        began: float,
        unplanned: list[str] | None,
    ) -> None:
        facts = read_facts(self.paths)
        facts["last"] = {"id": saver.run_id, "began": began, "ended": self.clock(), "failures": list(failures)}
        facts["failed"] = int(facts.get("failed") or 0) + 1 if failures else 0
        if unplanned is not None:
            facts["unplanned"] = unplanned
        known = facts.get("repositories") or {}
        facts["repositories"] = {restic.name: known.get(restic.name) or {} for restic in self.repositories}
        summary = {key: manifest.get(key) for key in ("id", "began", "seconds", "bytes")}
        if good:
            facts["good"] = {
                **summary,
                "items": {name: {"bytes": entry["bytes"]} for name, entry in saver.items.items()},
            }
        for restic in self.repositories:
            entry = facts["repositories"][restic.name]
            entry.setdefault("configured", began)
            entry["failure"] = saver.lost.get(restic.name, "") or ("" if restic.name in good else "; ".join(failures))
            if restic.name in good:
                entry["good"] = summary
                entry["url_sum"] = url_sum(restic)
        write_facts(self.paths, facts)

    def find(self, run_id: str, repository: str = "", host: str = "") -> tuple[Restic, Run, dict[str, Any]]:
        """A good run with its manifest, from the repository that is named or the first. BackupError."""
        restic = self.repository(repository)
        run = find(read_runs(restic, host or self.config.host), run_id, restic.name, self.clock())
        return restic, run, read_manifest(self.paths, restic, run)


def ask_back(restic: Restic, run: Run, items: Mapping[str, Mapping[str, Any]]) -> None:
    """See that each item is in the repository, and read one of them. BackupError when it is not what was sent."""
    missing = [name for name in items if name not in run.snapshots]
    if missing:
        raise BackupError(
            f"The repository '{restic.name}' has lost {', '.join(missing)}. Fix: hypercode backup verify --all"
        )
    streams = sorted(
        (name for name, facts in items.items() if facts["kind"] == STREAM), key=lambda name: items[name]["bytes"]
    )
    small = [name for name in streams if items[name]["bytes"] <= SAMPLE] or streams[:1]
    if small:
        # Another one each time.
        name = small[zlib.crc32(run.id.encode()) % len(small)]
        found = read_back(restic, run.snapshots[name].id, f"/{file_of(name)}", lambda _data: None, Deadline.after(3600))
        if found != items[name]["sha256"]:
            raise BackupError(
                f"The repository '{restic.name}' gives back another {name} than was sent. "
                "Fix: hypercode backup verify --all"
            )


def url_sum(restic: Restic) -> str:
    """Tells one address from another without telling it."""
    return f"{zlib.crc32(restic.repository.url.encode()):08x}"
