# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Moves the host to a release: pull everything, start level by level, wait for healthy, switch; or back.

Runs on the host, in a process of its own, so that it ends well when the controller goes away. Each step is a line in
the journal `/var/lib/hypercode/rollout/<id>.jsonl`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import hooks, image_content_check, restore_point
from .bake import Bake
from .compose.emit import emit
from .connections import connections_to
from .credentials_apply import Keeper, credentials_of, values_of
from .credentials_exec import Teller, tell_program
from .edge import layout
from .edge.answers import Answers, Tally
from .edge.caddy import EdgeError
from .edge.command import sync_after_rollout
from .edge.drain import UpdateDrain
from .edge.sync import pin, read_manifest
from .engine import Engine, EngineError, run_docker
from .files import FileError
from .image_content_cache import ContentCache
from .image_content_check import ContentCheck
from .image_content_docker import Looker, Stream, stream_command
from .image_keeper import ImageKeeper, images_of, note_images
from .journal import Journal
from .probes import Ask, Door, ask, complaint_of_check, doors_in, leads_to
from .redact import Redactor
from .release import Release, ReleaseError, Store
from .release_images import Images, Resolved, Runner
from .release_stack import ReleaseStack, Tools
from .rollout_abort import abortable
from .rollout_error import RolloutError
from .rollout_report import Reporter
from .room import free_memory

__all__ = ["Journal", "Rollout", "RolloutError"]

# How long before the rollout the answers of the edge are compared with those after it.
BEFORE_SECONDS = 600.0


@dataclass
class Rollout:
    """One move to a release. Clock, sleep, command runner, and what talks to containers are injected."""

    store: Store
    release: Release
    engine: Engine
    run: Runner = run_docker
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    poll_seconds: float = 0.5
    echo: Callable[[str], None] | None = None
    tell: Teller = tell_program
    stream: Stream = stream_command
    connections: Callable[[Collection[str]], int] = connections_to
    ask: Ask = ask
    free_memory: Callable[[], int | None] = free_memory
    back_up: restore_point.BackUp = restore_point.back_up
    journal: Journal = field(init=False)
    edge_drain: UpdateDrain = field(init=False)
    # The release that was in use when the move began.
    previous: Release | None = field(init=False, default=None)
    # Whether this release has proved itself before.
    has_proved: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self.store.paths, self.release.id, echo=self.echo)
        self.edge_drain = UpdateDrain(layout.Paths(self.store.paths.root), self.journal)

    def stack(self, release: Release | None = None, evidence: str = "") -> ReleaseStack:
        """Return the containers of a release, by default this one's; `evidence` is a folder inside of its evidence."""
        report = Reporter(self.engine, self.store.paths.evidence / self.release.id / evidence)
        edge = layout.Paths(self.store.paths.root)
        tools = Tools(
            self.engine,
            self.run,
            self.clock,
            self.sleep,
            self.poll_seconds,
            tell_edge=lambda engine: sync_after_rollout(engine, edge),
            pin=lambda services: pin(services, edge),
            connections=self.connections,
            doors=self.doors,
            ask=self.ask,
            free_memory=self.free_memory,
        )
        release = release or self.release
        stack = ReleaseStack(release, tools, self.journal, report, secret_texts=self._secret_texts())
        stack.keeper = self._keeper(stack, other=self.previous if release == self.release else self.release)
        return stack

    def doors(self) -> dict[str, list[Door]]:
        """The ways on which the edge of this host leads to services."""
        return doors_in(self._manifest())

    def _manifest(self) -> dict[str, Any]:
        try:
            return read_manifest(layout.Paths(self.store.paths.root)) or {}
        except EdgeError as error:
            self.journal.write("edge not asked", reason=str(error))
            return {}

    def _keeper(self, stack: ReleaseStack, other: Release | None) -> Keeper | None:
        """Return what tells services their secrets; `other` is the release that ran before it."""
        credentials = credentials_of(stack.release)
        is_way_back = stack.release != self.release
        # What only the newer release has: it may have told them.
        newer = self.release if is_way_back else other if hooks.is_way_back(stack.release, other) else None
        foreign = [found for found in credentials_of(newer) if found not in credentials]
        if not credentials and not foreign:
            return None
        return Keeper(
            credentials,
            values_of(stack.release) or {},
            stack.project,
            self.engine,
            self.journal,
            stack.redact,
            before=values_of(other),
            is_way_back=is_way_back,
            foreign=foreign,
            tell=self.tell,
            clock=self.clock,
            sleep=self.sleep,
        )

    # ---- the whole move -------------------------------------------------------------------------------------------

    def apply(self) -> None:
        """Bring the release up and make it current; on failure put the previous one back and raise RolloutError."""
        about = self.release.read()
        # It is up, or nearly, and was cut off before it was done.
        resumed = bool(about.get("proving")) or self.journal.touched()
        previous = self.previous = self._left(about)
        self.has_proved = bool(about.get("in_use_since")) and not about.get("proving")
        self.release.update(status="running", failure=None, pid=os.getpid())
        self.journal.write("started", release=self.release.id, previous=previous.id if previous else None)
        root = self.store.paths.root
        edge = layout.Paths(root)
        # Of one that was killed.
        pin({}, edge)
        answers = Answers(edge, str(self._manifest().get("health_path") or ""))
        before = answers.before(time.time() - BEFORE_SECONDS)
        try:
            with abortable():
                self.pull()
                self.look_into_images()
                self._keeper_of_images().keep(self.release)
                stack = self.stack()
                if self.is_update:
                    restore_point.take(stack, root, self.back_up)
                hooks.run_before(stack, previous, lambda: self.stack(previous))
                if about.get("reversible") is False and self.is_update:
                    # Its data fits no other one any more: a boot in the middle has to start this one.
                    self.release.update(begun=True)
                    self.store.switch(self.release)
                stack.bring_up()
                hooks.run_after(stack, previous)
                self._take()
                # A host that is asked for nothing shows nothing of what is wrong.
                self.edge_drain.lift()
                self.prove(stack, answers, before, resumed=resumed)
        except Exception as error:
            failure = self.explain(error)
            self.fail(failure, previous)
            raise failure from error
        finally:
            answers.close()
        self.release.update(status="done", finished=_now(), pid=None, proving=None)
        self.journal.write("done")
        self._tidy(stack)
        self._prune(int(about.get("keep_releases") or 5))

    @property
    def is_update(self) -> bool:
        """Whether a newer release takes the place of an older one."""
        return self.previous is not None and self.previous.id < self.release.id

    def _left(self, about: Mapping[str, Any]) -> Release | None:
        """The release that this one takes the place of; also where that was cut off while this one was watched."""
        current = self.store.current()
        if current and current.id == self.release.id and about.get("proving"):
            before = str(about.get("previous") or "")
            return next((found for found in self.store.all() if found.id == before and found.was_in_use), current)
        return current

    def _take(self) -> None:
        """From now on it is the release in use, also after a reboot; an update has yet to prove itself."""
        came = {} if self.has_proved and self.previous == self.release else {"in_use_since": _now()}
        self.release.update(proving=self.is_update or None, **came)
        self.store.switch(self.release)

    def prove(self, stack: ReleaseStack, answers: Answers, before: Tally, *, resumed: bool) -> None:
        """Watch the release for a while. Not where none was left for it, nothing moved, or an older one came back."""
        seconds = float(stack.about.get("bake") or 0)
        services = stack.about["services"]
        moved = [name for name in (services if resumed else stack.moved) if not services[name].get("job")]
        if not seconds or not moved or not self.is_update:
            return
        doors, concerned = self.doors(), stack.with_dependents(moved)
        bake = Bake(
            look=lambda: stack.rows([name for name in services if name in concerned]),
            containers=lambda: stack.containers_of(moved),
            complaint=lambda container: complaint_of_check(container, self.run),
            answers=answers,
            before=before,
            concerns=lambda host: leads_to(host, doors, concerned),
            seconds=seconds,
            clock=self.clock,
            sleep=self.sleep,
            journal=self.journal,
        )
        try:
            bake.run(stack.not_ready)
        except RolloutError as error:
            if not error.evidence:
                error.evidence = stack.report.collect(stack.project, moved, stack.redact)
            raise

    def _tidy(self, stack: ReleaseStack) -> None:
        try:
            stack.remove_unused_outlets()
        except EngineError as error:
            # The release is up; a network that stays does no harm.
            self.journal.write("not removed", reason=str(error))

    def _keeper_of_images(self) -> ImageKeeper:
        return ImageKeeper(self.store, self.engine, self.run, self.journal)

    def _prune(self, keep: int) -> None:
        before = {release.id: images_of(release) for release in self.store.all()}
        try:
            removed = self.store.prune(keep)
            image_content_check.prune(self.store)
        except ReleaseError as error:
            # The release is up; old folders that stay do no harm.
            self.journal.write("not pruned", reason=str(error))
            return
        self._keeper_of_images().prune(image for release in removed for image in before[release])
        if removed:
            self.journal.write("pruned", releases=removed)

    def pull(self) -> None:
        """Have every image before anything is stopped; write digests into compose.yaml and release.json."""
        about, model = self.release.read(), self.release.read_model()
        for name in about["services"]:
            service = model["services"].get(name)
            if not isinstance(service, dict) or not service.get("image"):
                raise ReleaseError(
                    f"{self.release.folder / 'model.json'} names no image for {name}. "
                    "Fix: run site.yml again; it writes a fresh release"
                )
        self.journal.write("pulling", images=len({service.get("image") for service in model["services"].values()}))
        here = self.engine.image_ids()
        found: dict[str, Resolved] = {}
        try:
            Images(self.engine, self.run).have_all(about, model, found)
        except Exception:
            # Those that could be had go with this release when it is pruned.
            self.release.update(services=note_images(self.store, about, found, here))
            raise
        self.release.update(services=note_images(self.store, about, found, here))
        for name, image in found.items():
            model["services"][name]["image"] = image.reference
        self.release.write_compose(emit(model))
        self.journal.write("pulled", images=len(set(found.values())))

    def look_into_images(self) -> None:
        """Refuse a release whose images hold Python packages that are forbidden."""
        looker = Looker(self.engine, self.run, self.stream)
        ContentCheck(ContentCache(self.store.paths.images), looker, self.journal).check(self.release)

    # ---- when it goes wrong ---------------------------------------------------------------------------------------

    def fail(self, error: RolloutError, previous: Release | None) -> None:
        """Write down why, then put the previous release back where containers were touched."""
        touched = self.journal.touched()
        status = "failed"
        failure: dict[str, Any] = {"message": str(error), "service": error.service, "evidence": error.evidence}
        self.journal.write("failing", **failure)
        if previous and previous.id != self.release.id and touched:
            self.edge_drain.put_back()
            try:
                self.put_back(previous)
                status = "reverted"
            except Exception as second:
                failure["revert"] = str(self.explain(second))
        if status == "reverted" or not touched:
            self.edge_drain.lift()
        # One that was taken back before it had proved itself is none to go back to.
        gone = {} if status != "reverted" else {"proving": None} | ({} if self.has_proved else {"in_use_since": None})
        try:
            record = {**failure, "touched": touched}
            self.release.update(status=status, failure=record, finished=_now(), pid=None, **gone)
        except ReleaseError as second:
            say(str(second))
        self.journal.write(status, revert=failure.get("revert"))

    def put_back(self, previous: Release) -> None:
        """Bring as much of the previous release up again as can be. Evidence goes beside that of the first failure."""
        stack = self.stack(previous, evidence="revert")
        hooks.leave(self.stack(), stack, self.store)
        self.journal.write("reverting", to=previous.id)
        current = self.store.current()
        if current and current.id != previous.id:
            # First of all: a boot in the middle of it starts what is current.
            self.store.switch(previous)
        if stack.keeper:
            stack.keeper.tell_running()
        stack.replace_networks()
        failures = stack.go_back(self.release.read())
        if failures:
            raise RolloutError(". ".join(str(failure) for failure in failures))

    def explain(self, error: Exception) -> RolloutError:
        """Turn whatever went wrong into words. What nobody foresaw leaves its traceback on standard error."""
        if isinstance(error, RolloutError):
            return error
        if isinstance(error, EngineError | FileError | ReleaseError):
            return RolloutError(self._redact(str(error)))
        traceback.print_exception(error, file=sys.stderr)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        return RolloutError(
            f"The rollout stopped on something unforeseen ({reason}). "
            f"Fix: journalctl --unit 'hypercode-rollout-{self.release.id}*' says where; then run the same command again"
        )

    def _redact(self, text: str) -> str:
        return Redactor.of_env(*self._secret_texts())(text)

    def _secret_texts(self) -> list[str]:
        """Return the env files of this release and of the one before, as far as they can be read."""
        texts = []
        for release in (self.release, self.previous):
            with contextlib.suppress(ReleaseError):
                texts += [release.read_env()] if release else []
        return texts


def say(text: str) -> None:
    sys.stderr.write(f"hypercode: {text}\n")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
