# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stops and starts services for a restore, and undoes what a restore has done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from ..credentials import CredentialError
from ..edge.caddy import Caddy, EdgeError
from ..edge.layout import Paths as EdgePaths
from ..edge.sync import read_manifest
from ..engine import EngineError
from ..files import FileError
from ..journal import Journal
from ..release_stack import ReleaseStack, last_words
from ..rollout_error import RolloutError
from ..stack_state import containers_by_service
from . import put_back_files, put_back_postgres
from .config import BackupError
from .facts import read_facts, write_facts
from .put_back_files import FILES
from .put_back_postgres import DATABASE, NEW, ROLES
from .put_back_record import DONE, UNDO, WORKING, Deed, Record
from .put_back_see import containers_of, look, policy_of
from .run import Backup
from .stack import POSTGRES, Container, Stack, call_docker, remove_scratch

CERTIFICATES = "certificates"
WRONG = (BackupError, CredentialError, EdgeError, EngineError, FileError, OSError, RolloutError)


class UndoError(BackupError):
    """Not all of the old data could be put back. `services` are those that have to stay down until it is."""

    def __init__(self, text: str, services: Collection[str]) -> None:
        super().__init__(text)
        self.services = frozenset(services)


@dataclass
class Hands:
    """What works on the services of the release in use. The locks of rollouts and backups are the caller's."""

    backup: Backup
    release: ReleaseStack
    stack: Stack = field(init=False)
    tell: Callable[[str], None] = field(init=False)

    def __post_init__(self) -> None:
        self.stack = self.backup.stack()
        self.tell = self.backup.tell

    # --- services ---------------------------------------------------------------------------------------------------

    def running(self, names: Collection[str]) -> list[str]:
        """Those that are up, also while they crash again and again."""
        return [name for name in names if look(self.stack, name).up]

    def sick(self, names: Collection[str]) -> list[str]:
        """Those that are not as they should be."""
        return [row.service for row in self.release.rows(list(names)) if not row.is_good]

    def stop(self, names: Collection[str]) -> None:
        """Stop services, each with its own signal and grace period. BackupError."""
        names = self.running(names)
        if not names:
            return
        for item in (item for name in names for item in containers_of(self.stack, name)):
            if item["State"]["Status"] == "paused":
                # It cannot hear that it is to end.
                call_docker(self.stack.docker, "unpause", str(item["Id"]), what="the restore")
        done = self.release.compose("stop", *names)
        if done.code != 0 or self.running(names):
            raise BackupError(
                f"{', '.join(names)} cannot be stopped: {last_words(done)}. Fix: docker compose ls; docker ps shows why"
            )

    def hold(self, names: Collection[str], record: Record) -> None:
        """See to it that a boot does not start these containers by itself: data may be half exchanged then."""
        found = {str(item["Id"]): policy_of(item) for name in names for item in containers_of(self.stack, name)}
        held = {container: policy for container, policy in found.items() if policy != "no"}
        if held:
            record.policies |= held
            record.write()
        for container in held:
            call_docker(self.stack.docker, "update", "--restart", "no", container, what="the restore")

    def release_hold(self, record: Record, but: Collection[str] = ()) -> None:
        """Give back the policies, but not to the containers of some services."""
        there = containers_by_service(self.stack.engine.containers(self.stack.config.project))
        ids = {str(item["Id"]) for name, items in there.items() if name not in but for item in items}
        # One that is gone needs none: a new one has its policy from the Compose file.
        for container, policy in record.policies.items():
            if container in ids:
                try:
                    call_docker(self.stack.docker, "update", "--restart", policy, container, what="the restore")
                except BackupError as error:
                    self.tell(f"{container[:12]} has no restart policy now: {error}")

    def levels(self, names: Collection[str]) -> list[list[str]]:
        """These services in the order in which they start."""
        levels = [[name for name in level if name in names] for level in self.release.levels()]
        return [level for level in levels if level]

    def up(self, names: Sequence[str], sick: Collection[str] = ()) -> None:
        """Start services and wait until they are ready. RolloutError; those that were `sick` before are only told."""
        self.release.compose_up(list(names))
        outcome = self.release.wait_ready(list(names), first_crash_ends=False)
        if outcome.is_good:
            return
        error = self.release.not_ready(outcome)
        down = {row.service for row in (*outcome.crashed, *outcome.late)}
        if not down or down - set(sick):
            raise error
        self.tell(f"not well, as it was before the restore: {error}")

    def start(self, record: Record, after: Callable[[Sequence[str]], None] = lambda _names: None) -> None:
        """All data is in its place: start the services level by level; `after` looks at each. One of WRONG.

        Done again after a cut, it ends what was begun.
        """
        self.release_hold(record)
        files = {name for deed in record.of_kind(FILES) for name in deed["services"]}
        for level in self.levels(record.starts):
            self.up(level, record.sick)
            for service in sorted(files & set(level) & set(self.stack.of_kind(POSTGRES))):
                put_back_postgres.give_own_password(self.container(service))
            self.tell_secrets(level)
            after(level)
        self.reload_edge(record)

    def reload_edge(self, record: Record) -> None:
        """Let the edge read certificates that were exchanged. EdgeError."""
        if any(deed["item"] == CERTIFICATES for deed in record.of_kind(FILES)):
            edge = EdgePaths(self.backup.paths.root)
            about = read_manifest(edge)
            if about is not None:
                Caddy(str(about["binary"]), edge).reload(force=True)

    def make_volumes(self, services: Collection[str]) -> None:
        """Make the containers, and so the volumes, of services that have none. Nothing is started. BackupError."""
        names = [name for name in services if look(self.stack, name).container is None]
        if names:
            done = self.release.compose("up", "--no-start", "--no-deps", "--no-build", "--pull", "never", *names)
            if done.code != 0:
                raise BackupError(f"{', '.join(names)} cannot be made: {last_words(done)}. Fix: run site.yml again")

    def container(self, service: str) -> Container:
        return self.stack.container(service)

    def tell_secrets(self, services: Sequence[str]) -> None:
        """Let the services know the secrets of the release in use: a restored role may have an older password."""
        if self.release.keeper:
            self.release.keeper.tell_started(services)

    # --- the way back -----------------------------------------------------------------------------------------------

    def undo(self, record: Record) -> list[str]:
        """Put the old data back, and start what ran. Returns what does not get well; the data is back all the same.

        UndoError where some data cannot be put back: what can be is, and the rest is started. Then the record stays,
        and this can be done again.
        """
        if record.phase == DONE:
            self.finish(record)
            return []
        # Nothing of it is needed any more, and the disk may be full.
        shutil.rmtree(record.staging, ignore_errors=True)
        if record.phase != WORKING:
            record.advance(WORKING)
        # Databases have to be asked, so their services go on.
        databases = {deed["service"] for deed in (*record.of_kind(DATABASE), *record.of_kind(ROLES))}
        try:
            self.hold(record.stops, record)
            self.stop([name for name in record.stops if name not in databases])
            remove_scratch(self.stack.docker)
        except WRONG as error:
            # Whoever has to be down for a deed is looked at there.
            self.tell(f"not all could be stopped: {error}")
        wrong, down = self._undo_all(record)
        self.release_hold(record, but=down)
        failures: list[str] = []
        for level in self.levels(set(record.ran) - down):
            try:
                self.up(level)
            except WRONG as error:
                failures.append(str(error))
        try:
            self.reload_edge(record)
        except WRONG as error:
            failures.append(str(error))
        if wrong:
            stays = f" Until then {', '.join(sorted(down))} stays down." if down else ""
            raise UndoError(
                f"The old data could not be put back: {' '.join(wrong).rstrip('.')}. What was set aside is still there."
                f"{stays} Next, once that is mended: {UNDO}",
                down,
            )
        self._close(record)
        return failures

    def _undo_all(self, record: Record) -> tuple[list[str], set[str]]:
        """Undo as much as can be; return what went wrong, and which services are not to start on half of the data."""
        wrong: list[str] = []
        down: set[str] = set()
        for deed in reversed([deed for deed in record.deeds if deed["state"] != NEW]):
            services = set(deed["services"] if deed["kind"] == FILES else [deed["service"]])
            if services & down:
                # What was done before is undone after.
                down |= services
                continue
            try:
                self._undo(deed, record)
            except WRONG as error:
                wrong.append(f"{str(error).rstrip('.')}.")
                down |= services
        return wrong, down

    def _undo(self, deed: Deed, record: Record) -> None:
        if deed["kind"] == FILES:
            self.stop(deed["services"])
            put_back_files.undo(deed, record)
            return
        if any(other["state"] != NEW for other in of_service(record, deed["service"])):
            # All of its files are exchanged for the old ones, in which nothing was done: so this is undone by that, and
            # must not be begun again once the old server runs.
            deed["state"] = NEW
            record.write()
            return
        if not look(self.stack, deed["service"]).well:
            self.up([deed["service"]])
        container = self.container(deed["service"])
        if deed["kind"] == DATABASE:
            put_back_postgres.undo(self.stack, container, deed, record)
        else:
            put_back_postgres.drop_roles(self.stack, container, deed["names"])
            deed["state"] = NEW
            record.write()

    def finish(self, record: Record) -> None:
        """All is back and well: remove what was set aside. What cannot be removed is told, and is in nobody's way."""
        for deed in record.deeds:
            if deed["kind"] == FILES:
                put_back_files.finish(deed)
            elif deed["kind"] == DATABASE:
                try:
                    if not look(self.stack, deed["service"]).well:
                        self.up([deed["service"]])
                    put_back_postgres.finish(self.stack, self.container(deed["service"]), deed)
                except WRONG as error:
                    self.tell(
                        f"The old database stays in {deed['service']}, as {deed['aside']}, and takes disk: "
                        f"{str(error).rstrip('.')}. Next, once that is mended: DROP DATABASE {deed['aside']}"
                    )
        self._close(record)

    def remember(self, record: Record) -> None:
        """A host that was built anew may back itself up from now on."""
        backup = self.backup
        Journal(backup.paths, "journal", backup.clock).write("restored", run=record.run, safety=record.safety)
        facts = read_facts(backup.paths)
        facts["restored"] = {"run": record.run, "ended": backup.clock(), "safety": record.safety}
        write_facts(backup.paths, facts)

    def _close(self, record: Record) -> None:
        self.release_hold(record)
        problem = self.release.tools.tell_edge(self.release.tools.engine)
        if problem:
            self.tell(f"the edge could not be told: {problem}")
        shutil.rmtree(record.staging, ignore_errors=True)
        record.close()


def of_service(record: Record, service: str) -> list[Deed]:
    """The exchanges of files that this service has to be down for."""
    return [deed for deed in record.of_kind(FILES) if deed.get("whole") == service]
