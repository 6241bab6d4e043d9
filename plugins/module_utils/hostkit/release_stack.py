# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The containers of one release: brought up in dependency order, started again after a boot, stopped, looked at."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import stack_state
from .command import CommandResult
from .connections import connections_to
from .credentials_apply import Keeper
from .edge.command import sync_after_rollout
from .edge.sync import pin
from .engine import Engine, EngineError, run_docker
from .journal import Journal
from .probes import Ask, Door, ask
from .readiness import Outcome, Waiter
from .redact import Redactor
from .release import Release
from .release_images import Images, Runner
from .release_networks import StaleNetwork, stale_networks, unused_outlets
from .release_volumes import displaced
from .rollout_error import RolloutError
from .rollout_report import Reporter
from .room import free_memory
from .stack_state import Row
from .start_first_move import EdgeUntoldError, Mover

COMPOSE_TIMEOUT = 900.0
DEFAULT_READY_TIMEOUT = 180.0
# Seconds that the containers of a release have to stay ready on the way back to it, at most.
LEAST_BACK = 3.0
# Compose makes a new container under such a name beside the old one, and renames it when the old one is gone.
HALF_MADE = re.compile(r"^/?[0-9a-f]{12}_")
UP = ("up", "--detach", "--no-deps", "--no-build", "--pull", "never")


@dataclass(frozen=True)
class Tools:
    """What works on containers needs: the engine, the docker client, and time; all injected."""

    engine: Engine
    run: Runner = run_docker
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    poll_seconds: float = 0.5
    tell_edge: Callable[[Engine], str] = sync_after_rollout
    pin: Callable[[Mapping[str, Sequence[str]]], None] = pin
    connections: Callable[[Collection[str]], int] = connections_to
    doors: Callable[[], Mapping[str, Sequence[Door]]] = dict
    ask: Ask = ask
    free_memory: Callable[[], int | None] = free_memory


@dataclass
class ReleaseStack:
    """The containers of a release. Each step goes into the journal; evidence of a failure to where `report` says.

    `keeper` tells services the secrets that they keep. Nothing that is in `secret_texts`, besides the release's own
    secrets, is ever shown: texts of env files.
    """

    release: Release
    tools: Tools
    journal: Journal
    report: Reporter
    keeper: Keeper | None = None
    secret_texts: Sequence[str] = ()
    about: dict[str, Any] = field(init=False)
    redact: Redactor = field(init=False)
    # The services that have other containers since they were brought up.
    moved: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.about = self.release.read()
        self.redact = Redactor.of_env(self.release.read_env(), *self.secret_texts)

    @property
    def project(self) -> str:
        return str(self.about["project"])

    # ---- up and down ----------------------------------------------------------------------------------------------

    def bring_up(self) -> None:
        """Start level by level in dependency order, each level once the one before is ready."""
        self.journal.write("bringing up", release=self.release.id)
        before = self._ids()
        if self.keeper:
            self.keeper.tell_running()
        self.replace_networks()
        self.free_volumes()
        mover = Mover(self) if self.about.get("start_first") else None
        for names in self.levels():
            if mover:
                mover.move(names)
            self.compose_up(names)
            outcome = self.wait_ready(names)
            if not outcome.is_good:
                raise self.not_ready(outcome)
            self.journal.write("ready", services=names, seconds=round(outcome.seconds, 1))
            # Those who depend on them start next, and log in with the new secrets.
            if self.keeper:
                self.keeper.tell_started(names)
        self._finish()
        self.moved = [name for name, ids in self._ids().items() if ids - before[name]]

    def go_back(self, settings: Mapping[str, Any]) -> list[RolloutError]:
        """Bring this release up again after another one: the last service first, and none of them away meanwhile.

        What is missing, or can only be replaced in place, comes before all: the others may need it as it was.
        ``settings`` are those of the release that is left. What does not get ready beside is replaced in place.
        Returns what went wrong.
        """
        self.about |= {name: settings[name] for name in ("start_first", "drain_timeout") if name in settings}
        # It has run here before, and what it takes over from is bad.
        self.about["min_healthy"] = min(LEAST_BACK, float(settings.get("min_healthy") or 0))
        failures: list[RolloutError] = []
        stays: set[str] = set()
        if self.about.get("start_first"):
            mover = Mover(self)
            if self._put_back_in_place(mover):
                for names in reversed(self.levels()):
                    try:
                        mover.move(names)
                    except (EngineError, RolloutError) as error:
                        self.journal.write("not moved back", services=names, reason=str(error))
                        if isinstance(error, EdgeUntoldError):
                            # In its place nobody would be asked. What serves now is better than nothing.
                            failures.append(error)
                            stays |= set(names)
        return [*failures, *self.start(stays)]

    def _put_back_in_place(self, mover: Mover) -> bool:
        """Replace what has to be replaced in place; False when it did not get ready. `start` tries again, and tells."""
        failures: list[RolloutError] = []
        try:
            self.free_volumes()
            for level in self.levels():
                names = mover.only_in_place(level)
                if names:
                    self._start_and_wait(names, failures)
        except (EngineError, RolloutError) as error:
            failures.append(error if isinstance(error, RolloutError) else RolloutError(str(error)))
        if failures:
            self.journal.write("not put back in place", reason=". ".join(map(str, failures)))
        return not failures

    def start(self, stays: Collection[str] = ()) -> list[RolloutError]:
        """Start as much as can be: one service that stays down keeps no other one down. Returns what went wrong.

        For a boot and for the way back, where nobody is there to try again. Those that stay are left as they are.
        """
        self.journal.write("starting", release=self.release.id)
        try:
            Images(self.tools.engine, self.tools.run).have_all(self.about, self.release.read_model())
        except RolloutError as error:
            self.journal.write("not pulled", reason=str(error))
        failures: list[RolloutError] = []
        try:
            self.free_volumes()
        except RolloutError as error:
            failures.append(error)
        for level in self.levels():
            names = [name for name in level if name not in stays]
            if not names:
                continue
            self._start_and_wait(names, failures)
        try:
            self._finish()
        except RolloutError as error:
            failures.append(error)
        self.journal.write("start ended", failures=[str(failure) for failure in failures])
        return failures

    def _start_and_wait(self, names: list[str], failures: list[RolloutError]) -> None:
        started = self._start_level(names, failures)
        outcome = self.wait_ready(started, first_crash_ends=False)
        if not outcome.is_good:
            failures.append(self.not_ready(outcome))
        down = {row.service for row in (*outcome.crashed, *outcome.late)}
        self._tell([name for name in started if name not in down], failures)

    def _tell(self, names: Sequence[str], failures: list[RolloutError]) -> None:
        try:
            if self.keeper:
                self.keeper.tell_started(names)
        except RolloutError as error:
            failures.append(error)

    def _start_level(self, names: list[str], failures: list[RolloutError]) -> list[str]:
        """Start a level together, or else one by one; return what could be started."""
        try:
            self.compose_up(names)
            return names
        except RolloutError as error:
            if len(names) == 1:
                failures.append(error)
                return []
        started = []
        for name in names:
            try:
                self.compose_up([name])
                started.append(name)
            except RolloutError as error:
                failures.append(error)
        return started

    def stop(self) -> None:
        """Stop every service, last to first, each with its own signal and grace period."""
        self._compose_or_raise("stop the stack", (), "stop")

    def levels(self) -> list[list[str]]:
        """Return the start order; a service that it forgot comes last."""
        services = self.about["services"]
        levels = [[str(name) for name in level if name in services] for level in self.about["order"]]
        named = {name for level in levels for name in level}
        return [level for level in (*levels, [name for name in services if name not in named]) if level]

    def _finish(self) -> None:
        """Remove what is not in this release, and record how its containers are configured."""
        services = self.about["services"]
        rows = {row.service: row for row in self.rows(list(services))}
        # Naming what runs starts nothing. A job would run again.
        names = [name for name, row in rows.items() if row.state == "running" and not row.job]
        if names:
            what = "remove what is not in the release"
            self._compose_or_raise(what, names, *UP, "--no-recreate", "--remove-orphans")
        found = stack_state.containers_by_service(self.tools.engine.containers(self.project))
        for name, meta in services.items():
            labels = (found[name][0]["Config"].get("Labels") or {}) if found.get(name) else {}
            meta["config_hash"] = labels.get(stack_state.HASH_LABEL, "")
        self.release.update(services=services)
        # The follower would do it too, some moments later.
        problem = self.tools.tell_edge(self.tools.engine)
        if problem:
            self.journal.write("edge not told", reason=problem)

    # ---- docker compose -------------------------------------------------------------------------------------------

    def compose(self, *words: str, timeout: float = COMPOSE_TIMEOUT, text: str | None = None) -> CommandResult:
        """Run Compose, with ``text`` on its standard input. Secrets that it quotes are masked in what comes back."""
        done = self.tools.run(
            [
                *("docker", "compose", "--project-name", self.project, "--file", str(self.release.compose_file)),
                *("--env-file", str(self.release.env_file), *words),
            ],
            timeout=timeout,
            environment={"COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain"},
            # A variable of this process would win over the release's env file.
            inherit=False,
            text=text,
        )
        return CommandResult(done.code, self.redact(done.stdout), self.redact(done.stderr))

    def compose_up(self, names: Sequence[str]) -> None:
        """Create or start the containers of these services. A job that this release has done already is left alone."""
        services, done = self.about["services"], set()
        for row in self.rows(names):
            if row.state == "paused":
                # Compose cannot start what somebody paused.
                self.tools.run(["docker", "unpause", row.container_id], timeout=60)
            if row.job and row.is_good and services[row.service].get("config_hash"):
                done.add(row.service)
        names = [name for name in names if name not in done]
        if names:
            self._remove_half_made(names)
            self._compose_or_raise(f"start {', '.join(names)}", names, *UP)
            self.journal.write("up", services=names)

    def compose_beside(self, names: Sequence[str], scale: Sequence[str]) -> None:
        """Create further containers of these services beside those that are there, as many as ``scale`` says."""
        self._remove_half_made(names)
        what = f"start {', '.join(names)} beside what runs"
        self._compose_or_raise(what, names, *UP, "--no-recreate", *scale)

    def _remove_half_made(self, names: Sequence[str]) -> None:
        """Remove what a killed Compose left under a name of its own: it is in the way of the next one."""
        found = stack_state.containers_by_service(self.tools.engine.containers(self.project))
        for name in names:
            for container in found.get(name, []):
                if HALF_MADE.match(str(container.get("Name", ""))):
                    self.journal.write("removing a half-made container", service=name)
                    self.tools.run(["docker", "rm", "--force", str(container["Id"])], timeout=60)

    def _compose_or_raise(self, what: str, names: Sequence[str], *words: str) -> None:
        done = self.compose(*words, *names)
        if done.code == 0:
            return
        evidence = self.report.collect(self.project, names, self.redact, {"docker-compose": done.stderr})
        raise RolloutError(
            f"Docker could not {what}: {last_words(done)}. "
            f"Fix: mend what it names (all it said is in {evidence}), then run the same command again",
            service=names[0] if len(names) == 1 else "",
            evidence=evidence,
        )

    def free_volumes(self) -> None:
        """Stop what writes the files of a service that is about to start, such as the same service by its old name."""
        found = self.tools.engine.containers(self.project)
        for old in displaced(found, self.release.read_model(), self.project):
            self.journal.write("stopping", service=old.service, reason=f"{old.by} takes over {old.source}")
            done = self.tools.run(["docker", "stop", old.container], timeout=COMPOSE_TIMEOUT)
            if done.code != 0:
                raise RolloutError(
                    f"{old.service} cannot be stopped, and {old.by} is to write {old.source}: {last_words(done)}. "
                    f"Fix: docker stop {old.container[:12]}, then run the same command again",
                    service=old.by,
                )

    # ---- networks -------------------------------------------------------------------------------------------------

    def replace_networks(self) -> None:
        """Remove the networks that are to become others, and the containers on them; bringing up makes both anew."""
        for network in stale_networks(self.tools.engine, self.project, self.release.read_model()):
            self.journal.write("replacing network", name=network.name, reason=network.reason)
            self._compose_or_raise(f"free the network {network.name}", network.services, "rm", "--stop", "--force")
            self._remove_others(network)
            done = self.tools.run(["docker", "network", "rm", network.name], timeout=60)
            if done.code != 0:
                raise RolloutError(
                    f"The network {network.name} cannot be replaced ({network.reason}): {last_words(done)}. "
                    f"Fix: docker network inspect {network.name} shows who uses it; then run the same command again"
                )

    def remove_unused_outlets(self) -> None:
        """Remove what earlier releases needed. One that somebody is still on stays, and is tried again next time."""
        for name in unused_outlets(self.tools.engine, self.project, self.release.read_model()):
            done = self.tools.run(["docker", "network", "rm", name], timeout=60)
            reason = {} if done.code == 0 else {"reason": last_words(done)}
            self.journal.write("not removed" if reason else "removed network", name=name, **reason)

    def _remove_others(self, network: StaleNetwork) -> None:
        """Remove the project's containers that are not in the release from a network. Foreign ones are left alone."""
        found = self.tools.engine.network(network.name) or {}
        mine = {container["Id"] for container in self.tools.engine.containers(self.project)}
        for container in found.get("Containers") or {}:
            if container in mine:
                self.tools.run(["docker", "stop", container], timeout=120)
                self.tools.run(["docker", "rm", "--force", container], timeout=60)

    def containers_of(self, names: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
        """The inspected containers of these services."""
        found = stack_state.containers_by_service(self.tools.engine.containers(self.project))
        return {name: found[name] for name in names if name in found}

    def with_dependents(self, names: Sequence[str]) -> set[str]:
        """These services, and all that need them, near or far."""
        found = set(names)
        # The order of levels: whom a service needs comes before it.
        for name in (name for level in self.levels() for name in level):
            if found & set(self.about["services"][name].get("depends_on") or {}):
                found.add(name)
        return found

    def _ids(self) -> dict[str, set[str]]:
        services = list(self.about["services"])
        found = self.containers_of(services)
        return {name: {str(item["Id"]) for item in found.get(name, [])} for name in services}

    # ---- health ---------------------------------------------------------------------------------------------------

    def rows(self, names: Sequence[str]) -> list[Row]:
        """Return what runs of these services, in their order."""
        wanted = {name: self.about["services"][name] for name in names}
        found = stack_state.read_rows(self.tools.engine, self.project, wanted)
        return [row for row in found if row.service in wanted]

    @property
    def ready_timeout(self) -> float:
        return float(self.about.get("ready_timeout") or DEFAULT_READY_TIMEOUT)

    def wait_ready(self, names: Sequence[str], *, first_crash_ends: bool = True) -> Outcome:
        """Wait until each of the services is ready, or one cannot get there any more, or the time is over."""
        tools = self.tools
        waiter = Waiter(lambda: self.rows(names), self.ready_timeout, tools.clock, tools.sleep, tools.poll_seconds)
        return waiter.wait(first_crash_ends=first_crash_ends)

    def check_ready(self) -> None:
        """Wait until every service is ready, and change nothing. RolloutError says which is not, and why."""
        outcome = self.wait_ready(list(self.about["services"]))
        if not outcome.is_good:
            raise self.not_ready(outcome)

    def not_ready(self, outcome: Outcome) -> RolloutError:
        return self.report.not_ready(self.project, outcome, self.redact)


def last_words(done: CommandResult) -> str:
    """Return the end of what a command said, as one line."""
    words = done.stderr.strip() or done.stdout.strip()
    return " ".join(words.splitlines()[-2:]).rstrip(".") or f"exit code {done.code}"
