"""Services that keep a secret, on a made-up host: a Postgres that understands what psql is told, and a Grafana."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import deploy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Release, Store
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout import Rollout
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.scram import fits, make_verifier

from fakes.docker_host import DockerHost
from fakes.small_stack import SmallStack

ROLE = {"secret": "DB_PASSWORD", "kind": "postgres_role", "service": "db", "role": "app"}
ADMIN = {"secret": "DB_PASSWORD", "kind": "grafana_admin", "service": "web"}
TEXT = r"'((?:[^']|'')*)'"
ASKED = re.compile(rf"SELECT .* WHERE rolname = {TEXT};")
ORDER = re.compile(rf'ALTER ROLE "((?:[^"]|"")*)" PASSWORD {TEXT};')


class KeptSecrets:
    """Takes the place of what talks to programs in containers. `roles` is the volume: it outlives containers."""

    def __init__(self, docker: DockerHost) -> None:
        self.docker = docker
        self.roles: dict[str, str] = {}
        self.administrator = ""
        self.calls: list[tuple[list[str], str]] = []
        self.version = "150019"
        # Called before each; an answer takes the place of what would have happened.
        self.before: Callable[[Sequence[str], str], CommandResult | None] = lambda _argv, _text: None

    def __call__(self, argv: Sequence[str], text: str) -> CommandResult:
        self.calls.append((list(argv), text))
        answer = self.before(argv, text)
        if answer:
            return answer
        docker, verb, option, container, program, *_ = argv
        assert (docker, verb, option) == ("docker", "exec", "--interactive")
        found = self.docker.containers.get(container)
        if found is None or found.state != "running":
            return CommandResult(1, "", "Error response from daemon: container is not running\n")
        if program == "grafana":
            self.administrator = text.removesuffix("\n")
            return CommandResult(0)
        return self._psql(found.environment["PASSWORD"], text)

    def _psql(self, initial: str, text: str) -> CommandResult:
        self.roles.setdefault("app", make_verifier(initial, iterations=1))
        for role, verifier in ORDER.findall(text):
            name = role.replace('""', '"')
            if name not in self.roles:
                return CommandResult(3, "", f'ERROR:  role "{name}" does not exist\n')
            self.roles[name] = verifier
        (asked,) = ASKED.findall(text)
        stored = self.roles.get(asked.replace("''", "'"))
        return CommandResult(0, "" if stored is None else f"hypercode-role|{self.version}|{stored}\n")

    def accepts(self, password: str, role: str = "app") -> bool:
        return fits(self.roles[role], password, role)

    def orders(self) -> int:
        """Return how often a password was set."""
        return sum("ALTER ROLE" in text for _, text in self.calls)


class KeepingStack(SmallStack):
    """A small stack whose db is such a Postgres, and whose web is such a Grafana."""

    def __init__(self, root: Path, **options: Any) -> None:
        super().__init__(root, **options)
        self.kept = KeptSecrets(self.docker)

    def plan(self, wanted: deploy.Wanted) -> deploy.Plan:
        return deploy.make_plan(self.store, self.engine, wanted, tell=self.kept)

    def rollout(self, store: Store, release: Release, engine: Engine, **options: Any) -> Rollout:
        return super().rollout(store, release, engine, **{"tell": self.kept, **options})
