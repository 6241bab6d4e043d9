"""The daemon against an engine on a real socket and the kernel's files: what it writes, and what it does."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.drain import drain
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.layout import Paths as EdgePaths
from fakes.watch_bench import NOW, WatchBench, fill, until

# ---- what it sees ------------------------------------------------------------------------------------------------


def test_metrics_of_a_container(bench: WatchBench) -> None:
    bench.host.add("web", restarts=2)
    bench.tick()
    values = {
        "container_up": 1,
        "container_restarts_total": 2,
        "container_memory_anonymous_bytes": 50 * 2**20,
        "container_memory_limit_bytes": 256 * 2**20,
        "container_cpu_seconds_total": 12.5,
        "container_cpu_limit_cores": 0.5,
        "container_processes": 7,
        "container_network_transmit_bytes_total": 2002,
        "container_unhealthy_since_timestamp_seconds": 0,
    }
    assert {name: bench.metric(name, "demo-web-1") for name in values} == values
    assert bench.metric("container_health", "demo-web-1", state="healthy") == 1
    assert bench.metric("watch_last_sample_timestamp_seconds") == NOW
    assert bench.metric("watch_engine_up") == 1
    assert bench.paths.metrics.stat().st_mode & 0o777 == 0o644


def test_since_when_it_is_unhealthy_lasts_over_a_restart_of_the_daemon(bench: WatchBench) -> None:
    name = bench.unhealthy(mounts=[{"Type": "volume"}])
    bench.tick(30)
    bench.new_daemon()
    bench.tick(30)
    assert bench.metric("container_unhealthy_since_timestamp_seconds", name) == NOW
    bench.host.become(name, "healthy")
    bench.tick(15)
    assert bench.metric("container_unhealthy_since_timestamp_seconds", name) == 0


def test_oom_kills_add_up_over_starts(bench: WatchBench) -> None:
    one = bench.host.add("web")
    bench.tick()
    # The kernel counts one inside of it; it lives on.
    bench.host.use(one, kills=1)
    bench.tick(15)
    assert bench.metric("container_oom_kills_total", one.name) == 1
    # The next one ends it, and with it what the kernel counted.
    bench.host.die(one.name, 137, oom=True)
    bench.tick(15)
    assert bench.metric("container_last_exit_code", one.name) == 137
    bench.host.start(one.name, restarts=1)
    bench.new_daemon()
    bench.tick(15)
    bench.host.use(one, kills=1)
    bench.tick(15)
    assert bench.metric("container_oom_kills_total", one.name) == 2


def test_oom_kills_of_several_starts_between_two_looks_are_counted_once_each(bench: WatchBench) -> None:
    bench.daemon.listener.start()
    until(lambda: bench.host.listeners == 1)
    one = bench.host.add("hog", started=0.0)
    for kills in range(1, 5):
        bench.host.start(one.name, restarts=kills - 1)
        bench.host.use(one, kills=1)
        bench.host.die(one.name, 137, oom=True)
        time.sleep(0.1)
        if kills in (3, 4):
            until(lambda: len(bench.daemon.listener._heard.events) >= 3)
            bench.tick()
            bench.tick()
            assert bench.metric("container_oom_kills_total", one.name) == kills
    bench.daemon.listener.ended.set()


def test_a_service_without_its_containers_is_down_and_a_job_that_is_done_is_not(bench: WatchBench) -> None:
    bench.release(web={"replicas": 2}, gone={}, none={"replicas": 0}, migrate={"job": True}, lost={"job": True})
    bench.host.add("web")
    bench.host.add("migrate", state="exited", health="none")
    bench.tick()
    down = {service: bench.metric("container_up", service=service) for service in ("gone", "none", "migrate", "lost")}
    assert down == {"gone": 0, "none": None, "migrate": None, "lost": None}
    assert bench.metric("container_up", "demo-web-1") == 1
    assert 'service="web",container=""} 0' in bench.paths.metrics.read_text()
    bench.host.add("web", "demo-web-2")
    bench.host.add("gone")
    bench.tick(15)
    assert 'container=""' not in bench.paths.metrics.read_text()


# ---- the engine is away, clocks jump -----------------------------------------------------------------------------


def test_a_drained_edge_is_told(bench: WatchBench) -> None:
    """Its errors are meant then, and no reason to wake anybody."""
    bench.tick()
    assert bench.metric("edge_drained") == 0
    (bench.paths.root / "run").mkdir(exist_ok=True)
    drain(EdgePaths(bench.paths.root))
    bench.tick(15)
    assert bench.metric("edge_drained") == 1


def test_without_the_engine_it_goes_on(bench: WatchBench) -> None:
    one = bench.host.add("web")
    bench.tick()
    bench.host.stop_engine()
    bench.host.use(one, anonymous=99 * 2**20)
    bench.tick(15)
    assert (bench.metric("watch_engine_up"), bench.metric("container_up", one.name)) == (0, 1)
    assert bench.metric("watch_last_sample_timestamp_seconds") == NOW + 15
    # The kernel still counts: with live-restore a container lives on.
    assert bench.metric("container_memory_anonymous_bytes", one.name) == 99 * 2**20
    for file in bench.host.group(one, "memory").iterdir():
        file.unlink()
    bench.tick(15)
    assert bench.metric("container_up", one.name) == 0
    bench.host.start_engine()
    bench.host.kernel_begins(one)
    bench.tick(15)
    assert (bench.metric("watch_engine_up"), bench.metric("container_up", one.name)) == (1, 1)
    (gap,) = bench.journal("gap")
    assert (gap["reason"], gap["from"], gap["to"]) == ("engine", NOW + 15, NOW + 45)
    # It is said once, not at each look.
    assert sum("Docker is not running" in line for line in bench.said) == 1


def test_an_engine_that_was_never_there_says_nothing_about_the_services(bench: WatchBench) -> None:
    bench.release(web={})
    bench.host.stop_engine()
    bench.tick()
    assert bench.metric("watch_engine_up") == 0
    assert bench.metric("container_up") is None


def test_an_engine_that_was_upgraded_and_dropped_the_version_talked_in(bench: WatchBench) -> None:
    one = bench.host.add("web", mounts=[{"Type": "volume"}])
    bench.new_daemon(interval=1)
    bench.daemon.clocks.monotonic = time.monotonic
    thread = threading.Thread(target=bench.daemon.run)
    thread.start()
    try:
        until(lambda: bench.host.listeners == 1)
        bench.host.stop_engine()
        bench.host.oldest_api = (1, 50)
        bench.host.start_engine()
        until(lambda: bench.host.listeners == 1)
        bench.host.become(one.name, "unhealthy")
        until(lambda: bench.metric("container_health", one.name, state="unhealthy") == 1)
        assert bench.metric("watch_engine_up") == 1
    finally:
        bench.daemon.stop()
        thread.join(20)


@pytest.mark.parametrize(
    "answer", [{"Id": 1}, [], {"Config": {"Labels": {"com.docker.compose.service": "x"}}, "State": 1}]
)
def test_a_container_of_which_nonsense_is_said_hides_no_other(bench: WatchBench, answer: object) -> None:
    bench.host.add("web")
    bench.host.odd[bench.host.add("odd").name] = answer
    bench.tick()
    bench.tick(15)
    assert bench.metric("container_up", "demo-web-1") == 1
    assert bench.metric("container_up", "demo-odd-1") is None
    assert [line for line in bench.said if "cannot be understood" in line] == bench.said
    assert len(bench.said) == 1


def test_a_clock_that_is_set_changes_no_span_of_time(bench: WatchBench) -> None:
    name = bench.unhealthy()
    bench.tick(30)
    bench.wall += 3600
    bench.tick(1)
    assert bench.host.restarted == []
    assert bench.metric("container_unhealthy_since_timestamp_seconds", name) == NOW + 3600
    bench.heal(30)
    assert bench.host.restarted == [name]
    (gap,) = bench.journal("gap")
    assert (gap["reason"], gap["jumped"]) == ("clock", 3600)


def test_who_was_stopped_for_a_while_says_so(bench: WatchBench) -> None:
    bench.tick()
    bench.tick(40)
    assert bench.journal("gap") == []
    bench.tick(300)
    (gap,) = bench.journal("gap")
    assert (gap["reason"], gap["from"], gap["to"]) == ("stalled", NOW + 40, NOW + 340)


@pytest.mark.parametrize(("boot", "reason"), [("boot-1", "restart"), ("boot-2", "boot")])
def test_the_time_without_a_daemon_is_a_gap(bench: WatchBench, boot: str, reason: str) -> None:
    bench.tick()
    bench.wall, bench.boot = NOW + 100, boot
    bench.new_daemon()
    bench.tick()
    gap, sample = bench.journal()[-2:]
    assert (gap["kind"], gap["reason"], gap["from"], gap["to"]) == ("gap", reason, NOW, NOW + 100)
    assert (sample["kind"], sample["boot"]) == ("sample", boot)


# ---- the journal -------------------------------------------------------------------------------------------------


def test_a_sample_a_minute_for_all_containers(bench: WatchBench) -> None:
    bench.release(web={}, lost={})
    bench.host.add("web", 'odd\n"né\ud800')
    for _look in range(9):
        bench.tick(15)
    samples = bench.journal("sample")
    assert [line["time"] - NOW for line in samples] == [15, 75, 135]
    (container,) = samples[0]["containers"]
    assert (container["container"], container["up"], container["memory_anonymous"]) == (
        'odd\n"né\ud800',
        True,
        50 * 2**20,
    )
    assert samples[0]["missing"] == [{"project": "demo", "service": "lost"}]


def test_a_state_file_that_is_damaged_is_made_anew(bench: WatchBench) -> None:
    bench.host.add("web")
    bench.tick()
    for text in ("", "[]", '{"containers": []}', '{"containers": {"x": {"started": 1}}}', "\0"):
        bench.paths.state.write_text(text)
        bench.new_daemon()
        bench.tick()
        assert list(json.loads(bench.paths.state.read_text())["containers"]) == [bench.host.containers["demo-web-1"].id]


def test_metrics_that_cannot_be_written_stop_nothing(bench: WatchBench) -> None:
    bench.host.add("web")
    bench.tick()
    bench.paths.metrics.unlink()
    bench.paths.metrics.mkdir()
    bench.tick(60)
    bench.tick(60)
    assert len(bench.journal("sample")) == 3
    assert sum("watch.prom cannot be written" in line for line in bench.said) == 1
    bench.paths.metrics.rmdir()
    bench.tick(15)
    assert bench.metric("container_up", "demo-web-1") == 1


def test_a_journal_that_cannot_be_written_is_counted(bench: WatchBench) -> None:
    bench.host.add("web")
    bench.paths.folder.parent.mkdir(parents=True)
    bench.paths.folder.write_text("in the way")
    bench.tick()
    bench.tick(60)
    assert bench.metric("watch_journal_errors_total") == 2
    assert sum("journal" in line for line in bench.said) == 1
    bench.paths.folder.unlink()
    bench.tick(60)
    assert [line["kind"] for line in bench.journal()] == ["gap", "sample"]


def test_a_full_disk_stops_nothing(small_disk: Path) -> None:
    bench = WatchBench(small_disk)
    try:
        bench.host.add("web")
        bench.tick()
        fill(small_disk)
        for _look in range(30):
            bench.tick(60)
        assert "No space left" in "".join(bench.said)
        assert bench.daemon.journal.errors > 0
        (small_disk / "filler").unlink()
        bench.tick(60)
        assert bench.metric("watch_last_sample_timestamp_seconds") == NOW + 31 * 60
        assert bench.metric("watch_journal_errors_total") == bench.daemon.journal.errors
        gap = next(line for line in bench.journal("gap") if line["reason"] == "journal")
        assert gap["lost"] == bench.daemon.journal.errors
        # Nothing is left of what did not fit.
        assert [path.name for path in bench.paths.metrics.parent.iterdir()] == ["watch.prom"]
    finally:
        bench.host.remove()


# ---- the loop ----------------------------------------------------------------------------------------------------


def test_an_event_is_seen_long_before_the_next_look(bench: WatchBench) -> None:
    one = bench.host.add("web", mounts=[{"Type": "volume"}])
    bench.new_daemon(interval=3600)
    thread = threading.Thread(target=bench.daemon.run)
    thread.start()
    try:
        until(lambda: bench.host.listeners == 1 and bench.paths.metrics.exists())
        bench.host.become(one.name, "unhealthy")
        until(lambda: bench.metric("container_health", one.name, state="unhealthy") == 1)
        until(lambda: [line["health"] for line in bench.journal("event")] == ["unhealthy"])
        bench.host.die(one.name, 137)
        until(lambda: bench.metric("container_up", one.name) == 0)
    finally:
        bench.daemon.stop()
        thread.join(20)
    assert not thread.is_alive()


def test_systemd_hears_that_it_is_ready_and_alive(bench: WatchBench, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bench.host.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(20)
        monkeypatch.setitem(os.environ, "NOTIFY_SOCKET", str(path))
        bench.host.add("web", mounts=[{"Type": "volume"}], health="unhealthy")
        thread = threading.Thread(target=bench.daemon.run)
        thread.start()
        first = receiver.recv(1000).decode().splitlines()
        bench.daemon.stop()
        thread.join(20)
    assert first == ["READY=1", "WATCHDOG=1", "STATUS=1 containers; unhealthy: demo-web-1"]
