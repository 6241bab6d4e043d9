# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host that an update has drained serves again as soon as it can, also when nobody comes back to undrain it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge import layout
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.drain import drain
from fakes.docker_host import Behaviour
from fakes.rollouts import ONE, events, failing, newest
from fakes.small_stack import SmallStack, image_of, make_wanted

FIRST: dict[str, Any] = {"start_first": True, "min_healthy": 3, "drain_timeout": 0, "bake": 60}


@pytest.fixture
def edge(stack: SmallStack) -> layout.Paths:
    """A host that has a release, and that an update has drained."""
    stack.deploy(make_wanted(**FIRST))
    paths = layout.Paths(stack.store.paths.root)
    paths.at(layout.DRAINED).parent.mkdir(exist_ok=True)
    drain(paths, for_update=True)
    return paths


def seen(stack: SmallStack, edge: layout.Paths) -> list[tuple[str, bool]]:
    """From now on, at each moment of a rollout: its last event, and whether the host is drained."""
    found: list[tuple[str, bool]] = []
    stack.docker.on_sleep = lambda: found.append((events(stack)[-1], edge.at(layout.DRAINED).exists()))
    return found


def test_it_is_drained_while_containers_move_and_not_while_it_is_watched(stack: SmallStack, edge: layout.Paths) -> None:
    moments = seen(stack, edge)
    stack.deploy(make_wanted("2", **FIRST))
    watched = [is_drained for event, is_drained in moments if event == "watching"]
    assert (len(watched) > 10, set(watched)) == (True, {False})
    assert {is_drained for event, is_drained in moments if event != "watching"} == {True}
    assert events(stack).index("undrained") < events(stack).index("watching")


def test_one_that_is_watched_and_fails_is_drained_on_its_way_back(stack: SmallStack, edge: layout.Paths) -> None:
    moments = seen(stack, edge)
    look: Any = stack.docker.on_sleep

    def turn_bad() -> None:
        look()
        for container in stack.docker.containers.values():
            if "watching" in events(stack) and container.reference.startswith(image_of("web", "2")):
                container.behaviour = Behaviour(exits_after=0)

    stack.docker.on_sleep = turn_bad
    failing(stack, make_wanted("2", **FIRST))
    assert (newest(stack)["status"], stack.docker.running()) == ("reverted", ONE)
    back = [is_drained for event, is_drained in moments[moments.index(("watching", False)) :] if event != "watching"]
    assert (bool(back), set(back)) == (True, {True})
    assert not edge.at(layout.DRAINED).exists()


def test_one_that_fails_serves_again_when_it_is_back(stack: SmallStack, edge: layout.Paths) -> None:
    stack.docker.by_image[image_of("web", "2")] = Behaviour(healthy_after=None)
    failing(stack, make_wanted("2", **FIRST))
    assert (newest(stack)["status"], edge.at(layout.DRAINED).exists()) == ("reverted", False)


def test_one_on_which_nothing_was_touched_serves_again(stack: SmallStack, edge: layout.Paths) -> None:
    failing(stack, make_wanted("2", images={"web": image_of("web", "nowhere")}, **FIRST))
    assert (newest(stack)["failure"]["touched"], edge.at(layout.DRAINED).exists()) == (False, False)


def test_one_that_does_not_get_back_stays_drained(stack: SmallStack, edge: layout.Paths) -> None:
    for version in "12":
        stack.docker.by_image[image_of("web", version)] = Behaviour(healthy_after=None)
    failing(stack, make_wanted("2", **FIRST | {"start_first": False}))
    assert (newest(stack)["status"], edge.at(layout.DRAINED).exists()) == ("failed", True)


def test_what_an_operator_has_drained_stays_so(stack: SmallStack, edge: layout.Paths) -> None:
    drain(edge)
    stack.deploy(make_wanted("2", **FIRST))
    assert edge.at(layout.DRAINED).exists()
    assert "undrained" not in events(stack)


def test_a_marker_that_cannot_be_removed_fails_no_release(stack: SmallStack, edge: layout.Paths) -> None:
    edge.at(layout.DRAINED).unlink()
    edge.at(layout.DRAINED).mkdir()
    stack.deploy(make_wanted("2", **FIRST))
    assert newest(stack)["status"] == "done"
    assert "edge not undrained" in events(stack)
