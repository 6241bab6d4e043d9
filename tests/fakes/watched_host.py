"""A host with containers to watch: an engine that answers on a real socket, and the kernel's files about them."""

from __future__ import annotations

import http.server
import json
import queue
import re
import shutil
import socketserver
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import unix_http

LABEL = "com.docker.compose."
MIB = 2**20
NEVER = "0001-01-01T00:00:00Z"


def stamp(seconds: float) -> str:
    """A time as the engine writes it."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(seconds)))
    return f"{whole}.{int(seconds % 1 * 10**9):09d}Z"


@dataclass
class Watched:
    """One container."""

    name: str
    service: str
    project: str
    pid: int
    state: str = "running"
    health: str = "healthy"
    restarts: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    started: float = 0.0
    image: str = "registry.test/app:1"
    labels: dict[str, str] = field(default_factory=dict)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    host: dict[str, Any] = field(default_factory=lambda: {"Memory": 256 * MIB, "NanoCpus": 500_000_000})
    stop_timeout: int | None = 1
    address: str = ""
    check: list[str] = field(default_factory=list)
    # What it has said, each with its time.
    log: list[tuple[float, str]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"{self.pid:08x}" * 8


class WatchedHost:
    """The state; what an operator, Docker or the kernel does to it; and `socket`, where the engine answers."""

    def __init__(self, root: Path, *, version: int = 2, project: str = "demo") -> None:
        self.root, self.version, self.project = root, version, project
        self.folder = Path(tempfile.mkdtemp(prefix="watched"))
        self.socket = self.folder / "s"
        self.containers: dict[str, Watched] = {}
        self.requests: list[str] = []
        # What the engine says of a container in place of the truth, by name.
        self.odd: dict[str, Any] = {}
        self.oldest_api = (1, 44)
        self.restarted: list[str] = []
        self.on_restart: Callable[[Watched], None] = lambda _container: None
        self._listeners: list[queue.SimpleQueue[bytes | None]] = []
        self._server: Any = None
        self.start_engine()

    # ---- the engine ---------------------------------------------------------------------------------------------

    def start_engine(self) -> None:
        host = self

        class Handler(unix_http.Handler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.requests.append(self.path)
                spoken = re.match(r"/v(\d+)\.(\d+)/", self.path)
                if spoken and (int(spoken[1]), int(spoken[2])) < host.oldest_api:
                    self.answer(400, {"message": f"client version {spoken[1]}.{spoken[2]} is too old"})
                elif urllib.parse.urlsplit(self.path).path.endswith("/events"):
                    host.serve_events(self)
                else:
                    self.answer(*host.get(self.path))

            def do_POST(self) -> None:
                host.requests.append(self.path)
                self.answer(*host.post(self.path))

            def answer(self, status: int, document: Any) -> None:
                body = document if isinstance(document, bytes) else json.dumps(document).encode()
                body = b"" if document is None else body
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")
                self.end_headers()
                if body:
                    self.wfile.write(body)

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True
            request_queue_size = 64

        self.socket.unlink(missing_ok=True)
        self._server = Server(str(self.socket), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop_engine(self) -> None:
        """As when dockerd ends: nobody answers, and who listens is cut off."""
        self.socket.unlink(missing_ok=True)
        for listener in list(self._listeners):
            listener.put(None)
        self._server.shutdown()
        self._server.server_close()

    def remove(self) -> None:
        with suppress(OSError):
            self.stop_engine()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def serve_events(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        mine: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.flush()
        self._listeners.append(mine)
        try:
            while (data := mine.get()) is not None:
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        except OSError:
            pass
        finally:
            self._listeners.remove(mine)

    def get(self, target: str) -> tuple[int, Any]:
        parsed = urllib.parse.urlsplit(target)
        path = re.sub(r"^/v[\d.]+", "", parsed.path)
        if path == "/version":
            return 200, {"Version": "29.1.0", "ApiVersion": "1.52", "MinAPIVersion": "{}.{}".format(*self.oldest_api)}
        if path == "/containers/json":
            wanted = json.loads(dict(urllib.parse.parse_qsl(parsed.query))["filters"])["label"]
            found = [one for one in list(self.containers.values()) if set(wanted) <= _words(self.labels_of(one))]
            return 200, [self.listed(one) for one in found]
        one = self.by_id(path.split("/")[2]) if path.startswith("/containers/") else None
        if one is None:
            return 404, {"message": f"no such thing: {path}"}
        if path.endswith("/logs"):
            return 200, said(one, dict(urllib.parse.parse_qsl(parsed.query)))
        return 200, self.odd[one.name] if one.name in self.odd else self.inspected(one)

    def post(self, target: str) -> tuple[int, Any]:
        found = re.fullmatch(r"/v[\d.]+/containers/([0-9a-f]+)/restart", target)
        one = self.by_id(found[1]) if found else None
        if one is None:
            return 404, {"message": "no such container"}
        self.restarted.append(one.name)
        self.on_restart(one)
        self.die(one.name, 143, state="running")
        self.start(one.name)
        return 204, None

    def by_id(self, found: str) -> Watched | None:
        return next((one for one in list(self.containers.values()) if one.id == found), None)

    def labels_of(self, one: Watched) -> dict[str, str]:
        return {f"{LABEL}project": one.project, f"{LABEL}service": one.service, **one.labels}

    def listed(self, one: Watched) -> dict[str, Any]:
        text = {"running": "Up 2 hours", "exited": f"Exited ({one.exit_code}) 3 minutes ago"}.get(one.state, one.state)
        words = {"none": "", "starting": " (health: starting)"}.get(one.health, f" ({one.health})")
        status = text + (words if one.state == "running" else "")
        return {
            "Id": one.id,
            "Names": [f"/{one.name}"],
            "Image": one.image,
            "Labels": self.labels_of(one),
            "State": one.state,
            "Status": status,
            "Mounts": one.mounts,
            "NetworkSettings": {"Networks": {"demo_default": {"IPAddress": "172.18.0.2", "NetworkID": "f" * 64}}},
        }

    def inspected(self, one: Watched) -> dict[str, Any]:
        running = one.state == "running"
        health = {} if one.health == "none" else {"Health": {"Status": one.health, "FailingStreak": 0, "Log": []}}
        return {
            "Id": one.id,
            "Name": f"/{one.name}",
            "RestartCount": one.restarts,
            "State": {
                "Status": one.state,
                "Running": running,
                "Pid": one.pid if running else 0,
                "ExitCode": 0 if running else one.exit_code,
                "OOMKilled": one.oom_killed,
                "StartedAt": stamp(one.started) if one.started else NEVER,
                **health,
            },
            "Config": {
                "Image": one.image,
                "Labels": self.labels_of(one),
                "StopTimeout": one.stop_timeout,
                **({"Healthcheck": {"Test": one.check}} if one.check else {}),
            },
            "NetworkSettings": {"Networks": {"demo_default": {"IPAddress": one.address}}},
            "HostConfig": {"NetworkMode": "demo_default", **one.host},
            "Mounts": one.mounts,
        }

    # ---- what happens -------------------------------------------------------------------------------------------

    def add(self, service: str, name: str = "", **facts: Any) -> Watched:
        pid = 1000 + len(self.containers)
        facts = {"project": self.project, "started": time.time() - 3600, **facts}
        one = Watched(name or f"{self.project}-{service}-1", service, pid=pid, **facts)
        self.containers[one.name] = one
        if one.state == "running":
            self.kernel_begins(one)
        return one

    def emit(self, action: str, one: Watched, **attributes: str) -> None:
        self.send(self.event(action, one, **attributes))

    def event(self, action: str, one: Watched, **attributes: str) -> bytes:
        """An event as a line."""
        now = time.time_ns()
        actor = {"ID": one.id, "Attributes": {**self.labels_of(one), "name": one.name, **attributes}}
        document = {"Type": "container", "Action": action, "Actor": actor, "time": now // 10**9, "timeNano": now}
        return json.dumps(document).encode() + b"\n"

    def send(self, data: bytes) -> None:
        for listener in list(self._listeners):
            listener.put(data)

    def become(self, name: str, health: str) -> None:
        one = self.containers[name]
        one.health = health
        self.emit(f"health_status: {health}", one)

    def die(self, name: str, exit_code: int, *, oom: bool = False, state: str = "exited") -> None:
        one = self.containers[name]
        one.exit_code, one.oom_killed, one.state = exit_code, oom, state
        shutil.rmtree(self.group(one, "memory"), ignore_errors=True)
        if oom:
            self.emit("oom", one)
        self.emit("die", one, exitCode=str(exit_code))

    def start(self, name: str, *, restarts: int | None = None) -> None:
        one = self.containers[name]
        one.state, one.oom_killed, one.started = "running", False, time.time()
        one.restarts = one.restarts if restarts is None else restarts
        one.health = "none" if one.health == "none" else "starting"
        self.kernel_begins(one)
        self.emit("start", one)

    def destroy(self, name: str) -> None:
        one = self.containers.pop(name)
        shutil.rmtree(self.group(one, "memory"), ignore_errors=True)
        self.emit("destroy", one)

    # ---- the kernel ---------------------------------------------------------------------------------------------

    def group(self, one: Watched, controller: str) -> Path:
        base = self.root / "sys/fs/cgroup"
        if self.version == 2:
            return base / f"system.slice/docker-{one.id}.scope"
        return base / controller / "docker" / one.id

    def kernel_begins(self, one: Watched) -> None:
        """A new control group, and a process in it."""
        lines = (
            [f"0::/system.slice/docker-{one.id}.scope"]
            if self.version == 2
            else [
                *(f"9:{name}:/docker/{one.id}" for name in ("memory", "cpu,cpuacct", "pids", "blkio")),
                f"1:name=systemd:/docker/{one.id}",
            ]
        )
        process = self.root / f"proc/{one.pid}"
        write(process / "cgroup", "\n".join(lines) + "\n")
        write(
            process / "net/dev",
            "Inter-|   Receive    |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes\n"
            "    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n  eth0: 1000 9 0 0 0 0 0 0 2000 9 0 0 0 0 0 0\n"
            "  eth1: 1 9 0 0 0 0 0 0 2 9 0 0 0 0 0 0\n",
        )
        self.use(one)

    def use(self, one: Watched, anonymous: int = 50 * MIB, cache: int = 30 * MIB, *, kills: int = 0) -> None:
        if self.version == 2:
            files: dict[str, object] = {
                "memory.current": anonymous + cache,
                "memory.stat": f"anon {anonymous}\nfile {cache}\nkernel 4096\ninactive_file {cache}",
                "memory.max": one.host.get("Memory") or "max",
                "memory.events": f"low 0\nhigh 0\nmax 3\noom {kills}\noom_kill {kills}",
                "cpu.stat": "usage_usec 12500000\nuser_usec 1\nsystem_usec 1\nnr_periods 400\nnr_throttled 40",
                "cpu.max": "50000 100000" if one.host.get("NanoCpus") else "max 100000",
                "pids.current": 7,
                "pids.max": "max",
                "io.stat": "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2",
            }
            for name, text in files.items():
                write(self.group(one, "memory") / name, f"{text}\n")
            return
        groups: dict[str, dict[str, object]] = {
            "memory": {
                "memory.usage_in_bytes": anonymous + cache,
                "memory.stat": f"cache 1\nrss 1\ntotal_cache {cache}\ntotal_rss {anonymous}",
                "memory.limit_in_bytes": one.host.get("Memory") or 9223372036854771712,
                "memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}",
            },
            "cpu": {
                "cpu.stat": "nr_periods 400\nnr_throttled 40\nthrottled_time 5",
                "cpu.cfs_quota_us": 50000 if one.host.get("NanoCpus") else -1,
                "cpu.cfs_period_us": 100000,
            },
            "cpuacct": {"cpuacct.usage": 12_500_000_000},
            "pids": {"pids.current": 7, "pids.max": "max"},
            "blkio": {
                "blkio.throttle.io_service_bytes": "8:0 Read 4096\n8:0 Write 8192\n8:0 Total 12288\n"
                "8:16 Read 1\n8:16 Write 2\nTotal 12291"
            },
        }
        for controller, values in groups.items():
            for name, text in values.items():
                write(self.group(one, controller) / name, f"{text}\n")


def said(one: Watched, query: dict[str, str]) -> bytes:
    """The output of a container as the engine frames it: the last lines, and of those what is new enough."""
    lines = [text for when, text in one.log[-int(query["tail"]) :] if when >= float(query["since"])]
    framed = [(f"{line}\n".encode(), number % 2 + 1) for number, line in enumerate(lines)]
    return b"".join(bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for data, stream in framed)


def _words(labels: dict[str, str]) -> set[str]:
    return {f"{key}={value}" for key, value in labels.items()}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
