"""What starts, ends and shows a soak; what is refused before it begins."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record import control as module
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.paths import (
    read_json,
    runs,
    unfinished,
    write_json,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.settings import SoakError
from fakes.soak_bench import SoakBench


def test_it_writes_the_first_line_and_starts_the_recorder(bench: SoakBench) -> None:
    bench.deploy()
    run = bench.start(name="Web 1!", limits={"p95_ms": 500}, faults={"kill": True})
    assert run.endswith("Z-web-1")
    assert unfinished(bench.paths) == run
    assert bench.calls == [("start", "hypercode-soak.service")]
    (first,) = bench.journal(run)
    release = bench.watch.store.current()
    assert release is not None
    assert (first["kind"], first["run"], first["services"]) == ("start", run, ["web"])
    assert first["release"]["id"] == release.id
    assert first["settings"]["limits"]["p95_ms"] == 500
    assert first["settings"]["faults"] == {"kill": True, "reboot": False}
    assert first["watch_healed"] == 0
    assert {entry["what"] for entry in first["not_tested"]} == {
        "requests through the edge",
        "targets and alerts",
        "a reboot of the host",
    }


def test_what_is_not_asked_is_named_with_the_reason(bench: SoakBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROVING", 0.5)
    bench.deploy()
    good = f"http://localhost:{bench.site.port}/health"
    bench.host.add("good", address="127.0.0.1", check=["CMD", "curl", good])
    bench.host.add("inner", address="127.0.0.1", check=["CMD", "curl", "http://localhost:1/health"])
    bench.host.add("mute", address="127.0.0.1")
    bench.watch.wall += 5
    bench.watch.release(**{name: {"replicas": 1} for name in ("web", "good", "inner", "mute")})
    bench.watch.tick()
    (first,) = bench.journal(bench.start())
    assert first["services"] == ["good", "inner", "mute", "web"]
    found = {entry["what"]: entry["why"] for entry in first["not_tested"] if entry["what"].startswith("requests to")}
    assert set(found) == {"requests to inner", "requests to mute"}
    assert "does not answer what its health check asks" in found["requests to inner"]
    assert "no health check" in found["requests to mute"]


def test_what_fits_the_duration_is_chosen(bench: SoakBench) -> None:
    bench.deploy()
    found = bench.control.plan({"duration": "10m"})
    assert (found["warmup"], found["interval"], found["probe_interval"]) == (75, 10, 0.4)
    assert (found["limits"]["backups"], found["limits"]["drills"]) == (0, 0)
    # No more samples than the watch has figures.
    watches_seldom(bench)
    found = bench.control.plan({"duration": "10m"})
    assert (found["interval"], found["probe_interval"]) == (60, 0.4)
    run = bench.control.start({"duration": "10m"})
    assert bench.control.is_the_same(run, {"duration": 600})
    bench.paths.unfinished.unlink()
    with pytest.raises(SoakError, match="each 60 s"):
        bench.control.plan({"duration": "5m"})
    found = bench.control.plan({})
    assert (found["duration"], found["warmup"], found["interval"], found["probe_interval"]) == (86400, 1800, 60, 10)
    assert (found["limits"]["backups"], found["limits"]["drills"]) == (1, 1)
    found = bench.control.plan({"duration": "1h", "expect": [{"what": "reboot", "begins": "10m", "ends": 1200}]})
    assert found["expect"] == ({"what": "reboot", "begins": 600.0, "ends": 1200.0, "service": ""},)


def two(bench: SoakBench) -> None:
    bench.start()


def nobody_watches(bench: SoakBench) -> None:
    bench.watch.wall += 600


def never_watched(bench: SoakBench) -> None:
    bench.watch.paths.metrics.unlink()


def watches_seldom(bench: SoakBench) -> None:
    bench.write("etc/hypercode/watch.json", json.dumps({"projects": ["demo"], "journal_interval": 60}))


def not_set_up(bench: SoakBench) -> None:
    bench.paths.config.unlink()


@pytest.mark.parametrize(
    ("prepare", "asked", "words"),
    [
        (two, {}, ["is under way", "hypercode soak stop"]),
        (nobody_watches, {}, ["nobody watches", "systemctl restart hypercode-watch"]),
        (never_watched, {}, ["nobody watches"]),
        (watches_seldom, {}, ["each 60 s", "each 10 s", "watch_journal_interval to 10"]),
        (not_set_up, {}, ["soak.json cannot be read", "run site.yml"]),
        (lambda _bench: None, {"duration": "5s"}, ["a duration of 5 s makes no sense"]),
        (lambda _bench: None, {"duration": "soon"}, ["'soon'", "24h"]),
        (lambda _bench: None, {"interval": 100}, ["an interval of 100 s makes no sense"]),
        (lambda _bench: None, {"warmup": "9m"}, ["a warmup of 540 s"]),
        (lambda _bench: None, {"faults": {"flood": True}}, ["faults may have kill and reboot"]),
        (lambda _bench: None, {"baseline": "20200101T000000Z-x"}, ["there is no soak '20200101T000000Z-x'", "none"]),
        (lambda _bench: None, {"expect": [{"what": "rain", "ends": 5}]}, ["`what` has to be one of"]),
    ],
)
def test_what_makes_no_sense_is_refused(
    bench: SoakBench, prepare: Callable[[SoakBench], None], asked: dict[str, Any], words: list[str]
) -> None:
    bench.deploy()
    prepare(bench)
    there = runs(bench.paths)
    with pytest.raises(SoakError) as caught:
        bench.start(**asked)
    for word in words:
        assert word in str(caught.value)
    if "Soaks:" not in str(caught.value):
        assert "Fix: " in str(caught.value)
    assert runs(bench.paths) == there


def test_without_a_release_there_is_nothing_to_watch(bench: SoakBench) -> None:
    bench.watch.tick()
    with pytest.raises(SoakError, match="nothing is deployed"):
        bench.start()


def test_without_room_for_the_journal_none_begins(bench: SoakBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.deploy()

    class Usage:
        free = 2**26 + 100_000

    monkeypatch.setattr(shutil, "disk_usage", lambda _place: Usage)
    with pytest.raises(SoakError, match="has 64 MiB free"):
        bench.start()
    # An hour at such a rate takes less.
    assert bench.start(duration=100)


def test_a_recorder_that_does_not_start_leaves_nothing(bench: SoakBench) -> None:
    bench.deploy()
    bench.unit_code = 1
    with pytest.raises(SoakError, match=r"does not start: it broke\. Fix: journalctl -u hypercode-soak"):
        bench.start()
    assert (runs(bench.paths), unfinished(bench.paths)) == ([], "")


def test_ids_are_never_the_same(bench: SoakBench) -> None:
    bench.deploy()
    first = bench.start()
    bench.paths.unfinished.unlink()
    second = bench.start()
    assert first < second


def test_the_previous_one_with_a_verdict_is_what_it_is_compared_with(bench: SoakBench) -> None:
    bench.deploy()
    assert bench.control.plan({"baseline": "previous"})["baseline"] == ""
    first = bench.start()
    write_json(bench.paths.run(first) / "report.json", {"verdict": "PASS"})
    bench.paths.unfinished.unlink()
    bench.start()
    bench.paths.unfinished.unlink()
    assert bench.control.plan({"baseline": "previous"})["baseline"] == first
    assert bench.control.plan({"baseline": first})["baseline"] == first


def test_marks_and_the_end_reach_the_recorder(bench: SoakBench) -> None:
    bench.deploy()
    with pytest.raises(SoakError, match="no soak is under way"):
        bench.control.mark("load test", "good", True)
    run = bench.start()
    assert bench.control.mark("load test", "10 missions", True) == run
    recorder = bench.recorder(run)
    recorder.begin()
    recorder.tick()
    (mark,) = bench.journal(run, "event")
    assert (mark["event"], mark["what"], mark["ok"], mark["text"]) == ("mark", "load test", True, "10 missions")
    recorder.prober.stop()
    threading.Timer(0.2, lambda: bench.recorder(run).run()).start()
    assert bench.control.stop("a test") == run
    (end,) = bench.journal(run, "end")
    assert (end["reason"], end["by"]) == ("stopped", "a test")
    assert ("start", "--no-block", "hypercode-soak.service") in bench.calls
    assert unfinished(bench.paths) == ""


def test_how_it_stands(bench: SoakBench) -> None:
    bench.deploy()
    control = bench.control
    with pytest.raises(SoakError, match="no soak was started"):
        control.find()
    run = bench.start()
    bench.wait(60)
    found = control.status(control.find())
    assert (found["running"], found["left"], found["elapsed"], found["verdict"]) == (True, 540, 60, None)
    assert found["recorded"]
    bench.wait(200)
    assert not control.status(run)["recorded"]
    failing = {"title": "Restarts", "verdict": "FAIL", "observed": "3", "next": "look"}
    checks = [failing, {"title": "Disk", "verdict": "INCONCLUSIVE", "observed": "?"}]
    write_json(bench.paths.run(run) / "report.json", {"verdict": None, "checks": checks})
    assert control.status(run)["findings"] == [failing]
    bench.paths.unfinished.unlink()
    write_json(bench.paths.run(run) / "report.json", {"verdict": "FAIL", "checks": checks, "ended": 5.0})
    found = control.status(run)
    assert (found["running"], found["verdict"], found["left"], len(found["findings"])) == (False, "FAIL", 0, 2)
    with pytest.raises(SoakError, match="there is no soak 'x'"):
        control.find("x")


def test_the_same_settings_are_seen_to_be_the_same(bench: SoakBench) -> None:
    bench.deploy()
    run = bench.start(expect=[{"what": "reboot", "begins": "1m", "ends": "2m"}])
    asked = {"duration": "10m", "interval": 10, "probe_interval": "10s"}
    assert bench.control.is_the_same(run, {**asked, "expect": [{"what": "reboot", "begins": 60, "ends": 120}]})
    assert not bench.control.is_the_same(run, asked)
    assert not bench.control.is_of_older_release(run)
    bench.watch.wall += 5
    bench.watch.release(web={"replicas": 1}, api={})
    assert bench.control.is_of_older_release(run)


def test_old_ones_can_be_removed(bench: SoakBench) -> None:
    bench.deploy()
    made = []
    for _number in range(3):
        made.append(bench.start())
        bench.paths.unfinished.unlink()
    running = bench.start()
    assert module.remove_old(bench.paths, 1) == made[:2]
    assert runs(bench.paths) == [made[2], running]
    assert read_json(bench.paths.unfinished) == {"run": running}
