"""What Prometheus is told of a stack: by real exporters, by our own programs, and where neither can run, as agreed.

A stack is quiet, as an hour after the first deploy, or busy: requests, missions, backups, a service that is unhealthy.
"""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import facts, wal_facts
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal_chain import Chain
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import metrics as certificates
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.state import STATES, State
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.x509 import Certificate
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.exposition import head
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.journal import RunJournal
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.paths import Paths as SoakPaths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.paths import write_json
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.verdict import tell
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.counters import Usage
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.host import host_lines
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.metrics import Myself, Sample
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.metrics import exposition as watched
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.roster import Facts
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.tracks import Track

from . import backup_host

# Since the tests of promtool begin in 1970.
NOW = 1800
MIB = 2**20
SERVICES = ("backend-specialist", "crew-orchestrator", "hypercode-core", "postgres", "redis")


def _container(service: str, *, health: str = "healthy") -> Sample:
    known = Facts(
        id=service,
        project="hypercode",
        service=service,
        name=f"hypercode-{service}-1",
        state="running",
        health=health,
        restarts=0,
        exit_code=0,
        oom_killed=False,
        started=NOW - 600.0,
        memory_limit=1024 * MIB,
        cpu_limit=1.0,
        processes_limit=512,
        stop_timeout=10,
        keeps_data=False,
        heal_allowed=True,
        places=None,
    )
    usage = Usage(
        memory=90 * MIB,
        memory_anonymous=65 * MIB,
        memory_cache=25 * MIB,
        cpu_seconds=12.5,
        cpu_periods=4000,
        cpu_throttled=0,
        processes=12,
        disk_read=0,
        disk_write=MIB,
        network_receive=MIB,
        network_transmit=MIB,
    )
    return Sample(known, Track(started=known.started), usage)


def watch(*, busy: bool) -> str:
    """What the watch writes."""
    samples = [_container(service) for service in SERVICES]
    if busy:
        samples[0] = _container(SERVICES[0], health="unhealthy")
    return watched(samples, [], Myself(sampled=float(NOW), engine_up=True, seconds=0.01, interval=15)).decode()


def backups(*, busy: bool) -> str:
    """What backups write: set up, and then with a good run, a check, a drill and a stream."""
    repository: dict[str, Any] = {"configured": NOW - 600}
    told: dict[str, Any] = {"repositories": {"main": repository}}
    if not busy:
        return facts.exposition(told)
    repository |= {
        "failure": "",
        "good": {"began": NOW - 300, "seconds": 40, "bytes": 5 * MIB},
        "verify": {"failure": "", "ended": NOW - 200, "all_read_since": NOW - 200},
    }
    told |= {
        "last": {"ended": NOW - 260},
        "good": {"items": {"postgres": {"bytes": 5 * MIB}}},
        "drill": {"failures": [], "ended": NOW - 100, "rto_seconds": 60, "rpo_seconds": 200},
        "unplanned": [],
    }
    chain = Chain("postgres", "c", began=NOW - 600, retained=MIB, attached=True)
    chain.bases["b"] = {"ended": NOW - 500, "bytes": 5 * MIB}
    shipped = chain.of("main")
    shipped.base, shipped.until = "b", NOW - 30.0
    return facts.exposition(told) + wal_facts.exposition([chain], {}, NOW)


def certified() -> str:
    """What the look at the certificates writes."""
    certificate = Certificate(
        names=("app.example.com",),
        subject="",
        issuer="",
        not_before=0,
        not_after=2 * NOW,
        serial="1",
        self_issued=False,
        der=b"",
        subject_der=b"",
        issuer_der=b"",
        key_bits=0,
        tells_issuer=True,
    )
    return certificates.exposition([State("app.example.com", "acme", STATES[0], certificate=certificate)], NOW)


def soaked() -> list[str]:
    """What a soak check writes that has ended."""
    with tempfile.TemporaryDirectory() as folder:
        paths = SoakPaths(Path(folder))
        run = "20260101T000000Z-soak"
        journal = RunJournal(paths.run(run), "boot", lambda: 60.0)
        journal.write([journal.line("start", settings={"name": "soak"})])
        report = {"running": False, "verdict": "PASS", "ended": NOW - 100, "coverage": 1.0}
        write_json(paths.run(run) / "report.json", report)
        tell(paths, run)
        return paths.metrics.read_text().splitlines()


def agreed(*, busy: bool) -> str:
    """What is written by programs that stand in other roles: names as dashboards/metrics.py has them."""
    how = "rollback" if busy else "rollout"
    release = 'project="hypercode",release="r1"'
    lines = [
        *head("hypercode_edge_up", "Whether Caddy answers."),
        "hypercode_edge_up 1",
        *head("hypercode_stack_release_info", "The release in use."),
        f'hypercode_stack_release_info{{{release},version="1.0",how="{how}"}} 1',
        *head("hypercode_stack_release_timestamp_seconds", "When it was put in place."),
        f'hypercode_stack_release_timestamp_seconds{{{release},how="rollout"}} {NOW - 600}',
    ]
    if busy:
        lines.append(
            f'hypercode_stack_release_timestamp_seconds{{{release.replace("r1", "r0")},how="rollback"}} {NOW - 300}'
        )
        lines += soaked()
    with tempfile.TemporaryDirectory() as folder:
        process = Path(folder) / "proc/1"
        (process / "net").mkdir(parents=True)
        (process / "net/dev").write_text("Inter-|\n face |\n  eth0: 1000000 1 0 0 0 0 0 0 1000000 1 0 0 0 0 0 0\n")
        (process / "mountinfo").write_text("27 1 254:0 / / rw - ext4 /dev/vda1 rw\n")
        lines += host_lines(Path(folder))
    return "\n".join(lines) + "\n"


def core(seconds: int, *, busy: bool) -> str:
    """What the core tells after so many seconds."""
    lines = [
        *head("http_requests_total", "Requests.", "counter"),
        f'http_requests_total{{method="GET",path="/health",status="200"}} {10 + seconds}',
        *head("agent_registered_total", "Agents.", "counter"),
        "agent_registered_total 10",
        *head("agent_heartbeat_total", "Heartbeats.", "counter"),
        f"agent_heartbeat_total {10 + seconds}",
    ]
    if busy:
        for name in ("http_request_duration_seconds", "llm_request_latency_seconds"):
            lines += head(name, "Seconds.", "histogram")
            lines += [f"{name}_sum {1 + 0.2 * seconds}", f"{name}_count {1 + seconds}"]
        lines += [*head("llm_requests_total", "Calls.", "counter"), f"llm_requests_total {1 + seconds}"]
        lines += head("mission_transitions_total", "Steps.", "counter")
        for step in ('from_state="none",to_state="queued"', 'from_state="executing",to_state="failed"'):
            lines.append(f"mission_transitions_total{{{step}}} {1 + seconds}")
    return "\n".join(lines) + "\n"


# --- programs that run here -------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310  On this machine.
        return str(answer.read().decode())


@contextmanager
def running(words: Sequence[str], address: str, **environment: str) -> Iterator[str]:
    """A program that answers at an address, until the end; yields the address."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
    with subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 30
            while True:
                try:
                    fetch(address)
                    break
                except (urllib.error.URLError, ConnectionError, TimeoutError):
                    assert process.poll() is None, f"{words[0]} ended with {process.returncode}"
                    assert time.monotonic() < until, f"{words[0]} does not answer"
                    time.sleep(0.05)
            yield address
        finally:
            process.kill()


class Exporters:
    """The real exporters about a real Redis, Postgres, Caddy and this host; `scrape` is what they tell, by job."""

    def __init__(self, folder: Path, caddy: str) -> None:
        self.folder, self.caddy = folder, caddy
        self._stack = ExitStack()
        self._addresses: dict[str, str] = {}
        self._site = ""
        self._redis, self._postgres = 0, Path()

    def __enter__(self) -> Exporters:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        textfiles = self.folder / "metrics"
        textfiles.mkdir()
        port, metrics = free_port(), "http://127.0.0.1:{}/metrics"
        words = ["prometheus-node-exporter", f"--collector.textfile.directory={textfiles}"]
        node = stack.enter_context(
            running([*words, f"--web.listen-address=127.0.0.1:{port}"], metrics.format(port)),
        )
        self._redis, port = stack.enter_context(backup_host.redis(self.folder / "redis")), free_port()
        words = ["prometheus-redis-exporter", "-redis.addr", f"redis://127.0.0.1:{self._redis}"]
        self._addresses["redis"] = stack.enter_context(
            running(
                [*words, "-web.listen-address", f"127.0.0.1:{port}"],
                metrics.format(port),
                REDIS_PASSWORD=backup_host.DATA_PASSWORD,
            )
        )
        self._postgres, port = stack.enter_context(backup_host.postgres()), free_port()
        self._addresses["postgres"] = stack.enter_context(
            running(
                ["prometheus-postgres-exporter", f"--web.listen-address=127.0.0.1:{port}"],
                metrics.format(port),
                DATA_SOURCE_NAME=f"host={self._postgres} user=hypercode database=postgres sslmode=disable",
            )
        )
        self._addresses |= {"node": node, "edge": self._start_caddy(stack)}
        port = free_port()
        settings = self.folder / "blackbox.yml"
        settings.write_text("modules: {http: {prober: http}}\n")
        words = ["prometheus-blackbox-exporter", f"--config.file={settings}"]
        address = stack.enter_context(
            running([*words, f"--web.listen-address=127.0.0.1:{port}"], f"http://127.0.0.1:{port}/-/healthy"),
        )
        self._addresses["probe"] = address.replace("/-/healthy", f"/probe?module=http&target={node}")

    def _start_caddy(self, stack: ExitStack) -> str:
        site, admin = free_port(), free_port()
        settings = self.folder / "Caddyfile"
        settings.write_text(
            f"{{\n admin 127.0.0.1:{admin}\n auto_https off\n metrics\n}}\n"
            f"http://127.0.0.1:{site} {{\n handle /bad {{\n  respond 502\n }}\n handle {{\n  respond well\n }}\n}}\n"
        )
        self._site = f"http://127.0.0.1:{site}"
        words = [self.caddy, "run", "--adapter", "caddyfile", "--config", str(settings)]
        where = {"XDG_DATA_HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder)}
        return stack.enter_context(running(words, f"http://127.0.0.1:{admin}/metrics", **where))

    def write(self, files: Mapping[str, str]) -> None:
        """Put files where node_exporter reads them."""
        for name, text in files.items():
            (self.folder / "metrics" / name).write_text(text)

    def request(self) -> None:
        """Ask the site of the edge, for what is well and what is not."""
        fetch(f"{self._site}/")
        try:
            fetch(f"{self._site}/bad")
        except urllib.error.HTTPError as error:
            error.close()

    def use_postgres(self) -> None:
        """Ask for something. At the end of a session Postgres counts what was done in it; before, now and then only."""
        backup_host.sql(self._postgres, "postgres", "SELECT count(*) FROM pg_class")

    def use_redis(self) -> None:
        """Give Redis a limit and a key, and ask for that."""
        for words in (("config", "set", "maxmemory", "100mb"), ("set", "a", "b"), ("get", "a")):
            backup_host.redis_cli(self._redis, *words)

    def scrape(self) -> dict[str, str]:
        """Job -> what its exporter tells now."""
        return {job: fetch(address) for job, address in self._addresses.items()}
