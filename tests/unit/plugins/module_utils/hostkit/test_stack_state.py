"""Rows of the board: what a release wants of a service against what runs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import stack_state
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.stack_state import Row, make_row
from fakes.docker_host import Behaviour
from fakes.small_stack import NEEDS, SmallStack, image_of, make_wanted


def container(status: str = "running", health: str | None = "healthy", **changes: Any) -> dict[str, Any]:
    state = {"Status": status, "ExitCode": changes.pop("exit_code", 0), "StartedAt": "t"}
    if health:
        state["Health"] = {"Status": health}
    labels = {stack_state.SERVICE_LABEL: "web", stack_state.HASH_LABEL: "h1", **changes.pop("labels", {})}
    return {
        "Id": changes.pop("id", "c1"),
        "Image": changes.pop("image_id", "i1"),
        "RestartCount": 2,
        "State": state,
        "Config": {"Image": "web:1", "Labels": labels},
        "HostConfig": {"Memory": 5},
    }


WANTED = {"image": "web:1", "class": "agent", "image_id": "i1", "config_hash": "h1"}


def test_as_wanted() -> None:
    row = make_row("web", WANTED, [container()])
    assert row == Row("web", "agent", "web:1", "running", "healthy", 2, 0, "c1", 5, "t")
    assert row.is_ready
    assert row.is_good
    assert not row.needs_action
    assert row.as_board() == {
        "service": "web",
        "class": "agent",
        "state": "running",
        "health": "healthy",
        "ready": True,
        "restarts": 2,
        "image": "web:1",
        "memory_bytes": None,
        "memory_limit_bytes": 5,
        "note": "",
    }


@pytest.mark.parametrize(
    ("found", "drift", "ready"),
    [
        ([], "no container", False),
        ([container("exited", None, exit_code=3)], "exited, exit code 3", False),
        ([container("created", None)], "created", False),
        ([container("restarting", "unhealthy")], "restarting", False),
        ([container("paused")], "paused", False),
        ([container("dead", None)], "dead", False),
        ([container(image_id="i2")], "runs another image than the release", True),
        ([container(labels={stack_state.HASH_LABEL: "h2"})], "runs with another configuration than the release", True),
        ([container(), container(id="c2")], "2 containers instead of one", True),
        ([container(health="starting")], "", False),
        ([container(health="unhealthy")], "", False),
        ([container(health=None)], "", True),
    ],
)
def test_what_differs(found: list[dict[str, Any]], drift: str, ready: bool) -> None:
    row = make_row("web", WANTED, found)
    assert (row.drift, row.is_ready) == (drift, ready)
    assert row.needs_action is bool(drift)
    assert row.is_good is (ready and not drift)


def test_before_anything_was_recorded_any_image_and_configuration_will_do() -> None:
    assert make_row("web", {"image": "web:1"}, [container(image_id="x")]).is_good


def test_copies_are_wanted() -> None:
    wanted = {**WANTED, "replicas": 2}
    assert make_row("web", wanted, [container(), container(id="c2")]).is_good
    assert make_row("web", wanted, [container()]).drift == "1 container instead of 2"
    # One that is ill is not hidden by one that is well.
    ill = make_row("web", wanted, [container(), container("exited", None, id="c2", exit_code=1)])
    assert (ill.state, ill.container_id, ill.has_crashed) == ("exited", "c2", True)
    assert make_row("web", wanted, [container(), container(health="starting", id="c2")]).health == "starting"


def test_a_job() -> None:
    job = {**WANTED, "job": True}
    assert make_row("web", job, [container("exited", None)]).is_good
    assert not make_row("web", job, [container("exited", None)]).has_crashed
    assert make_row("web", job, [container("exited", None, exit_code=2)]).has_crashed
    assert make_row("web", job, [container("exited", None, exit_code=2)]).drift == "exited, exit code 2"
    running = make_row("web", job, [container("running", None)])
    assert (running.is_ready, running.drift) == (False, "")
    assert make_row("web", job, [container("exited", None, image_id="i2")]).drift


def test_a_container_with_gaps() -> None:
    """As an engine may show one that is being made or removed."""
    bare = container("removing", None)
    bare["Config"] = {"Labels": {stack_state.SERVICE_LABEL: "web"}}
    bare["State"] |= {"Health": None, "ExitCode": None, "StartedAt": None}
    bare |= {"RestartCount": None, "HostConfig": {"Memory": None}}
    assert make_row("web", {"class": None}, [bare]).drift == "removing"


def test_grouping_leaves_out_what_is_no_service() -> None:
    once = container(labels={stack_state.ONEOFF_LABEL: "True"})
    plain = {**container(), "Config": {"Labels": None}}
    assert list(stack_state.containers_by_service([once, plain, container()])) == ["web"]
    assert len(stack_state.containers_by_service([once, plain, container()])["web"]) == 1


def test_the_board_of_a_host(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.add("demo", "extra", {"image": "extra:9"})
    stack.docker.add("other", "web", {"image": "foreign:1"})
    rows = stack_state.read_board(stack.engine, "demo", stack.store.current(), memory=True)
    assert [(row.service, row.drift) for row in rows] == [
        *((name, "") for name in NEEDS),
        ("extra", "not in this release"),
    ]
    assert rows[-1].image == "extra:9"
    assert {row.memory_bytes for row in rows} == {40 * 2**20}
    assert stack_state.summary(rows) == "3 of 4 services healthy; not: extra (not in this release)"
    assert stack_state.summary(rows[:3]) == "3 of 3 services healthy"


def test_the_board_before_the_first_release(stack: SmallStack) -> None:
    assert stack_state.read_board(stack.engine, "demo", None) == []
    stack.docker.add("demo", "web", {"image": image_of("web")})
    assert [row.service for row in stack_state.read_board(stack.engine, "demo", None)] == ["web"]


def test_a_service_that_is_scaled_to_nothing_is_no_row(stack: SmallStack) -> None:
    assert stack_state.read_rows(stack.engine, "demo", {"web": {"replicas": 0}}) == []
    stack.docker.add("demo", "web", {"image": "web:1"})
    (row,) = stack_state.read_rows(stack.engine, "demo", {"web": {"replicas": 0}})
    assert row.drift == "1 container instead of 0"


def test_memory_is_read_of_what_runs_only(stack: SmallStack) -> None:
    stack.docker.behaviours["web"] = Behaviour(exits_after=0.0)
    stack.docker.add("demo", "web", {"image": "web:1"})
    (row,) = stack_state.read_board(stack.engine, "demo", None, memory=True)
    assert row.memory_bytes is None
    assert not [path for path in stack.docker.requests if "stats" in path]


def test_is_there_an_engine(stack: SmallStack) -> None:
    assert stack_state.engine_is_there(stack.engine)
    stack.docker.stop()
    assert not stack_state.engine_is_there(stack.engine)
