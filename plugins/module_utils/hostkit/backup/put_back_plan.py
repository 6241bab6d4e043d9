# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore into the stack is going to do: said in words, and refused where it cannot be done. Changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..board_text import clean_text, human_size
from ..release_stack import ReleaseStack
from ..release_volumes import written_by
from .config import BackupError
from .points import stamp
from .put_back_files import refuse_mounts
from .put_back_hands import CERTIFICATES
from .put_back_record import staging_of
from .put_back_redis import memory_for_scratch
from .put_back_see import connected, folder_of_source, look, major_of
from .restic import Restic
from .restore import choose
from .run import Backup
from .runs import Run
from .saver import TREE
from .stack import GRAFANA, POSTGRES, PROMETHEUS, REDIS, Stack, call_docker
from .text import age, day

VOLUME, PATH = "volume", "path"
# A whole data folder of Postgres that was made somewhere on this host, as for a moment in time.
FOLDER = "folder"
# What a deploy writes: brought back beside it, the two would differ.
_OF_A_DEPLOY = ("release", "configuration")
_LEFT_OUT = (*_OF_A_DEPLOY, CERTIFICATES)
# A restore that exchanges one of these ends the host.
_OF_THE_HOST = frozenset(
    "/ /bin /boot /dev /etc /home /lib /lib64 /opt /proc /root /run /sbin /sys /tmp /usr /var /var/lib /var/run".split()
)
# A dump is packed: a database without a size in the manifest is taken to be so many times larger.
_UNPACKED = 5


@dataclass(frozen=True)
class Part:
    """One item: its kind, and the service, volume or path that it belongs to. `rest` is what else its name says."""

    item: str
    kind: str
    name: str
    rest: str = ""

    @property
    def database(self) -> str:
        """The database of Postgres that it is; "" where it is none. A service may have the name "database" too."""
        prefix = f"{POSTGRES}/{self.name}/database/"
        return self.item.removeprefix(prefix) if self.item.startswith(prefix) else ""


@dataclass
class Plan:
    """What is done. `stops` has the reason for each service; `lost` are data services that cannot be asked."""

    run: Run
    restic: Restic
    manifest: Mapping[str, Any]
    parts: list[Part]
    age: float
    left_out: list[str] = field(default_factory=list)
    stops: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    goes_on: list[str] = field(default_factory=list)
    # A folder -> bytes that are needed there, and that are free.
    disks: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return sum(int(self.facts(part)["bytes"]) for part in self.parts)

    def facts(self, part: Part) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.manifest["items"][part.item]
        return found

    def of_kind(self, kind: str) -> list[Part]:
        return [part for part in self.parts if part.kind == kind]

    def services(self, kind: str) -> list[str]:
        """The services of the parts of a kind."""
        return sorted({part.name for part in self.of_kind(kind)})

    def lines(self) -> list[str]:
        """The plan as a person reads it."""
        began, whole = float(self.manifest["began"]), self.services(FOLDER)
        what = f"{', '.join(whole)}: {self.run.id}" if whole else f"The run {self.run.id}"
        found = [
            f"{what} of {self.manifest['host']} goes into the running stack, from '{self.restic.name}'.",
            f"It is {age(self.age)} old: what was written after {stamp(began) if whole else day(began)} is not in it.",
            f"Replaced ({human_size(self.size)}):",
            *(f"  {part.item}" for part in self.parts),
        ]
        if self.services(POSTGRES):
            found.append(
                "Roles of Postgres that are missing are made; those that are there keep their passwords. Databases "
                "that are not named stay as they are."
            )
        if whole:
            found.append(
                "All databases, roles and settings of the server go back to that time. That is made ready beside it "
                "first; meanwhile it goes on."
            )
        for name in self.lost:
            found.append(
                f"{name} does not run well. It is started; where that fails, its files are set aside"
                + ("." if name in whole else ", and it begins with new ones.")
            )
        if self.stops:
            found.append("Stopped meanwhile:")
            found += [f"  {name}: {reason}" for name, reason in self.stops.items()]
        else:
            found.append("No service is stopped.")
        found.append(f"Not touched: {', '.join(self.goes_on) or 'no other service'}; the edge.")
        if self.left_out:
            found.append(
                f"Left out: {', '.join(self.left_out)}. site.yml writes these; to look at them: "
                "hypercode backup restore --to FOLDER. Certificates come back with --item certificates."
            )
        for place, (need, free) in self.disks.items():
            found.append(f"Disk: {human_size(need)} needed in {place}, {human_size(free)} free.")
        found.append("First all of it as it is now is saved as a run of its own: the way back.")
        return [clean_text(line) for line in found]


def make_plan(
    backup: Backup, release: ReleaseStack, found: tuple[Restic, Run, dict[str, Any]], wanted: Sequence[str]
) -> Plan:
    """Say what is to be done. BackupError where it cannot be."""
    restic, run, manifest = found
    stack = backup.stack()
    names = choose(manifest, wanted)
    refused = sorted(set(names) & set(_OF_A_DEPLOY)) if wanted else []
    if refused:
        raise BackupError(
            f"{', '.join(refused)} is not put into the stack: site.yml writes it, and the two would differ. "
            "Fix: hypercode backup restore --to FOLDER brings it back to look at"
        )
    left_out = [] if wanted else [name for name in names if name in _LEFT_OUT]
    parts = [part_of(name) for name in names if name not in left_out]
    missing = [part.item for part in parts if part.item not in run.snapshots]
    if missing:
        raise BackupError(
            f"The repository '{restic.name}' has no {', '.join(missing)} of this run. Fix: use another --repository"
        )
    if not parts:
        raise BackupError(f"There is nothing to put into the stack in {run.id}. Fix: take another run")
    _check_there(stack, parts)
    plan = Plan(run, restic, manifest, parts, backup.clock() - run.time, left_out)
    _check_versions(stack, plan)
    finish_plan(backup, stack, release, plan)
    return plan


def finish_plan(backup: Backup, stack: Stack, release: ReleaseStack, plan: Plan) -> None:
    """Complete a plan that has its parts: who stops, what room is needed. BackupError where it cannot be done."""
    for part in plan.parts:
        if part.kind in (POSTGRES, REDIS, FOLDER) and not look(stack, part.name).well and part.name not in plan.lost:
            plan.lost.append(part.name)
    plan.stops = stops_of(stack, release, plan)
    for part in plan.of_kind(REDIS):
        need, room = 2 * int(plan.facts(part).get("memory") or 0), memory_for_scratch()
        if need > room:
            raise BackupError(
                f"{part.item} is read by a scratch server first, which needs {human_size(need)} of memory. Half of "
                f"what this host has left is {human_size(room)}. Nothing was changed. Fix: free some memory there"
            )
    docker = Path(call_docker(stack.docker, "info", "--format", "{{.DockerRootDir}}", what="the restore"))
    _check_targets(backup, stack, plan, docker)
    plan.goes_on = [name for level in release.levels() for name in level if name not in plan.stops]
    plan.disks = _disks(backup, stack, plan, docker)
    for place, (need, free) in plan.disks.items():
        if need > free:
            raise BackupError(
                f"{place} has {human_size(free)} free, and {human_size(need)} are needed there. Nothing was changed. "
                "Fix: free some disk there, or restore one part after the other with --item"
            )


def part_of(item: str) -> Part:
    """Read the name of an item."""
    kind, _slash, rest = item.partition("/")
    if kind in (POSTGRES, GRAFANA):
        service, _slash, rest = rest.partition("/")
        return Part(item, kind, service, rest.removeprefix("database/") if kind == POSTGRES else rest)
    if kind in (REDIS, PROMETHEUS, VOLUME):
        return Part(item, kind, rest)
    if kind == PATH:
        return Part(item, kind, f"/{rest}")
    if item == CERTIFICATES:
        return Part(item, CERTIFICATES, "")
    raise BackupError(f"'{item}' is nothing that can be put into the stack. Fix: hypercode backup restore --to FOLDER")


def _check_there(stack: Stack, parts: Sequence[Part]) -> None:
    services = stack.model["services"]
    if not services:
        raise BackupError(
            "No stack is deployed on this host, so there is nothing to restore into. Fix: run site.yml for it first"
        )
    for part in parts:
        if part.kind in (POSTGRES, REDIS, GRAFANA, PROMETHEUS) and part.name not in stack.of_kind(part.kind):
            kind = part.kind.capitalize()
            raise BackupError(
                f"{part.item} belongs into a service '{part.name}' with {kind}, and the release in use has none. "
                f"Services with {kind}: {', '.join(stack.of_kind(part.kind)) or 'none'}. Fix: deploy a release that "
                "has it, or name what else is to come back with --item"
            )
        if part.kind == VOLUME and not users_of(stack, part.name):
            raise BackupError(
                f"{part.item} is a volume that no service of the release in use has. Fix: deploy a release "
                "that has it, or name what else is to come back with --item"
            )


def _check_targets(backup: Backup, stack: Stack, plan: Plan, docker: Path) -> None:
    """BackupError where files cannot be exchanged for others, or that would take the host with it."""
    ours = [docker, backup.paths.state, backup.paths.releases]
    repository = plan.restic.repository.url.removeprefix("local:")
    if repository.startswith("/"):
        ours.append(Path(repository))
    for part in plan.of_kind(PATH):
        path = Path(part.name)
        # A name with `at` is below the root of a test.
        target = backup.paths.at(part.name)
        if str(path) in _OF_THE_HOST or any(own.is_relative_to(target) or target.is_relative_to(own) for own in ours):
            raise BackupError(
                f"{part.item} is not exchanged as a whole: the host, Docker or the backups live in it. Nothing was "
                f"changed. Fix: --to FOLDER brings it back to look at, and what is missing is copied by hand; "
                "the rest comes back with --item"
            )
        refuse_mounts(target, part.item)
    for part in plan.of_kind(VOLUME):
        folder = folder_of_source(stack, part.name)
        if folder is None:
            continue
        refuse_mounts(folder, part.item)
        about = {} if part.name.startswith("/") else stack.engine.get(f"/volumes/{part.name}")
        if (about.get("Options") or {}).get("device"):
            raise BackupError(
                f"{part.item} is mounted by Docker only while a service has it, so its files cannot be exchanged while "
                "none has. Nothing was changed. Fix: --to FOLDER brings it back, and is copied there by hand"
            )


def _check_versions(stack: Stack, plan: Plan) -> None:
    """A dump goes into the same or a newer Postgres."""
    for service in plan.services(POSTGRES):
        saved = [major_of(str(plan.facts(p).get("version") or "")) for p in plan.of_kind(POSTGRES) if p.name == service]
        here = major_in(stack, service)
        if here and max(saved, default=0) > here:
            raise BackupError(
                f"The run {plan.run.id} was made by Postgres {max(saved)}, and {service} has Postgres {here}: an older "
                f"one does not read it. Nothing was changed. Fix: deploy Postgres {max(saved)} or newer for {service}"
            )


def major_in(stack: Stack, service: str) -> int:
    """The major version of Postgres that a service has; 0 where it does not tell. BackupError where it cannot."""
    image = image_of(stack, service)
    words = ("run", "--rm", "--network", "none", "--pull", "never", "--entrypoint", "pg_restore", image)
    try:
        return major_of(call_docker(stack.docker, *words, "--version", what="the restore"))
    except BackupError as error:
        raise BackupError(
            f"The image of {service} could not be asked for its version of Postgres. Nothing was changed. {error}; "
            "where the image is not there: run site.yml again"
        ) from error


def image_of(stack: Stack, service: str) -> str:
    """The image of the service's container, or of the release where there is none."""
    container = look(stack, service).container
    return container.image if container else str(stack.model["services"][service].get("image") or "")


# --- who has to stop --------------------------------------------------------------------------------------------------


def users_of(stack: Stack, source: str) -> list[str]:
    """The services that have a volume (by Docker's name) or a folder of the host, to write or only to read."""
    return sorted(
        name
        for name in stack.model["services"]
        if any(_overlap(source, held) for held in written_by(name, stack.model, stack.config.project, reads=True))
    )


def _overlap(one: str, other: str) -> bool:
    if not (one.startswith("/") and other.startswith("/")):
        return one == other
    return Path(one).is_relative_to(other) or Path(other).is_relative_to(one)


def stops_of(stack: Stack, release: ReleaseStack, plan: Plan) -> dict[str, str]:
    """The services that stop, the last first, each with the reason."""
    reasons: dict[str, str] = {}

    def add(names: Iterable[str], reason: str) -> None:
        for name in names:
            reasons.setdefault(name, reason)

    for service in plan.services(POSTGRES):
        if service in plan.lost:
            add([service], "its data cannot be asked for")
        add(sorted(release.with_dependents([service]) - {service}), f"needs {service}")
        add(connected(stack, service, POSTGRES), f"is connected to {service}")
    for kind in (REDIS, GRAFANA, PROMETHEUS, FOLDER):
        for service in plan.services(kind):
            add([service], "its files are exchanged")
            add(sorted(release.with_dependents([service]) - {service}), f"needs {service}")
            if kind in (REDIS, FOLDER):
                add(connected(stack, service, REDIS if kind == REDIS else POSTGRES), f"is connected to {service}")
    for part in (*plan.of_kind(VOLUME), *plan.of_kind(PATH)):
        for user in users_of(stack, part.name):
            add([user], f"has {part.name}")
            add(sorted(release.with_dependents([user]) - {user}), f"needs {user}")
    order = [name for level in reversed(release.levels()) for name in reversed(level)]
    return {name: reasons[name] for name in order if name in reasons}


# --- disk -------------------------------------------------------------------------------------------------------------


def _disks(backup: Backup, stack: Stack, plan: Plan, docker: Path) -> dict[str, tuple[int, int]]:
    """What is needed on each file system. Old and new data lie beside each other until all is well."""
    staging = staging_of(backup.paths)
    needs: dict[Path, int] = {staging: 0, docker: 0}
    for part in plan.parts:
        facts = plan.facts(part)
        size = int(facts["bytes"])
        if part.kind == FOLDER:
            # From there it is moved, or copied to another disk.
            work = backup.paths.work
            needs[work] = needs.get(work, 0) + int(facts["room"])
            needs[docker] += 0 if _device(work) == _device(docker) else size
            continue
        needs[staging] += 3 * size if part.kind == REDIS else size
        if part.kind == POSTGRES:
            # The log of changes is as large again at times.
            needs[docker] += 2 * int(facts.get("size") or _UNPACKED * size)
            continue
        target: Path | None = docker
        if part.kind == PATH:
            target = backup.paths.at(part.name)
        elif part.kind == VOLUME:
            target = folder_of_source(stack, part.name)
        target = target or docker
        needs[target] = needs.get(target, 0) + (size if facts["kind"] == TREE else 2 * size)
    url = plan.restic.repository.url.removeprefix("local:")
    if url.startswith("/"):
        needs[Path(url)] = needs.get(Path(url), 0) + plan.size
    grouped: dict[int, tuple[str, int, int]] = {}
    for folder, need in needs.items():
        there = _there(folder)
        device, free = _device(there), shutil.disk_usage(there).free
        place, before, _free = grouped.get(device, (str(folder), 0, 0))
        grouped[device] = (place, before + need, free)
    return {place: (need, free) for place, need, free in grouped.values() if need}


def _there(folder: Path) -> Path:
    return next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))


def _device(folder: Path) -> int:
    return _there(folder).stat().st_dev
