"""Whether containers keep within their limits, told from control groups of both versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.limits_watch import Bounds, Watch, render

MIB = 2**20
LIMIT = 256 * MIB


class Host:
    """Containers of one project, and the kernel's files about them. `at` says what happens while the watch sleeps."""

    def __init__(self, root: Path, version: int) -> None:
        self.root, self.version, self.now = root, version, 0.0
        self.found: dict[str, dict[str, Any]] = {}
        self.at: dict[float, Callable[[], None]] = {}
        self.pids: dict[str, int] = {}

    def containers(self, project: str) -> list[dict[str, Any]]:
        assert project == "demo"
        return list(self.found.values())

    def start(
        self, service: str, name: str = "", *, used: int = 50 * MIB, memory: int = LIMIT, restarts: int = 0
    ) -> None:
        name = name or f"{service}-1"
        self.pids[name] = pid = 100 + len(self.pids) + restarts
        self.found[name] = {
            "Id": name,
            "Config": {"Labels": {"com.docker.compose.service": service}},
            "State": {"Status": "running", "Pid": pid, "StartedAt": f"{self.now}", "OOMKilled": False},
            "HostConfig": {"Memory": memory, "NanoCpus": 500_000_000},
            "RestartCount": restarts,
        }
        lines = (
            [f"0::/system.slice/docker-{name}.scope"]
            if self.version == 2
            else [f"9:memory:/docker/{name}", f"4:cpu,cpuacct:/docker/{name}", "1:name=systemd:/x", "0::/x"]
        )
        self.write(self.root / f"proc/{pid}/cgroup", "\n".join(lines))
        self.use(name, used)
        self.count(name)

    def folder(self, name: str, controller: str) -> Path:
        base = self.root / "sys/fs/cgroup"
        return base / f"system.slice/docker-{name}.scope" if self.version == 2 else base / controller / "docker" / name

    def use(self, name: str, used: int, cache: int = 30 * MIB) -> None:
        folder = self.folder(name, "memory")
        if self.version == 2:
            self.write(folder / "memory.current", str(used + cache))
            self.write(folder / "memory.stat", f"anon {used}\ninactive_file {cache}\n")
        else:
            self.write(folder / "memory.usage_in_bytes", str(used + cache))
            self.write(folder / "memory.stat", f"inactive_file 0\ntotal_inactive_file {cache}\n")

    def count(self, name: str, periods: int = 0, throttled: int = 0, kills: int = 0) -> None:
        self.write(self.folder(name, "cpu") / "cpu.stat", f"nr_periods {periods}\nnr_throttled {throttled}\n")
        file = "memory.events" if self.version == 2 else "memory.oom_control"
        self.write(self.folder(name, "memory") / file, f"low 0\noom_kill {kills}\n")

    def stop(self, name: str) -> None:
        self.found[name]["State"].update(Status="exited", Pid=0)
        for controller in ("memory", "cpu"):
            for file in self.folder(name, controller).glob("*"):
                file.unlink()

    @staticmethod
    def write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.at.pop(self.now, lambda: None)()

    def watch(self, seconds: float = 10, **bounds: float) -> dict[str, Any]:
        engine: Any = self
        watch = Watch(engine, "demo", Bounds(**bounds), self.root, lambda: self.now, self.sleep)
        return watch.run(seconds)


@pytest.fixture(params=[1, 2])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host(tmp_path, request.param)


def rules(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(point["rule"], point["service"]) for point in report["points"]]


def test_limits_that_held(host: Host) -> None:
    host.start("web")
    host.start("db")
    host.count("web-1", 1000, 900)
    host.at[3] = lambda: host.use("web-1", 120 * MIB)
    host.at[4] = lambda: host.use("web-1", 60 * MIB)
    host.at[5] = lambda: host.count("web-1", 1100, 910)
    report = host.watch()
    assert (report["held"], report["points"], report["seconds"]) == (True, [], 10)
    web = next(row for row in report["services"] if row["service"] == "web")
    # A peak between the ends is seen, the page cache is not in it; what was throttled before does not count.
    assert web["memory_peak_bytes"] == 120 * MIB
    assert (web["cpu_periods"], web["cpu_periods_throttled"], web["throttled_share"]) == (100, 10, 0.1)


def test_memory_close_to_the_limit(host: Host) -> None:
    host.start("web")
    host.at[3] = lambda: host.use("web-1", 240 * MIB)
    host.at[4] = lambda: host.use("web-1", 60 * MIB)
    report = host.watch()
    assert rules(report) == [("memory", "web")]
    assert report["points"][0]["message"] == "web: it used 94% of its memory limit of 256 MiB, 90% is the bound."
    assert "! web: it used 94%" in "\n".join(render(report))


def test_the_page_cache_may_fill_the_limit(host: Host) -> None:
    host.start("web")
    host.use("web-1", 50 * MIB, cache=206 * MIB)
    assert host.watch()["held"]


def test_memory_without_a_limit_is_not_judged(host: Host) -> None:
    host.start("web", used=900 * MIB, memory=0)
    assert host.watch()["held"]


def test_throttled_beyond_the_bound(host: Host) -> None:
    host.start("web")
    host.at[2] = lambda: host.count("web-1", 100, 40)
    report = host.watch()
    assert rules(report) == [("throttled", "web")]
    assert (
        "in 40% of its CPU periods (40 of 100, at a limit of 0.5 CPU), 25% is the bound"
        in report["points"][0]["message"]
    )
    host.count("web-1", 0, 0)
    host.at[12] = lambda: host.count("web-1", 100, 40)
    assert host.watch(throttled=0.5)["held"]


def test_a_few_throttled_periods_say_nothing(host: Host) -> None:
    host.start("web")
    host.at[2] = lambda: host.count("web-1", 10, 9)
    assert host.watch()["held"]


def test_a_restart(host: Host) -> None:
    host.start("web")

    def restart() -> None:
        host.start("web", restarts=1)

    host.at[3] = lambda: host.stop("web-1")
    host.at[5] = restart
    host.at[7] = lambda: host.use("web-1", 250 * MIB)
    report = host.watch()
    # It is looked at again after it came back, too.
    assert rules(report) == [("restart", "web"), ("memory", "web")]
    assert report["points"][0]["message"] == "web: it was restarted once."


def test_a_restart_by_hand_does_not_count_up_but_is_seen(host: Host) -> None:
    host.start("web")
    host.at[3] = lambda: host.start("web")
    assert rules(host.watch()) == [("restart", "web")]


def test_a_process_that_the_kernel_killed(host: Host) -> None:
    host.start("web")
    host.count("web-1", kills=2)
    assert host.watch()["held"]
    host.at[12] = lambda: host.count("web-1", kills=3)
    report = host.watch()
    assert rules(report) == [("oom", "web")]
    assert report["services"][0]["oom_kills"] == 1


def test_the_first_process_killed_for_memory(host: Host) -> None:
    host.start("web")

    def kill() -> None:
        host.stop("web-1")
        host.found["web-1"]["State"]["OOMKilled"] = True

    host.at[3] = kill
    assert rules(host.watch()) == [("oom", "web"), ("stopped", "web")]


def test_a_container_that_is_gone(host: Host) -> None:
    host.start("web")

    def replace() -> None:
        del host.found["web-1"]
        host.start("web", "web-2")

    host.at[3] = replace
    assert rules(host.watch()) == [("replaced", "web")]


def test_a_job_that_has_ended_before_is_no_fault(host: Host) -> None:
    host.start("migrate")
    host.stop("migrate-1")
    assert host.watch()["held"]


def test_what_cannot_be_read_is_no_good_verdict(host: Host) -> None:
    host.start("web")
    for file in host.folder("web-1", "memory").glob("*"):
        file.unlink()
    host.folder("web-1", "memory").rmdir()
    assert rules(host.watch()) == [("unread", "web")]


def test_a_project_without_containers_is_no_good_verdict(host: Host) -> None:
    assert rules(host.watch()) == [("nothing", "demo")]
