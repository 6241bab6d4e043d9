# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An engine that is started again in the middle of something is waited for."""

from __future__ import annotations

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import (
    Engine,
    EngineAway,
    patient_runner,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_run import ENGINE_PATIENCE, run_release
from fakes.docker_host import DockerHost
from fakes.small_stack import SmallStack, make_wanted


def test_one_that_comes_back_in_time_is_waited_for(stack: SmallStack) -> None:
    host = DockerHost()
    host.serve()
    engine = Engine(str(host.socket), patience=5, clock=host.clock, sleep=host.sleep)
    began = host.now
    host.stop()

    def back() -> None:
        if host.now - began >= 3 and not host.answers:
            host.start()

    host.on_sleep = back
    assert engine.version() == "28.5.0"
    assert 3 <= host.now - began < 5
    host.on_sleep = lambda: None
    host.stop()
    began = host.now
    with pytest.raises(EngineAway, match="systemctl start docker"):
        engine.version()
    assert 5 <= host.now - began < 7
    host.start()
    host.remove()


@pytest.mark.parametrize(
    ("answers", "there", "runs", "code"),
    [
        # The engine is back: once more, and it works.
        ([(1, "Cannot connect to the Docker daemon at unix:///run/docker.sock."), (0, "")], True, 2, 0),
        ([(1, "error during connect: Post: EOF")] * 9, True, 3, 1),
        # It stays away.
        ([(1, "Cannot connect to the Docker daemon")] * 2, False, 1, 1),
        # Another fault is told at once.
        ([(1, "no such image")], True, 1, 1),
        ([(0, "")], True, 1, 0),
    ],
)
def test_a_command_under_which_it_went_away_is_run_again(
    stack: SmallStack, answers: list[tuple[int, str]], there: bool, runs: int, code: int
) -> None:
    ran = []

    def run(argv: list[str], **options: object) -> CommandResult:
        ran.append((argv, options))
        found, said = answers[len(ran) - 1]
        return CommandResult(found, "", said)

    stack.docker.answers = there
    done = patient_runner(run, stack.engine)(["docker", "compose"], timeout=3)
    assert (len(ran), done.code) == (runs, code)
    assert ran[-1] == (["docker", "compose"], {"timeout": 3})


COMPOSE = ["docker", "compose", "--project-name", "demo", "--file", "/srv/compose.yaml", "--env-file", "/srv/env"]


@pytest.mark.parametrize(
    ("argv", "runs"),
    [
        ([*COMPOSE, "run", "--rm", "web", "migrate"], 1),
        (["docker", "compose", "--project-name=demo", "run", "web"], 1),
        (["docker", "run", "--rm", "web"], 1),
        # A service of that name, a project, a command in a health check.
        ([*COMPOSE, "up", "--detach", "run"], 3),
        (["docker", "compose", "--project-name", "run", "up"], 3),
        (["docker", "exec", "1f2e", "run"], 3),
        (["docker", "pull", "run"], 3),
        (["docker"], 3),
    ],
)
def test_only_a_command_of_the_operators_is_not_run_again(stack: SmallStack, argv: list[str], runs: int) -> None:
    ran = []

    def run(words: list[str], **_options: object) -> CommandResult:
        ran.append(words)
        return CommandResult(1, "", "error during connect: EOF")

    assert patient_runner(run, stack.engine)(argv, timeout=3).code == 1
    assert ran == [argv] * runs


def test_patience_ends_with_the_rollout(stack: SmallStack) -> None:
    release = stack.prepare(make_wanted())
    seen = []
    stack.docker.before = lambda _words: seen.append(stack.engine.patience)
    assert run_release(stack.store, release, stack.engine, rollout=stack.rollout, run=stack.docker) == 0
    assert set(seen) == {ENGINE_PATIENCE}
    # Whoever asks the same engine next is told at once when it is not there.
    assert stack.engine.patience == 0
