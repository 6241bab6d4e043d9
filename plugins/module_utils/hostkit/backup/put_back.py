# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restores a run into the running stack. Whatever goes wrong, the old data is put back and the services are started.

Fetch all and compare it; fill new databases beside the old ones; stop what uses the data; save what is replaced;
exchange old for new; start; look. What was set aside is removed when all is well.
"""

from __future__ import annotations

import glob
import secrets
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..files import explain
from ..journal import Journal
from ..rollout_error import RolloutError
from . import prometheus, put_back_files, put_back_postgres, put_back_redis, put_back_safety
from .config import BackupError
from .drill import compare_keys
from .grafana import DATA as GRAFANA_DATA
from .grafana import DATABASE as GRAFANA_FILE
from .put_back_hands import CERTIFICATES, WRONG, Hands
from .put_back_plan import FOLDER, PATH, VOLUME, Part, Plan, users_of
from .put_back_record import DONE, STARTING, Deed, Record, staging_of
from .put_back_see import data_volumes, folder_of_source, look
from .redis import info
from .restore import restore_item
from .stack import GRAFANA, POSTGRES, PROMETHEUS, REDIS, Container
from .streams import Deadline

# Items whose name says which service has them.
_OWNED = (POSTGRES, REDIS, GRAFANA, PROMETHEUS, FOLDER)
# Where the official image keeps its data.
PGDATA = "/var/lib/postgresql/data"
# Items that are fetched at once.
FETCHERS = 2


class PutBack:
    """One restore. The locks of rollouts and backups are the caller's."""

    def __init__(self, hands: Hands, plan: Plan) -> None:
        self.hands, self.plan = hands, plan
        self.stack, self.backup, self.tell = hands.stack, hands.backup, hands.backup.tell
        self.deadline = Deadline.after(hands.backup.config.timeout)
        self.record = Record(hands.backup.paths, secrets.token_hex(4), plan.run.id)
        self.items = self.record.staging / "items"
        self.journal = Journal(hands.backup.paths, "journal", hands.backup.clock)
        self._numbers = 0
        self._places: dict[str, int] = {}

    def go(self) -> str:
        """Do it; return the id of the run that holds what was replaced. BackupError when it failed and was undone."""
        self.journal.write("restoring", run=self.plan.run.id, items=[part.item for part in self.plan.parts])
        try:
            self._fetch()
        except BaseException:
            shutil.rmtree(self.record.staging, ignore_errors=True)
            raise
        self.record.stops = list(self.plan.stops)
        touched = self._touched()
        self.record.ran = self.hands.running(touched)
        services = self.hands.release.about["services"]
        self.record.starts = [name for name in touched if services[name].get("replicas") != 0]
        # Whose data comes back may have been broken by that.
        owners = {part.name for part in self.plan.parts if part.kind in _OWNED}
        self.record.sick = self.hands.sick([name for name in self.record.starts if name not in owners])
        self.record.write()
        try:
            for step in (self._revive, self._beside, self._stop, self._save, self._exchange):
                step()
            # From here on others write into it.
            self.record.advance(STARTING)
            self.hands.start(self.record, after=self._look)
            self.record.advance(DONE)
        except BaseException as error:
            self._undo(error)
            raise
        self.hands.finish(self.record)
        self.hands.remember(self.record)
        return self.record.safety

    def _undo(self, error: BaseException) -> None:
        reason = str(error).rstrip(".") if isinstance(error, WRONG) else f"It was stopped before its end ({error!r})"
        self.tell(f"FAILED: {reason}")
        self.tell("putting the old data back")
        self.journal.write("not restored", run=self.plan.run.id, reason=reason)
        failures = self.hands.undo(self.record)
        after = f" Not well since: {' '.join(failures)}" if failures else " The services run as before."
        if isinstance(error, WRONG):
            raise BackupError(f"{reason}. The old data was put back.{after}") from error

    def _touched(self) -> set[str]:
        """All services whose data is exchanged, or that stop for it."""
        return {*self.plan.stops, *(part.name for part in self.plan.parts if part.kind in _OWNED)}

    def _number(self) -> str:
        self._numbers += 1
        return f"{self.record.id}_{self._numbers}"

    # --- before anything is touched ---------------------------------------------------------------------------------

    def _fetch(self) -> None:
        shutil.rmtree(staging_of(self.backup.paths), ignore_errors=True)
        try:
            self.items.mkdir(mode=0o700, parents=True)
            plan = self.plan
            wanted = [part.item for part in plan.parts if part.kind != FOLDER]
            # Owners are needed for whichever database comes back.
            roles = [f"{POSTGRES}/{service}/roles" for service in plan.services(POSTGRES)]
            wanted += [item for item in roles if item not in wanted and item in plan.run.snapshots]
            for item in wanted:
                self._staged(item)
            # Each time that restic opens a repository it needs a second of waiting and of CPU: so two at once.
            with ThreadPoolExecutor(FETCHERS) as fetchers:
                try:
                    for item in fetchers.map(self._fetch_item, wanted):
                        self.tell(f"fetched {item}")
                except BaseException:
                    fetchers.shutdown(wait=False, cancel_futures=True)
                    raise
        except OSError as error:
            raise explain(str(self.items), "written", error) from error

    def _fetch_item(self, item: str) -> str:
        plan = self.plan
        restore_item(plan.restic, plan.run, plan.manifest, item, self._staged(item), self.deadline)
        return item

    def _staged(self, item: str) -> Path:
        # By number: of two databases, one may be named as the folder of the other.
        return self.items / str(self._places.setdefault(item, len(self._places)))

    def _content(self, part: Part, path: str) -> Path:
        """What was at a path of the host when it was saved."""
        return self._staged(part.item) / path.lstrip("/")

    def _revive(self) -> None:
        """Start data services that do not run, or wait for those that only begin: their data may be there yet."""
        for service in list(self.plan.lost):
            self.tell(f"starting {service}")
            try:
                self.hands.up([service])
            except RolloutError as error:
                self.tell(f"{service} cannot be started: {error}")
                self._check_all_named(service)
            else:
                self.plan.lost.remove(service)

    def _check_all_named(self, service: str) -> None:
        """All databases of a server are in its files: with new ones, all have to come back."""
        items = [name for name in self.plan.manifest["items"] if name.startswith(f"{POSTGRES}/{service}/database/")]
        named = [part.item for part in self.plan.parts]
        missing = sorted(set(items) - set(named))
        if missing and service in self.plan.services(POSTGRES):
            raise BackupError(
                f"{service} cannot be started, so all of its databases have to come back, and {', '.join(missing)} is "
                f"not named. Fix: --item {POSTGRES}/{service}"
            )

    def _beside(self) -> None:
        """What takes long and touches nothing: volumes that are missing, new databases, append-only files."""
        plan = self.plan
        files = (*plan.of_kind(VOLUME), *plan.of_kind(PATH))
        users = {user for part in files for user in users_of(self.stack, part.name)}
        owners = {name for kind in (REDIS, GRAFANA, PROMETHEUS, FOLDER) for name in plan.services(kind)}
        self.hands.make_volumes(sorted(users | owners))
        for service in plan.services(POSTGRES):
            if service not in plan.lost:
                self._load(service)
        for part in plan.of_kind(REDIS):
            container, well = self._container(part.name), look(self.stack, part.name).well
            layout = put_back_redis.layout_of(self.stack, container, running=well)
            folder = self.record.staging / f"redis-{part.name}"
            put_back_redis.prepare(
                self.stack, container.image, part.item, plan.facts(part), self._staged(part.item), layout, folder
            )
            deed = put_back_files.exchange_of(
                part.item, layout.folder, folder, [part.name], self._number(), only=layout.names
            )
            self.record.deeds.append(deed)

    def _load(self, service: str) -> None:
        container = self.hands.container(service)
        roles = self._staged(f"{POSTGRES}/{service}/roles")
        if roles.exists():
            text = roles.read_text(encoding="utf-8", errors="surrogateescape")
            made = put_back_postgres.make_roles(self.stack, container, text, self.record)
            if made:
                self.tell(f"made roles in {service}: {', '.join(made)}")
        for part in self.plan.of_kind(POSTGRES):
            if part.name == service and part.database:
                deed = put_back_postgres.deed_of(part.item, service, part.database, self._number())
                self.record.deeds.append(deed)
                facts = self.plan.facts(part)
                put_back_postgres.load(
                    self.stack, container, deed, self._staged(part.item), facts, self.record, self.deadline
                )
                self.tell(f"filled and compared {part.item}")

    # --- the services are away --------------------------------------------------------------------------------------

    def _stop(self) -> None:
        """Stop what uses the data. Services that have to hand it out yet go on."""
        plan = self.plan
        self.hands.hold(self.record.stops, self.record)
        kinds = (POSTGRES, REDIS, PROMETHEUS, FOLDER)
        stays = {name for kind in kinds for name in plan.services(kind) if name not in plan.lost}
        names = [name for name in plan.stops if name not in stays]
        if names:
            self.tell(f"stopping {', '.join(names)}")
        self.hands.stop(names)

    def _save(self) -> None:
        self.record.safety = put_back_safety.take(self.hands, self.plan, self.record, self.deadline)
        self.record.write()

    def _exchange(self) -> None:
        plan = self.plan
        for service in plan.services(POSTGRES):
            if service in plan.lost:
                self._begin_anew(service)
                self._load(service)
            container = self.hands.container(service)
            for deed in self.record.of_kind(put_back_postgres.DATABASE):
                if deed["service"] == service:
                    put_back_postgres.exchange(self.stack, container, deed, self.record)
            self.hands.tell_secrets([service])
        self.hands.stop(list(plan.stops))
        for deed in (*self.record.of_kind(put_back_files.FILES), *self._file_deeds()):
            if deed["state"] == put_back_files.NEW:
                if deed not in self.record.deeds:
                    self.record.deeds.append(deed)
                put_back_files.put(deed, self.record)
                self.tell(f"put back {deed['item']}")

    def _begin_anew(self, service: str) -> None:
        """A database that does not run: its files go aside, and its image makes new ones."""
        self.hands.stop([service])
        for source in data_volumes(self.stack, service, POSTGRES):
            folder = folder_of_source(self.stack, source)
            if folder is not None and folder.exists():
                deed = put_back_files.exchange_of(f"{VOLUME}/{source}", folder, None, [service], self._number())
                deed["whole"] = service
                self.record.deeds.append(deed)
                put_back_files.put(deed, self.record)
        self.tell(f"{service} begins anew")
        self.hands.up([service])

    def _file_deeds(self) -> list[Deed]:
        deeds = []
        for part in self.plan.parts:
            if part.kind == VOLUME:
                deeds.append(self._whole(part, self._folder(part.name)))
            elif part.kind == PATH:
                target = self.backup.paths.at(part.name)
                deeds.append(self._at_path(part, self._saved(part), target, users_of(self.stack, part.name)))
            elif part.kind == CERTIFICATES:
                deeds += [self._at_path(part, str(path), Path(path), []) for path in self.plan.facts(part)["paths"]]
            elif part.kind == GRAFANA:
                deeds.append(self._grafana(part))
            elif part.kind == PROMETHEUS:
                folder = prometheus.data_folder(self.stack, self._container(part.name))
                saved = self._content(part, self._saved(part))
                deeds.append(put_back_files.exchange_of(part.item, folder, saved, [part.name], self._number()))
            elif part.kind == FOLDER:
                deeds.append(self._data_folder(part))
        return deeds

    def _container(self, service: str) -> Container:
        """The container of a service, running or not."""
        found = look(self.stack, service).container
        if found is None:
            raise BackupError(f"{service} has no container. Fix: run site.yml again")
        return found

    def _folder(self, source: str) -> Path:
        folder = folder_of_source(self.stack, source)
        if folder is None:
            raise BackupError(f"There is no volume {source}. Fix: run site.yml again, which makes it")
        return folder

    def _whole(self, part: Part, folder: Path) -> Deed:
        saved = self._content(part, self._saved(part))
        return put_back_files.exchange_of(part.item, folder, saved, users_of(self.stack, part.name), self._number())

    def _saved(self, part: Part) -> str:
        """Where its files lay when they were saved: a volume may lie elsewhere on another host."""
        return str(self.plan.facts(part)["paths"][0])

    def _at_path(self, part: Part, path: str, target: Path, services: Sequence[str]) -> Deed:
        saved = self._content(part, path)
        if saved.is_dir() and not saved.is_symlink():
            return put_back_files.exchange_of(part.item, target, saved, services, self._number())
        # A single file: it alone is exchanged in its folder.
        alone = self.record.staging / f"file-{self._number()}"
        alone.mkdir(mode=0o700)
        saved.rename(alone / target.name)
        only = [glob.escape(target.name)]
        return put_back_files.exchange_of(part.item, target.parent, alone, services, self._number(), only=only)

    def _data_folder(self, part: Part) -> Deed:
        container = self._container(part.name)
        place = container.environment.get("PGDATA") or PGDATA
        folder = self.stack.folder_in(container, Path(place))
        if folder is None:
            raise BackupError(f"{part.name} has no volume at {place}. Fix: mount one in the Compose file")
        deed = put_back_files.exchange_of(part.item, folder, Path(part.rest), [part.name], self._number())
        return {**deed, "whole": part.name}

    def _grafana(self, part: Part) -> Deed:
        folder = self.stack.folder_in(self._container(part.name), Path(GRAFANA_DATA))
        if folder is None:
            raise BackupError(f"{part.name} has no volume at {GRAFANA_DATA}. Fix: mount one in the Compose file")
        if part.rest != "database":
            saved = self._content(part, self._saved(part))
            but = [f"{GRAFANA_FILE}*"]
            return put_back_files.exchange_of(part.item, folder, saved, [part.name], self._number(), but=but)
        alone, owner = self.record.staging / f"grafana-{part.name}", folder.stat()
        alone.mkdir(mode=0o700)
        file = self._staged(part.item).rename(alone / GRAFANA_FILE)
        file.chmod(0o640)
        shutil.chown(file, owner.st_uid, owner.st_gid)
        only = [f"{GRAFANA_FILE}*"]
        return put_back_files.exchange_of(part.item, folder, alone, [part.name], self._number(), only=only)

    def _look(self, level: Sequence[str]) -> None:
        """Compare what was put back, before others use it."""
        for part in self.plan.of_kind(REDIS):
            if part.name in level:
                keys = info(self.stack, self.hands.container(part.name))[0]
                compare_keys(part.item, self.plan.facts(part), keys)
