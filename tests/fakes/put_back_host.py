"""The release in use of a host with something to restore: services that are only noted to be stopped and started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_hands import Hands
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_error import RolloutError

from fakes.backup_host import BackupHost


@dataclass
class FakeRelease:
    """In place of the containers of a release. `depends` has whom each service needs; `broken` never get ready."""

    host: BackupHost
    depends: dict[str, list[str]]
    broken: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    keeper: None = None

    def __post_init__(self) -> None:
        self.release = SimpleNamespace(id="20261129T010000Z-0a1b2c3d")
        self.tools = SimpleNamespace(engine=self.host.engine, tell_edge=lambda _engine: "")
        self.about: dict[str, Any] = {
            "services": {name: {"depends_on": dict.fromkeys(needs)} for name, needs in self.depends.items()}
        }

    def levels(self) -> list[list[str]]:
        first = sorted(name for name, needs in self.depends.items() if not needs)
        return [first, sorted(set(self.depends) - set(first))]

    def with_dependents(self, names: Sequence[str]) -> set[str]:
        found = set(names)
        for name in (name for level in self.levels() for name in level):
            if found & set(self.depends[name]):
                found.add(name)
        return found

    def compose(self, *words: str) -> CommandResult:
        self.done.append(" ".join(words))
        if words[0] == "stop":
            self._set(words[1:], "exited")
        return CommandResult(0)

    def compose_up(self, names: Sequence[str]) -> None:
        self.done.append(f"up {' '.join(names)}")
        self._set([name for name in names if name not in self.broken], "running")

    def wait_ready(self, names: Sequence[str], *, first_crash_ends: bool = True) -> Any:
        bad = self.broken & set(names)
        late = [SimpleNamespace(service=name) for name in sorted(bad)]
        return SimpleNamespace(is_good=not bad, bad=bad, crashed=[], late=late)

    def rows(self, names: Sequence[str]) -> list[Any]:
        """What runs of these services, and is well."""
        up = {
            item["Config"]["Labels"]["com.docker.compose.service"]
            for item in self.host.engine.found
            if item["State"]["Status"] == "running"
        }
        return [SimpleNamespace(service=name, is_good=name in up) for name in names]

    def not_ready(self, outcome: Any) -> RolloutError:
        return RolloutError(f"{', '.join(sorted(outcome.bad))} did not get healthy")

    def _set(self, names: Sequence[str], status: str) -> None:
        for item in self.host.engine.found:
            if item["Config"]["Labels"]["com.docker.compose.service"] in names:
                item["State"] = {"Status": status}


def hands(host: BackupHost, depends: dict[str, list[str]]) -> tuple[Hands, FakeRelease]:
    """What works on the services of this host, and what notes it."""
    release = FakeRelease(host, depends)
    return Hands(host.backup(), release), release  # type: ignore[arg-type]
