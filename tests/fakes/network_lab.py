"""A small internet of network namespaces: a server with containers behind bridges, and an outside to knock from.

Nothing of it touches the rules or the interfaces of the machine itself. All names hold the number of this process.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult, run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.outlet import bridge_name

T = TypeVar("T")
_PARTS = ("out", "server", "web", "second", "worker", "beside")
_CLONE_NEWNET = 0x40000000
BRIDGE = "br-0123456789ab"
# The server, its neighbours outside, and addresses that lie behind the outside.
SERVER, SERVER6 = "198.51.100.1", "2001:db8:51::1"
CLIENT, OTHER, CLIENT6, OTHER6 = "198.51.100.2", "198.51.100.3", "2001:db8:51::2", "2001:db8:52::3"
INTERNET, INTERNET6, METADATA, METADATA6 = "93.184.216.34", "2600::34", "169.254.169.254", "fd00:ec2::254"
PRIVATE, PRIVATE6, SHARED, RESOLVER = "10.5.0.10", "fd77::10", "100.64.0.1", "10.5.0.53"
# A macvlan container: on the server's network, beside the server.
BESIDE, BESIDE6 = "198.51.100.9", "2001:db8:51::9"
WEB, WEB6, SECOND, SECOND6 = "172.30.0.2", "fd30::2", "172.31.0.2", "fd31::2"
GATEWAY, GATEWAY6 = "172.30.0.1", "fd30::1"
# A container of the service `worker`, on that service's outlet.
WORKER, WORKER6, WORKER_GATEWAY = "172.29.0.2", "fd29::2", "172.29.0.1"

# What Docker does for `ports: [8080:80, 443:80, 5353:53/udp, 127.0.0.1:9000:80]`, in tables like Docker's own.
DOCKER = f"""
table ip nat {{
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local tcp dport {{ 8080, 443 }} dnat to {WEB}:80
    fib daddr type local udp dport 5353 dnat to {WEB}:53
    ip daddr 127.0.0.1 tcp dport 9000 dnat to {WEB}:80
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    ip daddr 127.0.0.1 tcp dport 9000 dnat to {WEB}:80
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 127.0.0.1 oifname "{BRIDGE}" masquerade
    ip saddr {{ 172.29.0.0/16, 172.30.0.0/16, 172.31.0.0/16 }} oifname "eth0" masquerade
  }}
}}
table ip6 nat {{
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local tcp dport {{ 8080, 443 }} dnat to [{WEB6}]:80
    fib daddr type local udp dport 5353 dnat to [{WEB6}]:53
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip6 saddr {{ fd29::/64, fd30::/64, fd31::/64 }} oifname "eth0" masquerade
  }}
}}
table inet filter {{
  chain forward {{ type filter hook forward priority filter; policy accept; }}
}}
"""


def missing() -> str:
    """Why the lab cannot be built here; empty when it can."""
    if os.geteuid() != 0:
        return "needs root, to make network namespaces"
    tools = [tool for tool in ("ip", "nft", "unshare", "nsenter") if shutil.which(tool) is None]
    if tools:
        return f"needs {', '.join(tools)} (packages nftables, iproute2, util-linux)"
    done = subprocess.run(["unshare", "--net", "nft", "list", "ruleset"], capture_output=True, text=True, check=False)
    return f"cannot make a network namespace with nftables: {done.stderr.strip()}" if done.returncode else ""


@contextlib.contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A folder for a made-up host. In memory, since every file is synced to disk as on a real one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        yield Path(name)


class Lab:
    """The namespaces out, server, web, second, worker and beside. Use as a context."""

    def __init__(self) -> None:
        self._names = {part: f"hc{os.getpid()}-{part}" for part in _PARTS}
        self._sockets: list[socket.socket] = []
        self._libc = ctypes.CDLL(None, use_errno=True)

    def __enter__(self) -> Lab:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_details: object) -> None:
        for opened in self._sockets:
            opened.close()
        for name in self._names.values():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def enter(self, part: str) -> list[str]:
        """The beginning of a command that runs in the network of a part."""
        return ["nsenter", f"--net=/run/netns/{self._names[part]}"]

    def run(self, part: str, *argv: str, text: str | None = None) -> str:
        """Run a program in a namespace; its output. CalledProcessError shows what went wrong."""
        done = subprocess.run([*self.enter(part), *argv], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def rules(self, text: str) -> None:
        """Load rules on the server."""
        self.run("server", "nft", "-f", "-", text=text)

    def _build(self) -> None:
        commands = [f"netns add {name}" for name in self._names.values()]
        out, server = self._names["out"], self._names["server"]
        commands.append(f"link add eth0 netns {server} type veth peer name eth0 netns {out}")
        self._batch("", commands)
        self._batch("server", self._server())
        self._batch("out", self._outside())
        for part, address, address6, gateway, gateway6 in (
            ("web", WEB, WEB6, GATEWAY, GATEWAY6),
            ("second", SECOND, SECOND6, "172.31.0.1", "fd31::1"),
            ("worker", WORKER, WORKER6, WORKER_GATEWAY, "fd29::1"),
        ):
            self._batch(
                part,
                [
                    "link set lo up",
                    "link set eth0 up",
                    f"addr add {address}/16 dev eth0",
                    f"addr add {address6}/64 dev eth0 nodad",
                    f"route add default via {gateway}",
                    f"-6 route add default via {gateway6}",
                ],
            )
        self._batch(
            "beside",
            [
                "link set lo up",
                "link set eth0 up",
                f"addr add {BESIDE}/24 broadcast + dev eth0",
                f"addr add {BESIDE6}/64 dev eth0 nodad",
                f"route add default via {CLIENT}",
                f"-6 route add default via {CLIENT6}",
            ],
        )
        for setting in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"):
            self.run("server", "sysctl", "-qw", setting)

    def _server(self) -> list[str]:
        lines = ["link set lo up", "link set eth0 up", f"addr add {SERVER}/24 dev eth0"]
        lines += [f"addr add {SERVER6}/64 dev eth0 nodad"]
        for part, bridge, address, address6 in (
            ("web", BRIDGE, GATEWAY, GATEWAY6),
            ("second", "docker0", "172.31.0.1", "fd31::1"),
            ("worker", bridge_name("worker"), WORKER_GATEWAY, "fd29::1"),
        ):
            lines += [
                f"link add {bridge} type bridge",
                f"link add veth-{part} type veth peer name eth0 netns {self._names[part]}",
                f"link set veth-{part} master {bridge}",
                f"link set veth-{part} up",
                f"link set {bridge} up",
                f"addr add {address}/16 dev {bridge}",
                f"addr add {address6}/64 dev {bridge} nodad",
            ]
        lines.append(f"link add link eth0 name eth0 netns {self._names['beside']} type macvlan mode bridge")
        return [*lines, f"route add default via {CLIENT}", f"-6 route add default via {CLIENT6}"]

    def _outside(self) -> list[str]:
        lines = ["link set lo up", "link set eth0 up"]
        lines += [f"addr add {address}/24 broadcast + dev eth0" for address in (CLIENT, OTHER)]
        lines += [f"addr add {address}/64 dev eth0 nodad" for address in (CLIENT6, OTHER6)]
        lines += [f"addr add {address}/32 dev lo" for address in (INTERNET, METADATA, PRIVATE, SHARED, RESOLVER)]
        lines += [f"addr add {address}/128 dev lo nodad" for address in (INTERNET6, METADATA6, PRIVATE6)]
        # A neighbour that sends packets for the server's containers straight to the server.
        lines += [f"route add {net} via {SERVER}" for net in ("172.29.0.0/16", "172.30.0.0/16", "172.31.0.0/16")]
        return [*lines, *(f"-6 route add {net} via {SERVER6}" for net in ("fd29::/64", "fd30::/64", "fd31::/64"))]

    def _batch(self, part: str, lines: Sequence[str]) -> None:
        for family in ("", "-6"):
            found = [line.removeprefix("-6 ") for line in lines if line.startswith("-6 ") == bool(family)]
            where = self.enter(part) if part else []
            done = subprocess.run(
                [*where, "ip", *([family] if family else []), "-batch", "-"],
                input="\n".join(found) + "\n",
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{part}: {done.stderr}"

    # --- sockets --------------------------------------------------------------------------------------------------

    def inside(self, part: str, work: Callable[[], T]) -> T:
        """Do something in a namespace. Sockets that it opens stay there."""
        answer: list[Any] = []

        def enter() -> None:
            try:
                handle = os.open(f"/run/netns/{self._names[part]}", os.O_RDONLY)
                if self._libc.setns(handle, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
                os.close(handle)
                answer.append(work())
            except Exception as error:
                answer.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]  # type: ignore[no-any-return]

    def listen(self, part: str, tcp: Iterable[int] = (), udp: Iterable[int] = (), address: str = "") -> None:
        """Have something answer on these ports, IPv4 and IPv6, until the lab is taken down."""
        for kind, ports in ((socket.SOCK_STREAM, tcp), (socket.SOCK_DGRAM, udp)):
            for port in ports:
                opened = self.inside(part, lambda kind=kind, port=port: _listener(kind, port, address))  # type: ignore[misc]
                self._sockets.append(opened)
                if kind == socket.SOCK_DGRAM:
                    threading.Thread(target=_echo, args=(opened,), daemon=True).start()

    def connect(self, part: str, address: str, port: int, source: str = "", wait: float = 0.5) -> socket.socket:
        """A TCP connection from a namespace. OSError when there is none."""
        return self.inside(part, lambda: _connect(address, port, source, wait))

    def probe(
        self, probes: Iterable[tuple[str, str, str, int]], wait: float = 0.5
    ) -> dict[tuple[str, str, str, int], str]:
        """Knock everywhere at once. A probe is (from, protocol, address, port); the answer open, refused or silent."""
        answers: dict[tuple[str, str, str, int], str] = {}

        def one(probe: tuple[str, str, str, int]) -> None:
            part, proto, address, port = probe
            knock = _knock_tcp if proto == "tcp" else _knock_udp
            answers[probe] = self.inside(part, lambda: knock(address, port, wait))

        threads = [threading.Thread(target=one, args=(probe,)) for probe in set(probes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _listener(kind: socket.SocketKind, port: int, address: str) -> socket.socket:
    opened = socket.socket(_family(address or "::"), kind)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if not address:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    opened.bind((address or "::", port))
    if kind == socket.SOCK_STREAM:
        opened.listen(256)
    return opened


def _echo(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            data, peer = opened.recvfrom(100)
            opened.sendto(data, peer)


def _connect(address: str, port: int, source: str, wait: float) -> socket.socket:
    opened = socket.socket(_family(address), socket.SOCK_STREAM)
    opened.settimeout(wait)
    try:
        if source:
            opened.bind((source, 0))
        opened.connect((address, port))
    except BaseException:
        opened.close()
        raise
    return opened


def _knock_tcp(address: str, port: int, wait: float) -> str:
    try:
        _connect(address, port, "", wait).close()
    except TimeoutError:
        return "silent"
    except OSError:
        return "refused"
    return "open"


def _knock_udp(address: str, port: int, wait: float) -> str:
    with socket.socket(_family(address), socket.SOCK_DGRAM) as opened:
        opened.settimeout(wait)
        try:
            opened.connect((address, port))
            opened.send(b"knock")
            opened.recv(100)
        except TimeoutError:
            return "silent"
        except OSError:
            return "refused"
    return "open"


class Host:
    """Runs a module's programs on the server of the lab. systemd is played by this: units are files and names, timers
    are real and end in the real script."""

    def __init__(self, lab: Lab, root: Path) -> None:
        self._lab, self.root = lab, root
        self.active: set[str] = set()
        self.enabled: set[str] = set()
        self.calls: list[list[str]] = []
        self.speed = 1.0  # seconds of a timer are divided by this
        self.sshd = "port 22\n"

    def __call__(self, argv: Sequence[str]) -> CommandResult:
        self.calls.append(list(argv))
        if argv[0] == "sshd":
            return CommandResult(0 if self.sshd else 1, self.sshd)
        if argv[0] == "systemctl":
            return CommandResult(0, self._systemctl(list(argv[1:])))
        if argv[0] == "systemd-run":
            self._timer(list(argv))
            return CommandResult(0)
        if argv[0] == "ufw":
            (self.root / "etc/ufw/ufw.conf").write_text("ENABLED=no\n")
            return CommandResult(0)
        return run_command([*self._lab.enter("server"), *argv], timeout=20)

    def _systemctl(self, words: list[str]) -> str:
        names = [word for word in words[1:] if not word.startswith("-") and "." in word and "," not in word]
        if words[0] == "show":
            return "\n\n".join(self._show(name) for name in names) + "\n"
        for name in names:
            if words[0] in ("enable", "disable"):
                (self.enabled.add if words[0] == "enable" else self.enabled.discard)(name)
            if words[0] in ("start", "stop"):
                (self.active.add if words[0] == "start" else self.active.discard)(name)
            if words[0] == "start" and name == "hypercode-firewall.service":
                self(["nft", "-f", str(self.root / "etc/hypercode/firewall/rules.nft")])
        return ""

    def _show(self, name: str) -> str:
        there = (self.root / "etc/systemd/system" / name).exists() or name in self.enabled | self.active
        return (
            f"Id={name}\nLoadState={'loaded' if there else 'not-found'}\n"
            f"ActiveState={'active' if name in self.active else 'inactive'}\nSubState=\n"
            f"UnitFileState={'enabled' if name in self.enabled else 'disabled' if there else ''}\n"
        )

    def _timer(self, argv: list[str]) -> None:
        seconds = float(next(word for word in argv if word.startswith("--on-active=")).partition("=")[2].rstrip("s"))
        name = next(word for word in argv if word.startswith("--unit=")).partition("=")[2] + ".timer"
        self.active.add(name)
        script = argv[argv.index("/bin/sh") :]

        def fire() -> None:
            time.sleep(seconds / self.speed)
            if name in self.active:
                self.active.discard(name)
                self(script)

        threading.Thread(target=fire, daemon=True).start()
