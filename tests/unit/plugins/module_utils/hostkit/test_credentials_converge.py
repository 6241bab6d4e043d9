"""A database that cannot be asked while nothing else is to do: waited for, then asked again."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import deploy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.converge import Converge, ConvergeError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.launcher import Launcher
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_run import run_release
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.scram import make_verifier
from fakes.docker_host import Behaviour
from fakes.kept_secrets import ROLE, KeepingStack
from fakes.small_stack import CANARY
from fakes.small_stack import make_wanted as make_plain

make_wanted = functools.partial(make_plain, credentials=[ROLE])
DOWN = CommandResult(2, "", "psql: error: the database system is starting up\n")


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeepingStack]:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    made = KeepingStack(tmp_path / "root")
    made.deploy(make_wanted())
    yield made
    made.close()


def go(stack: KeepingStack) -> tuple[deploy.Plan, dict[str, Any]]:
    docker = stack.docker
    run = functools.partial(run_release, rollout=stack.rollout, run=docker, lock_wait=0)
    launcher = Launcher(sleep=docker.sleep, clock=docker.clock, systemd=stack.store.paths.root / "none", run_here=run)
    options: dict[str, Any] = {
        "clock": docker.clock,
        "sleep": docker.sleep,
        "rollout": stack.rollout,
        "tell": stack.kept,
    }
    converge = Converge(stack.store, stack.engine, make_wanted(), 600, launcher, **options)
    return converge.run(stack.plan(make_wanted()))


def still_starting(stack: KeepingStack) -> None:
    """Let the database be healthy in 8 seconds, and answer no sooner."""
    db = stack.docker.of("db")
    db.started, db.behaviour = stack.docker.now, Behaviour(healthy_after=8)
    ready = stack.docker.now + 8
    stack.kept.before = lambda _argv, _text: DOWN if stack.docker.now < ready else None


def test_a_database_that_is_still_starting_is_waited_for(stack: KeepingStack) -> None:
    still_starting(stack)
    stack.docker.commands.clear()
    plan, about = go(stack)
    assert (plan.actions, list(plan.unread), about["status"], stack.docker.commands) == ({}, [], "done", [])


def test_what_it_says_then_is_acted_upon(stack: KeepingStack) -> None:
    stack.kept.roles["app"] = make_verifier("Canary-by-hand")
    still_starting(stack)
    plan, about = go(stack)
    assert (plan.actions, about["status"]) == ({"db": "set the password of role app"}, "done")
    assert stack.kept.accepts(CANARY)


def test_a_healthy_database_that_lets_nobody_in_is_an_error(stack: KeepingStack) -> None:
    stack.kept.before = lambda _argv, _text: CommandResult(2, "", "psql: error: fe_sendauth: no password supplied\n")
    with pytest.raises(ConvergeError) as caught:
        go(stack)
    message = str(caught.value)
    assert "The containers are as wanted, and nothing was changed, but: The password of role app in db" in message
    assert "no password supplied. Fix: its superuser has to be let in over the socket" in message
    assert caught.value.about["status"] == "done"
