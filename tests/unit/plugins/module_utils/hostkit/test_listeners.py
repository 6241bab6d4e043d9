"""Sockets and their processes, as /proc shows them."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import listeners
from hypothesis import given
from hypothesis import strategies as st

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ANY, LOOPBACK, ANY6 = "00000000", "0100007F", "0" * 32
LISTEN, ESTABLISHED, UNCONNECTED = "0A", "01", "07"


def line(address: str, port: int, state: str, inode: int) -> str:
    remote = "0" * len(address)
    return (
        f"   0: {address}:{port:04X} {remote}:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 {inode} 1 0 100\n"
    )


def add_process(
    root: Path, pid: int, comm: str, *, inodes: tuple[int, ...] = (), cgroup: str = "", exe: str = ""
) -> None:
    folder = root / "proc" / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "comm").write_text(f"{comm}\n")
    (folder / "cmdline").write_text(f"{exe or comm}\0--serve\0")
    (folder / "cgroup").write_text(cgroup)
    (folder / "exe").symlink_to(exe or f"/usr/bin/{comm}")
    (folder / "fd" / "0").symlink_to("/dev/null")
    for number, inode in enumerate(inodes, start=3):
        (folder / "fd" / str(number)).symlink_to(f"socket:[{inode}]")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    net = tmp_path / "proc" / "net"
    net.mkdir(parents=True)
    (net / "tcp").write_text(
        HEADER + line(ANY, 80, LISTEN, 11) + line(LOOPBACK, 5432, LISTEN, 12) + line(LOOPBACK, 443, ESTABLISHED, 13)
    )
    (net / "tcp6").write_text(HEADER + line(ANY6, 80, LISTEN, 14))
    (net / "udp").write_text(HEADER + line(ANY, 443, UNCONNECTED, 15) + line(ANY, 444, ESTABLISHED, 16))
    return tmp_path


@given(st.ip_addresses(), st.integers(0, 65535), st.sampled_from(["little", "big"]))
def test_parse_address_reads_what_the_kernel_prints(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, byteorder: str
) -> None:
    words = [address.packed[start : start + 4] for start in range(0, len(address.packed), 4)]
    printed = "".join((word[::-1] if byteorder == "little" else word).hex().upper() for word in words)
    assert listeners.parse_address(f"{printed}:{port:04X}", byteorder) == (str(address), port)


@pytest.mark.parametrize("text", ["", "0100007F", "0100:0050", "zz00007F:0050", "0100007F:"])
def test_parse_address_refuses_other_text(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        listeners.parse_address(text)


@given(st.text(max_size=300))
def test_parse_sockets_survives_any_text(text: str) -> None:
    assert isinstance(listeners.parse_sockets("header\n" + text, "tcp"), list)


def test_only_waiting_sockets_on_asked_ports_count(root: Path) -> None:
    found = listeners.read_listeners(root, [("tcp", 80), ("tcp", 443), ("udp", 443), ("udp", 444)])
    assert [(one.proto, one.port, one.address) for one in found] == [
        ("tcp", 80, "0.0.0.0"),
        ("tcp", 80, "::"),
        ("udp", 443, "0.0.0.0"),
    ]


def test_processes_are_named_with_pid_and_unit(root: Path) -> None:
    add_process(root, 123, "nginx", inodes=(11,), cgroup="0::/system.slice/nginx.service\n")
    add_process(root, 7, "bash", cgroup="0::/user.slice/session-1.scope\n")
    (ipv4, ipv6) = listeners.read_listeners(root, [("tcp", 80)])
    assert [(one.pid, one.name, one.unit) for one in ipv4.processes] == [(123, "nginx", "nginx.service")]
    assert ipv6.processes == ()


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("12:memory:/x\n1:name=systemd:/system.slice/nginx.service\n", "nginx.service"),
        ("0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/x.service\n", ""),
        ("0::/user.slice/session-3.scope\n", ""),
        ("", ""),
    ],
)
def test_unit_is_a_service_that_can_be_stopped(root: Path, cgroup: str, unit: str) -> None:
    add_process(root, 5, "x", inodes=(12,), cgroup=cgroup)
    (found,) = listeners.read_listeners(root, [("tcp", 5432)])
    assert found.processes[0].unit == unit


def test_long_names_are_known_in_full(root: Path) -> None:
    add_process(root, 9, "prometheus-node", inodes=(12,), exe="/usr/bin/prometheus-node-exporter")
    (found,) = listeners.read_listeners(root, [("tcp", 5432)])
    assert found.processes[0].names == ("prometheus-node", "prometheus-node-exporter")


def test_process_that_ends_meanwhile_is_passed_over(root: Path) -> None:
    (root / "proc" / "66").mkdir()
    assert listeners.holders(root, [12]) == {}


def test_nothing_is_looked_through_when_ports_are_free(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise AssertionError("looked through every process for nothing")

    monkeypatch.setattr(listeners, "_process", refuse)
    add_process(root, 123, "nginx", inodes=(11,))
    assert listeners.read_listeners(root, [("tcp", 8080)]) == []


def test_missing_proc_is_no_listener(tmp_path: Path) -> None:
    assert listeners.read_listeners(tmp_path, [("tcp", 80)]) == []


def test_real_socket_of_this_process_is_found() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        (found,) = listeners.read_listeners(Path("/"), [("tcp", port)])
    assert found.address == "127.0.0.1"
    assert any(name.startswith(("python", "pytest")) for process in found.processes for name in process.names)
