# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller asks for, and whether it hangs together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .compose.emit import emit
from .compose.envfile import write_env
from .credentials import Credential, CredentialError, read_credentials
from .hook_list import hook_problem
from .image_content_rules import PackageRuleError, PackageRules, rules_in

REFERENCE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(:?[-+?])?")
PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
JOB_CONDITION = "service_completed_successfully"


class DeployError(Exception):
    """What is wanted cannot be deployed as it was handed over; the text says why and the fix."""


@dataclass(frozen=True)
class Wanted:
    """What the controller asks for.

    `model` is the resolved Compose project as data, `services` its facts by service (class, limits, depends_on …),
    `order` the dependency levels, `secrets` name -> value for the env file, `about` what goes into release.json.
    """

    model: Mapping[str, Any]
    services: Mapping[str, Mapping[str, Any]]
    order: Sequence[Sequence[str]]
    secrets: Mapping[str, str]
    project: str
    about: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def compose_text(self) -> str:
        """compose.yaml, images as they were asked for."""
        return emit(self.model)

    @cached_property
    def env_text(self) -> str:
        """The text of the env file."""
        return write_env(self.secrets)

    @property
    def credentials(self) -> list[Credential]:
        """The secrets that running services keep. Raises CredentialError."""
        return read_credentials(self.about.get("credentials") or [], self.services, self.secrets)

    @property
    def package_rules(self) -> PackageRules:
        """Which Python packages no image may hold. Raises PackageRuleError."""
        return rules_in(self.about)

    @property
    def version(self) -> str:
        """The version as text, whatever YAML made of it."""
        version = self.about.get("version")
        return "" if version is None else str(version)


def references_in(data: Any) -> frozenset[str]:
    """Return the names in `${NAME…}` anywhere in JSON-like data. `$$` is a plain dollar sign."""
    return frozenset(name for text in _texts(data) for name, _rest in REFERENCE.findall(text) if name)


def required_in(data: Any) -> frozenset[str]:
    """As references_in, but without those that may be empty on purpose: `${NAME:+text when it is set}`."""
    found = (match for text in _texts(data) for match in REFERENCE.findall(text))
    return frozenset(name for name, operator in found if name and not operator.endswith("+"))


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(data, list | tuple):
        for item in data:
            yield from _texts(item)


def service_facts(wanted: Wanted) -> dict[str, dict[str, Any]]:
    """Return what release.json holds of each service: its facts, `job`, and `replicas` where it is not one."""
    jobs = {
        name
        for meta in wanted.services.values()
        for name, condition in (meta.get("depends_on") or {}).items()
        if condition == JOB_CONDITION
    }
    facts = {}
    for name, meta in wanted.services.items():
        facts[name] = {**meta, "job": True} if name in jobs else dict(meta)
        copies = _copies(wanted.model["services"][name])
        if copies is not None and copies != 1:
            facts[name]["replicas"] = copies
    return facts


def _copies(service: Mapping[str, Any]) -> int | None:
    stated = (service.get("deploy") or {}).get("replicas", service.get("scale"))
    try:
        return None if stated is None else int(stated)
    except (TypeError, ValueError):
        return None


def check_wanted(wanted: Wanted) -> None:
    """Refuse what does not hang together, before anything is read or written. Raises DeployError."""
    if not PROJECT.fullmatch(wanted.project):
        raise DeployError(
            f"'{wanted.project}' is no name for a Compose project. Nothing was changed. "
            "Fix: set stack_project to lower-case letters, digits, - and _"
        )
    problem = _problem(wanted)
    if problem:
        raise DeployError(f"{problem}. Nothing was changed. Fix: hand over what compose_render returned, unchanged")
    try:
        _text = wanted.compose_text
    except TypeError as error:
        raise DeployError(
            f"The Compose project cannot be written: {error}. Nothing was changed. Fix: put that value in quotes"
        ) from error
    try:
        _text = wanted.env_text
    except ValueError as error:
        raise DeployError(f"In stack_secrets, {error}. Nothing was changed. Fix: correct stack_secrets") from error
    try:
        _rules = wanted.package_rules
    except PackageRuleError as error:
        raise DeployError(_unchanged(error)) from error
    problem = hook_problem(wanted.about.get("hooks") or {}, wanted.services)
    if problem:
        raise DeployError(f"{problem}. Nothing was changed. Fix: correct stack_hooks")


def check_credentials(wanted: Wanted) -> None:
    """Refuse credentials that cannot be told to a service of this stack. Raises DeployError."""
    try:
        _found = wanted.credentials
    except CredentialError as error:
        raise DeployError(_unchanged(error)) from error


def _unchanged(error: Exception) -> str:
    what, _mark, fix = str(error).partition(" Fix: ")
    return f"{what} Nothing was changed. Fix: {fix}"


def _problem(wanted: Wanted) -> str:
    services = wanted.model.get("services")
    if not isinstance(services, Mapping) or not services:
        return "The Compose project has no services"
    if set(services) != set(wanted.services):
        odd = ", ".join(sorted(set(services) ^ set(wanted.services)))
        return f"The Compose project and the facts about it have different services: {odd}"
    for name, service in services.items():
        if not isinstance(service, Mapping) or not isinstance(wanted.services[name], Mapping):
            return f"The service {name} is no mapping"
        if not isinstance(service.get("image"), str) or not service["image"]:
            return f"The service {name} has no image"
        if "${" in service["image"].replace("$$", ""):
            return f"The image of {name} is known to Compose only: a secret stands in it"
    return _order_problem(wanted)


def _order_problem(wanted: Wanted) -> str:
    level_of: dict[str, int] = {}
    for number, level in enumerate(wanted.order):
        if isinstance(level, str) or not isinstance(level, Sequence):
            return "The start order is no list of lists"
        for name in level:
            if name in level_of:
                return f"The service {name} is twice in the start order"
            level_of[name] = number
    if set(level_of) != set(wanted.services):
        odd = ", ".join(sorted(str(name) for name in set(level_of) ^ set(wanted.services)))
        return f"The start order and the services differ: {odd}"
    for name, meta in wanted.services.items():
        needed = meta.get("depends_on") or {}
        for other in needed if isinstance(needed, Mapping) else ():
            if level_of.get(other, -1) >= level_of[name]:
                return f"In the start order {name} does not come after {other}, which it depends on"
    return ""
