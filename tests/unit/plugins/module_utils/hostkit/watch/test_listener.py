"""Events from a real socket: kept in part, counted all, bounded in memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch import listener as module
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.listener import Heard, Listener
from fakes.watch_bench import until
from fakes.watched_host import WatchedHost


class Ear:
    def __init__(self, root: Path, *projects: str) -> None:
        self.host = WatchedHost(root)
        self.listener = Listener(Engine(str(self.host.socket), 5), projects or ("demo",), time.time_ns)
        self.listener.start()
        until(lambda: self.host.listeners == 1)
        self.heard = Heard()

    def hear(self, enough: Callable[[Heard], bool]) -> Heard:
        """Collect until that is enough."""

        def collected() -> bool:
            more = self.listener.take()
            self.heard.events += more.events
            self.heard.dropped += more.dropped
            self.heard.ids |= more.ids
            self.heard.lost |= more.lost
            return enough(self.heard)

        until(collected)
        return self.heard

    def close(self) -> None:
        self.listener.ended.set()
        self.host.remove()


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    made = Ear(tmp_path)
    yield made
    made.close()


def test_what_happens_to_a_container(ear: Ear) -> None:
    one = ear.host.add("web")
    ear.host.become(one.name, "unhealthy")
    ear.host.die(one.name, 137, oom=True)
    ear.host.start(one.name)
    heard = ear.hear(lambda heard: len(heard.events) == 4)
    assert [(event.kind, event.health, event.exit_code) for event in heard.events] == [
        ("health", "unhealthy", None),
        ("oom", "", None),
        ("die", "", 137),
        ("start", "", None),
    ]
    event = heard.events[0]
    assert (event.id, event.project, event.service, event.container) == (one.id, "demo", "web", "demo-web-1")
    assert abs(event.at - time.time()) < 20
    assert heard.ids == {one.id}


def test_docker_is_asked_for_nothing_that_health_checks_make(ear: Ear) -> None:
    request = next(request for request in ear.host.requests if "/events?" in request)
    assert "exec_" not in request
    assert "com.docker.compose.project%3Ddemo" in request


def test_of_several_projects_the_others_are_left_out(tmp_path: Path) -> None:
    ear = Ear(tmp_path, "demo", "shop")
    try:
        for project in ("other", "shop", "demo"):
            ear.host.emit("start", ear.host.add("x", project, project=project))
        heard = ear.hear(lambda heard: len(heard.events) == 2)
        assert [event.container for event in heard.events] == ["shop", "demo"]
    finally:
        ear.close()


@pytest.mark.parametrize("one_container", [True, False])
def test_a_flood_takes_no_memory_and_no_event_is_lost_count_of(ear: Ear, one_container: bool) -> None:
    ones = [ear.host.add("web", f"web-{number}") for number in range(1 if one_container else 1000)]
    piece = b"".join(ear.host.event("die", one, exitCode="1") for one in ones) * (1000 // len(ones))
    ear.hear(lambda heard: heard.lost)
    tracemalloc.start()
    for _time in range(100):
        ear.host.send(piece)
    # Nobody takes anything meanwhile: the daemon may be busy.
    until(lambda: _all_of(ear.listener) == 100_000, 60)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    heard = ear.listener.take()
    assert heard.dropped + len(heard.events) == 100_000
    assert len(heard.events) <= module.MOST
    assert heard.lost
    # What was on the way in the fake engine is in it too: that is the one piece, many times.
    assert peak < 8 * 2**20
    # It goes on as before.
    ear.heard = Heard()
    ear.host.start(ones[0].name)
    assert [event.kind for event in ear.hear(lambda heard: bool(heard.events)).events] == ["start"]


def _all_of(listener: Listener) -> int:
    heard = listener._heard
    return heard.dropped + len(heard.events)


def test_a_line_without_an_end_is_given_up(ear: Ear) -> None:
    for _time in range(100):
        ear.host.send(b"x" * 10_000)
    ear.hear(lambda heard: heard.dropped > 5)
    ear.host.send(b"\n")
    ear.host.emit("start", ear.host.add("web"))
    assert ear.hear(lambda heard: bool(heard.events)).events[0].container == "demo-web-1"


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"Action":"die","Actor":[]}',
        b'{"Action":"die","Actor":{"Attributes":[]}}',
        b'{"Action":3,"Actor":{"Attributes":{"com.docker.compose.service":"x"}},"timeNano":"x"}',
        b"\xff\xfe",
        b"[" * 60_000,
    ],
)
def test_what_is_no_event_is_left_out(ear: Ear, line: bytes) -> None:
    ear.host.send(line + b"\n")
    ear.host.emit("start", ear.host.add("web"))
    heard = ear.hear(lambda heard: bool(heard.events))
    assert [event.container for event in heard.events] == ["demo-web-1"]


def test_it_listens_again_when_the_engine_is_back_from_where_it_was(ear: Ear) -> None:
    ear.host.emit("start", ear.host.add("web"))
    at = ear.hear(lambda heard: bool(heard.events)).events[0].at
    ear.heard = Heard()
    ear.host.stop_engine()
    until(lambda: ear.host.listeners == 0)
    ear.host.start_engine()
    until(lambda: ear.host.listeners == 1)
    # All may have changed meanwhile.
    assert ear.hear(lambda heard: heard.lost).lost
    since = next(request for request in reversed(ear.host.requests) if "/events?" in request)
    assert float(since.split("since=")[1]) == pytest.approx(at, abs=1e-6)
    ear.host.emit("start", ear.host.containers["demo-web-1"])
    assert ear.hear(lambda heard: bool(heard.events)).events
