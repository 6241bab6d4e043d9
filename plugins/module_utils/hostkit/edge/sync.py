# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings the addresses of containers into the files that Caddy reads, and Caddy to what its files say."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..engine import Engine
from ..files import read_file, write_file
from .caddy import Caddy, EdgeError
from .layout import MANIFEST, UPSTREAMS, Paths
from .upstreams import addresses, service_of, upstream_files

LOCK = "/run/hypercode-edge.lock"
# By service the ids of containers that get its requests, during a rollout. After a boot it is gone: all do.
PINS = "/run/hypercode-edge.pins"


@dataclass(frozen=True)
class Synced:
    """What was done: services with new addresses, those that no container stands for, whether Caddy loaded anything."""

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    reloaded: bool = False


def read_manifest(paths: Paths) -> dict[str, Any] | None:
    """What the role wrote down for the commands on the host; None where there is no edge."""
    try:
        text = paths.at(MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        found: dict[str, Any] = json.loads(text)
        return found
    except ValueError as error:
        raise EdgeError(f"{MANIFEST} is damaged. Fix: apply the role edge again (site.yml --tags edge)") from error


def wanted_files(
    engine: Engine,
    project: str,
    upstreams: Mapping[str, Any],
    *,
    live: bool,
    pinned: Mapping[str, Sequence[str]] | None = None,
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The files as they have to be, by name, and the services that no running container stands for."""
    places = addresses(engine.containers(project), pinned)
    return upstream_files(upstreams, places, live=live), tuple(name for name in upstreams if not places.get(name))


def write_upstreams(paths: Paths, wanted: Mapping[str, str]) -> tuple[str, ...]:
    """Write what differs, each file whole. The services of which something changed.

    First the addresses, then the snippets that name their files: Caddy takes a file that is not there for this host.
    """
    folder = paths.at(UPSTREAMS)
    folder.mkdir(parents=True, exist_ok=True)
    changed = []
    for name, text in sorted(wanted.items(), key=lambda item: item[0].endswith(".caddy")):
        path = folder / name
        if path.is_file() and read_file(path) == text.encode():
            continue
        write_file(path, text.encode())
        changed.append(service_of(name))
    return tuple(dict.fromkeys(changed))


def remove_upstreams(paths: Paths, wanted: Mapping[str, str]) -> tuple[str, ...]:
    """Remove the files that Caddy, which has loaded what is wanted, does not read any more. Their services."""
    gone = [path for path in sorted(paths.at(UPSTREAMS).glob("*")) if path.name not in wanted and path.is_file()]
    for path in gone:
        path.unlink(missing_ok=True)
    return tuple(dict.fromkeys(service_of(path.name) for path in gone))


def pin(services: Mapping[str, Sequence[str]], paths: Paths | None = None) -> None:
    """Say which containers (ids, by service) get requests from the next `sync` on; none ends it. Raises FileError."""
    path = (paths or Paths()).at(PINS)
    if not services:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(services).encode())


def read_pins(paths: Paths) -> dict[str, list[str]]:
    """What `pin` said. What cannot be read pins nobody."""
    try:
        found = json.loads(paths.at(PINS).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def locked(paths: Paths) -> Iterator[None]:
    """One at a time: a rollout, the follower and the role may come together."""
    path = paths.at(LOCK)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def sync(engine: Engine, paths: Paths | None = None, caddy: Caddy | None = None) -> Synced | None:
    """Look where the containers are, and tell Caddy where that changed. None where this host has no edge.

    Raises EdgeError, EngineError, FileError.
    """
    paths = paths or Paths()
    about = read_manifest(paths)
    if about is None:
        return None
    caddy = caddy or Caddy(str(about["binary"]), paths)
    with locked(paths):
        live = bool(about.get("live"))
        wanted, missing = wanted_files(
            engine, str(about["project"]), about["upstreams"], live=live, pinned=read_pins(paths)
        )
        changed = write_upstreams(paths, wanted)
        reloaded = caddy.settle()
        gone = remove_upstreams(paths, wanted)
        return Synced(tuple(dict.fromkeys((*changed, *gone))), missing, reloaded)
