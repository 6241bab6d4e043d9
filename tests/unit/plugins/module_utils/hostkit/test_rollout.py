"""A rollout that works, in order, under the lock, for any graph."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import lock
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_run import (
    BUSY,
    STARTING,
    run_release,
)
from fakes.docker_host import Behaviour
from fakes.rollouts import ONE, TWO, events, newest
from fakes.small_stack import CANARY, NEEDS, SmallStack, image_of, levels_of, make_wanted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# ---- it works ---------------------------------------------------------------------------------------------------


def test_the_first_release(stack: SmallStack) -> None:
    about = stack.deploy(make_wanted())
    assert stack.docker.running() == ONE
    assert about["status"] == "done"
    assert about["previous"] is None
    current = stack.store.current()
    assert current
    assert current.id == about["id"]
    assert str(stack.store.paths.current.readlink()) == f"releases/{current.id}"
    before = ["started", "pulling", "pulled", "keeping images"]
    assert events(stack) == [*before, "bringing up", "up", "ready", "up", "ready", "done"]


def test_digests_are_recorded_and_written_into_compose_yaml(stack: SmallStack) -> None:
    about = stack.deploy(make_wanted())
    current = stack.store.current()
    assert current
    written = yaml.safe_load(current.compose_file.read_text(encoding="utf-8"))
    for name in NEEDS:
        digest = stack.docker.registry[image_of(name)]
        assert about["services"][name]["digest"] == digest
        assert about["services"][name]["image"] == image_of(name)
        assert about["services"][name]["image_id"] == stack.docker.of(name).image_id
        assert about["services"][name]["config_hash"] == stack.docker.of(name).hash
        assert written["services"][name]["image"] == f"{image_of(name)}@{digest}"
    # What was asked for stays as it was: the next run compares with it.
    assert current.read_model()["services"]["db"]["image"] == image_of("db")


def test_levels_come_in_order_and_wait_for_each_other(stack: SmallStack) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []

    def look(words: list[str]) -> None:
        if "up" in words and "--remove-orphans" not in words:
            healthy = {
                item.service: stack.docker.inspect(item)["State"]["Health"]["Status"]
                for item in stack.docker.containers.values()
            }
            seen.append((words[words.index("never") + 1 :], healthy))

    stack.docker.before = look
    stack.deploy(make_wanted())
    assert seen == [(["db"], {}), (["web", "worker"], {"db": "healthy"})]


def test_everything_is_pulled_before_anything_is_stopped(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.commands.clear()
    stack.deploy(make_wanted("2"))
    kinds = [words[1] for words in stack.docker.commands]
    assert kinds == ["pull"] * 3 + ["create"] * 3 + ["compose"] * (len(kinds) - 6)
    assert stack.docker.running() == TWO
    assert newest(stack)["previous"] == stack.store.all()[0].id


def test_only_what_changed_is_replaced(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    db = stack.docker.of("db").id
    stack.deploy(make_wanted(images={"web": image_of("web", "2")}))
    assert stack.docker.of("db").id == db
    assert stack.docker.running()["web"] == image_of("web", "2")


def test_compose_sees_no_variable_of_this_process_and_no_secret_on_its_command_line(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    assert all(
        environment["inherit"] == "False"
        for words, environment in zip(stack.docker.commands, stack.docker.environments, strict=True)
        if "compose" in words
    )
    assert CANARY not in json.dumps(stack.docker.commands + stack.docker.environments)
    assert stack.docker.of("db").environment["PASSWORD"] == CANARY


def test_a_service_that_left_the_stack_is_removed_and_foreign_containers_are_not(stack: SmallStack) -> None:
    stack.docker.add("other", "worker", {"image": "foreign:1"})
    once = stack.docker.add("demo", "web", {"image": "once:1"})
    once.oneoff = True
    stack.deploy(make_wanted())
    stack.deploy(make_wanted("2", needs={"db": [], "web": ["db"]}))
    assert {(item.project, item.service) for item in stack.docker.containers.values()} == {
        ("demo", "db"),
        ("demo", "web"),
        ("other", "worker"),
    }


def test_what_was_built_here_is_not_pulled(stack: SmallStack) -> None:
    local = "localhost/hypercode/web:0123456789ab"
    stack.docker.keep_image(local)
    about = stack.deploy(make_wanted(images={"web": local}, local_images=[local]))
    assert about["services"]["web"]["digest"] == ""
    assert stack.docker.running()["web"] == local
    assert not stack.docker.words("pull", local)


def test_an_image_by_digest_that_is_here_is_not_pulled(stack: SmallStack) -> None:
    digest = stack.docker.registry[image_of("web")]
    stack.docker.keep_image(image_of("web"), digest)
    stack.docker.commands.clear()
    stack.deploy(make_wanted(images={"web": f"{image_of('web')}@{digest}"}))
    assert not [words for words in stack.docker.words("pull") if "web" in words[-1]]


@pytest.mark.parametrize("listed", ["redis", "docker.io/library/redis"])
def test_docker_shortens_the_names_of_its_own_hub(stack: SmallStack, listed: str) -> None:
    digest = stack.docker.push("docker.io/library/redis:7")

    def pulled(words: list[str]) -> CommandResult | None:
        if words[:2] != ["docker", "pull"] or not words[-1].startswith("docker.io/library/redis"):
            return None
        stack.docker.keep_image("docker.io/library/redis:7", digest)
        stack.docker.images["docker.io/library/redis:7"]["RepoDigests"] = ["else@sha256:00", f"{listed}@{digest}"]
        return CommandResult(0)

    stack.docker.before = pulled
    about = stack.deploy(make_wanted(images={"web": "docker.io/library/redis:7"}))
    assert about["services"]["web"]["digest"] == digest


# ---- under the lock ---------------------------------------------------------------------------------------------


def run(stack: SmallStack, release: Any, wait: float = 0.0) -> int:
    return run_release(stack.store, release, stack.engine, rollout=stack.rollout, lock_wait=wait, run=stack.docker)


def test_exit_codes(stack: SmallStack, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(stack, stack.prepare(make_wanted())) == 0
    stack.docker.by_image[image_of("db", "2")] = Behaviour(exits_after=0.0)
    assert run(stack, stack.prepare(make_wanted("2"))) == 1
    assert "db stopped" in capsys.readouterr().err


def test_another_rollout_is_at_work(stack: SmallStack) -> None:
    release = stack.prepare(make_wanted())
    with lock(stack.store.paths, holder="somebody else"):
        assert run(stack, release) == BUSY
    assert stack.docker.commands == []
    assert release.read()["status"] == "prepared"


def test_a_rollout_waits_for_the_start_at_boot(stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    release = stack.prepare(make_wanted())
    with lock(stack.store.paths, holder=STARTING) as held:
        assert held
        monkeypatch.setattr(f"{run_release.__module__}.START_TIMEOUT", 0.0)
        assert run(stack, release) == BUSY
    monkeypatch.setattr(f"{run_release.__module__}.START_TIMEOUT", 5.0)
    assert run(stack, release) == 0


def test_an_abandoned_release_is_not_rolled_out(stack: SmallStack) -> None:
    release = stack.prepare(make_wanted())
    stack.prepare(make_wanted("2"))
    assert run(stack, release) == 1
    assert stack.docker.commands == []


def test_a_release_that_cannot_be_read(stack: SmallStack, capsys: pytest.CaptureFixture[str]) -> None:
    release = stack.prepare(make_wanted())
    (release.folder / "release.json").write_text("[]")
    assert run(stack, release) == 1
    assert re.search(r"release\.json cannot be used: it does not hold a mapping", capsys.readouterr().err)


# ---- any graph --------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"s{number}" for number in range(draw(st.integers(1, 5)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        for index, name in enumerate(names)
    }


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(graph=graphs())
def test_a_service_starts_when_all_it_needs_is_healthy(stack: SmallStack, graph: dict[str, list[str]]) -> None:
    stack.docker.containers.clear()
    for name in graph:
        stack.docker.push(image_of(name))
    about = stack.deploy(make_wanted(needs=graph, secret=f"secret of {sorted(graph.items())}"))
    assert about["order"] == levels_of(graph)
    for name, needed in graph.items():
        for other in needed:
            ready = stack.docker.of(other).started + 2
            assert stack.docker.of(name).started >= ready
