"""What is read of control groups of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch import counters
from fakes.watched_host import MIB, WatchedHost, write


@pytest.mark.parametrize("version", [1, 2])
def test_everything_that_the_kernel_counts(tmp_path: Path, version: int) -> None:
    host = WatchedHost(tmp_path, version=version)
    one = host.add("web")
    host.use(one, 60 * MIB, 20 * MIB, kills=3)
    places = counters.find(one.pid, tmp_path, own_network=True)
    assert places is not None
    usage = places.read()
    host.remove()
    assert usage is not None
    assert vars(usage) == {
        "memory": 80 * MIB,
        "memory_anonymous": 60 * MIB,
        "memory_cache": 20 * MIB,
        "memory_limit": 256 * MIB,
        "oom_kills": 3,
        "cpu_seconds": 12.5,
        "cpu_limit": 0.5,
        "cpu_periods": 400,
        "cpu_throttled": 40,
        "processes": 7,
        "processes_limit": None,
        "disk_read": 4097,
        "disk_write": 8194,
        # Of two interfaces, without the loopback.
        "network_receive": 1001,
        "network_transmit": 2002,
    }


@pytest.mark.parametrize("version", [1, 2])
def test_no_limit_is_none(tmp_path: Path, version: int) -> None:
    host = WatchedHost(tmp_path, version=version)
    one = host.add("web", host={})
    places = counters.find(one.pid, tmp_path, own_network=False)
    usage = places.read() if places else None
    host.remove()
    assert usage is not None
    assert (usage.memory_limit, usage.cpu_limit, usage.processes_limit, usage.network_receive) == (None,) * 4


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_that_is_gone(tmp_path: Path, version: int) -> None:
    host = WatchedHost(tmp_path, version=version)
    one = host.add("web")
    places = counters.find(one.pid, tmp_path, own_network=True)
    host.die(one.name, 1)
    host.remove()
    assert places is not None
    assert places.read() is None
    assert counters.find(99, tmp_path, own_network=True) is None
    assert counters.find(0, tmp_path, own_network=True) is None


def test_files_that_hold_nonsense_are_not_believed(tmp_path: Path) -> None:
    host = WatchedHost(tmp_path)
    one = host.add("web")
    group = host.group(one, "memory")
    for name in ("memory.stat", "memory.events", "cpu.stat", "cpu.max", "pids.current", "io.stat"):
        write(group / name, "what\n\n is -1 this: x=y rbytes=many\n")
    write(tmp_path / f"proc/{one.pid}/net/dev", "eth0: 1 2\nnothing here\n")
    places = counters.find(one.pid, tmp_path, own_network=True)
    usage = places.read() if places else None
    host.remove()
    assert usage is not None
    assert (usage.memory_anonymous, usage.oom_kills, usage.cpu_seconds, usage.cpu_limit, usage.processes) == (None,) * 5
    assert (usage.disk_read, usage.network_receive) == (0, None)
