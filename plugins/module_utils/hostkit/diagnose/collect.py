# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collects: the secrets first, then step by step. A step that fails or hangs is a line in the index."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..watch.config import Paths as WatchPaths
from ..watch.config import WatchError, read_config
from . import docker_steps, host_steps, stack_steps
from .bundle import Bundle
from .context import Container, Context, Run, as_json
from .entries import Absent, Entries, Entry, File, Problem
from .index import Report, index_json, readme
from .isolate import Isolate
from .known_secrets import read_secrets
from .mask import Mask

# For all steps together, in seconds.
LONGEST = 480.0


@dataclass(frozen=True)
class Step:
    """A step: what it collects, and for how long at most (seconds).

    ``quotes`` says that programs wrote that text, which may quote secrets: without knowing those it is left out.
    """

    title: str
    work: Callable[[Context], Entries]
    limit: float = 30.0
    quotes: bool = True
    docker: bool = False


STEPS = (
    Step("versions", host_steps.versions, 60.0, quotes=False),
    Step("board", stack_steps.board, 60.0),
    Step("units", host_steps.units),
    Step("disks", host_steps.disks, quotes=False),
    Step("memory and load", host_steps.memory, quotes=False),
    Step("processes", host_steps.processes),
    Step("clock", host_steps.clock, quotes=False),
    Step("network", host_steps.network, quotes=False),
    Step("firewall", host_steps.firewall, quotes=False),
    Step("releases", stack_steps.releases),
    Step("certificates", stack_steps.certificates),
    Step("edge", stack_steps.edge),
    Step("settings", stack_steps.settings, quotes=False),
    Step("backups", stack_steps.backup),
    Step("metrics", stack_steps.metrics),
    Step("containers", docker_steps.listed, 120.0, docker=True),
    Step("containers in detail", docker_steps.inspected, 60.0, docker=True),
    Step("networks of Docker", docker_steps.networks, docker=True),
    Step("what containers take", docker_steps.statistics, docker=True),
    Step("evidence of failed steps", stack_steps.evidence, 60.0),
    Step("journals of units", host_steps.journals, 120.0),
    Step("journal of the watch", stack_steps.watch, 60.0),
)
# Asks a store that may be far away, so it comes last.
LAST = (Step("runs in the repositories of backups", stack_steps.backup_runs, 90.0),)


@dataclass(frozen=True)
class Known:
    """What the first steps found out."""

    secrets: Sequence[tuple[str, str]] = ()
    words: Sequence[str] = ()
    # Why some secrets are not known; empty where all are.
    unread: Sequence[str] = ()
    docker: str = ""
    containers: Sequence[Container] = field(default_factory=tuple)


def look_around(host: Any, *, run: Run, isolate: Isolate) -> Known:
    """Read the secrets, and see which containers there are."""
    context = Context(host, 0, 0, run)

    def secrets() -> Entries:
        found = read_secrets(context.root)
        with suppress(WatchError):
            found.projects |= set(read_config(WatchPaths(context.root).config).projects)
        about = {"secrets": list(found.secrets), "words": list(found.words | found.projects), "unread": found.unread}
        yield as_json("secrets", {**about, "projects": list(found.projects)})

    about, why = _document(isolate(secrets, 60.0))
    projects = about.get("projects") or []

    def containers() -> Entries:
        reason, found, inside = docker_steps.find_containers(context, projects)
        rows = [(container.id, container.name) for container in found]
        yield as_json("containers", {"docker": reason, "containers": rows, "secrets": inside})

    docker, silent = _document(isolate(containers, 60.0))
    return Known(
        secrets=[(str(name), str(value)) for name, value in [*about.get("secrets", []), *docker.get("secrets", [])]],
        words=about.get("words", []),
        unread=[*about.get("unread", []), *why],
        docker=str(docker.get("docker") or " ".join(silent)),
        containers=[Container(*row) for row in docker.get("containers", [])],
    )


def _document(entries: Sequence[Entry]) -> tuple[dict[str, Any], list[str]]:
    problems = [entry.why for entry in entries if isinstance(entry, Problem)]
    texts = [entry.text for entry in entries if isinstance(entry, File)]
    return (json.loads(texts[0]) if texts else {}), problems


def collect(
    host: Any,
    path: Path,
    *,
    name: str,
    now: float,
    since: float,
    run: Run,
    isolate: Isolate,
    tell: Callable[[str], None] = lambda _line: None,
) -> Report:
    """Collect everything into a file at ``path``. DiagnoseError when that cannot be written."""
    known = look_around(host, run=run, isolate=isolate)
    context = Context(host, now, since, run, docker=known.docker, containers=known.containers)
    report = Report(name=name, now=now, since=since, secrets=len({value for _name, value in known.secrets}))
    until = time.monotonic() + LONGEST
    with Bundle(path, Mask(known.secrets, known.words), folder=path.name.removesuffix(".tar.gz"), now=now) as bundle:
        report.fail("secrets", known.unread, bundle.mask)
        report.fail("Docker", [known.docker] if known.docker else [], bundle.mask)
        for step in _steps(known):
            tell(step.title)
            left = min(step.limit, until - time.monotonic())
            if left <= 0:
                report.fail(step.title, ["left out: everything before it took too long"], bundle.mask)
            elif step.quotes and known.unread:
                report.fail(
                    step.title, ["left out: not all secrets are known, so they could not be masked"], bundle.mask
                )
            elif not (step.docker and known.docker):
                _take(isolate(partial(step.work, context), left), step.title, bundle, report)
        report.bytes = bundle.finish(("README.md", readme(report)), ("index.json", index_json(report)))
    return replace(report, path=str(path))


def _steps(known: Known) -> Iterator[Step]:
    yield from STEPS
    for container in known.containers:
        work = partial(docker_steps.logs_of, container=container)
        yield Step(f"log of {container.name}", work, 45.0, docker=True)
    yield from LAST


def _take(entries: Sequence[Entry], title: str, bundle: Bundle, report: Report) -> None:
    for entry in entries:
        if isinstance(entry, Problem):
            report.fail(title, [entry.why], bundle.mask)
        elif isinstance(entry, Absent):
            report.absent.append(bundle.mask(entry.what))
        else:
            added = bundle.add(entry.name, entry.text)
            if added is None:
                report.fail(title, [f"{entry.name} is left out: the bundle is full"], bundle.mask)
            else:
                report.add(added, bundle.names[added], cut=entry.cut)
