# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The running stack, as a backup sees it: which service holds what, and how to run a program in its container."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..command import run_command
from ..engine import Engine
from ..release import Store
from ..release_images import repository_of
from ..release_volumes import volume_name
from ..stack_state import PROJECT_LABEL, containers_by_service
from .config import BackupError, Config, Paths

POSTGRES, REDIS, GRAFANA, PROMETHEUS, NONE = "postgres", "redis", "grafana", "prometheus", "none"
# All but Prometheus are found by their images: what that holds can be lost as a rule, so it is saved where asked for.
KINDS = (POSTGRES, REDIS, GRAFANA, PROMETHEUS, NONE)
# The last part of an image's name says what it holds. Exporters of the same have other names.
_IMAGES = {
    POSTGRES: re.compile(r"postgres(ql)?|pgvector|postgis|timescaledb(-ha)?|supabase-postgres"),
    REDIS: re.compile(r"redis(-stack(-server)?)?|valkey"),
    GRAFANA: re.compile(r"grafana(-oss|-enterprise)?"),
}
# Where their images keep the data. Other volumes of the same service are not in its dump.
_DATA = {
    POSTGRES: ("/var/lib/postgresql", "/home/postgres", "/bitnami/postgresql"),
    REDIS: ("/data", "/var/lib/redis", "/var/lib/valkey", "/bitnami"),
    GRAFANA: ("/var/lib/grafana",),
    PROMETHEUS: ("/prometheus", "/var/lib/prometheus", "/bitnami", "/opt/bitnami"),
}
# At a volume: "true" saves it as files, "false" says that it is meant to be in no backup. Docker never changes the
# labels of one that is there, and newer versions of Compose offer to make it anew, empty: so there is a key too.
LABEL, EXTENSION = "hypercode.backup", "x-hypercode-backup"
# Marks the containers of drills.
SCRATCH = "hypercode.purpose=drill"


def kind_of(image: str) -> str:
    """What kind of data a service with this image holds; "none" where the image does not tell."""
    name = repository_of(image.partition("@")[0]).rpartition("/")[2]
    return next((kind for kind, pattern in _IMAGES.items() if pattern.fullmatch(name)), NONE)


@dataclass(frozen=True)
class Container:
    """One running container: what of it counts here."""

    service: str
    id: str
    image: str
    environment: Mapping[str, str]
    mounts: Sequence[Mapping[str, Any]]
    # Its command line, and its addresses in the networks of the stack, which this host can reach.
    arguments: Sequence[str] = ()
    addresses: Sequence[str] = ()
    # Of the very image that runs; its name may mean another one by now.
    image_id: str = ""


@dataclass(frozen=True)
class Stack:
    """`model` is the project of the release in use. Engine and docker command are injected."""

    engine: Engine
    config: Config
    model: Mapping[str, Any]
    docker: tuple[str, ...] = ("docker",)

    def of_kind(self, kind: str) -> list[str]:
        """The services whose data is of this kind."""
        stated = self.config.services
        return sorted(
            name
            for name, service in self.model["services"].items()
            if stated.get(name, kind_of(str(service.get("image") or ""))) == kind
        )

    def check_names(self) -> None:
        """BackupError where backup_services names a service that is not in the release in use."""
        unknown = sorted(set(self.config.services) - set(self.model["services"]))
        if self.model["services"] and unknown:
            raise BackupError(
                f"backup_services names {', '.join(unknown)}, and the release in use has no such service. Services: "
                f"{', '.join(sorted(self.model['services']))}. Fix: correct backup_services, then run site.yml"
            )

    def data_only(self, service: str, kind: str) -> dict[str, Any]:
        """The model with this service alone, and of its volumes only those that hold its data."""
        found = self.model["services"][service]
        entries = [entry for entry in found.get("volumes") or [] if isinstance(entry, Mapping)]
        kept = [entry for entry in entries if str(entry.get("target")).startswith(_DATA[kind])]
        return {**self.model, "services": {service: {**found, "volumes": kept}}}

    def container(self, service: str, *, well: bool = True) -> Container:
        """The running container of a service. BackupError where there is none, or with `well` it is not well."""
        found = containers_by_service(self.engine.containers(self.config.project)).get(service, [])
        running = [item for item in found if item["State"]["Status"] == "running"]
        if not running:
            state = found[0]["State"]["Status"] if found else "not there"
            raise BackupError(f"{service} is {state}, so its data cannot be asked for. Fix: hypercode status shows why")
        health = (running[0]["State"].get("Health") or {}).get("Status")
        if well and health == "unhealthy":
            raise BackupError(
                f"{service} is unhealthy: what it would hand out may be wrong. Fix: see docker logs of it"
            )
        return container_of(service, running[0])

    def inside(self, container: Container, script: str, *words: str, user: str = "") -> list[str]:
        """The command that runs a shell script in a container, with words as its $1, $2 and so on.

        Secrets are named in the script as variables of the container's environment: no command line ever holds one.
        """
        whose = ["--user", user] if user else []
        return [*self.docker, "exec", "--interactive", *whose, container.id, "sh", "-c", script, "sh", *words]

    # --- volumes ----------------------------------------------------------------------------------------------------

    def volume_folder(self, name: str) -> Path:
        """Where a volume's files are on this host."""
        found = self.engine.get(f"/volumes/{name}")
        return Path(str(found["Mountpoint"]))

    def folder_in(self, container: Container, place: Path) -> Path | None:
        """Where a folder of a container is on this host; None where it is in no volume and no folder of the host."""
        fitting = [
            mount for mount in container.mounts if place.is_relative_to(str(mount.get("Destination") or "/none"))
        ]
        for mount in sorted(fitting, key=lambda found: -len(str(found["Destination"]))):
            if mount.get("Type") not in ("volume", "bind"):
                return None
            named = mount["Type"] == "volume"
            source = self.volume_folder(str(mount["Name"])) if named else Path(str(mount["Source"]))
            return source / place.relative_to(str(mount["Destination"]))
        return None

    def project_volumes(self) -> dict[str, str]:
        """The volumes of the project, each with what is said about backups: "true", "false", or "" where nothing is."""
        labels = [f"{PROJECT_LABEL}={self.config.project}"]
        found = self.engine.get("/volumes", filters={"label": labels})
        made = {str(item["Name"]): str((item.get("Labels") or {}).get(LABEL, "")) for item in found["Volumes"] or []}
        stated = self._stated_volumes()
        return {name: stated.get(name) or label for name, label in made.items()}

    def _stated_volumes(self) -> dict[str, str]:
        """What the Compose file of the release in use says, by the names that Docker has for its volumes."""
        found = {}
        for key, entry in (self.model.get("volumes") or {}).items():
            about = entry or {}
            said = about.get(EXTENSION, (about.get("labels") or {}).get(LABEL, ""))
            found[volume_name(key, about, self.config.project)] = str(said).lower()
        return found

    def labelled_volumes(self) -> list[str]:
        """All volumes of this host that ask to be backed up, whoever made them."""
        found = self.engine.get("/volumes", filters={"label": [f"{LABEL}=true"]})
        own = self.project_volumes()
        names = {str(item["Name"]) for item in found["Volumes"] or []} - set(own)
        return sorted(names | {name for name, said in own.items() if said == "true"})


def data_folder(container: Container) -> str:
    """Where on this host the data of a Postgres is; the root where that is in no mount."""
    found = (entry for entry in container.mounts if str(entry.get("Destination", "")).startswith(_DATA[POSTGRES]))
    return next((str(entry.get("Source") or "/") for entry in found), "/")


def stack_in_use(config: Config, paths: Paths, engine: Engine, docker: tuple[str, ...] = ("docker",)) -> Stack:
    """The stack whose release is in use; one without services where nothing is deployed. BackupError, ReleaseError."""
    store = Store(paths)
    release, lost = store.current(), store.lost()
    if lost:
        raise BackupError(
            f"{paths.current} leads to {lost}, where no release is, so nobody knows what there is to save. "
            "Fix: run site.yml again"
        )
    return Stack(engine, config, release.read_model() if release else {"services": {}}, docker)


def container_of(service: str, item: Mapping[str, Any]) -> Container:
    """What counts of a container as the engine tells of it."""
    pairs = (entry.partition("=") for entry in item["Config"].get("Env") or [])
    networks = (item.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        service,
        str(item["Id"]),
        str(item["Config"].get("Image") or ""),
        {name: value for name, _is, value in pairs},
        item.get("Mounts") or [],
        [str(word) for word in item.get("Args") or []],
        [str(found["IPAddress"]) for found in networks.values() if found.get("IPAddress")],
        str(item.get("Image") or ""),
    )


def scratch_limits(memory: int) -> tuple[str, ...]:
    """The options of docker run for a scratch container with so many bytes: nothing reaches it, nor is reached."""
    limits = ("--network", "none", "--pull", "never", "--pids-limit", "512", "--label", SCRATCH)
    # Where memory runs out, this goes first, and not the stack.
    return (*limits, "--memory", str(memory), "--oom-score-adj", "1000")


def call_docker(
    docker: Sequence[str],
    *words: str,
    timeout: float = 120,
    environment: Mapping[str, str] | None = None,
    what: str = "the drill",
) -> str:
    """Run docker for a drill or a restore; return what it printed. BackupError says what it refused."""
    done = run_command([*docker, *words], timeout=timeout, environment=environment)
    if done.code != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.code}"]
        raise BackupError(f"docker {words[0]} failed in {what}: {lines[-1][:300].rstrip('.')}. Fix: docker info")
    return done.stdout.strip()


def remove_scratch(docker: Sequence[str]) -> None:
    """Remove the containers of a drill. Raises BackupError."""
    ids = call_docker(docker, "ps", "--all", "--quiet", "--filter", f"label={SCRATCH}").split()
    if ids:
        call_docker(docker, "rm", "--force", "--volumes", *ids)
