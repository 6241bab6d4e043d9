# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sees to it that running services know the secrets of a release: what a plan says of it, and what a rollout does."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .compose.envfile import EnvFileError, load_env
from .credentials import GRAFANA_ADMIN, POSTGRES_ROLE, Credential, CredentialError, recorded_credentials
from .credentials_exec import Teller, tell_program
from .credentials_grafana import give_administrator
from .credentials_postgres import PostgresRole
from .engine import Engine, EngineError
from .journal import Journal
from .redact import Redactor
from .release import Release, ReleaseError
from .rollout_error import RolloutError
from .stack_state import Row, containers_by_service

# On its first start a database reports healthy for a moment before it restarts once more.
PATIENCE = 30.0
POLL = 1.0
# The event in the journal.
SET = "password set"


# ---- what a plan says ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """What running services were found to know. `unread` has a sentence for each that could not be asked."""

    actions: Mapping[str, str] = field(default_factory=dict)
    unread: Sequence[str] = ()


def compare(
    credentials: Sequence[Credential],
    secrets: Mapping[str, str],
    rows: Sequence[Row],
    engine: Engine,
    tell: Teller,
    *,
    before: Mapping[str, str] | None = None,
) -> Comparison:
    """Ask the services that run. `before` are the values of the release in use; None when there is none.

    Changes nothing. What does not run is not asked, and nothing is said about it.
    """
    running = {row.service: row.container_id for row in rows if row.state == "running"}
    actions: dict[str, list[str]] = {}
    unread = []
    for credential in credentials:
        container_id = running.get(credential.service)
        if container_id is None:
            continue
        try:
            if not _knows(credential, secrets[credential.secret], container_id, engine, tell, before):
                actions.setdefault(credential.service, []).append(credential.deed)
        except (CredentialError, EngineError) as error:
            unread.append(str(error))
    return Comparison({service: ", ".join(deeds) for service, deeds in actions.items()}, unread)


def _knows(
    credential: Credential,
    password: str,
    container_id: str,
    engine: Engine,
    tell: Teller,
    before: Mapping[str, str] | None,
) -> bool:
    if credential.kind == GRAFANA_ADMIN:
        return before is None or before.get(credential.secret) == password
    container = engine.get(f"/containers/{container_id}/json")
    return PostgresRole(credential, container, tell).has(password)


# ---- what a rollout does ---------------------------------------------------------------------------------------------


@dataclass
class Keeper:
    """Tells services the secrets `values`. `before` are those of the release that ran before; None when none did.

    On the way back from a release that failed, `foreign` are credentials that only that one has: it may have told them.
    The release that comes back does not need them, so they are no reason for it to fail.
    """

    credentials: Sequence[Credential]
    values: Mapping[str, str]
    project: str
    engine: Engine
    journal: Journal
    redact: Redactor
    before: Mapping[str, str] | None = None
    is_way_back: bool = False
    foreign: Sequence[Credential] = ()
    tell: Teller = tell_program
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def tell_running(self) -> None:
        """Tell what runs now, before its containers are touched. What fails is done again once it is started.

        Connections that are open stay open.
        """
        for credential in self._of([*self.credentials, *self.foreign], POSTGRES_ROLE):
            self._try(credential)

    def tell_started(self, services: Collection[str]) -> None:
        """Tell the services that have just got ready. Raises RolloutError for one that cannot be told."""
        for credential in self._of(self.credentials, POSTGRES_ROLE, GRAFANA_ADMIN):
            if credential.service in services:
                (self._insist if self._is_needed(credential) else self._try)(credential)
        for credential in self._of(self.foreign, POSTGRES_ROLE, GRAFANA_ADMIN):
            if credential.service in services:
                self._try(credential)

    def _is_needed(self, credential: Credential) -> bool:
        """False where the service most likely still has the right value: the release that failed never told it."""
        if credential.kind == POSTGRES_ROLE or not self.is_way_back:
            return True
        told = (event for event in self.journal.read() if event["event"] == SET)
        return any(event.get("service") == credential.service for event in told)

    def _of(self, credentials: Sequence[Credential], *kinds: str) -> list[Credential]:
        # An older release may lack a secret that a newer one has.
        return [found for found in credentials if found.kind in kinds and self.values.get(found.secret)]

    def _try(self, credential: Credential) -> None:
        try:
            self._settle(credential)
        except (CredentialError, EngineError) as error:
            self.journal.write("password not set", service=credential.service, reason=self.redact(str(error)))

    def _insist(self, credential: Credential) -> None:
        start = self.clock()
        while True:
            try:
                return self._settle(credential)
            except (CredentialError, EngineError) as error:
                is_passing = isinstance(error, EngineError) or error.passing
                if not is_passing or self.clock() - start >= PATIENCE:
                    raise RolloutError(self.redact(str(error)), service=credential.service) from error
            self.sleep(POLL)

    def _settle(self, credential: Credential) -> None:
        container = self._running(credential.service)
        password = self.values[credential.secret]
        if container is None:
            return
        if credential.kind == POSTGRES_ROLE:
            role = PostgresRole(credential, container, self.tell)
            if role.has(password):
                return
            role.give(password)
        else:
            if self.before is None or self.before.get(credential.secret) == password:
                return
            give_administrator(credential, container, password, self.tell)
        self.journal.write(SET, service=credential.service, role=credential.role, secret=credential.secret)

    def _running(self, service: str) -> Mapping[str, Any] | None:
        found = containers_by_service(self.engine.containers(self.project)).get(service, [])
        return next((container for container in found if container["State"]["Status"] == "running"), None)


def values_of(release: Release | None) -> dict[str, str] | None:
    """Return the secrets of a release; None where there is none or its env file cannot be read."""
    if release is None:
        return None
    try:
        return dict(load_env(release.read_env()))
    except (ReleaseError, EnvFileError, ValueError):
        return None


def credentials_of(release: Release | None) -> list[Credential]:
    """Return what a release says that services keep."""
    return recorded_credentials(release.peek().get("credentials")) if release else []
