"""A small project behind an edge, which is asked all the time while it is updated."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.hosts import Bed

from . import playbook, stack
from .web import Load, Site, until

JOURNALS = "ls /var/lib/hypercode/rollout | wc -l"


@dataclass(frozen=True)
class Updated:
    """The service `app` of the first host of a bed."""

    bed: Bed

    @property
    def site(self) -> Site:
        return Site(self.bed.address(0), "app.test")

    @property
    def mirror(self) -> str:
        """Where the images are pulled from."""
        return f"{self.bed.registry}/sandbox"

    def version(self) -> str:
        return self.site.get("/").headers["x-version"]

    def containers(self, host: Any) -> list[str]:
        """The ids of its containers, also of those that do not run."""
        words = "docker ps --all --no-trunc --format '{{.ID}}' --filter label=com.docker.compose.service=app"
        return stack.root(host, words).split()

    @contextmanager
    def asked(self, *, slow: bool = True) -> Iterator[dict[str, Load]]:
        """Kept connections, fresh ones, and requests that take 6 seconds, all at once."""
        loads = {"kept": Load(self.site, rate=100, keep=True), "fresh": Load(self.site, rate=30, workers=4)}
        if slow:
            loads["slow"] = Load(self.site, rate=1, workers=10, path="/slow=6")
        with ExitStack() as all_of_them:
            for load in loads.values():
                all_of_them.enter_context(load.running())
            time.sleep(1)
            yield loads
            time.sleep(1)

    def words(self, *more: str, bake: int = 5, **environment: str) -> list[str]:
        """What a playbook is told to bring the project to a release with this environment."""
        wanted = {"stack_environment": {"MIRROR": self.mirror, "CALLS": "app:8000", **environment}, "stack_bake": bake}
        return ["--tags", "stack", *more, "--extra-vars", json.dumps(wanted)]

    def update(self, inventory: Path, *more: str, bake: int = 5, **environment: str) -> playbook.Outcome:
        return playbook.play(*self.words(*more, bake=bake, **environment), inventory=inventory)

    @contextmanager
    def in_the_middle(self, host: Any, inventory: Path, *more: str, **environment: str) -> Iterator[Cut]:
        """Begin an update; inside two containers of it are there. Its end is in what it yields."""
        journals = stack.root(host, JOURNALS)
        process = playbook.start(*self.words(*more, **environment), inventory=inventory)
        until("it begins", 60, lambda: stack.root(host, JOURNALS) != journals)
        until("the new one is beside", 60, lambda: len(self.containers(host)) == 2)
        cut = Cut(playbook.Outcome(-1, ""))
        yield cut
        output, _nothing = process.communicate(timeout=150)
        cut.done = playbook.Outcome(process.returncode, output)


@dataclass
class Cut:
    """How an update ended in whose middle something happened."""

    done: playbook.Outcome


def told(loads: dict[str, Load]) -> str:
    return "; ".join(
        f"{name} {load.sent}: {len(load.failures)} failed, {load.again} asked again, longest {load.longest:.1f} s"
        for name, load in loads.items()
    )


def nothing_failed(loads: dict[str, Load]) -> None:
    assert {name: (load.kinds, load.again) for name, load in loads.items()} == dict.fromkeys(loads, ({}, 0))
