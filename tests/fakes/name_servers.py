# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real name servers on loopback: Knot with TSIG as first and second server, PowerDNS with its API."""

from __future__ import annotations

import contextlib
import secrets
import socket
import sqlite3
import subprocess
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import dns.zone

ZONE = "example.test"
START = f"""$ORIGIN {ZONE}.
$TTL 300
@      SOA ns1 hostmaster 1 3600 600 86400 300
@      NS  ns1
ns1    A   127.0.0.1
shop   A   203.0.113.7
blog   CNAME shop
branch NS  ns.elsewhere.test.
"""
PDNS_SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")


def make_key() -> str:
    return b64encode(secrets.token_bytes(32)).decode()


def free_port() -> int:
    """A port that nothing has, over UDP and over TCP."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port: int = tcp.getsockname()[1]
            with contextlib.suppress(OSError):
                udp.bind(("127.0.0.1", port))
                return port


@dataclass
class Knot:
    """One knotd on loopback, with a zone in a folder of its own."""

    folder: Path
    key: str = field(default_factory=make_key)
    port: int = field(default_factory=free_port)

    def configuration(self, second: int | None = None, first: int | None = None) -> str:
        """The text of knot.conf. Its form looks like YAML and is less: no mapping on one line."""
        zone = {
            "domain": ZONE,
            "storage": str(self.folder),
            "file": "zone",
            "acl": "notify" if first else "[deploy, reader]",
            **({"notify": "second"} if second else {}),
            **({"master": "first"} if first else {}),
        }
        parts = {
            "server": [{"listen": f"127.0.0.1@{self.port}", "rundir": str(self.folder)}],
            "database": [{"storage": str(self.folder)}],
            "log": [{"target": "stderr", "any": "warning"}],
            "key": [{"id": name, "algorithm": "hmac-sha256", "secret": self.key} for name in ("deploy", "reader")],
            "remote": [
                {"id": "second", "address": f"127.0.0.1@{second or 1}"},
                {"id": "first", "address": f"127.0.0.1@{first or 1}", "key": "deploy"},
            ],
            "acl": [
                {"id": "deploy", "key": "deploy", "action": "[transfer, update]"},
                {"id": "reader", "key": "reader", "action": "transfer"},
                {"id": "notify", "address": "127.0.0.1", "action": "notify"},
            ],
            "zone": [zone],
        }
        lines = []
        for part, items in parts.items():
            lines.append(f"{part}:")
            for item in items:
                lists = part not in ("server", "database")
                for number, (key, value) in enumerate(item.items()):
                    lines.append(f"  {'-' if lists and not number else ' '} {key}: {value}")
        return "\n".join(lines) + "\n"

    @contextlib.contextmanager
    def running(self, start: str = START, second: int | None = None, first: int | None = None) -> Iterator[Knot]:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not first and not (self.folder / "zone").exists():
            (self.folder / "zone").write_text(start, encoding="utf-8")
        configuration = self.folder / "knot.conf"
        configuration.write_text(self.configuration(second, first), encoding="utf-8")
        log = (self.folder / "log").open("w", encoding="utf-8")
        process = subprocess.Popen(["knotd", "-c", configuration], stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(self.port)
            yield self
        finally:
            process.terminate()
            process.wait(timeout=20)
            log.close()

    def records(self) -> dict[str, list[str]]:
        """All that is in the zone but its own SOA and NS: 'name type' with values, as a stranger may transfer it."""
        import dns.tsigkeyring  # noqa: PLC0415

        transfer = dns.query.xfr(
            "127.0.0.1",
            ZONE,
            port=self.port,
            keyring=dns.tsigkeyring.from_text({"reader": self.key}),
            keyalgorithm="hmac-sha256",
            relativize=False,
        )
        zone = dns.zone.from_xfr(transfer, relativize=False)
        found: dict[str, list[str]] = {}
        for name, _ttl, rdata in zone.iterate_rdatas():
            found.setdefault(f"{name.to_text(omit_final_dot=True)} {dns.rdatatype.to_text(rdata.rdtype)}", []).append(
                rdata.to_text()
            )
        return {key: sorted(values) for key, values in found.items() if key not in (f"{ZONE} SOA", f"{ZONE} NS")}

    def ask(self, name: str, kind: str) -> list[str]:
        """What it answers to anybody for a name in the zone."""
        query = dns.message.make_query(f"{name}.{ZONE}.", kind)
        answer = dns.query.udp(query, "127.0.0.1", port=self.port, timeout=2)
        return sorted(rdata.to_text() for rrset in answer.answer for rdata in rrset)

    def settings(self, **more: object) -> dict[str, object]:
        """The zone as it stands in dns_zones."""
        own: dict[str, object] = {
            "provider": "rfc2136",
            "server": "127.0.0.1",
            "port": self.port,
            "key_name": "deploy",
            "key": self.key,
            "nameservers": [f"127.0.0.1:{self.port}"],
        }
        return {**own, **more}


def wait_for(port: int, seconds: float = 15) -> None:
    """Wait until a name server answers."""
    until = time.monotonic() + seconds
    query = dns.message.make_query(f"{ZONE}.", "SOA")
    while time.monotonic() < until:
        with contextlib.suppress(dns.exception.DNSException, OSError):
            dns.query.udp(query, "127.0.0.1", port=port, timeout=0.3)
            return
        time.sleep(0.05)
    raise AssertionError(f"No name server answered on port {port}.")


@dataclass
class PowerDns:
    """One PowerDNS on loopback with its API, and the zone in SQLite."""

    folder: Path
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    port: int = field(default_factory=free_port)
    api: int = field(default_factory=free_port)

    @contextlib.contextmanager
    def running(self) -> Iterator[PowerDns]:
        self.folder.mkdir(parents=True, exist_ok=True)
        database = self.folder / "zones.sqlite3"
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.executescript(PDNS_SCHEMA.read_text(encoding="utf-8"))
            connection.execute("insert into domains (name, type) values (?, 'NATIVE')", (ZONE,))
            rows = [
                ("SOA", ZONE, f"ns1.{ZONE} hostmaster.{ZONE} 1 3600 600 86400 300"),
                ("NS", ZONE, f"ns1.{ZONE}"),
                ("A", f"ns1.{ZONE}", "127.0.0.1"),
                ("A", f"shop.{ZONE}", "203.0.113.7"),
            ]
            statement = "insert into records (domain_id, type, name, content, ttl, auth) values (1, ?, ?, ?, 300, 1)"
            connection.executemany(statement, rows)
            connection.commit()
        settings = [
            *("launch=gsqlite3", f"gsqlite3-database={database}", f"local-address=127.0.0.1:{self.port}"),
            *("api=yes", f"api-key={self.key}", "webserver=yes", "webserver-address=127.0.0.1"),
            *(f"webserver-port={self.api}", f"socket-dir={self.folder}", "daemon=no", "guardian=no", "cache-ttl=0"),
            *("query-cache-ttl=0", "negquery-cache-ttl=0", "setuid=", "setgid="),
        ]
        (self.folder / "pdns.conf").write_text("\n".join(settings) + "\n", encoding="utf-8")
        with (self.folder / "log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                ["pdns_server", f"--config-dir={self.folder}"], stdout=log, stderr=subprocess.STDOUT
            )
            try:
                wait_for(self.port)
                yield self
            finally:
                process.terminate()
                process.wait(timeout=20)

    def zone_of_api(self) -> str:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api}/api/v1/servers/localhost/zones/{ZONE}.", headers={"X-API-Key": self.key}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310  Our own server.
            text: str = answer.read().decode()
            return text

    def settings(self, **more: object) -> dict[str, object]:
        own: dict[str, object] = {
            "provider": "powerdns",
            "server": "127.0.0.1",
            "port": self.api,
            "key": self.key,
            "nameservers": [f"127.0.0.1:{self.port}"],
        }
        return {**own, **more}
