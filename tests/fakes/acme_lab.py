"""A real ACME server (Pebble), a name server for it, and a real Caddy that serves sites: all on the loopback."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.caddy import (
    RunningCaddy,
    find_caddy,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import Paths

from fakes.certificates import issue

PATIENCE = 20.0


def caddy_program() -> str | None:
    """The Caddy of the virtual environment, else the one on the machine."""
    own = Path(sys.executable).with_name("caddy")
    return str(own) if own.exists() else shutil.which("caddy")


def missing() -> str:
    """What is not installed; "" when the lab can run."""
    tools = {"pebble": shutil.which("pebble"), "pebble-challtestsrv": shutil.which("pebble-challtestsrv")}
    return ", ".join(name for name, path in {**tools, "caddy": caddy_program()}.items() if not path)


@dataclass
class AcmeLab:
    """The folder is the root of the host, as far as Caddy and we write there."""

    folder: Path
    names: Sequence[str]
    internal: bool = False
    """Every site has a certificate of Caddy's own CA, and nothing in its configuration names another one."""
    ports: dict[str, int] = field(default_factory=dict)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def paths(self) -> Paths:
        return Paths(self.folder)

    @property
    def directory(self) -> str:
        return f"https://localhost:{self.ports['acme']}/dir"

    def caddy(self) -> RunningCaddy:
        return find_caddy(self.paths, self._processes["caddy"].pid)

    def start(self) -> None:
        """Start everything; return when Caddy has a certificate for every name."""
        for name, port in zip(("acme", "manage", "dns", "dns_manage", "http", "https"), free_ports(6), strict=True):
            self.ports[name] = port
        if not self.internal:
            self._start_authority()
        self.start_caddy()
        wait_until(
            lambda: all(list(self.paths.storage.glob(f"certificates/*/{name}/{name}.crt")) for name in self.names)
        )

    def _start_authority(self) -> None:
        now = time.time()
        server = issue(("localhost", "127.0.0.1"), begin=now - 3600, end=now + 86_400)
        (self.folder / "pebble.crt").write_text(server.pem)
        (self.folder / "pebble.key").write_text(server.key_pem)
        self.run(
            "dns",
            [
                *("pebble-challtestsrv", "-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""),
                *("-dns01", f"127.0.0.1:{self.ports['dns']}", "-management", f"127.0.0.1:{self.ports['dns_manage']}"),
            ],
        )
        self.start_ca()

    def start_ca(self) -> None:
        settings = {
            "listenAddress": f"127.0.0.1:{self.ports['acme']}",
            "managementListenAddress": f"127.0.0.1:{self.ports['manage']}",
            "certificate": "pebble.crt",
            "privateKey": "pebble.key",
            "httpPort": self.ports["http"],
            "tlsPort": self.ports["https"],
        }
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
        command = ["pebble", "-config", "pebble.json", "-dnsserver", f"127.0.0.1:{self.ports['dns']}"]
        # Without the pauses with which it looks for clients in a hurry; its errors of nonces stay on.
        self.run("acme", command, PEBBLE_VA_NOSLEEP="1")
        wait_until(lambda: can_connect(self.ports["acme"]))

    def start_caddy(self) -> None:
        for folder in (self.paths.storage, self.folder / "run/caddy"):
            folder.mkdir(parents=True, exist_ok=True)
        tls = " tls internal\n" if self.internal else ""
        sites = "\n".join(f"{name} {{\n{tls} respond {name}\n}}" for name in self.names)
        # Without an address, two names fight over the account: see rehearsal.py.
        ca = f" acme_ca {self.directory}\n acme_ca_root {self.folder}/pebble.crt\n email admin@lab.example.org\n"
        (self.folder / "Caddyfile").write_text(
            f"{{\n http_port {self.ports['http']}\n https_port {self.ports['https']}\n"
            f"{'' if self.internal else ca} admin unix/{self.folder}/run/caddy/admin.socket\n"
            f" storage file_system {self.paths.storage}\n skip_install_trust\n}}\n{sites}\n"
        )
        self.run("caddy", [caddy_program() or "caddy", "run", "--config", "Caddyfile"])

    def run(self, name: str, command: Sequence[str], **environment: str) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        with log:
            self._processes[name] = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, "HOME": str(self.folder), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self, *names: str) -> None:
        """Stop these parts, or all."""
        for name in names or list(self._processes):
            process = self._processes.pop(name)
            process.kill()
            process.wait()

    def resolves_to_nothing(self, name: str) -> None:
        """Let the name server fail for a name."""
        self._ask("set-servfail", {"host": name})

    def _ask(self, what: str, body: object) -> None:
        url = f"http://127.0.0.1:{self.ports['dns_manage']}/{what}"
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=5):
            pass


@contextlib.contextmanager
def acme_lab(folder: Path, *names: str, internal: bool = False) -> Iterator[AcmeLab]:
    """A lab that runs; all of it is stopped at the end. ``internal``: Caddy alone, with its own CA."""
    lab = AcmeLab(folder, names, internal)
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def can_connect(port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, "the lab does not come up; its logs lie in its folder"
        time.sleep(0.1)
