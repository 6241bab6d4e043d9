"""Carrying a plan out on a fake host, with a launcher that runs the rollout in between two looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import deploy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.converge import Converge, ConvergeError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.deploy import DeployError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Release, lock
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_run import STARTING
from fakes.docker_host import Behaviour, KilledError
from fakes.small_stack import SmallStack, image_of, make_wanted


def converge(stack: SmallStack, wanted: deploy.Wanted, run_here: Callable[..., int] | None = None) -> Converge:
    launcher = stack.launcher(run_here)
    return Converge(
        stack.store,
        stack.engine,
        wanted,
        600,
        launcher,
        clock=stack.docker.clock,
        sleep=stack.docker.sleep,
        rollout=stack.rollout,
    )


def go(stack: SmallStack, wanted: deploy.Wanted, **options: Any) -> tuple[deploy.Plan, dict[str, Any]]:
    return converge(stack, wanted, **options).run(stack.plan(wanted))


def test_a_deploy_then_nothing_to_do(stack: SmallStack) -> None:
    plan, about = go(stack, make_wanted())
    assert (len(plan.actions), about["status"]) == (3, "done")
    stack.docker.commands.clear()
    now = stack.docker.now
    plan, again = go(stack, make_wanted())
    assert (plan.actions, again) == ({}, about)
    assert (stack.docker.commands, stack.docker.now) == ([], now)


def test_what_failed_is_said(stack: SmallStack) -> None:
    go(stack, make_wanted())
    stack.docker.by_image[image_of("web", "2")] = Behaviour(healthy_after=None)
    with pytest.raises(ConvergeError, match=r"web did not get healthy.*The previous release .* is running again") as e:
        go(stack, make_wanted("2"))
    assert (e.value.service, e.value.about["status"]) == ("web", "reverted")
    assert e.value.evidence.endswith(e.value.about["id"])


def test_the_first_deploy_fails(stack: SmallStack) -> None:
    stack.docker.behaviours["db"] = Behaviour(exits_after=0.0)
    with pytest.raises(ConvergeError, match="Nothing was running before; what started is left for you to look at"):
        go(stack, make_wanted())


def test_no_docker_nothing_written(stack: SmallStack) -> None:
    stack.docker.stop()
    with pytest.raises(EngineError, match="Fix: systemctl start docker"):
        go(stack, make_wanted())
    assert not stack.store.paths.root.exists()


def test_no_docker_on_a_host_that_is_as_wanted(stack: SmallStack) -> None:
    go(stack, make_wanted())
    stack.docker.stop()
    with pytest.raises(EngineError, match="Docker is not running here"):
        go(stack, make_wanted())


def test_the_rollout_dies_and_the_same_command_finishes(stack: SmallStack) -> None:
    def die(_store: Any, release: Release, _engine: Any) -> int:
        stack.docker.before = lambda words: (_ for _ in ()).throw(KilledError()) if words[-1] == "worker" else None
        with pytest.raises(KilledError):
            stack.apply(release)
        stack.docker.before = lambda _words: None
        return 137

    with pytest.raises(ConvergeError, match="run the same command again; it finishes the job"):
        go(stack, make_wanted(), run_here=die)
    plan, about = go(stack, make_wanted())
    assert set(plan.actions.values()) == {"finish"}
    assert (about["status"], len(stack.store.all())) == ("done", 1)


# ---- somebody else is at work -----------------------------------------------------------------------------------


def test_the_same_rollout_is_joined(stack: SmallStack) -> None:
    """Ctrl-C, then the same command: the host goes on meanwhile."""
    plan = stack.plan(make_wanted())
    release = deploy.prepare(stack.store, plan, make_wanted())
    with lock(stack.store.paths, holder=release.id):
        steps = iter(range(100))
        stack.docker.on_sleep = lambda: release.update(status="done") and None if next(steps) == 10 else None
        done, about = go(stack, make_wanted(), run_here=no_start)
        # The second of two runs that began at the same time planned before the release was there.
        stack.docker.on_sleep = lambda: None
        release.update(status="running")
        stack.docker.on_sleep = lambda: release.update(status="done") and None
        late, _ = converge(stack, make_wanted(), no_start).run(plan)
    assert (done.release, late.release, about["status"]) == (release, release, "done")
    assert stack.store.all() == [release]


def no_start(*_arguments: Any) -> int:
    raise AssertionError("nothing is to be started")


def test_another_rollout_is_at_work(stack: SmallStack) -> None:
    go(stack, make_wanted())
    other = stack.prepare(make_wanted("2"))
    with lock(stack.store.paths, holder=other.id):
        for wanted in (make_wanted("3"), make_wanted()):
            with pytest.raises(DeployError, match=rf"Another rollout is at work on this host \({other.id}\)"):
                go(stack, wanted, run_here=no_start)
    assert other.status == "prepared"


def test_the_start_at_boot_is_waited_for(stack: SmallStack) -> None:
    go(stack, make_wanted())
    web = stack.docker.of("web")
    web.state = "exited"
    assert stack.plan(make_wanted()).actions
    boot = lock(stack.store.paths, holder=STARTING)
    boot.__enter__()
    end = stack.docker.now + 60

    def started() -> None:
        if stack.docker.now >= end and web.state == "exited":
            web.state = "running"
            boot.__exit__(None, None, None)

    stack.docker.on_sleep = started
    plan, _ = go(stack, make_wanted(), run_here=no_start)
    assert plan.actions == {}


def test_a_boot_that_takes_too_long(stack: SmallStack) -> None:
    with lock(stack.store.paths, holder=STARTING), pytest.raises(DeployError, match=STARTING):
        go(stack, make_wanted())


# ---- nothing to do, but is it well? -----------------------------------------------------------------------------


def test_services_that_are_still_starting_are_waited_for(stack: SmallStack) -> None:
    go(stack, make_wanted())
    stack.docker.of("web").started = stack.docker.now
    stack.docker.of("web").behaviour = Behaviour(healthy_after=12)
    stack.docker.commands.clear()
    plan, about = go(stack, make_wanted())
    assert (plan.actions, about["status"], stack.docker.commands) == ({}, "done", [])


def test_a_service_that_is_ill_fails_the_run_and_is_left_alone(stack: SmallStack) -> None:
    go(stack, make_wanted())
    web = stack.docker.of("web").id
    stack.docker.of("web").behaviour = Behaviour(healthy_after=None, log="why\n")
    with pytest.raises(ConvergeError) as caught:
        go(stack, make_wanted())
    error = caught.value
    assert "nothing was changed, but not all are well: web did not get healthy within 30 s" in str(error)
    assert (error.service, error.about["status"]) == ("web", "done")
    assert error.evidence.endswith(f"{error.about['id']}/check")
    assert (stack.store.paths.evidence / error.about["id"] / "check" / "web.log").read_text() == "why\n"
    assert stack.docker.of("web").id == web


def test_a_repair_that_was_cut_off_and_healed_by_itself(stack: SmallStack) -> None:
    _, about = go(stack, make_wanted())
    stack.store.get(about["id"]).update(status="running")
    _, again = go(stack, make_wanted())
    assert again["status"] == "done"
