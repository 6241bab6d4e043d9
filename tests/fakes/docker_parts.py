"""What a made-up Docker host consists of: containers, and how each behaves."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import re
from dataclasses import dataclass
from typing import Any

import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine, EngineAway

REFERENCE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)[^}]*\}")
LABEL = "com.docker.compose."


class KilledError(BaseException):
    """Stands for SIGKILL: nothing in the code under test may catch it."""


@dataclass
class Behaviour:
    """How the containers of a service behave. Times in seconds after their start."""

    check: bool = True
    healthy_after: float | None = 2.0
    exits_after: float | None = None
    exit_code: int = 1
    restarts_every: float | None = None
    log: str = "a line of the log\n"
    probe: str = "connection refused"

    # What the health check says when it is run by hand, at some age; otherwise as the engine sees it.
    fails_by_hand: tuple[float, float] = (0.0, 0.0)

    def check_now(self, age: float) -> CommandResult:
        """The health check, run in the container by hand."""
        status = (self.health(age) or {"Status": "healthy"})["Status"]
        begin, end = self.fails_by_hand
        return CommandResult(0) if status == "healthy" and not begin <= age < end else CommandResult(1, self.probe)

    def health(self, age: float) -> dict[str, Any] | None:
        """What the engine tells of the health check of a container of that age; None where it has none."""
        if not self.check:
            return None
        is_up = self.healthy_after is not None and age >= self.healthy_after
        status = "healthy" if is_up else "unhealthy" if age > 60 else "starting"
        return {"Status": status, "Log": [{"Output": f"{self.probe}\n"}]}


@dataclass
class Container:
    """One container; `state` is what was told last: running, exited, paused or created."""

    id: str
    project: str
    service: str
    reference: str
    image_id: str
    hash: str
    networks: list[str]
    environment: dict[str, str]
    behaviour: Behaviour
    started: float
    number: int = 1
    oneoff: bool = False
    state: str = "running"
    exit_code: int = 0
    # Given by hand; else it is made of the three above.
    name: str = ""

    def is_of(self, project: str, service: str) -> bool:
        return (self.project, self.service) == (project, service) and not self.oneoff


@functools.lru_cache(maxsize=100)
def load(text: str) -> Any:
    return yaml.safe_load(text)


def repository(reference: str) -> str:
    name = reference.partition("@")[0]
    return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name


def without_tag(reference: str) -> str:
    """As the engine looks images up: where there is a digest, the tag does not count."""
    name, at, digest = reference.partition("@")
    return f"{repository(name)}@{digest}" if at else name


def health_check(container: Container) -> dict[str, Any] | None:
    """As it stands in the configuration of a container."""
    if not container.behaviour.check:
        return None
    return {"Test": ["CMD-SHELL", f"probe --password {container.environment.get('PASSWORD', '')}"]}


def config_hash(service: dict[str, Any], *, with_order: bool = False) -> str:
    """What is written on a container. With `--no-deps`, whom the service waits for does not count."""
    told = {key: value for key, value in service.items() if key != "depends_on" or (with_order and value)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def told_hashes(services: dict[str, dict[str, Any]], names: str, override: str) -> CommandResult:
    """Answer `config --hash NAMES`. In Compose 2.26 whom a service waits for counts here."""
    pairs = itertools.pairwise(override.splitlines())
    reset = {name.strip(' :"') for name, line in pairs if line == "    depends_on: !reset null"}
    hashes = {name: config_hash(services[name], with_order=name not in reset) for name in names.split(",")}
    return CommandResult(0, "".join(f"{name} {value}\n" for name, value in hashes.items()))


class NearEngine(Engine):
    """The engine's client without the socket in between: hundreds of tests need not wait for it."""

    def __init__(self, host: Any) -> None:
        super().__init__(str(host.socket))
        self._host = host

    def _exchange(self, target: str, headers: Any = None) -> tuple[int, bytes]:
        if not self._host.answers:
            raise EngineAway("Docker is not running here. Fix: systemctl start docker")
        return self._host.answer(target)
