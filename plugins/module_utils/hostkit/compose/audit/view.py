# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the rules look at: the merged project in long form, the files as written, and what the caller said of both."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from ..findings import Document
from ..project import Project
from ..release import jobs_of
from ..short import Image, parse_image
from ..template import TemplateError, Variable, parse
from .known_images import SERVERS, KnownImage, known_image


def unknown(path: str) -> str | None:
    """A probe that knows nothing."""
    return None


@dataclass(frozen=True)
class Before:
    """What a file said before repairs took it away, and what others in the file may still build upon.

    ``container_names`` maps a name to its service, ``published`` a service to its ports: on the host, in the container.
    """

    container_names: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, services: Mapping[str, Mapping[str, Any]]) -> Before:
        """Take it from services that have not been repaired."""
        names = {str(s["container_name"]): n for n, s in services.items() if s.get("container_name")}
        return cls(names, {name: _published(service) for name, service in services.items()})


def _published(service: Mapping[str, Any]) -> dict[int, int]:
    ports = [(number(port.get("published")), int(port["target"])) for port in service.get("ports") or []]
    return {outside: inside for outside, inside in ports if outside is not None}


def number(value: Any) -> int | None:
    """The number of a port; None for anything else."""
    text = str(value)
    return int(text) if len(text) <= 5 and text.isdecimal() else None


@dataclass(frozen=True)
class Context:
    """What a project alone does not say.

    ``classes`` maps a service to its class, ``policy`` a class to its rules. ``sources`` are the files as written.
    ``kind_of`` tells of a path on the controller whether it is a ``file``, a ``folder``, ``other`` or ``missing``; None
    where nobody can know. ``before`` is given where the project has been repaired.
    """

    classes: Mapping[str, str | None] = field(default_factory=dict)
    policy: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    project_name: str = ""
    directory: str = ""
    secret_names: Collection[str] = ()
    sources: Sequence[Document] = ()
    kind_of: Callable[[str], str | None] = unknown
    before: Before | None = None


class Default(NamedTuple):
    """A ``${name:-word}`` in a file; ``word`` is None when it is made of other variables, ``key`` is what it is for."""

    name: str
    word: str | None
    path: str
    key: str
    service: str | None


class Mount(NamedTuple):
    """A mount of a service: ``source`` is a path on the host for binds (also binds behind a named volume)."""

    position: int
    kind: str
    source: str
    target: str
    relative: str | None

    def path(self, service: str) -> str:
        """The place in the document."""
        return f"services.{service}.volumes[{self.position}]"


class View:
    """A project and its context, with what several rules need worked out once. Broken services are left out."""

    def __init__(self, project: Project, context: Context) -> None:
        self.project = project
        self.context = context
        self.all: Mapping[str, Mapping[str, Any]] = project.services
        self.services = {name: service for name, service in self.all.items() if name not in project.broken}
        self.before = context.before or Before.of(self.services)
        self.memo: dict[Any, Any] = {}
        self.networks: Mapping[str, Any] = project.data.get("networks") or {}
        self.volumes: Mapping[str, Any] = project.data.get("volumes") or {}

    @cached_property
    def jobs(self) -> set[str]:
        """Services that run once and end."""
        return jobs_of(self.all)

    def rules_of(self, name: str) -> Mapping[str, Any]:
        """The class policy of a service."""
        return self.context.policy.get(self.context.classes.get(name) or "", {})

    def image(self, name: str) -> Image | None:
        """The image of a service; None where it has none, or no valid one."""
        try:
            return parse_image(str(self.all[name].get("image") or ""))
        except ValueError:
            return None

    def known(self, name: str) -> KnownImage | None:
        """What is known of the image of a service."""
        image = self.image(name)
        return known_image(image.repository) if image else None

    def server(self, name: str) -> KnownImage | None:
        """The same, where the service runs the image's server; its clients (pg_dump, psql) keep nothing."""
        service = self.all[name]
        command = service.get("command") or []
        words = command if isinstance(command, list) else str(command).split()
        text = " ".join(map(str, words))[:1000]
        first = text.partition(" ")[0].rpartition("/")[2]
        if first in ("sh", "bash"):
            started_by = re.search(r"\bexec\s+(\S+)", text)
            first = started_by[1] if started_by else ""
        started = not text or first.startswith("-") or first in SERVERS
        return self.known(name) if started and not service.get("entrypoint") else None

    def joined(self, name: str) -> frozenset[str] | None:
        """Networks of a service; None where they cannot be told (host, another container)."""
        seen = set()
        while name in self.all and name not in seen:
            seen.add(name)
            service = self.all[name]
            mode = str(service.get("network_mode") or "")
            if mode == "none":
                return frozenset()
            if not mode or mode == "bridge":
                return frozenset(service.get("networks") or {"default": None})
            if not mode.startswith("service:"):
                return None
            name = mode.partition(":")[2]
        return None

    def aliases(self, name: str) -> list[str]:
        """Further names of a service in its networks."""
        stated = [(entry or {}).get("aliases") for entry in (self.services[name].get("networks") or {}).values()]
        return [str(alias) for aliases in stated if isinstance(aliases, list) for alias in aliases]

    def is_internal(self, network: str) -> bool:
        """Whether a network has no way out."""
        return (self.networks.get(network) or {}).get("internal") is True

    @cached_property
    def _relative(self) -> dict[tuple[str, str], str]:
        return {(bind["service"], bind["target"]): bind["source"] for bind in self.project.binds}

    def mounts(self, name: str) -> Iterator[Mount]:
        """The mounts of a service."""
        for index, volume in enumerate(self.services[name].get("volumes") or []):
            kind, source, target = str(volume["type"]), str(volume.get("source") or ""), str(volume["target"])
            if kind == "volume" and source:
                options = (self.volumes.get(source) or {}).get("driver_opts")
                options = options if isinstance(options, dict) else {}
                words = re.split(r"[,\s]+", str(options.get("o") or ""))
                if {"bind", "rbind"} & set(words) and options.get("device"):
                    kind, source = "bind", str(options["device"])
            yield Mount(index, kind, source, target, self._relative.get((name, target)) if kind == "bind" else None)

    @cached_property
    def defaults(self) -> list[Default]:
        """Every default that the files give for a variable, in services that are switched on."""
        found: list[Default] = []
        for document in self.context.sources:
            sections = {key: value for key, value in document.data.items() if not key.startswith("x-")}
            services = sections.pop("services", None)
            found += _defaults(sections, "", None)
            for name in services if isinstance(services, dict) else ():
                if name in self.services:
                    found += _defaults(services[name], f"services.{name}", name)
        return found


def _defaults(value: Any, where: str, service: str | None) -> Iterator[Default]:
    for path, text in _texts(value, where):
        key = _key(path, text)
        for variable in dict.fromkeys(_variables(text)):
            if variable.operator in (":-", "-"):
                yield Default(variable.name, _word(variable), path, key, service)


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Texts with a variable in them, and their paths."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}[{index}]")
    elif isinstance(value, str) and "$" in value:
        yield path, value


def _variables(text: str) -> Iterator[Variable]:
    try:
        nodes = list(parse(text))
    except TemplateError:  # Reported by the interpolator.
        return
    while nodes:
        node = nodes.pop()
        if isinstance(node, Variable):
            nodes.extend(node.word)
            yield node


def _key(path: str, text: str) -> str:
    """The variable or key that a text is the value of."""
    last = path.rpartition(".")[2]
    return text.partition("=")[0] if "[" in last and "=" in text else last.partition("[")[0]


def _word(variable: Variable) -> str | None:
    words = [node for node in variable.word if isinstance(node, str)]
    return "".join(words) if len(words) == len(variable.word) else None
