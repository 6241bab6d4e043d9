"""The recorder: in a time that stands still until somebody lets it pass, and once as a process that is killed."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import lock
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.daemon import Recorder
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.paths import (
    read_json,
    unfinished,
    write_json,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.probe import Count, Failure
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.targets import Place
from fakes.soak_bench import SoakBench
from fakes.watch_bench import until


@pytest.fixture
def made() -> Iterator[list[Recorder]]:
    found: list[Recorder] = []
    yield found
    for recorder in found:
        recorder.prober.stop()


def begin(bench: SoakBench, made: list[Recorder], run: str = "", boot: str = "boot-1", **asked: Any) -> Recorder:
    recorder = bench.recorder(run or bench.start(**asked), boot)
    made.append(recorder)
    recorder.begin()
    recorder.tick()
    return recorder


def go(bench: SoakBench, recorder: Recorder, seconds: float, step: float = 10) -> None:
    """Let time pass, in steps."""
    for _number in range(int(seconds / step)):
        bench.wait(step)
        recorder.tick()


def test_a_sample_holds_what_there_is(bench: SoakBench, made: list[Recorder]) -> None:
    bench.deploy()
    bench.host.add("redis", image="redis:7", address="127.0.0.9")
    now = bench.watch.wall
    bench.web.log = [(now + 5, "all is well"), (now + 6, "ERROR: no"), (now - 100, "ERROR: long ago")]
    group = bench.host.group(bench.web, "memory")
    (group / "cgroup.procs").write_text(f"{bench.web.pid}\n")
    folder = bench.root / f"proc/{bench.web.pid}/fd"
    folder.mkdir(parents=True)
    for number in range(5):
        (folder / str(number)).write_text("")
    bench.write(f"proc/{bench.web.pid}/net/sockstat", "sockets: used 12\nTCP: inuse 3\n")
    bench.write("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  400 kB\n")
    bench.write("proc/pressure/memory", "some avg10=0.00 total=70\nfull avg10=0.00 avg60=0.00 total=50\n")
    recorder = begin(bench, made)
    assert f'hypercode_soak_running{{run="{recorder.run_id}",name="soak"}} 1' in bench.paths.metrics.read_text()
    until(lambda: recorder.prober._counts)
    go(bench, recorder, 20)
    first, second = bench.journal(recorder.run_id, "sample")
    row = next(row for row in first["containers"] if row["service"] == "web")
    assert (row["sockets"], row["memory_anonymous"]) == (12, 50 * 2**20)
    assert row["descriptors"] > 0
    assert first["missing"] == []
    assert first["logs"] == [{"service": "redis", "lines": 0, "errors": 0}, {"service": "web", "lines": 2, "errors": 1}]
    assert second["logs"][1]["lines"] == 0
    assert (
        first["host"]
        | {
            "memory_total": 1_024_000,
            "memory_available": 409_600,
            "memory_some": 70,
            "memory_full": 50,
        }
        == first["host"]
    )
    probe = next(probe for probe in first["probes"] if probe["name"] == "web")
    assert (probe["way"], probe["failures"]) == ("service", 0)
    assert sum(probe["latency"].values()) == probe["requests"] >= 1
    assert first["self"]["memory"] > 0
    assert (first["run"], first["boot"]) == (recorder.run_id, "boot-1")
    assert first["time"] - bench.journal(recorder.run_id, "start")[0]["time"] == 10


def test_what_the_watch_heard_is_taken_over(bench: SoakBench, made: list[Recorder]) -> None:
    bench.deploy()
    recorder = begin(bench, made)
    watch = bench.watch.daemon.journal
    watch.write([watch.line("event", event="die", service="web", exit_code=1, at=bench.watch.wall)])
    span = {"from": 1.0, "to": 2.0}
    watch.write([watch.line("gap", reason=reason, **span) for reason in ("engine", "clock", "boot")])
    go(bench, recorder, 10)
    (event,) = bench.journal(recorder.run_id, "event")
    assert (event["event"], event["exit_code"], event["run"]) == ("die", 1, recorder.run_id)
    assert [gap["reason"] for gap in bench.journal(recorder.run_id, "gap")] == ["engine"]


def test_the_same_run_goes_on_after_a_crash_and_after_a_boot(bench: SoakBench, made: list[Recorder]) -> None:
    bench.deploy()
    recorder = begin(bench, made)
    go(bench, recorder, 60)
    # It is gone without a word, and so is what it knew since the last sample.
    bench.wait(45)
    again = begin(bench, made, recorder.run_id)
    assert again.elapsed == pytest.approx(105)
    (gap,) = bench.journal(again.run_id, "gap")
    assert (gap["reason"], gap["to"] - gap["from"]) == ("soak", 45)
    go(bench, again, 20)
    # The host boots: its other clock begins anew.
    bench.watch.monotonic = 3
    bench.watch.wall += 90
    booted = begin(bench, made, recorder.run_id, boot="boot-2")
    assert booted.elapsed == pytest.approx(215)
    gap = bench.journal(again.run_id, "gap")[-1]
    assert (gap["reason"], gap["to"] - gap["from"], gap["boot"]) == ("boot", 90, "boot-2")
    go(bench, booted, 385)
    assert booted.ended == ""
    go(bench, booted, 10)
    assert booted.ended == "finished"
    assert len({line["run"] for line in bench.journal(recorder.run_id)}) == 1


def test_it_waits_a_little_for_the_figures_of_the_watch(bench: SoakBench, made: list[Recorder]) -> None:
    bench.deploy()
    recorder = begin(bench, made)
    go(bench, recorder, 10)
    for _number in range(10):
        # The watch looks a moment later each time.
        bench.wait(10, watched=False)
        recorder.tick()
        bench.wait(0.1)
        recorder.tick()
        bench.wait(-0.1, watched=False)
    # It has ended: samples go on without.
    for _number in range(8):
        bench.wait(5, watched=False)
        recorder.tick()
    found = ["containers" in line for line in bench.journal(recorder.run_id, "sample")]
    assert found == [True] * 11 + [False] * (len(found) - 11)
    assert len(found) >= 14


def test_no_event_of_the_watch_is_lost_while_it_is_away(bench: SoakBench, made: list[Recorder]) -> None:
    bench.deploy()
    recorder = begin(bench, made)
    go(bench, recorder, 10)
    watch = bench.watch.daemon.journal
    watch.write([watch.line("event", event="oom", service="web", at=bench.watch.wall)])
    again = begin(bench, made, recorder.run_id)
    go(bench, again, 10)
    assert [event["event"] for event in bench.journal(recorder.run_id, "event")] == ["oom"]


def test_a_clock_that_is_set_makes_it_no_longer_and_no_shorter(bench: SoakBench, made: list[Recorder]) -> None:
    bench.deploy()
    recorder = begin(bench, made)
    go(bench, recorder, 50)
    bench.watch.wall -= 3600
    recorder.tick()
    (gap,) = bench.journal(recorder.run_id, "gap")
    assert (gap["reason"], gap["jumped"]) == ("clock", -3600)
    go(bench, recorder, 50)
    assert recorder.elapsed == pytest.approx(100)
    assert len(bench.journal(recorder.run_id, "sample")) == 10


def test_another_release_is_an_event(bench: SoakBench, made: list[Recorder]) -> None:
    bench.deploy()
    recorder = begin(bench, made)
    go(bench, recorder, 20)
    assert bench.journal(recorder.run_id, "event") == []
    time.sleep(0.01)
    bench.watch.release(web={"replicas": 1}, api={})
    go(bench, recorder, 20)
    (event,) = bench.journal(recorder.run_id, "event")
    current = bench.watch.store.current()
    assert current is not None
    assert (event["event"], event["release"], event["how"]) == ("rollout", current.id, "rollout")


def failure(bench: SoakBench, recorder: Recorder, *, place: bool = True) -> Failure:
    """A request to the service that failed just now."""
    (target,) = [one for one in recorder.targets() if one.name == "web"]
    there = target.places[0] if place else None
    return Failure(target, there, bench.watch.monotonic, "refused")


def test_a_failure_counts_unless_a_rollout_takes_the_container_away(bench: SoakBench, made: list[Recorder]) -> None:
    bench.deploy()
    recorder = begin(bench, made)
    failed = failure(bench, recorder)
    assert recorder._counts(failed) is True
    assert recorder._counts(failure(bench, recorder, place=False)) is True
    with lock(bench.watch.store.paths, holder="20270101T000000Z-12345678") as held:
        assert held
        bench.wait(10)
        recorder._look(changed={""})
        failed = failure(bench, recorder)
        assert recorder._counts(failed) is None, "it may be on its way down"
        bench.host.destroy("demo-web-1")
        bench.host.add("web", "demo-web-2", address="127.0.0.1")
        recorder._look(changed={failed.place.container if failed.place else ""})
        assert recorder._counts(failed) is False
    # Long after: who is gone then was not taken away by a rollout.
    bench.wait(60)
    recorder._look(changed={""})
    late = failure(bench, recorder)
    bench.host.destroy("demo-web-2")
    recorder._look(changed={""})
    assert recorder._counts(late) is True
    elsewhere = Failure(late.target, Place("192.0.2.1"), bench.watch.monotonic, "refused")
    assert recorder._counts(elsewhere) is True


def test_requests_that_fail_are_in_the_sample(bench: SoakBench, made: list[Recorder]) -> None:
    bench.deploy()
    recorder = begin(bench, made, interval=1, probe_interval=0.1, duration=60)
    bench.site.status = 500
    until(lambda: len(recorder.prober._failures) >= 3)
    go(bench, recorder, 1, 1)
    (sample,) = bench.journal(recorder.run_id, "sample")
    (probe,) = sample["probes"]
    assert probe["failures"] >= 3


def test_docker_that_does_not_answer_is_no_end(bench: SoakBench, made: list[Recorder]) -> None:
    bench.deploy()
    recorder = begin(bench, made)
    until(lambda: recorder.prober._counts)
    bench.host.stop_engine()
    go(bench, recorder, 20)
    assert any("Docker is not running" in line for line in bench.said)
    bench.host.start_engine()
    go(bench, recorder, 20)
    assert len(bench.journal(recorder.run_id, "sample")) == 4
    assert {probe["failures"] for line in bench.journal(recorder.run_id, "sample") for probe in line["probes"]} == {0}


def test_the_end_is_written_everywhere(bench: SoakBench) -> None:
    bench.deploy()
    run = bench.start(duration=100, interval=10)
    recorder = bench.recorder(run)
    recorder.config = bench.config
    bench.wait(200)
    assert recorder.run() == "finished"
    assert bench.journal(run)[-1]["kind"] == "end"
    assert unfinished(bench.paths) == ""
    report = read_json(bench.paths.run(run) / "report.json")
    release = bench.watch.store.current()
    assert release is not None
    verdict = report["verdict"]
    assert verdict in ("PASS", "FAIL", "INCONCLUSIVE")
    assert release.read()["soak"] == {"run": run, "verdict": verdict, "ended": report["ended"]}
    metrics = bench.paths.metrics.read_text()
    assert f'hypercode_soak_verdict{{run="{run}",name="soak",verdict="{verdict}"}} 1' in metrics
    assert f'hypercode_soak_running{{run="{run}",name="soak"}} 0' in metrics


def test_one_that_was_killed_on_the_way_to_the_verdict_comes_to_it(bench: SoakBench) -> None:
    bench.deploy()
    run = bench.start(duration=100, interval=10)
    journal = bench.recorder(run).journal
    journal.write([journal.line("end", reason="failed")])
    assert bench.recorder(run).run() == "failed"
    assert [line["kind"] for line in bench.journal(run)] == ["start", "end"]
    assert unfinished(bench.paths) == ""
    assert read_json(bench.paths.run(run) / "report.json")["verdict"] in ("FAIL", "INCONCLUSIVE")


def test_memory_that_ran_out_ends_it_early(bench: SoakBench, made: list[Recorder]) -> None:
    bench.deploy()
    recorder = begin(bench, made)
    watch = bench.watch.daemon.journal
    at = {"project": "demo", "service": "web", "container": "demo-web-1", "id": "0" * 12, "at": bench.watch.wall}
    watch.write([watch.line("event", event="oom", **at)])
    go(bench, recorder, 20)
    recorder.children.finish(60)
    assert recorder.ended == "failed"
    assert any("it is clear already" in line for line in bench.said)
    assert 'verdict="FAIL"} 1' in bench.paths.metrics.read_text()


def test_other_settings_of_the_host_make_it_pause(bench: SoakBench) -> None:
    bench.deploy()
    run = bench.start(duration=100, interval=10)
    recorder = bench.recorder(run)
    ticks: list[float] = []
    tick = recorder.tick

    def counted() -> None:
        tick()
        ticks.append(bench.watch.wall)
        if len(ticks) == 2:
            bench.configure(timeout=3)
            os.utime(bench.paths.config, (5, 5))

    recorder.tick = counted  # type: ignore[method-assign]
    assert recorder.run() == ""
    assert len(ticks) == 2
    assert unfinished(bench.paths) == run


def test_more_samples_take_no_more_memory(
    bench: SoakBench, made: list[Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    bench.deploy()
    recorder = begin(bench, made, duration=86400, interval=60, probe_interval=60)
    # Judging goes on in processes of its own.
    monkeypatch.setattr(recorder.children, "add", lambda *_words: None)
    tracemalloc.start()

    def held() -> int:
        """What the recorder's own code holds, in bytes."""
        gc.collect()
        found = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/soak/record/*")])
        return sum(trace.size for trace in found.traces)

    def hours(count: float) -> None:
        for _number in range(int(count * 60)):
            bench.wait(60)
            for bucket in range(-20, 60):
                recorder.prober._counts.setdefault(("web", "service"), Count()).add(1.1**bucket / 1000)
            recorder.tick()

    try:
        hours(0.5)
        first = held()
        hours(2)
        assert held() - first < 30_000
    finally:
        tracemalloc.stop()
    assert len(bench.journal(recorder.run_id, "sample")) == 150


# --- as a process -----------------------------------------------------------------------------------------------------

RUN = """
import sys
from pathlib import Path
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.run import main
sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
"""


def process(bench: SoakBench) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", RUN, str(bench.root), str(bench.host.socket)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE)


def test_killed_without_mercy_it_goes_on_with_the_same_run(bench: SoakBench) -> None:
    bench.watch.wall, bench.watch.monotonic = time.time(), time.monotonic()
    bench.deploy()
    run = bench.start(duration=10, interval=1, probe_interval=0.2)
    journal = bench.paths.run(run) / "journal.jsonl"

    def samples(least: int) -> bool:
        return journal.read_text().count('"kind":"sample"') >= least

    first = process(bench)
    until(lambda: samples(2))
    second = process(bench)
    assert second.wait(20) == 1, "two must not record at once"
    assert b"another one records already" in (second.stderr.read() if second.stderr else b"")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert unfinished(bench.paths) == run
    third = process(bench)
    until(lambda: samples(4))
    third.send_signal(signal.SIGTERM)
    assert third.wait(20) == 0
    assert unfinished(bench.paths) == run
    # The rest is made short.
    state = read_json(bench.paths.run(run) / "state.json")
    write_json(bench.paths.run(run) / "state.json", {**state, "elapsed": 9.0})
    fourth = process(bench)
    assert fourth.wait(60) == 0
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert {line["run"] for line in lines} == {run}
    assert [line["kind"] for line in lines].count("start") == 1
    assert [line["reason"] for line in lines if line["kind"] == "gap"] == ["soak", "soak"]
    assert (lines[-1]["kind"], lines[-1]["reason"]) == ("end", "finished")
    assert unfinished(bench.paths) == ""
    assert Path(bench.paths.run(run) / "report.json").is_file()
