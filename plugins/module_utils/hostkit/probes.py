# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks a container itself: its own health check, run now, and what the edge would ask it.

Docker runs a health check once a minute or so; whether a new container can be trusted has to be known sooner.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .release_images import Runner
from .stack_state import address_of

DEFAULT_TIMEOUT = 30.0
# What docker exec needs besides the check itself.
MARGIN = 10.0
ASK_TIMEOUT = 5.0
AT_ONCE = 4


@dataclass(frozen=True)
class Door:
    """A way on which the edge leads requests to a service: its port, and a host and a path that are asked for there."""

    port: int
    host: str
    path: str


Ask = Callable[[str, Door], int]
"""Asks at an address, through a door, for its path. The status of the answer; 0 where there is none."""


def doors_in(manifest: Mapping[str, Any] | None) -> dict[str, list[Door]]:
    """The ways that the edge leads to each service, out of what the role edge wrote down; none without an edge."""
    found = (manifest or {}).get("doors") or {}
    return {name: [Door(int(port), str(host), str(path)) for port, host, path in ways] for name, ways in found.items()}


def ask(address: str, door: Door) -> int:
    """One GET, as the edge would send it. Redirections are not followed."""
    connection = http.client.HTTPConnection(address.strip("[]"), door.port, timeout=ASK_TIMEOUT)
    try:
        host = door.host.replace("*", "www", 1)
        connection.request("GET", door.path, headers={"Host": host, "User-Agent": "hypercode-rollout"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def health_command(container: Mapping[str, Any]) -> tuple[str, ...]:
    """The health check of an inspected container, as a command; empty where it has none."""
    config = container["Config"]
    match (config.get("Healthcheck") or {}).get("Test") or []:
        case ["CMD", *words]:
            return tuple(words)
        case ["CMD-SHELL", text]:
            return (*(config.get("Shell") or ("/bin/sh", "-c")), text)
        case _:
            return ()


def complaint_of_check(container: Mapping[str, Any], run: Runner) -> str:
    """Run the health check of a container now. What is wrong, as the end of a sentence; empty when nothing is."""
    command = health_command(container)
    if not command:
        return ""
    nanoseconds = (container["Config"].get("Healthcheck") or {}).get("Timeout") or 0
    timeout = nanoseconds / 1e9 or DEFAULT_TIMEOUT
    done = run(["docker", "exec", str(container["Id"]), *command], timeout=timeout + MARGIN)
    if done.code == 0:
        return ""
    lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
    said = lines[-1][:200] if lines else f"exit code {done.code}"
    return f"its health check failed when it was run once more: {said}"


def leads_to(host: str, doors: Mapping[str, Sequence[Door]], services: Collection[str]) -> bool:
    """Whether requests for this name get to one of these services."""
    parent = f"*.{host.partition('.')[2]}"
    return any(door.host in (host, parent) for name in services for door in doors.get(name, ()))


def complaints(
    found: Mapping[str, Sequence[Mapping[str, Any]]], complaint: Callable[[str, Mapping[str, Any]], str]
) -> dict[str, str]:
    """What ``complaint`` has to say of the containers of each service; the first one counts, "" stands for none.

    A few are asked at once: each check is a program that has to start.
    """
    pairs = [(name, container) for name, containers in found.items() for container in containers]
    said = dict.fromkeys(found, "")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for (name, _container), text in zip(pairs, pool.map(lambda pair: complaint(*pair), pairs), strict=True):
            said[name] = said[name] or text
    return said


@dataclass(frozen=True)
class Doors:
    """What the old containers of a service answer, so that a new one has to be no worse."""

    expected: Mapping[Door, int]

    @classmethod
    def of(cls, old: Sequence[Mapping[str, Any]], doors: Sequence[Door], ask: Ask) -> Doors:
        """Ask the old ones. A door that leads to nothing good today is none that a new one is judged by."""
        address = next(filter(None, map(address_of, old)), "")
        # The same place under several names is asked once.
        places: dict[tuple[int, str], Door] = {}
        for door in doors:
            places.setdefault((door.port, door.path), door)
        answers = {door: ask(address, door) for door in places.values()} if address else {}
        return cls({door: status for door, status in answers.items() if is_good(status)})

    def complaint(self, container: Mapping[str, Any], ask: Ask) -> str:
        """What a new container answers worse than the old one, as the end of a sentence; empty when nothing is."""
        address = address_of(container)
        for door, before in self.expected.items():
            status = ask(address, door) if address else 0
            if not is_good(status):
                said = f"answers GET {door.path} with {status}" if status else f"gives no answer to GET {door.path}"
                return f"it {said} (as {door.host}), where the old one answers {before}"
        return ""


def is_good(status: int) -> bool:
    """Whether a service has answered, if only that it does not have this."""
    return 0 < status < 500
