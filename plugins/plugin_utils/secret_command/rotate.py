# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""scripts/secrets rotate: new values, then the deploy that brings them to the hosts.

While a rotation is open, ``<file>.before-rotate`` keeps the old content, encrypted as it was. After a deploy that
failed the old content is back, and ``<file>.not-deployed`` keeps the new values. Ansible reads neither. At every
moment, a power cut included, one of the two says where the rotation stands; --resume or --undo goes on from there.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command import rotation
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_command.session import Place, Session
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import files
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.document import Document
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import (
    before_of,
    not_deployed_of,
    shown,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import refuse


class Deployed(enum.Enum):
    """How a deploy ended."""

    DONE = "done"
    FAILED = "failed"
    # Stopped, or not started: what the hosts have is not known, or the user brings it there.
    OPEN = "open"


@dataclasses.dataclass(frozen=True)
class Request:
    """What was asked for."""

    names: tuple[str, ...] = ()
    force: bool = False
    deploy: bool = True


@dataclasses.dataclass(frozen=True)
class Outcome:
    """``names`` got a new value; ``deployed`` says whether the hosts have it."""

    names: list[str]
    deployed: Deployed


Deploy = Callable[[], Deployed]
Ask = Callable[[str, str], str]


class Rotation:
    """The rotation of one environment. Every method may raise StoreError."""

    def __init__(self, session: Session, deploy: Deploy) -> None:
        self._session = session
        self._deploy = deploy
        self.path = session.store.path
        self.before = before_of(self.path)
        self.not_deployed = not_deployed_of(self.path)

    @property
    def is_open(self) -> bool:
        return self.before.exists()

    def begin(self, wish: Request, ask: Ask) -> Outcome:
        """Make new values, write them, deploy."""
        refuse_if_open(self._session)
        session = self._session
        old = session.sealed()
        document = Document(session.store.open(old), session.file)
        rotation.refuse_unfit(session, document, wish.names, force=wish.force)
        values = rotation.new_values(session, document, wish.names, ask)
        self._write(document, old, values)
        return self._carry_out(list(values), deploy=wish.deploy)

    def resume(self, *, deploy: bool) -> Outcome:
        """Go on with a rotation that was stopped or that failed. Without a deploy: the user has deployed by hand."""
        if not self.is_open:
            self._take_up()
        names = self._changed()
        if not names:
            # Stopped before anything was written.
            files.remove(self.before)
            raise self._nothing()
        if deploy:
            return self._carry_out(names, deploy=True)
        self._close(names)
        return Outcome(names, Deployed.DONE)

    def _write(self, document: Document, old: bytes, values: Mapping[str, str]) -> None:
        """Open the rotation: the old content is kept before the new one takes its place."""
        for name, value in values.items():
            document.set(name, value)
        rotation.refuse_bad(self._session, document, list(values))
        sealed = self._session.store.seal(document.text())
        files.write(self.before, old)
        files.write(self.path, sealed)
        files.remove(self.not_deployed)

    def _take_up(self) -> None:
        """Put the values that were not deployed into the file as it is now: it may have been edited since."""
        if not self.not_deployed.exists():
            raise self._nothing()
        session = self._session
        kept = self._read(self.not_deployed)
        old = session.sealed()
        document = Document(session.store.open(old), session.file)
        values = {name: str(value) for name, value in kept.values.items()}
        self._write(document, old, rotation.with_urls(session, document, values))

    def undo(self, *, deploy: bool) -> Outcome:
        """Put the old values back, and bring them to the hosts."""
        if not self.is_open:
            if self.not_deployed.exists():
                # They are back already; what the hosts have is made sure of.
                files.remove(self.not_deployed)
                return Outcome([], self._deploy() if deploy else Deployed.OPEN)
            raise self._nothing()
        names = self._changed()
        files.write(self.path, files.read(self.before) or b"")
        files.remove(self.not_deployed)
        files.remove(self.before)
        if not names:
            return Outcome([], Deployed.DONE)
        return Outcome(names, self._deploy() if deploy else Deployed.OPEN)

    def _carry_out(self, names: list[str], *, deploy: bool) -> Outcome:
        ended = self._deploy() if deploy else Deployed.OPEN
        if ended is Deployed.DONE:
            self._close(names)
        elif ended is Deployed.FAILED:
            self._put_back(names)
        return Outcome(names, ended)

    def _put_back(self, names: Sequence[str]) -> None:
        """After a deploy that failed the hosts are back on the old values, so the file is too."""
        new = self._read(self.path)
        kept = Document(b"", shown(self.not_deployed))
        for name in names:
            kept.set(name, str(new.values[name]))
        files.write(self.not_deployed, self._session.store.seal(kept.text()))
        files.write(self.path, files.read(self.before) or b"")
        files.remove(self.before)

    def _close(self, names: Sequence[str]) -> None:
        self._session.set_dates(list(names))
        files.remove(self.not_deployed)
        files.remove(self.before)

    def _changed(self) -> list[str]:
        before, after = (self._read(path) for path in (self.before, self.path))
        return rotation.differing(before, after)

    def _read(self, path: Path) -> Document:
        return Document(self._session.plain(files.read(path) or b""), shown(path))

    def _nothing(self) -> Exception:
        message = f"There is no unfinished rotation of {self._session.environment.name}. The values are as they were."
        return refuse("rotation-none", message, f"to begin one: {self._session.command('rotate', 'NAME')}")


def refuse_if_open(place: Place) -> None:
    """Refuse to change a file while a rotation is open: taking that back would take the change along."""
    before = before_of(place.store.path)
    if before.exists():
        message = f"A rotation of {place.environment.name} is not finished: {shown(before)} is there."
        resume, undo = (place.command("rotate", word) for word in ("--resume", "--undo"))
        raise refuse("rotation-unfinished", message, f"go on with it: {resume}; or take it back: {undo}")
