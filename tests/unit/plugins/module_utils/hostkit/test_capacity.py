"""The rules that decide whether a host can carry the stack."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import capacity
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.capacity import (
    Requirements,
    SupportedOs,
    WantedPort,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.host_reader import Disk, HostState
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.listeners import Listener, Process
from hypothesis import given
from hypothesis import strategies as st

GIB = 1 << 30
NGINX = Process(123, ("nginx",), "nginx.service")
CADDY = Process(77, ("caddy",), "caddy.service")

GOOD = HostState(
    os_release={"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"},
    architecture="x86_64",
    memory_total=8 * GIB,
    memory_available=6 * GIB,
    cpus=4,
    disks=(Disk("/var/lib/docker", "/var/lib", 1, 50 * GIB, 10**6),),
    listeners=(),
    time=1000.0,
    init="systemd",
    user="root",
    uid=0,
    python=(3, 13, 5),
    virtualization="none",
    docker={"installed": False, "version": None},
    packages={},
    apt_lists=True,
    apt_lists_age_seconds=10,
    boot_id="b",
    uptime_s=1,
    pid1_start=1,
)
WANTED = Requirements(
    os_supported=(SupportedOs("debian", "13"), SupportedOs("ubuntu", "24.04")),
    architectures=("x86_64", "aarch64"),
    memory_min_bytes=4 * GIB,
    disk_min_bytes=10 * GIB,
    disk_min_inodes=1000,
    cpus_min=2,
    ports=(WantedPort(80, owner=("caddy",)),),
    controller_time=999.0,
    clock_skew_max=30,
    clock_round_trip_max=25,
    python_min=(3, 11),
)


def state(**changes: Any) -> HostState:
    return dataclasses.replace(GOOD, **changes)


def judge(wanted: Requirements = WANTED, **changes: Any) -> list[Finding]:
    return capacity.judge(state(**changes), wanted)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def listener(process: Process | None, port: int = 80, proto: str = "tcp", address: str = "0.0.0.0") -> Listener:
    return Listener(proto, port, address, 1, (process,) if process else ())


def test_good_host_has_no_findings() -> None:
    assert judge() == []


def test_nothing_is_asked_by_default() -> None:
    bare = state(memory_total=0, cpus=0, os_release={}, python=(3, 1), time=0.0)
    assert capacity.judge(bare, Requirements()) == []


def test_all_findings_come_at_once() -> None:
    found = judge(
        os_release={},
        architecture="mips",
        memory_total=GIB,
        cpus=1,
        disks=(Disk("/a", "/", 1, 1, 1),),
        listeners=(listener(NGINX),),
        time=5000.0,
        init="tini",
        user="admin",
        uid=1000,
        python=(3, 9, 2),
    )
    assert [finding.rule for finding in found] == [
        "os-unsupported",
        "architecture-unsupported",
        "not-root",
        "no-systemd",
        "python-too-old",
        "memory-too-small",
        "cpus-too-few",
        "disk-too-small",
        "inodes-too-few",
        "port-taken",
        "clock-skew",
    ]
    assert all(finding.severity == "error" and finding.fix and finding.message for finding in found)


@pytest.mark.parametrize(
    ("os_release", "fine"),
    [
        ({"ID": "debian", "VERSION_ID": "13"}, True),
        ({"ID": "debian", "VERSION_ID": "12"}, False),
        ({"ID": "debian"}, False),
        ({"ID": "fedora", "VERSION_ID": "13"}, False),
        ({}, False),
    ],
)
def test_os(os_release: dict[str, str], fine: bool) -> None:
    assert (judge(os_release=os_release) == []) is fine


def test_os_without_a_version_allows_all() -> None:
    wanted = dataclasses.replace(WANTED, os_supported=(SupportedOs("debian"),))
    assert judge(wanted, os_release={"ID": "debian", "VERSION_ID": "99"}) == []


def test_os_message_names_what_is_there_and_what_is_supported() -> None:
    found = only(judge(os_release={"ID": "debian", "VERSION_ID": "11", "PRETTY_NAME": "Debian 11"}))
    assert found.message == "The operating system is Debian 11; supported are: debian 13, ubuntu 24.04."


def test_memory_message_has_both_sizes() -> None:
    assert "2.0 GiB of memory; at least 4.0 GiB" in only(judge(memory_total=2 * GIB)).message


def test_sizes_that_look_alike_are_told_apart() -> None:
    message = only(judge(memory_total=4 * GIB - 1)).message
    assert f"{4 * GIB - 1} bytes" in message
    assert f"{4 * GIB} bytes" in message


@pytest.mark.parametrize(("available", "count"), [(GIB, 0), (4 * GIB // 10, 0), (4 * GIB // 10 - 1, 1)])
def test_little_free_memory_is_a_warning(available: int, count: int) -> None:
    found = judge(memory_available=available)
    assert [finding.severity for finding in found] == ["warning"] * count


@pytest.mark.parametrize(("limits", "rules"), [(0, []), (8 * GIB, []), (8 * GIB + 1, ["memory-overcommitted"])])
def test_limits_above_the_memory_are_a_warning(limits: int, rules: list[str]) -> None:
    found = judge(dataclasses.replace(WANTED, memory_limits_bytes=limits))
    assert [finding.rule for finding in found] == rules
    assert all(finding.severity == "warning" for finding in found)


def test_paths_on_one_disk_are_one_finding() -> None:
    disks = (Disk("/a", "/", 1, GIB, 10**6), Disk("/b", "/", 1, GIB, 10**6), Disk("/c", "/c", 2, 99 * GIB, 10**6))
    found = only(judge(disks=disks))
    assert "/a, /b" in found.message
    assert "/c" not in found.message
    assert "`df -h /`" in found.fix


def test_disk_without_inodes_is_not_judged_by_them() -> None:
    assert judge(disks=(Disk("/a", "/", 1, 99 * GIB, None),)) == []


def test_taken_port_names_process_unit_address_and_command() -> None:
    found = only(judge(listeners=(listener(NGINX, address="203.0.113.5"),)))
    assert found.name == "port 80/tcp"
    assert found.message == "port 80/tcp is taken by nginx (pid 123, nginx.service) on 203.0.113.5."
    assert "`systemctl disable --now nginx.service`" in found.fix


@pytest.mark.parametrize(
    ("listeners", "taken"),
    [
        ([], False),
        ([listener(CADDY)], False),
        ([listener(CADDY), listener(CADDY, address="::")], False),
        ([listener(NGINX)], True),
        ([listener(CADDY), listener(NGINX, address="::1")], True),
        ([listener(None)], True),
        ([listener(NGINX, proto="udp")], False),
        ([listener(NGINX, port=8080)], False),
        ([Listener("tcp", 80, "::", 1, (Process(1, ("systemd",)), CADDY))], False),
        ([listener(Process(5, ("edge-proxy",), "caddy.service"))], False),
        ([listener(Process(5, ("caddyshack",)))], True),
    ],
)
def test_port_is_free_or_ours(listeners: list[Listener], taken: bool) -> None:
    found = judge(listeners=tuple(listeners))
    assert bool(found) is taken


def test_port_without_owners_must_be_free() -> None:
    wanted = dataclasses.replace(WANTED, ports=(WantedPort(80),))
    assert only(judge(wanted, listeners=(listener(CADDY),))).rule == "port-taken"


def test_service_is_named_before_systemd_that_holds_its_socket() -> None:
    both = Listener("tcp", 80, "::", 1, (Process(1, ("systemd",)), NGINX))
    assert "taken by nginx (pid 123" in only(judge(listeners=(both,))).message


def test_long_owner_is_known_by_its_cut_name() -> None:
    wanted = dataclasses.replace(WANTED, ports=(WantedPort(80, owner=("prometheus-node-exporter",)),))
    assert judge(wanted, listeners=(listener(Process(5, ("prometheus-node",))),)) == []


@pytest.mark.parametrize(
    ("process", "hint"),
    [
        (Process(9, ("docker-proxy",), "docker.service"), "docker ps --filter publish=80"),
        (Process(9, ("python3",)), "`kill 9`"),
        (None, "ss -tlnp"),
    ],
)
def test_fix_fits_the_holder(process: Process | None, hint: str) -> None:
    fix = only(judge(listeners=(listener(process),))).fix
    assert hint in fix
    # Stopping the engine would take down every container.
    assert "systemctl" not in fix


def test_setting_for_another_port_is_named() -> None:
    wanted = dataclasses.replace(WANTED, ports=(WantedPort(80, setting="edge_http_port"),))
    assert "`edge_http_port`" in only(judge(wanted, listeners=(listener(NGINX),))).fix


@pytest.mark.parametrize(
    ("host", "fine"),
    [(1000, True), (970, True), (969, False), (1055, True), (1056, False), (0, False)],
)
def test_clock_allows_for_the_way(host: float, fine: bool) -> None:
    wanted = dataclasses.replace(WANTED, controller_time=1000.0)
    found = judge(wanted, time=float(host))
    assert (found == []) is fine


def test_clock_message_says_the_direction() -> None:
    wanted = dataclasses.replace(WANTED, controller_time=1000.0)
    assert "about 400 seconds behind" in only(judge(wanted, time=600.0)).message
    assert "about 400 seconds ahead of" in only(judge(wanted, time=1400.0)).message


@pytest.mark.parametrize("changes", [{"controller_time": None}, {"clock_skew_max": 0}])
def test_clock_is_not_judged_without_something_to_compare(changes: dict[str, Any]) -> None:
    assert judge(dataclasses.replace(WANTED, **changes), time=0.0) == []


@given(st.integers(0, 1 << 60), st.integers(0, 1 << 60))
def test_sizes_never_look_alike(have: int, need: int) -> None:
    if have != need:
        assert len(set(capacity._sizes(have, need))) == 2


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (2048, "2.0 KiB"), (5 << 20, "5.0 MiB"), (GIB, "1.0 GiB")]
)
def test_human_size(size: int, text: str) -> None:
    assert capacity.human_size(size) == text


@pytest.mark.parametrize(("text", "version"), [("", ()), ("3.11", (3, 11)), ("3", (3,))])
def test_parse_version(text: str, version: tuple[int, ...]) -> None:
    assert capacity.parse_version(text) == version


@pytest.mark.parametrize("text", ["three", "3.x", "3..1", "-"])
def test_parse_version_refuses_other_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal"):
        capacity.parse_version(text)
