# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A rollout that is ended by hand puts back what it has moved; one that is over is left alone."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import lock
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_abort import (
    SIGNAL,
    AbortError,
    abort,
    abortable,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_error import RolloutError
from fakes.docker_host import Behaviour
from fakes.rollouts import ONE, failing, newest
from fakes.small_stack import SmallStack, image_of, make_wanted

FIRST: dict[str, Any] = {"start_first": True, "min_healthy": 10, "drain_timeout": 0}


def test_what_has_moved_is_put_back(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    began = stack.docker.now

    def stop() -> None:
        if stack.docker.now - began > 20 and stack.docker.of("db").reference.startswith(image_of("db", "2")):
            stack.docker.on_sleep = lambda: None
            os.kill(os.getpid(), SIGNAL)

    stack.docker.on_sleep = stop
    error = failing(stack, make_wanted("2", **FIRST))
    assert "stopped by hand" in str(error)
    assert stack.docker.running() == ONE
    assert len(stack.docker.containers) == 3
    assert newest(stack)["status"] == "reverted"


def test_the_way_back_is_not_broken_off(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    stack.docker.by_image[image_of("worker", "2")] = Behaviour(healthy_after=None)
    sent = []

    def look(words: list[str]) -> None:
        if newest(stack).get("failure") is None and "reverting" in journal_text(stack):
            sent.append(words)
            os.kill(os.getpid(), SIGNAL)

    stack.docker.before = look
    error = failing(stack, make_wanted("2", **FIRST))
    assert sent
    assert "worker did not get healthy" in str(error)
    assert stack.docker.running() == ONE


def journal_text(stack: SmallStack) -> str:
    return (stack.store.paths.state / f"{stack.store.all()[-1].id}.jsonl").read_text()


def test_the_signal_does_nothing_twice_and_nothing_afterwards() -> None:
    with pytest.raises(RolloutError, match="by hand"), abortable():
        os.kill(os.getpid(), SIGNAL)
    os.kill(os.getpid(), SIGNAL)
    assert signal.getsignal(SIGNAL) == signal.SIG_IGN


def test_nothing_at_work_is_told(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    with pytest.raises(AbortError, match="No rollout is at work"):
        abort(stack.store, timeout=1)


def test_the_process_of_the_rollout_is_told_and_waited_for(stack: SmallStack) -> None:
    release = stack.prepare(make_wanted(**FIRST))
    release.update(status="running", pid=os.getpid())
    told: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        told.append((pid, number))

    def sleep(_seconds: float) -> None:
        release.update(status="reverted")

    with lock(stack.store.paths, holder=release.id):
        assert abort(stack.store, timeout=5, kill=kill, sleep=sleep) == release
    assert told == [(os.getpid(), SIGNAL)]


@pytest.mark.parametrize("pid", [None, 1])
def test_nobody_else_is_told(stack: SmallStack, pid: int | None) -> None:
    release = stack.prepare(make_wanted(**FIRST))
    release.update(status="running", pid=pid)

    def kill(_pid: int, _number: int) -> None:
        raise AssertionError

    with lock(stack.store.paths, holder=release.id), pytest.raises(AbortError, match="beginning or ending"):
        abort(stack.store, timeout=5, kill=kill)


def test_one_that_takes_long_is_said_so(stack: SmallStack) -> None:
    release = stack.prepare(make_wanted(**FIRST))
    release.update(status="running", pid=os.getpid())
    with lock(stack.store.paths, holder=release.id), pytest.raises(AbortError, match="not done after 3 s"):
        abort(stack.store, timeout=3, kill=lambda *_: None, sleep=stack.docker.sleep, clock=stack.docker.clock)
