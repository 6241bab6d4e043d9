"""Going back to a release that was in use before, on a fake host."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import rollback
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.converge import ConvergeError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.deploy import DeployError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Release, lock
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollback import Request, plan_lines
from fakes.docker_host import Behaviour, KilledError
from fakes.rollouts import ONE, TWO, failing, with_digest
from fakes.small_stack import NEEDS, SmallStack, image_of, make_wanted

THREE = {name: image_of(name, "3") for name in NEEDS}
Ids = list[str]


@pytest.fixture
def ids(stack: SmallStack) -> Ids:
    """Versions 1 and 2 were deployed; 2 is in use. Returns their ids. The registry is gone since."""
    found = [str(stack.deploy(make_wanted(version))["id"]) for version in ("1", "2")]
    stack.docker.registry_answers = False
    return found


def go_back(stack: SmallStack, to: str = "", **options: Any) -> tuple[Any, dict[str, Any]]:
    request = Request(to=to, who="ann", why="it is slow")
    plan = rollback.make_plan(stack.store, stack.engine, request)
    wanted = rollback.wanted_of(rollback.target_of(plan))
    move = rollback.GoBack(
        stack.store,
        stack.engine,
        wanted,
        600,
        stack.launcher(**options),
        clock=stack.docker.clock,
        sleep=stack.docker.sleep,
        rollout=stack.rollout,
        request=request,
    )
    return move.run(plan)


def current(stack: SmallStack) -> str:
    found = stack.store.current()
    assert found
    return found.id


def refused(stack: SmallStack, to: str = "", **more: str) -> str:
    with pytest.raises(DeployError) as caught:
        rollback.make_plan(stack.store, stack.engine, Request(to=to, **more))
    assert "Nothing was changed. Fix: " in str(caught.value)
    return str(caught.value)


# ---- there and back --------------------------------------------------------------------------------------------------


def test_back_to_the_release_before_without_a_registry(stack: SmallStack, ids: Ids) -> None:
    plan, about = go_back(stack)
    assert plan.actions == {name: f"replace: {with_digest(stack, TWO[name])} -> {ONE[name]}" for name in NEEDS}
    assert (about["id"], about["status"], about["version"]) == (ids[0], "done", "1")
    assert (about["back"]["from"], about["back"]["who"], about["back"]["why"]) == (ids[1], "ann", "it is slow")
    assert stack.docker.running() == ONE
    assert current(stack) == ids[0]


@pytest.mark.parametrize("to", ["", "1", "id"])
def test_again_it_changes_nothing(stack: SmallStack, ids: Ids, to: str) -> None:
    to = ids[0] if to == "id" else to
    go_back(stack, to)
    before = stack.everything_written()
    stack.docker.commands.clear()
    plan, about = go_back(stack, to)
    assert (plan.actions, about["id"]) == ({}, ids[0])
    assert (stack.docker.commands, stack.everything_written()) == ([], before)


def test_the_plan_writes_nothing(stack: SmallStack, ids: Ids) -> None:
    before = stack.everything_written()
    plan = rollback.make_plan(stack.store, stack.engine, Request())
    assert (rollback.target_of(plan).id, len(plan.actions)) == (ids[0], 3)
    assert stack.everything_written() == before
    stack.docker.stop()
    assert rollback.make_plan(stack.store, stack.engine, Request()).blind
    with pytest.raises(EngineError):
        go_back(stack)
    assert stack.everything_written() == before


def test_the_plan_tells_how_long_it_takes(stack: SmallStack) -> None:
    settings: dict[str, Any] = {"start_first": True, "min_healthy": 10, "drain_timeout": 30, "bake": 600}
    stack.deploy(make_wanted())
    stack.deploy(make_wanted("2", **settings))

    def last(to: str = "") -> str:
        plan = rollback.make_plan(stack.store, stack.engine, Request(to=to))
        text = str(rollback.diff_of(stack.store, plan)[1]["prepared"])
        assert text == f"plan ({plan.reason}):\n" + "".join(f"{line}\n" for line in plan_lines(stack.store, plan))
        return text.splitlines()[-1]

    # As the operator wants it today. An older one has proved itself: it is not watched.
    assert last() == "expected: 30 s to 90 s"
    go_back(stack)
    assert last("2") == "expected: 30 s to 90 s, then it is watched for 10 min"


def test_to_any_release_and_forward_again(stack: SmallStack) -> None:
    ids = [stack.deploy(make_wanted(version))["id"] for version in ("1", "2", "3")]
    for to, running in (("1", ONE), (ids[2], THREE), ("2", TWO)):
        go_back(stack, to)
        assert stack.docker.running() == running
    # Forward is no way back: what was in use before is meant.
    go_back(stack, "3")
    assert go_back(stack)[1]["version"] == "2"
    assert [release.status for release in stack.store.all()] == ["done"] * 3


def test_of_a_version_the_newest_release_is_taken(stack: SmallStack) -> None:
    stack.deploy(make_wanted("1"))
    second = stack.deploy(make_wanted("1", environment={"MORE": "yes"}))["id"]
    stack.deploy(make_wanted("2"))
    assert go_back(stack, "1")[1]["id"] == second


def test_a_tag_that_moved_is_told_by_its_digests(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.push(image_of("web"), "another content")
    stack.deploy(make_wanted(environment={"MORE": "yes"}))
    action = rollback.make_plan(stack.store, stack.engine, Request()).actions["web"]
    assert action.count(f"{image_of('web')}@sha256:") == 2
    stack.docker.registry_answers = False
    first = stack.store.all()[0].read()["services"]["web"]
    go_back(stack)
    assert stack.docker.of("web").image_id == first["image_id"]


def test_it_is_done_as_the_operator_wants_it_today(stack: SmallStack) -> None:
    stack.deploy(make_wanted("1"))
    stack.deploy(make_wanted("2", start_first=True, min_healthy=3, drain_timeout=7))
    plan, about = go_back(stack)
    assert plan.actions["web"].endswith("(the new one starts first)")
    assert (about["start_first"], about["min_healthy"], about["drain_timeout"]) == (True, 3, 7)
    assert stack.docker.words("--scale")


def test_an_earlier_secret_comes_back_and_the_plan_says_so(stack: SmallStack) -> None:
    stack.deploy(make_wanted("1", secret="Canary-the-first"))
    stack.deploy(make_wanted("1", secret="Canary-the-second"))
    plan, _about = go_back(stack)
    assert plan.actions["web"] == "replace: the value of DB_PASSWORD changed"
    assert stack.docker.of("web").environment["PASSWORD"] == "Canary-the-first"
    assert "Canary" not in stack.everything_written()


# ---- what comes after ------------------------------------------------------------------------------------------------


def test_the_next_site_goes_to_what_the_inventory_says(stack: SmallStack, ids: Ids) -> None:
    go_back(stack)
    # It says the older version: there is nothing to do.
    assert stack.plan(make_wanted("1")).actions == {}
    # It still says the one that was left: it is deployed anew.
    stack.docker.registry_answers = True
    third = stack.deploy(make_wanted("2"))
    assert (stack.docker.running(), third["previous"]) == (TWO, ids[0])
    assert go_back(stack)[1]["id"] == ids[0]


def test_after_an_update_that_failed_the_host_is_back_already(stack: SmallStack, ids: Ids) -> None:
    stack.docker.registry_answers = True
    stack.docker.by_image[image_of("web", "3")] = Behaviour(healthy_after=None)
    failing(stack, make_wanted("3"))
    assert stack.docker.running() == TWO
    plan, about = go_back(stack)
    assert (plan.actions, about["id"]) == ({}, ids[1])
    assert "back on release" in plan.reason
    assert "name a release" in plan.reason
    assert go_back(stack, "1")[1]["id"] == ids[0]


def test_an_update_that_was_cut_off_is_undone(stack: SmallStack, ids: Ids) -> None:
    stack.docker.registry_answers = True
    release = stack.prepare(make_wanted("3"))
    cut_off(stack, release)
    plan, about = go_back(stack)
    assert plan.actions["db"].startswith("repair: ")
    assert (about["id"], stack.docker.running()) == (ids[1], TWO)
    assert release.status == "abandoned"


def test_pruning_keeps_what_was_in_use(stack: SmallStack, ids: Ids) -> None:
    go_back(stack)
    stack.docker.registry_answers = True
    stack.docker.by_image[image_of("web", "3")] = Behaviour(healthy_after=None)
    stack.store.get(ids[1]).update(status="reverted")
    failing(stack, make_wanted("3"))
    stack.store.prune(2)
    assert [release.id for release in stack.store.all()][:2] == ids


# ---- when it goes wrong ----------------------------------------------------------------------------------------------


def cut_off(stack: SmallStack, release: Release) -> None:
    """Kill the rollout when the first service was started."""
    seen = []

    def kill(words: list[str]) -> None:
        if "up" in words:
            seen.append(words)
            if len(seen) == 2:
                raise KilledError

    stack.docker.before = kill
    with pytest.raises(KilledError):
        stack.rollout(stack.store, release, stack.engine).apply()
    stack.docker.before = lambda _words: None


def test_one_that_gets_not_healthy_any_more_is_left_again(stack: SmallStack, ids: Ids) -> None:
    stack.docker.by_image[image_of("web", "1")] = Behaviour(healthy_after=None)
    with pytest.raises(ConvergeError, match=r"web did not get healthy.*The previous release \S+ is running again") as e:
        go_back(stack)
    assert ids[1] in str(e.value)
    assert (stack.docker.running(), current(stack), e.value.about["status"]) == (TWO, ids[1], "reverted")
    # It can be tried again, when it is mended.
    del stack.docker.by_image[image_of("web", "1")]
    assert go_back(stack)[1]["id"] == ids[0]
    assert stack.docker.running() == ONE


def test_one_of_before_this_was_recorded_can_be_tried_again_too(stack: SmallStack, ids: Ids) -> None:
    first = stack.store.get(ids[0])
    about = {key: value for key, value in first.read().items() if key != "in_use_since"}
    (first.folder / "release.json").write_text(json.dumps(about), encoding="utf-8")
    stack.docker.by_image[image_of("web", "1")] = Behaviour(healthy_after=None)
    with pytest.raises(ConvergeError):
        go_back(stack)
    del stack.docker.by_image[image_of("web", "1")]
    assert go_back(stack)[1]["id"] == ids[0]


def test_cut_off_half_way_it_is_finished_by_the_same_command(stack: SmallStack, ids: Ids) -> None:
    plan = rollback.make_plan(stack.store, stack.engine, Request())
    cut_off(stack, rollback.prepare(stack.store, rollback.target_of(plan), Request()))
    assert (current(stack), stack.store.get(ids[0]).status) == (ids[1], "running")
    _plan, about = go_back(stack)
    assert (about["id"], about["status"], stack.docker.running()) == (ids[0], "done", ONE)


def test_cut_off_half_way_site_undoes_it(stack: SmallStack, ids: Ids) -> None:
    plan = rollback.make_plan(stack.store, stack.engine, Request())
    cut_off(stack, rollback.prepare(stack.store, rollback.target_of(plan), Request()))
    assert stack.deploy(make_wanted("2"))["id"] == ids[1]
    assert stack.docker.running() == TWO
    # What was not finished then can still be gone back to.
    assert go_back(stack)[1]["id"] == ids[0]


def test_cut_off_after_the_switch(stack: SmallStack, ids: Ids) -> None:
    go_back(stack)
    stack.store.get(ids[0]).update(status="running")
    plan, about = go_back(stack)
    assert plan.actions == dict.fromkeys(NEEDS, "finish")
    assert about["status"] == "done"


def test_an_image_that_is_gone_is_pulled_by_its_digest(stack: SmallStack, ids: Ids) -> None:
    stack.docker.drop_images()
    with pytest.raises(ConvergeError, match=r"cannot be pulled: .*connection refused.*Nothing was stopped"):
        go_back(stack)
    assert stack.docker.running() == TWO
    stack.docker.registry_answers = True
    stack.docker.push(image_of("web"), "the tag has moved")
    go_back(stack)
    assert all("@sha256:" in words[3] for words in stack.docker.words("pull")[-3:])
    assert stack.docker.running() == ONE


def test_another_rollout_at_work(stack: SmallStack, ids: Ids) -> None:
    with lock(stack.store.paths, holder="20260101T000000Z-00000000"), pytest.raises(DeployError, match="at work"):
        go_back(stack)
    assert stack.docker.running() == TWO


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_nothing_is_deployed(stack: SmallStack) -> None:
    assert "Nothing is deployed on this host" in refused(stack)


def test_the_first_release_has_none_before_it(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    assert "is the first on this host" in refused(stack)


@pytest.mark.parametrize(("to", "what"), [("7", "no version '7'"), ("20200101T000000Z-00000000", "no release '2020")])
def test_what_is_not_here(stack: SmallStack, ids: Ids, to: str, what: str) -> None:
    said = refused(stack, to)
    assert what in said
    assert f"{ids[0]} (version 1)" in said
    assert ids[1] not in said


def test_what_never_came_up(stack: SmallStack, ids: Ids) -> None:
    stack.docker.registry_answers = True
    stack.docker.by_image[image_of("web", "3")] = Behaviour(healthy_after=None)
    failing(stack, make_wanted("3"))
    assert "version '3' never came up on this host (reverted)" in refused(stack, "3")


def test_a_damaged_record(stack: SmallStack, ids: Ids) -> None:
    stack.store.get(ids[0]).env_file.unlink()
    assert f"The record of release {ids[0]} is damaged" in refused(stack)


def test_one_that_was_pruned(stack: SmallStack, ids: Ids) -> None:
    stack.store._remove(stack.store.get(ids[0]))
    assert f"The release before this one ({ids[0]}) is not on this host any more" in refused(stack)


def test_another_project(stack: SmallStack, ids: Ids) -> None:
    assert "is of the project 'demo', and not of 'shop'" in refused(stack, project="shop")


def test_over_a_damaged_record_of_the_one_in_use(stack: SmallStack, ids: Ids) -> None:
    (stack.store.get(ids[1]).folder / "model.json").write_text("{", encoding="utf-8")
    plan, about = go_back(stack, ids[0])
    assert set(plan.actions.values()) == {"check: the record of the release in use is damaged"}
    assert (about["status"], stack.docker.running()) == ("done", ONE)
