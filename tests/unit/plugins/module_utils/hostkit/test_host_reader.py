"""A host in a folder, read as if it were the real one."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import host_reader as reader
from hypothesis import given
from hypothesis import strategies as st

OS_RELEASE = """PRETTY_NAME="Debian GNU/Linux 13 (trixie)"
# VERSION_ID="12"
ID=debian
VERSION_ID="13"
VERSION_CODENAME=trixie
"""
DPKG = """Package: docker.io
Status: install ok installed
Version: 26.1.5+dfsg1-9+b9
Description: something
 Version: 1

Package: caddy
Status: deinstall ok config-files
Version: 2.6.2

Package: restic
Status: hold ok installed
Architecture: amd64
Version: 0.18.0-1

Package: half
Status: install ok half-configured
Version: 3

Package: not-asked
Status: install ok installed
Version: 9
"""


def put(root: Path, name: str, text: str = "") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def pid1_stat(comm: str, start: int) -> str:
    return f"1 ({comm}) S " + " ".join(["0"] * 18) + f" {start} 170000 0\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path, "etc/os-release", OS_RELEASE)
    put(
        tmp_path, "proc/meminfo", "MemTotal:        4000000 kB\nMemFree: 100 kB\nMemAvailable:    3000000 kB\nHuge: 7\n"
    )
    put(tmp_path, "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme\n")
    put(tmp_path, "sys/devices/system/cpu/online", "0-3\n")
    put(tmp_path, "proc/uptime", "1234.56 2000.00\n")
    put(tmp_path, "proc/sys/kernel/random/boot_id", "b007-1d\n")
    put(tmp_path, "proc/1/comm", "systemd\n")
    put(tmp_path, "proc/1/stat", pid1_stat("systemd", 4321))
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    put(tmp_path, "var/lib/dpkg/status", DPKG)
    return tmp_path


def read(root: Path, **changes: Any) -> reader.HostState:
    known: dict[str, Any] = {
        "now": 1_000_000.0,
        "uid": 0,
        "user": "root",
        "architecture": "x86_64",
        "python": (3, 13, 5),
        "packages": ["docker.io", "caddy", "restic", "half", "absent"],
    }
    return reader.read_host(root, **{**known, **changes})


def test_facts_of_a_whole_host(root: Path) -> None:
    assert read(root).facts() == {
        "distribution": "debian",
        "version": "13",
        "codename": "trixie",
        "architecture": "x86_64",
        "memory_bytes": 4_096_000_000,
        "memory_available_bytes": 3_072_000_000,
        "cpus": 4,
        "virtualization": "none",
        "docker": {"installed": True, "version": "26.1.5+dfsg1-9+b9"},
        "packages": {"docker.io": "26.1.5+dfsg1-9+b9", "restic": "0.18.0-1"},
        "apt_lists": False,
        "apt_lists_age_seconds": None,
        "boot_id": "b007-1d",
        "uptime_s": 1234,
        "pid1_start": 4321,
        "python": "3.13.5",
    }


def test_empty_host_is_read_without_an_error(tmp_path: Path) -> None:
    state = read(tmp_path, disk_paths=["/var/lib/docker"], ports=[("tcp", 80)])
    assert state.init == "unknown"
    assert state.facts()["memory_bytes"] == 0
    assert state.docker == {"installed": False, "version": None}
    assert state.disks[0].existing == "/"


def test_os_release_of_the_vendor_is_second(root: Path) -> None:
    (root / "etc/os-release").unlink()
    put(root, "usr/lib/os-release", "ID=ubuntu\nVERSION_ID='24.04'\n")
    assert read(root).os_release == {"ID": "ubuntu", "VERSION_ID": "24.04"}


@pytest.mark.parametrize(
    ("files", "memory"),
    [
        ({"memory.max": "max\n"}, (4_096_000_000, 3_072_000_000)),
        ({"memory.max": "1000000\n", "memory.current": "400000\n"}, (1_000_000, 600_000)),
        ({"memory.max": "1000000\n", "memory.current": "2000000\n"}, (1_000_000, 0)),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, (4_096_000_000, 3_072_000_000)),
        ({"memory/memory.limit_in_bytes": "1000000\n"}, (1_000_000, 1_000_000)),
        ({"memory.max": "9000000000\n"}, (4_096_000_000, 3_072_000_000)),
    ],
)
def test_limit_of_a_container_counts(root: Path, files: dict[str, str], memory: tuple[int, int]) -> None:
    for name, text in files.items():
        put(root, f"sys/fs/cgroup/{name}", text)
    assert reader.read_memory(root) == memory


@pytest.mark.parametrize(("online", "count"), [("0\n", 1), ("0-3\n", 4), ("0,2-3,7\n", 4), ("", 1), ("rubbish\n", 1)])
def test_cpus_are_counted(root: Path, online: str, count: int) -> None:
    put(root, "sys/devices/system/cpu/online", online)
    assert reader.count_cpus(root) == count


def room(**changes: int) -> Any:
    fields = {"f_bavail": 100, "f_frsize": 4096, "f_files": 1000, "f_favail": 50}
    return SimpleNamespace(**{**fields, **changes})


def test_disk_is_judged_on_the_nearest_parent(root: Path) -> None:
    seen: list[Path] = []

    def statvfs(path: Path) -> Any:
        seen.append(path)
        return room()

    (root / "var/lib").mkdir(parents=True, exist_ok=True)
    disk = reader.read_disk(root, "/var/lib/docker/overlay2", statvfs)
    assert seen == [root / "var/lib"]
    assert (disk.path, disk.existing, disk.free_bytes, disk.free_inodes) == (
        "/var/lib/docker/overlay2",
        "/var/lib",
        409600,
        50,
    )


def test_file_in_the_way_and_the_root_itself(root: Path) -> None:
    put(root, "opt/hypercode", "a file, not a folder")
    assert reader.read_disk(root, "/opt/hypercode/releases", lambda _path: room()).existing == "/opt"
    assert reader.read_disk(root, "/", lambda _path: room()).existing == "/"


def test_file_system_without_inodes(root: Path) -> None:
    assert reader.read_disk(root, "/var", lambda _path: room(f_files=0, f_favail=0)).free_inodes is None


def test_real_disk() -> None:
    disk = reader.read_disk(Path("/"), "/var/lib/surely/not/there")
    assert disk.existing == "/var/lib"
    assert disk.free_bytes > 0


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("nothing", "", "none"),
        ("run/systemd/container", "docker", "container"),
        (".dockerenv", "", "container"),
        ("run/.containerenv", "", "container"),
        ("proc/1/environ", "PATH=/bin\0container=lxc\0", "container"),
        ("proc/1/environ", "PATH=/bin\0container=\0", "none"),
        ("proc/cpuinfo", "flags : fpu hypervisor lahf\n", "vm"),
        ("proc/cpuinfo", "flags : fpu\nmodel name : hypervisor dreams\n", "none"),
        ("sys/class/dmi/id/sys_vendor", "QEMU\n", "vm"),
        ("sys/class/dmi/id/product_name", "Google Compute Engine\n", "vm"),
        ("sys/class/dmi/id/product_name", "PowerEdge R650\n", "none"),
        ("sys/hypervisor/type", "xen\n", "vm"),
    ],
)
def test_virtualization(root: Path, name: str, text: str, expected: str) -> None:
    put(root, name, text)
    assert reader.detect_virtualization(root) == expected


@given(st.text(max_size=400))
def test_dpkg_parser_survives_any_text(text: str) -> None:
    found = reader.parse_dpkg_status(text.splitlines(), ["a"])
    assert set(found) <= {"a"}


@pytest.mark.parametrize("engine", ["docker-ce", "docker.io", "moby-engine"])
def test_docker_from_a_package(tmp_path: Path, engine: str) -> None:
    put(tmp_path, "var/lib/dpkg/status", f"Package: {engine}\nStatus: install ok installed\nVersion: 28.1\n")
    assert read(tmp_path, packages=[]).docker == {"installed": True, "version": "28.1"}


def test_docker_without_a_package(tmp_path: Path) -> None:
    put(tmp_path, "usr/local/bin/dockerd")
    assert read(tmp_path, packages=[]).docker == {"installed": True, "version": None}


def test_apt_lists_and_their_age(root: Path) -> None:
    lists = root / "var/lib/apt/lists"
    put(root, "var/lib/apt/lists/lock")
    assert reader.read_apt_lists(root, 1_000_000.0) == (False, None)
    # The index is as old as the mirror's file; the download touched only the folders.
    index = put(root, "var/lib/apt/lists/mirror_dists_trixie_main_binary-amd64_Packages.lz4")
    (lists / "partial").mkdir()
    for path, stamp in ((index, 1), (lists / "partial", 999_000), (lists, 998_000)):
        os.utime(path, (stamp, stamp))
    assert reader.read_apt_lists(root, 1_000_000.0) == (True, 1000)


def test_clock_before_the_last_download_gives_no_negative_age(root: Path) -> None:
    put(root, "var/lib/apt/lists/x_Packages")
    assert reader.read_apt_lists(root, 5.0) == (True, 0)


def test_systemd_counts_only_as_manager(root: Path) -> None:
    assert read(root).init == "systemd"
    (root / "run/systemd/system").rmdir()
    assert read(root).init == "systemd without /run/systemd/system"
    put(root, "proc/1/comm", "tini\n")
    assert read(root).init == "tini"


def test_first_process_with_brackets_in_its_name(root: Path) -> None:
    put(root, "proc/1/stat", pid1_stat("a) b (c", 77))
    assert reader.read_pid1(root)[1] == 77


def test_cut_file_of_the_first_process(root: Path) -> None:
    put(root, "proc/1/stat", "1 (systemd) S 0")
    assert reader.read_pid1(root) == ("systemd", 0)


def test_user_name() -> None:
    assert reader.user_name(0) == "root"
    assert reader.user_name(3_999_999) == "3999999"
