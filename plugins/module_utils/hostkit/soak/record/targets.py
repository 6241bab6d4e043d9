# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is asked, and where: out of what was declared, of the health checks of containers, and of the edge's ways."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...addresses import is_address
from ...backup.stack import POSTGRES, REDIS, kind_of
from ...edge.layout import MANIFEST
from ...watch.roster import Facts
from .config import Config

# For so long an address that was found is taken to be right, in seconds.
RESOLVED = 300.0
SERVICE, EDGE, REMOTE = "service", "edge", "remote"
HTTP, HTTPS = "http", "https"
_PORTS: Mapping[str, int] = {HTTP: 80, HTTPS: 443, REDIS: 6379, POSTGRES: 5432}
# What a health check inside of the container asks at its own loopback.
_OWN = re.compile(
    r"(https?)://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])(?::(\d{1,5}))?(/[\w./?=&%-]*)?", re.IGNORECASE
)


@dataclass(frozen=True)
class Place:
    """Where to ask: an address, and which start of which container is there; nobody's for what is none."""

    address: str
    container: str = ""
    started: float = 0.0


@dataclass(frozen=True)
class Target:
    """Somebody who is asked. `name` and `way` as in the journal; `places` take turns."""

    name: str
    way: str
    kind: str
    port: int
    host: str
    path: str
    places: tuple[Place, ...]
    # Whether it was declared. Another one counts from its first good answer on: nobody said that it has to answer us.
    declared: bool = True

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.way


Door = tuple[int, str, str]
"""A way on which the edge leads requests to a service: port, host and path."""


class Doors:
    """What the role edge wrote down of its ways, read again when it has changed."""

    def __init__(self, root: Path) -> None:
        self._path = root / MANIFEST.lstrip("/")
        self._when = -1.0
        self._found: dict[str, list[Door]] = {}

    def read(self) -> dict[str, list[Door]]:
        """The ways to each service; none without an edge."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            when = self._path.stat().st_mtime
            if when != self._when:
                ways = json.loads(self._path.read_text(encoding="utf-8")).get("doors") or {}
                self._found = {
                    name: [(int(port), str(host), str(path)) for port, host, path in ways[name]] for name in ways
                }
                self._when = when
        return self._found


class Resolver:
    """Finds addresses of names, and keeps them for a while: DNS that is slow must not delay requests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, str]] = {}

    def __call__(self, name: str) -> str:
        """An address of a host; the last one that was known where there is none now, and empty where none was."""
        plain = name.strip("[]")
        if is_address(plain):
            return plain
        until, address = self._known.get(plain, (0.0, ""))
        now = self._clock()
        if now >= until:
            with suppress(OSError):
                address = str(socket.getaddrinfo(plain, None, type=socket.SOCK_STREAM)[0][4][0])
            self._known[plain] = (now + RESOLVED, address)
        return address


def targets_of(
    config: Config,
    wanted: Iterable[str],
    known: Iterable[Facts],
    doors: Mapping[str, Sequence[Door]],
    resolve: Callable[[str], str] = str,
) -> list[Target]:
    """Everybody who can be asked now. `wanted` are the services that have to be there."""
    by_service: dict[str, list[Facts]] = {}
    for facts in known:
        if facts.project == config.project:
            by_service.setdefault(facts.service, []).append(facts)
    found = []
    for name in sorted(set(wanted)):
        target = _of_service(name, config, by_service.get(name, []), doors.get(name, ()), resolve)
        if target is not None:
            found.append(target)
    for site in config.sites:
        name = f"{site.name} ({site.host})" if site.host else site.name
        way = REMOTE if site.host else EDGE
        found.append(Target(name, way, HTTPS, site.port, site.name, site.path, _elsewhere(resolve(site.address))))
    return found


def _of_service(
    name: str,
    config: Config,
    containers: Sequence[Facts],
    doors: Sequence[Door],
    resolve: Callable[[str], str],
) -> Target | None:
    url = config.probes.get(name, "")
    places = _places(containers)
    if url:
        parsed = urllib.parse.urlsplit(url)
        kind, host = (parsed.scheme if parsed.scheme in (HTTP, HTTPS) else HTTP), parsed.hostname or name
        path = (parsed.path or "/") + (f"?{parsed.query}" if parsed.query else "")
        elsewhere = host != name and not any(facts.service == host for facts in containers)
        where = _elsewhere(resolve(host)) if elsewhere else places
        return Target(name, SERVICE, kind, parsed.port or _PORTS[kind], parsed.netloc or name, path, where)
    for facts in containers:
        kind = kind_of(facts.image)
        if kind in (POSTGRES, REDIS):
            return Target(name, SERVICE, kind, _PORTS[kind], "", "", places, declared=False)
        asked = own_check(facts.check)
        if asked is not None:
            kind, port, path = asked
            return Target(name, SERVICE, kind, port, f"localhost:{port}", path, places, declared=False)
    for port, host, path in doors:
        return Target(name, SERVICE, HTTP, port, host.replace("*", "www", 1), path, places, declared=False)
    return None


def _elsewhere(address: str) -> tuple[Place, ...]:
    return (Place(address),) if address else ()


def _places(containers: Sequence[Facts]) -> tuple[Place, ...]:
    """Those that are well; where none is, all that run: as the edge chooses."""
    running = [facts for facts in containers if facts.running and facts.address]
    well = [facts for facts in running if facts.health in ("healthy", "none")]
    return tuple(Place(facts.address.strip("[]"), facts.id, facts.started) for facts in well or running)


def own_check(command: Sequence[str]) -> tuple[str, int, str] | None:
    """What a health check asks over HTTP, as scheme, port and path; None for one that does not."""
    found = _OWN.search(" ".join(command[1:])) if command and command[0] in ("CMD", "CMD-SHELL") else None
    if found is None:
        return None
    kind = found[1].lower()
    return kind, int(found[2] or _PORTS[kind]), found[3] or "/"
