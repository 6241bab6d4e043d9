"""Commands around a rollout, on a fake host: when they run, what their failure does, and what is left of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import deploy, rollback
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import TIMED_OUT, CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.converge import ConvergeError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.deploy import DeployError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.hook_list import POINTS, hook_problem
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.journal import Journal
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.launcher import failure_of
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollback import Request
from fakes.docker_host import Behaviour, Container, KilledError
from fakes.rollouts import ONE, TWO, events, failing, newest
from fakes.small_stack import CANARY, NEEDS, SmallStack, image_of, make_wanted

MIGRATE = {"service": "web", "command": ["migrate", "up"], "timeout": 20}
HOOKS = {
    "before_rollout": [MIGRATE],
    "after_rollout": [{"service": "worker", "command": ["warm", "up"]}],
    "before_rollback": [{"service": "web", "command": ["migrate", "down"]}],
}


class HookHost:
    """Plays `docker compose run` on the fake host: what ran, with which version, and how each command ends."""

    def __init__(self, stack: SmallStack) -> None:
        self.docker = stack.docker
        self.ran: list[tuple[str, str]] = []
        self.seen: list[Mapping[str, str]] = []
        self.timeouts: list[float] = []
        self.answers: dict[str, CommandResult] = {}
        self.leaves: set[str] = set()
        stack.docker.before = self.before

    def before(self, words: list[str]) -> CommandResult | None:
        if "run" not in words[:9]:
            return None
        assert words[8:13] == ["run", "--rm", "--no-deps", "-T", "--name"]
        name, service, command = words[13], words[14], " ".join(words[15:])
        version = Path(words[5]).read_text(encoding="utf-8").split("demo/web:")[1][0]
        # Docker makes no second container of that name.
        assert not [item for item in self.docker.containers.values() if item.name == name]
        self.ran.append((version, command))
        self.seen.append(self.docker.running())
        if command in self.leaves:
            self.leave(name, service)
        return self.answers.get(command, CommandResult(0, "all well\n"))

    def leave(self, name: str, service: str) -> Container:
        """A container that is still there when the command is gone."""
        made = self.docker.add("demo", service, {"image": image_of(service)})
        made.oneoff, made.name = True, name
        return made


@pytest.fixture
def host(stack: SmallStack) -> HookHost:
    return HookHost(stack)


def wanted(version: str, hooks: Mapping[str, Any] = HOOKS, **about: Any) -> deploy.Wanted:
    return make_wanted(version, hooks=dict(hooks), **about)


def go_back(stack: SmallStack, to: str = "", *, accept_data: bool = False) -> dict[str, Any]:
    request = Request(to=to, accept_data=accept_data)
    plan = rollback.make_plan(stack.store, stack.engine, request)
    target = rollback.wanted_of(rollback.target_of(plan))
    time = {"clock": stack.docker.clock, "sleep": stack.docker.sleep}
    move = rollback.GoBack(
        stack.store, stack.engine, target, 600, stack.launcher(), rollout=stack.rollout, request=request, **time
    )
    return move.run(plan)[1]


# ---- when they run ---------------------------------------------------------------------------------------------------


def test_around_an_update(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    # There was nothing yet that a migration could work on.
    assert host.ran == [("1", "warm up")]
    assert "hooks left out" in events(stack)
    stack.deploy(wanted("2"))
    assert host.ran[1:] == [("2", "migrate up"), ("2", "warm up")]
    assert host.seen[1:] == [ONE, TWO]


def test_not_where_nothing_changes_nor_for_a_repair(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    stack.deploy(wanted("2"))
    host.ran.clear()
    assert stack.plan(wanted("2")).actions == {}
    stack.docker.of("web").state = "exited"
    stack.deploy(wanted("2"))
    assert host.ran == []


def test_going_back_runs_that_of_the_release_that_is_left(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    stack.deploy(wanted("2"))
    host.ran.clear()
    go_back(stack)
    assert host.ran == [("2", "migrate down")]
    assert host.seen[-1] == TWO
    # Forward again is a rollout like any other.
    go_back(stack, "2")
    assert host.ran[1:] == [("2", "migrate up"), ("2", "warm up")]


def test_the_automatic_way_back_runs_it_too(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    stack.docker.by_image[image_of("worker", "2")] = Behaviour(healthy_after=None)
    host.ran.clear()
    failing(stack, wanted("2"))
    assert host.ran == [("2", "migrate up"), ("2", "migrate down")]
    assert stack.docker.running() == ONE


def test_a_way_back_that_fails_makes_the_data_fit_again(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    stack.deploy(wanted("2"))
    stack.docker.by_image[image_of("worker", "1")] = Behaviour(healthy_after=None)
    host.ran.clear()
    with pytest.raises(ConvergeError, match="worker did not get healthy"):
        go_back(stack)
    assert host.ran == [("2", "migrate down"), ("2", "migrate up")]
    assert stack.docker.running() == TWO


def test_over_a_damaged_record_no_hook_of_it_is_looked_for(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    first = stack.store.all()[0]
    first.env_file.unlink()
    assert stack.deploy(wanted("2"))["status"] == "done"


def test_the_plan_of_a_way_back_tells_them_in_their_order(stack: SmallStack, host: HookHost) -> None:
    for version in ("1", "2"):
        stack.deploy(wanted(version))
    plan = rollback.make_plan(stack.store, stack.engine, Request())
    lines = rollback.plan_lines(stack.store, plan)
    assert lines[0] == "before_rollback hook: a command in a container of web"
    assert [line.partition(":")[0] for line in lines[1:]] == ["1. db", "2. web", "2. worker", "expected"]
    go_back(stack)
    plan = rollback.make_plan(stack.store, stack.engine, Request(to="2"))
    lines = rollback.plan_lines(stack.store, plan)
    assert lines[0] == "before_rollout hook: a command in a container of web"
    assert lines[-2:] == ["after_rollout hook: a command in a container of worker", "expected: 20 s"]
    assert "migrate" not in "".join(lines)


# ---- when one fails --------------------------------------------------------------------------------------------------


def test_one_that_fails_before_stops_it_with_nothing_touched(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    host.answers["migrate up"] = CommandResult(3, "step 1\n", f"login {CANARY} refused\n")
    before = dict(stack.docker.containers)
    error = failing(stack, wanted("2"))
    assert str(error).startswith("The before_rollout hook of web failed: login *** refused. Fix: read its output in ")
    assert str(error).endswith(". No service was touched")
    assert (stack.docker.containers, newest(stack)["status"]) == (before, "failed")
    found = stack.store.paths.evidence / newest(stack)["id"] / "hook-before_rollout-1-web.txt"
    assert found.read_text(encoding="utf-8") == "step 1\nlogin *** refused\n"
    assert CANARY not in stack.everything_written()
    assert failure_of(newest(stack), stack.store.paths, timeout=0) == str(error)


def test_one_that_fails_after_takes_the_release_back(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    host.answers["warm up"] = CommandResult(1, "", "no")
    error = failing(stack, wanted("2"))
    assert "The after_rollout hook of worker failed: no" in str(error)
    assert (stack.docker.running(), newest(stack)["status"]) == (ONE, "reverted")
    assert host.ran[-1] == ("2", "migrate down")


def test_one_that_fails_before_going_back_stops_it(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    stack.deploy(wanted("2"))
    host.answers["migrate down"] = CommandResult(1, "", "no")
    with pytest.raises(ConvergeError, match=r"before_rollback hook of web failed: no.*No service was touched"):
        go_back(stack)
    assert stack.docker.running() == TWO


def test_one_that_fails_on_the_automatic_way_back_is_noted(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    stack.docker.by_image[image_of("worker", "2")] = Behaviour(healthy_after=None)
    host.answers["migrate down"] = CommandResult(1, "", "no")
    failing(stack, wanted("2"))
    assert stack.docker.running() == ONE
    assert "hook failed" in events(stack)


def test_one_that_takes_too_long_is_ended_and_removed(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    host.answers["migrate up"] = CommandResult(TIMED_OUT, "", "docker did not end within 20 s")
    host.leaves.add("migrate up")
    error = failing(stack, wanted("2"))
    assert "The before_rollout hook of web did not end within 20 s." in str(error)
    assert not [item for item in stack.docker.containers.values() if item.oneoff]
    found = stack.store.paths.evidence / newest(stack)["id"] / "hook-before_rollout-1-web.txt"
    assert "a line of the log" in found.read_text(encoding="utf-8")


def test_cut_off_in_it_the_next_run_removes_it_first_and_runs_it_again(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))

    def kill(words: list[str]) -> CommandResult | None:
        if "run" in words[:9]:
            cut.append(words)
            raise KilledError
        return None

    cut: list[list[str]] = []
    stack.docker.before = kill
    with pytest.raises(KilledError):
        stack.deploy(wanted("2"))
    # As a real SIGKILL leaves it.
    host.leave(cut[0][13], cut[0][14])
    stack.docker.before = host.before
    host.ran.clear()
    stack.deploy(wanted("2"))
    assert host.ran == [("2", "migrate up"), ("2", "warm up")]
    assert not [item for item in stack.docker.containers.values() if item.oneoff]


# ---- a release that cannot be left backwards -------------------------------------------------------------------------


def test_the_rollback_of_one_that_is_not_reversible_is_refused(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    second = stack.deploy(wanted("2", reversible=False))
    stack.deploy(wanted("3"))
    # From 3 to 2 is allowed: 3 is reversible.
    assert rollback.make_plan(stack.store, stack.engine, Request()).actions
    with pytest.raises(DeployError) as caught:
        go_back(stack, "1")
    assert f"Release {second['id']} (version 2) is not reversible" in str(caught.value)
    assert f"since {second['in_use_since']}" in str(caught.value)
    assert "put the data back by hand" in str(caught.value)
    assert "rollback_accept_data=true" in str(caught.value)
    assert go_back(stack, "1", accept_data=True)["version"] == "1"
    # Forward over it is a rollout like any other.
    assert go_back(stack, "2")["version"] == "2"


def test_one_that_is_not_reversible_and_fails_stays(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    stack.docker.by_image[image_of("worker", "2")] = Behaviour(healthy_after=None)
    failing(stack, wanted("2", reversible=False))
    about = newest(stack)
    assert about["status"] == "failed"
    assert stack.docker.running() == TWO
    said = failure_of(about, stack.store.paths, timeout=0)
    assert "worker did not get healthy" in said
    assert "is not reversible" in said
    assert "failed too" not in said
    current = stack.store.current()
    assert current
    assert current.id == about["id"]
    # Mended, the same command finishes it, hooks and all.
    del stack.docker.by_image[image_of("worker", "2")]
    stack.docker.of("worker").behaviour = Behaviour()
    host.ran.clear()
    stack.docker.of("worker").state = "exited"
    assert stack.deploy(wanted("2", reversible=False))["status"] == "done"
    assert host.ran == [("2", "migrate up"), ("2", "warm up")]


def test_one_that_is_not_reversible_and_did_not_begin_is_left(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    host.answers["migrate up"] = CommandResult(1, "", "no")
    failing(stack, wanted("2", reversible=False))
    assert stack.docker.running() == ONE
    assert stack.plan(wanted("1")).actions == {}


# ---- what is let through ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hooks", "problem"),
    [
        ([], "The hooks are no mapping"),
        ({"before": []}, "There is no hook 'before', only before_rollout, after_rollout, before_rollback"),
        ({"after_rollout": {"service": "web"}}, "The hook after_rollout is no list"),
        ({"after_rollout": [MIGRATE, "x"]}, "number 2, is no mapping of service, command and timeout"),
        ({"after_rollout": [{**MIGRATE, "shell": True}]}, "is no mapping of service, command and timeout"),
        ({"after_rollout": [{**MIGRATE, "service": "shop"}]}, "names the service shop, which this stack does not have"),
        ({"after_rollout": [{**MIGRATE, "command": "migrate"}]}, "has a command that is no list of words"),
        ({"after_rollout": [{**MIGRATE, "command": []}]}, "has a command that is no list of words"),
        ({"after_rollout": [{**MIGRATE, "timeout": 0}]}, "has a timeout that is no number above 0"),
        ({"after_rollout": [{**MIGRATE, "timeout": True}]}, "has a timeout that is no number above 0"),
    ],
)
def test_what_is_refused(stack: SmallStack, hooks: Any, problem: str) -> None:
    assert problem in hook_problem(hooks, NEEDS)
    if hooks:
        with pytest.raises(DeployError, match=r"Nothing was changed\. Fix: correct stack_hooks"):
            stack.plan(make_wanted(hooks=hooks))
    assert not stack.store.paths.root.exists()


@pytest.mark.parametrize("hooks", [{}, HOOKS, dict.fromkeys(POINTS)])
def test_what_is_let_through(hooks: Any) -> None:
    assert hook_problem(hooks, NEEDS) == ""


def test_the_journal_says_what_ran(stack: SmallStack, host: HookHost) -> None:
    stack.deploy(wanted("1"))
    stack.deploy(wanted("2"))
    told = [event for event in Journal(stack.store.paths, newest(stack)["id"]).read() if event["event"] == "hook ended"]
    assert [(event["point"], event["service"], event["code"]) for event in told] == [
        ("before_rollout", "web", 0),
        ("after_rollout", "worker", 0),
    ]


def test_an_irreversible_one_is_in_use_before_it_is_up_and_stays_irreversible(stack: SmallStack) -> None:
    settings: dict[str, Any] = {"start_first": True, "min_healthy": 3}
    stack.deploy(make_wanted(**settings))

    def kill() -> None:
        if "bringing up" in events(stack):
            raise KilledError

    stack.docker.on_sleep = kill
    with pytest.raises(KilledError):
        stack.deploy(make_wanted("2", reversible=False, **settings))
    stack.docker.on_sleep = lambda: None
    current = stack.store.current()
    assert current
    # A boot starts what the data fits.
    assert current.read()["version"] == "2"
    stack.deploy(make_wanted("2", reversible=True, **settings))
    assert current.read()["reversible"] is False
    assert current.read()["status"] == "done"


def test_an_irreversible_one_that_failed_is_not_crossed_either(stack: SmallStack) -> None:
    stack.deploy(make_wanted("1"))
    stack.docker.by_image[image_of("worker", "2")] = Behaviour(healthy_after=None)
    failing(stack, make_wanted("2", reversible=False))
    stack.deploy(make_wanted("3"))
    with pytest.raises(DeployError, match="is not reversible"):
        rollback.make_plan(stack.store, stack.engine, Request(to="1"))
