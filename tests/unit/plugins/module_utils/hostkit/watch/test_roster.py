"""What is asked of the engine, and how often."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine, EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.roster import (
    RENEW,
    Facts,
    Roster,
    facts_of,
    seconds_of,
)
from fakes.watched_host import WatchedHost


class Asked:
    """A roster, and what it has asked since one looked last."""

    def __init__(self, root: Path, *projects: str) -> None:
        self.host = WatchedHost(root)
        self.roster = Roster(Engine(str(self.host.socket), 5), projects or ("demo",), root)
        self.now = 0.0

    def look(self, *changed: str) -> list[str]:
        self.host.requests.clear()
        self.roster.look(changed, self.now)
        names = {one.id: one.name for one in self.host.containers.values()}
        found = [re.search(r"containers/([0-9a-f]+)/json", request) for request in self.host.requests]
        return sorted(names[match[1]] for match in found if match)

    def facts(self, name: str) -> Facts:
        return self.roster.known[self.host.containers[name].id]


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    made = Asked(tmp_path)
    yield made
    made.host.remove()


def test_a_quiet_look_inspects_nothing(asked: Asked) -> None:
    asked.host.add("web")
    asked.host.add("db")
    assert asked.look() == ["demo-db-1", "demo-web-1"]
    assert asked.look() == []
    assert [request.partition("?")[0] for request in asked.host.requests] == ["/v1.44/containers/json"]


def test_what_changed_is_inspected_and_nothing_else(asked: Asked) -> None:
    for service in ("web", "db", "cache"):
        asked.host.add(service)
    asked.look()
    asked.host.containers["demo-web-1"].health = "unhealthy"
    asked.host.die("demo-cache-1", 3)
    assert asked.look() == ["demo-cache-1", "demo-web-1"]
    assert (asked.facts("demo-web-1").health, asked.facts("demo-cache-1").exit_code) == ("unhealthy", 3)
    # Of a restart between two looks the list shows nothing: an event tells of it.
    asked.host.start("demo-db-1", restarts=4)
    asked.host.containers["demo-db-1"].health = "healthy"
    assert asked.look(asked.host.containers["demo-db-1"].id) == ["demo-db-1"]
    assert asked.facts("demo-db-1").restarts == 4


def test_all_is_asked_again_now_and_then(asked: Asked) -> None:
    asked.host.add("web")
    asked.look()
    asked.now += RENEW
    assert asked.look() == ["demo-web-1"]
    asked.roster.look(None, asked.now)
    assert len(asked.host.requests) == 4


def test_containers_come_and_go(asked: Asked) -> None:
    asked.host.add("web")
    asked.look()
    asked.host.destroy("demo-web-1")
    asked.look()
    assert asked.roster.known == {}


def test_other_projects_and_containers_run_by_hand_are_no_business_of_ours(tmp_path: Path) -> None:
    asked = Asked(tmp_path, "demo", "shop")
    try:
        asked.host.add("web")
        asked.host.add("till", "till", project="shop")
        asked.host.add("web", "stranger", project="other")
        asked.host.add("web", "by-hand", labels={"com.docker.compose.oneoff": "True"})
        assert asked.look() == ["demo-web-1", "till"]
    finally:
        asked.host.remove()


def test_an_engine_that_is_away_leaves_what_was_known(asked: Asked) -> None:
    asked.host.add("web")
    asked.look()
    asked.host.stop_engine()
    with pytest.raises(EngineError):
        asked.look()
    assert asked.facts("demo-web-1").running


@pytest.mark.parametrize(
    ("facts", "keeps"),
    [
        ({}, False),
        ({"mounts": [{"Type": "volume", "RW": True}]}, True),
        ({"mounts": [{"Type": "bind", "RW": True}]}, True),
        ({"mounts": [{"Type": "bind", "RW": False}, {"Type": "tmpfs", "RW": True}]}, False),
        # It may keep it in memory alone.
        ({"image": "docker.io/library/redis:7@sha256:00"}, True),
        ({"image": "postgres:16"}, True),
    ],
)
def test_what_keeps_data(asked: Asked, facts: dict[str, object], keeps: bool) -> None:
    found = facts_of(asked.host.inspected(asked.host.add("x", **facts)), asked.host.root)
    assert found is not None
    assert found.keeps_data is keeps


def test_the_network_of_the_host_is_not_its_own(asked: Asked) -> None:
    for mode, own in (("host", False), ("container:abc", False), ("bridge", True)):
        one = asked.host.add("x", mode.replace(":", "-"), host={"NetworkMode": mode})
        found = facts_of(asked.host.inspected(one), asked.host.root)
        usage = found.places.read() if found and found.places else None
        assert usage is not None
        assert (usage.network_receive is not None) is own


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("2027-01-15T08:00:00.5Z", 1_800_000_000.5),
        ("2027-01-15T08:00:00.123456789Z", 1_800_000_000.123456789),
        ("2027-01-15T08:00:00Z", 1_800_000_000),
        ("0001-01-01T00:00:00Z", 0),
        ("", 0),
        ("soon", 0),
    ],
)
def test_times_of_the_engine(stamp: str, seconds: float) -> None:
    assert seconds_of(stamp) == pytest.approx(seconds)
