# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each fault at each step of an update: all services run all the time, and the same command finishes the job."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import files
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import ReleaseError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout import RolloutError
from fakes.docker_host import KilledError
from fakes.rollouts import ONE, TWO
from fakes.small_stack import NEEDS, SmallStack, make_wanted

SETTINGS: dict[str, Any] = {"start_first": True, "min_healthy": 3, "drain_timeout": 0, "bake": 10}
# More than an update has.
MOST = 60


class Update:
    """An update from 1 to 2 on a fresh host, with something done at its n-th step."""

    def __init__(self, folder: Path, at: int, fault: Callable[[], None]) -> None:
        self.stack = SmallStack(folder)
        self.stack.deploy(make_wanted("1", **SETTINGS))
        self.at, self.fault = at, fault
        self.steps: list[str] = []
        # Services that nobody served at some moment.
        self.gaps: set[str] = set()
        self.stack.docker.on_sleep = self.look

    def look(self) -> None:
        docker = self.stack.docker
        self.gaps |= {name for name in NEEDS if name not in docker.running()}

    def step(self, text: str) -> None:
        self.steps.append(text)
        if len(self.steps) == self.at:
            self.fault()

    def run(self, **options: Any) -> str:
        """Run it; how it ended: done, failed or killed."""
        release = self.stack.prepare(make_wanted("2", **SETTINGS))
        rollout = self.stack.rollout(self.stack.store, release, self.stack.engine, echo=self.step, **options)
        try:
            rollout.apply()
        except KilledError:
            return "killed"
        except (RolloutError, ReleaseError):
            return "failed"
        return "done"

    @property
    def reached(self) -> bool:
        """Whether there was such a step."""
        return len(self.steps) >= self.at

    def finish(self) -> None:
        """The same command again, and what has to be true then."""
        self.stack.docker.on_sleep = lambda: None
        plan = self.stack.plan(make_wanted("2", **SETTINGS))
        if plan.actions:
            self.stack.apply(self.stack.prepare(make_wanted("2", **SETTINGS)))
        docker = self.stack.docker
        assert docker.running() == TWO, self.steps
        assert len(docker.containers) == len(NEEDS), self.steps
        assert not self.stack.plan(make_wanted("2", **SETTINGS)).actions
        self.stack.close()


@pytest.fixture
def each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Iterator[tuple[int, Path]]]:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    return lambda: ((number, tmp_path / str(number)) for number in range(1, MOST))


def killed() -> None:
    raise KilledError


def test_the_process_is_killed(each_step: Any) -> None:
    for number, folder in each_step():
        update = Update(folder, number, killed)
        if update.run() == "done":
            assert not update.reached
            assert number > 20
            break
        assert not update.gaps, update.steps
        assert set(update.stack.docker.running()) == set(NEEDS), update.steps
        update.finish()
    else:
        raise AssertionError(update.steps)


def test_the_host_is_started_again(each_step: Any) -> None:
    for number, folder in each_step():
        update = Update(folder, number, killed)
        if update.run() == "done":
            break
        docker, stack = update.stack.docker, update.stack
        for container in docker.containers.values():
            # Docker brings back all that ran.
            container.started = docker.now
        current = stack.store.current()
        assert current
        assert stack.rollout(stack.store, current, stack.engine).stack(evidence="start").start() == [], update.steps
        assert docker.running() in (ONE, TWO), update.steps
        assert len(docker.containers) == len(NEEDS), update.steps
        update.finish()


def test_docker_is_started_again(each_step: Any) -> None:
    for number, folder in each_step():
        since: list[float] = []
        update = Update(folder, number, lambda since=since: since.append(0.0))  # type: ignore[misc]
        docker, engine = update.stack.docker, update.stack.engine

        def away(_words: list[str], docker: Any = docker) -> CommandResult | None:
            return (
                None if docker.answers else CommandResult(1, "", "Cannot connect to the Docker daemon. Is it running?")
            )

        def look(update: Update = update, since: list[float] = since, docker: Any = docker) -> None:
            update.look()
            if since and not since[0]:
                since[0], docker.answers = docker.now, False
            elif since and docker.now - since[0] > 10:
                docker.answers = True

        docker.before, docker.on_sleep = away, look
        engine.patience, engine._clock, engine._sleep = 60.0, docker.clock, docker.sleep
        ended = update.run()
        docker.answers = True
        docker.before = lambda _words: None
        assert ended == "done", (update.steps, ended)
        assert not update.gaps, update.steps
        update.finish()
        if not update.reached:
            break


def test_the_registry_goes_away(each_step: Any) -> None:
    for number, folder in each_step():
        update = Update(folder, number, lambda: None)

        def gone(update: Update = update) -> None:
            update.stack.docker.registry_answers = False

        update.fault = gone
        ended = update.run()
        assert not update.gaps, update.steps
        if ended == "failed":
            # Before all was there: nothing was touched.
            assert update.stack.docker.running() == ONE
            assert not [step for step in update.steps if step.startswith("bringing up")]
        update.stack.docker.registry_answers = True
        update.finish()
        if not update.reached:
            assert number > 20
            break


def test_the_disk_is_full(each_step: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, full = files.stage, [False]

    def no_room(*words: Any, **options: Any) -> Any:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return stage(*words, **options)

    monkeypatch.setattr(files, "stage", no_room)
    for number, folder in each_step():
        update = Update(folder, number, lambda: full.__setitem__(0, True))
        update.run()
        # With no room for their addresses, those that have moved stay where they are: something has to serve.
        assert not update.gaps, update.steps
        assert set(update.stack.docker.running()) == set(NEEDS), update.steps
        full[0] = False
        update.finish()
        if not update.reached:
            break
