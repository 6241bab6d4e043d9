"""A small stack to deploy onto a fake host: db, then web and worker, which both need it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import deploy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.launcher import Launcher
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.probes import Ask
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths, Release, Store
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout import Rollout
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_run import run_release

from fakes.docker_host import DockerHost, NearEngine

CANARY = "Canary-5ecret/@:?"
REGISTRY = "registry.example.com:5000/demo"
EPOCH = 1_800_000_000
NEEDS = {"db": [], "web": ["db"], "worker": ["db"]}


def image_of(service: str, version: str = "1") -> str:
    return f"{REGISTRY}/{service}:{version}"


def make_wanted(
    version: str = "1",
    *,
    images: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    needs: Mapping[str, list[str]] | None = None,
    conditions: Mapping[str, str] | None = None,
    networks: Mapping[str, Any] | None = None,
    secret: str = CANARY,
    **about: Any,
) -> deploy.Wanted:
    """Return what the controller would ask for. `conditions` says how others wait for a service."""
    needs = NEEDS if needs is None else needs
    model: dict[str, Any] = {"name": "demo", "services": {}, "networks": dict(networks or {"back": {}})}
    facts: dict[str, dict[str, Any]] = {}
    for name, others in needs.items():
        image = (images or {}).get(name) or image_of(name, version)
        waits = {other: (conditions or {}).get(other, "service_healthy") for other in others}
        model["services"][name] = {
            "image": image,
            "environment": {"PASSWORD": "${DB_PASSWORD}", **(environment or {})},
            "networks": dict.fromkeys(model["networks"]),
            "depends_on": {other: {"condition": condition} for other, condition in waits.items()},
        }
        facts[name] = {"image": image, "class": "infra", "depends_on": waits}
    return deploy.Wanted(
        model=model,
        services=facts,
        order=levels_of(needs),
        secrets={"DB_PASSWORD": secret},
        project="demo",
        about={"version": version, "ready_timeout": 30, "keep_releases": 5, "local_images": [], **about},
    )


def levels_of(needs: Mapping[str, list[str]]) -> list[list[str]]:
    levels: list[list[str]] = []
    while named := {name for level in levels for name in level} ^ set(needs):
        levels.append(sorted(name for name in named if not set(needs[name]) & named))
    return levels


class SmallStack:
    """A host, its releases, and what an operator does with them."""

    def __init__(self, root: Path, *, served: bool = False) -> None:
        self.docker = DockerHost()
        # How many connections the edge has to the containers at these addresses.
        self.connections: Callable[[Collection[str]], int] = lambda _addresses: 0
        # What a container answers at an address, through a door of the edge.
        self.ask: Ask = lambda _address, _door: 200
        self.free_memory: int | None = None
        # Makes a restore point; its name is that of a run of backups.
        self.back_up: Callable[[Path, Engine], str] = lambda _root, _engine: "run-1"
        self.engine: Engine = NearEngine(self.docker)
        if served:
            self.docker.serve()
            self.engine = Engine(str(self.docker.socket))
        self.store = Store(Paths(root), clock=lambda: EPOCH + self.docker.now)
        for service in NEEDS:
            for version in ("1", "2", "3"):
                self.docker.push(image_of(service, version))

    def close(self) -> None:
        self.docker.remove()

    def plan(self, wanted: deploy.Wanted) -> deploy.Plan:
        return deploy.make_plan(self.store, self.engine, wanted)

    def prepare(self, wanted: deploy.Wanted) -> Release:
        return deploy.prepare(self.store, self.plan(wanted), wanted)

    def rollout(self, store: Store, release: Release, engine: Engine, **options: Any) -> Rollout:
        """Make a rollout that works on the fake host; takes the place of the class where one is injected."""
        options |= {"run": self.docker, "clock": self.docker.clock, "sleep": self.docker.sleep, "poll_seconds": 2.0}
        options |= {"connections": self.connections, "ask": self.ask}
        options["free_memory"] = lambda: self.free_memory
        options["back_up"] = self.back_up
        return Rollout(store, release, engine, **options)

    def launcher(self, run_here: Callable[..., int] | None = None) -> Launcher:
        """Make a launcher that runs the rollout in between two looks."""

        def run(store: Store, release: Release, engine: Engine) -> int:
            return run_release(store, release, engine, rollout=self.rollout, run=self.docker, lock_wait=0)

        return Launcher(
            sleep=self.docker.sleep,
            clock=self.docker.clock,
            systemd=self.store.paths.root / "no-systemd",
            run_here=run_here or run,
        )

    def apply(self, release: Release) -> dict[str, Any]:
        self.rollout(self.store, release, self.engine).apply()
        return release.read()

    def deploy(self, wanted: deploy.Wanted) -> dict[str, Any]:
        """Plan, prepare, roll out; return release.json. Raises RolloutError."""
        return self.apply(self.prepare(wanted))

    def everything_written(self) -> str:
        """Return all text below the root that is no env file: no secret may be in there."""
        files = [path for path in self.store.paths.root.rglob("*") if path.is_file() and path.name != "env"]
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
