"""Who is restarted, who never is, and when it is given up: seen from outside, on a host with an engine."""

from __future__ import annotations

import fcntl
import itertools
import threading

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import HEALING, lock
from fakes.watch_bench import NOW, WatchBench


def test_an_unhealthy_container_is_restarted_after_a_while(bench: WatchBench) -> None:
    name = bench.unhealthy()
    bench.tick(59)
    assert bench.host.restarted == []
    bench.heal(1)
    assert bench.host.restarted == [name]
    assert bench.metric("container_heals_total", name) == 1
    (event,) = [line for line in bench.journal("event") if line["event"] == "heal"]
    assert (event["service"], event["container"]) == ("web", name)
    assert bench.said[-2:] == [f"{name} is unhealthy for 60 s: it is restarted", f"{name}: restarted"]
    # Without a time: it has its own to stop.
    assert not [request for request in bench.host.requests if "restart?" in request]


def test_it_backs_off_and_gives_up(bench: WatchBench) -> None:
    name = bench.unhealthy()
    bench.host.on_restart = lambda one: None
    times = []
    for _second in range(0, 3600, 5):
        bench.tick(5)
        bench.daemon.healer.wait()
        if len(bench.host.restarted) > len(times):
            times.append(bench.wall - NOW)
        # Whatever is done, it comes up unhealthy.
        bench.host.containers[name].health = "unhealthy"
        bench.daemon.roster._signatures.clear()
    # It was unhealthy for a minute before each; from one to the next at least 1, 2, 4 and 8 minutes.
    assert len(times) == 5
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] == 60
    assert all(least <= wait < least + 90 for least, wait in zip((60, 120, 240, 480), waits, strict=True))
    assert bench.metric("container_heal_given_up", name) == 1
    assert bench.metric("container_heals_total", name) == 5
    assert [line["event"] for line in bench.journal("event")].count("given_up") == 1
    # Given up is given up, also when the hour is over and the daemon is a new one.
    bench.new_daemon()
    bench.tick(7200)
    bench.heal(15)
    assert len(bench.host.restarted) == 5
    assert bench.metric("container_heal_given_up", name) == 1
    # Until somebody has mended it.
    bench.host.become(name, "healthy")
    bench.tick(15)
    assert bench.metric("container_heal_given_up", name) == 0


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"mounts": [{"Type": "volume", "RW": True}]}, "it keeps data"),
        ({"image": "redis:7"}, "it keeps data"),
        ({"labels": {"hypercode.watch.heal": "false"}}, "its label hypercode.watch.heal says no"),
        ({"stop_timeout": 600}, "it takes too long to stop"),
    ],
)
def test_what_is_never_restarted(bench: WatchBench, facts: dict[str, object], why: str) -> None:
    name = bench.unhealthy(**facts)
    bench.heal(3600)
    assert bench.host.restarted == []
    assert bench.said == [f"{name} is unhealthy; it is left alone: {why}"]
    assert bench.metric("container_health", name, state="unhealthy") == 1


def test_nothing_is_restarted_where_that_is_switched_off(bench: WatchBench) -> None:
    bench.new_daemon(heal=False)
    bench.unhealthy()
    bench.heal(3600)
    assert bench.host.restarted == []


def test_nothing_is_restarted_while_a_rollout_is_at_work(bench: WatchBench) -> None:
    name = bench.unhealthy()
    with lock(bench.store.paths, holder="20270115T080000Z-00000000"):
        bench.heal(120)
    assert bench.host.restarted == []
    assert any("not restarted while somebody is at work" in line for line in bench.said)
    bench.heal(15)
    assert bench.host.restarted == [name]


def test_nothing_is_restarted_while_a_backup_is_at_work(bench: WatchBench) -> None:
    name = bench.unhealthy()
    path = bench.root / "var/lib/hypercode/backup/lock"
    path.parent.mkdir(parents=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        bench.heal(120)
    assert bench.host.restarted == []
    bench.heal(15)
    assert bench.host.restarted == [name]


def test_who_comes_while_a_container_is_restarted_waits_for_its_end(bench: WatchBench) -> None:
    bench.unhealthy()
    began, go_on = threading.Event(), threading.Event()

    def slowly(_one: object) -> None:
        began.set()
        go_on.wait(20)

    bench.host.on_restart = slowly
    bench.tick(60)
    assert began.wait(20)
    # Other looks go on.
    bench.tick(15)
    assert bench.metric("watch_last_sample_timestamp_seconds") == NOW + 75
    with lock(bench.store.paths) as held:
        assert not held, "who does not wait is told so"
    threading.Timer(0.3, go_on.set).start()
    with lock(bench.store.paths, wait_seconds=0.05, holder="next") as held:
        assert held, f"the lock of {HEALING!r} is not waited for"


def test_a_restart_that_fails_is_told_and_tried_again(bench: WatchBench) -> None:
    name = bench.unhealthy()
    bench.host.by_id = lambda found: None  # type: ignore[method-assign]
    bench.tick(60)
    bench.daemon.healer.wait()
    del bench.host.by_id
    bench.tick()
    assert bench.metric("container_heals_total", name) == 0
    (event,) = [line for line in bench.journal("event") if line["event"] == "heal_failed"]
    assert "no such container" in event["message"]
    bench.heal(60)
    assert bench.host.restarted == [name]
