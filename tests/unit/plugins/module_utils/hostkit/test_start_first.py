# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may run twice; and a move to a new container during which the old one serves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge import layout
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.sync import PINS
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.start_first import in_place_reason
from fakes.docker_host import Behaviour, KilledError
from fakes.rollouts import ONE, TWO, events, failing, newest
from fakes.small_stack import NEEDS, SmallStack, image_of, make_wanted

FIRST: dict[str, Any] = {"start_first": True, "min_healthy": 10, "drain_timeout": 30}
VOLUME = {"type": "volume", "source": "data", "target": "/data"}


# ---- who may ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ({}, ""),
        ({"volumes": [{**VOLUME, "read_only": True}, {"type": "tmpfs", "target": "/tmp"}]}, ""),
        ({"volumes": [VOLUME]}, "it writes the volume data, which only one may do"),
        ({"volumes": [VOLUME], "x-hypercode-rollout": "start-first"}, ""),
        ({"volumes": [{"type": "bind", "source": "/srv", "target": "/srv"}]}, "it writes the folder /srv"),
        ({"x-hypercode-rollout": "replace"}, "the Compose file says so"),
        ({"ports": [{"target": 80, "published": "8080"}]}, "it holds a port of the host, 8080"),
        ({"ports": [{"target": 80}]}, ""),
        ({"ports": ["8080:80"], "x-hypercode-rollout": "start-first"}, "it holds a port of the host"),
        ({"container_name": "app"}, "it has a fixed name, app"),
        ({"network_mode": "host"}, "it has the network of the host"),
        ({"network_mode": "service:db"}, "it lives in the network of db"),
        ({"networks": {"back": {"ipv4_address": "10.0.0.9"}}}, "it has a fixed address in the network back"),
        ({"networks": {"back": None}}, ""),
    ],
)
def test_what_may_not_run_twice_is_replaced_in_place(service: dict[str, Any], reason: str) -> None:
    found = in_place_reason("app", service, {"app": service, "db": {}})
    assert found.startswith(reason)
    assert bool(found) is bool(reason)


def test_what_another_one_lives_in_is_replaced_in_place() -> None:
    services: dict[str, Any] = {"app": {}, "side": {"network_mode": "service:app"}}
    assert in_place_reason("app", services["app"], services) == "side lives in its network"


# ---- the move -----------------------------------------------------------------------------------------------------


def with_volume(version: str, **more: Any) -> Any:
    """db writes a volume, so that it can only be replaced in place."""
    wanted = make_wanted(version, **FIRST, **more)
    wanted.model["services"]["db"]["volumes"] = [VOLUME]
    return wanted


def running_of(stack: SmallStack, service: str) -> list[str]:
    """Versions of the containers of a service that run, oldest first."""
    found = [item for item in stack.docker.containers.values() if item.service == service]
    return [
        item.reference.partition("@")[0].rpartition(":")[2]
        for item in sorted(found, key=lambda item: item.id)
        if stack.docker.inspect(item)["State"]["Status"] == "running"
    ]


def test_the_old_container_serves_until_the_new_one_has_been_ready_for_a_while(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    began, seen = stack.docker.now, []
    stack.docker.on_sleep = lambda: seen.append((stack.docker.now - began, running_of(stack, "db")))
    stack.deploy(make_wanted(images={"db": image_of("db", "2")}, **FIRST))
    together = [seconds for seconds, versions in seen if versions == ["1", "2"]]
    # Two seconds until it is healthy, ten more in which it has to stay so.
    assert together[-1] >= 12
    assert [] not in [versions for _seconds, versions in seen]
    assert running_of(stack, "db") == ["2"]
    assert [event for event in events(stack) if "beside" in event or event in ("drained", "moved")] == [
        *("starting beside", "ready beside", "drained", "moved")
    ]


def test_all_that_changed_in_a_level_moves_at_once(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    began = stack.docker.now
    stack.deploy(make_wanted("2", **FIRST))
    assert stack.docker.running() == TWO
    assert len(stack.docker.containers) == len(NEEDS)
    # Two levels, each 2 s to get healthy and 10 s to stay so, and some looks.
    assert stack.docker.now - began < 40


def test_what_did_not_change_is_not_touched(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    before = {item.service: item.id for item in stack.docker.containers.values()}
    stack.deploy(make_wanted(images={"web": image_of("web", "2")}, **FIRST))
    after = {item.service: item.id for item in stack.docker.containers.values()}
    assert {name for name in NEEDS if before[name] != after[name]} == {"web"}


def test_a_new_container_that_never_gets_healthy_is_removed_and_the_old_one_never_stopped(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    old = stack.docker.of("web").id
    stack.docker.by_image[image_of("web", "2")] = Behaviour(healthy_after=None)
    error = failing(stack, make_wanted(images={"web": image_of("web", "2")}, **FIRST))
    assert "web did not get healthy within 30 s" in str(error)
    assert stack.docker.of("web").id == old
    assert stack.docker.running() == ONE
    assert newest(stack)["status"] == "reverted"
    assert not [words for words in stack.docker.words("docker", "stop") if old in words]
    evidence = stack.store.paths.evidence / newest(stack)["id"]
    assert len(list(evidence.glob("web*.log"))) == 2


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Behaviour(exits_after=6.0), "web stopped with exit code 1"),
        # Docker has started it again by the time that one looks.
        (Behaviour(restarts_every=7.0), "web crashed and was started again: 1 restart. "),
    ],
)
def test_one_that_falls_down_after_a_moment_does_not_take_over(
    stack: SmallStack, behaviour: Behaviour, said: str
) -> None:
    stack.deploy(make_wanted(**FIRST))
    old = stack.docker.of("web").id
    stack.docker.by_image[image_of("web", "2")] = behaviour
    error = failing(stack, make_wanted(images={"web": image_of("web", "2")}, **FIRST))
    assert said in str(error)
    assert stack.docker.of("web").id == old


def test_a_service_that_writes_a_volume_is_replaced_in_place(stack: SmallStack) -> None:
    stack.deploy(with_volume("1"))
    both = []
    stack.docker.on_sleep = lambda: both.append(running_of(stack, "db"))
    stack.deploy(with_volume("2"))
    assert ["1", "2"] not in both
    assert stack.docker.running() == TWO


def test_several_copies_are_moved_together(stack: SmallStack) -> None:
    def copies(version: str) -> Any:
        wanted = make_wanted(version, **FIRST)
        wanted.model["services"]["web"]["deploy"] = {"replicas": 2}
        return wanted

    stack.deploy(copies("1"))
    assert running_of(stack, "web") == ["1", "1"]
    seen = []
    stack.docker.on_sleep = lambda: seen.append(running_of(stack, "web"))
    stack.deploy(copies("2"))
    assert ["1", "1", "2", "2"] in seen
    assert running_of(stack, "web") == ["2", "2"]


def test_what_is_scaled_to_nothing_gets_no_new_container(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    wanted = make_wanted("2", **FIRST)
    wanted.model["services"]["web"]["deploy"] = {"replicas": 0}
    stack.deploy(wanted)
    assert not [words for words in stack.docker.words("--scale") if any("web=" in word for word in words)]


def test_the_edge_is_told_who_gets_requests_at_each_step_and_nothing_afterwards(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    old = stack.docker.of("web").id
    mark = layout.Paths(stack.store.paths.root).at(PINS)
    pinned: dict[str, list[str]] = {}

    def look(words: list[str]) -> None:
        step = "start" if "--scale" in words else words[1]
        if step in ("start", "stop"):
            pinned[step] = json.loads(mark.read_text(encoding="utf-8"))["web"]

    stack.docker.before = look
    stack.deploy(make_wanted(images={"web": image_of("web", "2")}, **FIRST))
    assert pinned == {"start": [old], "stop": [stack.docker.of("web").id]}
    assert not mark.exists()


def test_nobody_is_pinned_after_a_failure(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    stack.docker.by_image[image_of("web", "2")] = Behaviour(healthy_after=None)
    failing(stack, make_wanted(images={"web": image_of("web", "2")}, **FIRST))
    assert not layout.Paths(stack.store.paths.root).at(PINS).exists()


@pytest.mark.parametrize("connections", [0, 3])
def test_connections_get_the_drain_time_and_no_more(stack: SmallStack, connections: int) -> None:
    stack.deploy(make_wanted(**FIRST))
    asked: list[list[str]] = []

    def count(addresses: Any) -> int:
        asked.append(list(addresses))
        return connections

    stack.connections = count
    stack.docker.address = "10.0.0.7"
    release = stack.prepare(make_wanted(images={"web": image_of("web", "2")}, **FIRST))
    began = stack.docker.now
    stack.apply(release)
    assert asked[0] == ["10.0.0.7"]
    assert (stack.docker.now - began > 40) is bool(connections)
    assert running_of(stack, "web") == ["2"]


@pytest.mark.parametrize("moment", ["--scale", "stop", "rm"])
def test_what_was_cut_off_is_finished_by_the_next_run(stack: SmallStack, moment: str) -> None:
    stack.deploy(make_wanted(**FIRST))
    wanted = make_wanted(images={"web": image_of("web", "2")}, **FIRST)

    def kill(words: list[str]) -> None:
        if moment in words and words[1] in ("compose", moment):
            raise KilledError

    stack.docker.before = kill
    with pytest.raises(KilledError):
        stack.deploy(wanted)
    stack.docker.before = lambda _words: None
    assert "1" in running_of(stack, "web") or moment != "--scale"
    stack.deploy(wanted)
    assert running_of(stack, "web") == ["2"]
    assert newest(stack)["status"] == "done"


def test_the_way_back_replaces_first_what_has_to_be_replaced_in_place(stack: SmallStack) -> None:
    """As with the password of Redis: those that need it get healthy only when it has its old one again."""

    stack.deploy(with_volume("1"))
    # It is the last to move, and both others have moved by then.
    wanted = with_volume("2", needs={"db": [], "web": ["db"], "worker": ["web"]})
    stack.docker.by_image[image_of("worker", "2")] = Behaviour(healthy_after=None)
    beside: dict[str, list[str]] = {}

    def look(words: list[str]) -> None:
        if "--scale" in words:
            beside[words[-1]] = running_of(stack, "db")

    stack.docker.before = look
    failing(stack, wanted)
    # Forward it was on 2 by then, and on the way back on 1.
    assert beside == {"worker": ["2"], "web": ["1"]}
    assert stack.docker.running() == ONE
    assert "not moved back" not in events(stack)


def test_where_nothing_can_be_put_back_in_place_nothing_is_started_beside(stack: SmallStack) -> None:
    stack.deploy(with_volume("1"))
    wanted = with_volume("2", needs={"db": [], "web": ["db"], "worker": ["web"]})
    stack.docker.by_image[image_of("worker", "2")] = Behaviour(healthy_after=None)
    # The old one has worked until now.
    stack.docker.before = lambda words: (
        stack.docker.by_image.update({image_of("db"): Behaviour(healthy_after=None)}) if "--scale" in words else None
    )
    failing(stack, wanted)
    assert "not put back in place" in events(stack)
    assert not [words for words in stack.docker.words("--scale") if "web=2" in words][1:]
    assert stack.docker.running() == ONE


def test_who_needs_what_changed_is_not_touched_by_that(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    before = {item.service: item.id for item in stack.docker.containers.values()}
    stack.deploy(make_wanted(images={"db": image_of("db", "2")}, **FIRST))
    after = {item.service: item.id for item in stack.docker.containers.values()}
    assert {name for name in NEEDS if before[name] != after[name]} == {"db"}


def test_the_way_back_starts_first_what_is_not_there(stack: SmallStack) -> None:
    """The new release has no db any more. Those that go back to needing it would not get healthy without it."""
    stack.deploy(make_wanted(**FIRST))
    stack.docker.by_image[image_of("web", "2")] = Behaviour(exits_after=40.0)
    beside: dict[str, list[str]] = {}

    def look(words: list[str]) -> None:
        if "--scale" in words:
            beside[words[-1]] = running_of(stack, "db")

    stack.docker.before = look
    wanted = make_wanted("2", needs={"web": [], "worker": []}, bake=60, **FIRST)
    assert "web stopped" in str(failing(stack, wanted))
    assert beside["worker"] == ["1"]
    assert stack.docker.running() == ONE
    assert "not moved back" not in events(stack)
