# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks that a document has the shape of a Compose file, and that what it refers to exists. All findings at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .findings import Finding, closest, error
from .order import cycles
from .schema import CONDITIONS, DEPENDENCY, NESTED, SERVICE, TOP_LEVEL, kind_of, kind_words
from .units import parse_cpus, parse_duration, parse_size

__all__ = ["Finding", "check_references", "check_shape", "dependencies"]

_SERVICE_NAME = re.compile(r"[a-zA-Z0-9._-]+")
# Lists whose items may be mappings; all other lists hold text and numbers.
_RICH_LISTS = frozenset(
    {"ports", "volumes", "secrets", "configs", "env_file", "devices", "gpus", "post_start", "pre_stop"}
)
_KEYED = ("environment", "labels", "annotations", "sysctls")
_NOT_SUPPORTED = {
    "provider": "run that provider's resource beside the stack, and refer to it by address",
    "label_file": "write the labels into the Compose file",
    "credential_spec": "remove it; it is for Windows containers",
    "use_api_socket": "remove it; a container with the Docker socket controls the host",
}


def check_shape(data: Mapping[str, Any]) -> list[Finding]:
    """Findings about keys and kinds of values in one document, before short forms are expanded."""
    findings: list[Finding] = []
    for key, value in data.items():
        if key.startswith("x-"):
            continue
        kinds = TOP_LEVEL.get(key)
        if kinds is None:
            fix = f"remove it, or name it x-{key} when it only holds text for anchors."
            findings.append(
                error("unknown-key", f"{key!r} is no part of a Compose file.{_hint(key, TOP_LEVEL)}", fix, key)
            )
        elif value is not None and kind_of(value) not in kinds:
            findings.append(_wrong_kind(key, key, kinds, value, None))
    for name, service in _mapping(data.get("services")).items():
        findings.extend(_check_service(str(name), service))
    for section in ("networks", "volumes", "secrets", "configs"):
        for name, entry in _mapping(data.get(section)).items():
            if entry is not None and not isinstance(entry, dict):
                findings.append(_wrong_kind(f"{section}.{name}", f"{section}.{name}", "m", entry, None))
    return findings


def _check_service(name: str, service: Any) -> Iterator[Finding]:
    path = f"services.{name}"
    if not _SERVICE_NAME.fullmatch(name):
        yield error("shape", f"{name!r} is no name for a service.", "use letters, digits, . _ and - only.", path, name)
    if not isinstance(service, dict):
        problem = "is empty" if service is None else f"is {kind_words(kind_of(service))}"
        fix = "indent its keys (image: and so on) under it."
        yield error("shape", f"the service {name} {problem}, not a mapping.", fix, path, name)
        return
    for key, value in service.items():
        where = f"{path}.{key}"
        if key.startswith("x-"):
            continue
        kinds = SERVICE.get(key)
        if kinds is None:
            fix = "correct the name, or remove the line."
            yield error(
                "unknown-key", f"{name}: {key!r} is no key of a service.{_hint(key, SERVICE)}", fix, where, name
            )
        elif value is None:
            continue
        elif kind_of(value) not in kinds:
            yield _wrong_kind(f"{name}: {key}", where, kinds, value, name)
        elif key in _NOT_SUPPORTED:
            yield error("not-supported", f"{name}: {key} is not supported yet.", f"{_NOT_SUPPORTED[key]}.", where, name)
        else:
            yield from _check_items(name, key, value, where)
    yield from _check_nested(name, service)
    yield from _check_values(name, service)


def _check_items(name: str, key: str, value: Any, where: str) -> Iterator[Finding]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            kind = kind_of(item)
            if kind in "snb" or (kind == "m" and key in _RICH_LISTS):
                continue
            fix = "write it as one text."
            if kind == "m" and key in _KEYED and len(item) == 1:
                fix = "write - KEY=VALUE, or take all the dashes away and write KEY: VALUE."
            words = kind_words(kind) if kind != "?" else "empty"
            problem = f"{name}: item {index + 1} of {key} is {words}."
            yield error("shape", problem, fix, f"{where}[{index}]", name)
    elif key == "depends_on":
        yield from _check_depends_on(name, value, where)
    elif isinstance(value, dict) and (key in _KEYED or key == "networks"):
        allowed = "m" if key == "networks" else "snb"
        for inner, item in value.items():
            if item is not None and kind_of(item) not in allowed:
                yield _wrong_kind(f"{name}: {key}.{inner}", f"{where}.{inner}", allowed, item, name)


def _check_depends_on(name: str, value: Mapping[str, Any], where: str) -> Iterator[Finding]:
    for target, entry in value.items():
        if entry is None:
            continue
        if not isinstance(entry, dict):
            yield _wrong_kind(f"{name}: depends_on.{target}", f"{where}.{target}", "m", entry, name)
            continue
        for key in entry:
            if key not in DEPENDENCY and not key.startswith("x-"):
                message = f"{name}: depends_on.{target} has the unknown key {key!r}.{_hint(key, DEPENDENCY)}"
                fix = "only condition, required and restart are known."
                yield error("unknown-key", message, fix, f"{where}.{target}.{key}", name)
        condition = entry.get("condition", CONDITIONS[0])
        if condition not in CONDITIONS:
            message = f"{name}: {condition!r} is no condition.{_hint(str(condition), CONDITIONS)}"
            fix = f"use {', '.join(CONDITIONS)}."
            yield error("shape", message, fix, f"{where}.{target}.condition", name)


def _check_nested(name: str, service: Mapping[str, Any]) -> Iterator[Finding]:
    for keys, known in NESTED.items():
        value: Any = service
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            continue
        label, where = ".".join(keys), f"services.{name}.{'.'.join(keys)}"
        if not isinstance(value, dict):
            if len(keys) > 1:
                yield _wrong_kind(f"{name}: {label}", where, "m", value, name)
            continue
        for key, item in value.items():
            if key.startswith("x-"):
                continue
            if key not in known:
                message = f"{name}: {label} has the unknown key {key!r}.{_hint(key, known)}"
                yield error("unknown-key", message, "correct the name, or remove the line.", f"{where}.{key}", name)
            elif item is not None and kind_of(item) not in known[key] and (*keys, key) not in NESTED:
                yield _wrong_kind(f"{name}: {label}.{key}", f"{where}.{key}", known[key], item, name)


def _check_values(name: str, service: Mapping[str, Any]) -> Iterator[Finding]:
    health = _mapping(service.get("healthcheck"))
    resources = _mapping(_mapping(service.get("deploy")).get("resources"))
    limits, reservations = _mapping(resources.get("limits")), _mapping(resources.get("reservations"))
    checks = [
        *((f"healthcheck.{key}", health.get(key), parse_duration, "60s") for key in _DURATIONS),
        ("healthcheck.retries", health.get("retries"), _count, "5"),
        ("stop_grace_period", service.get("stop_grace_period"), parse_duration, "30s"),
        ("mem_limit", service.get("mem_limit"), parse_size, "512m"),
        ("mem_reservation", service.get("mem_reservation"), parse_size, "256m"),
        ("memswap_limit", service.get("memswap_limit"), _swap, "1g, or -1 for no limit"),
        ("cpus", service.get("cpus"), parse_cpus, "0.5"),
        ("pids_limit", service.get("pids_limit"), _count, "256"),
        ("deploy.resources.limits.pids", limits.get("pids"), _count, "256"),
        ("deploy.resources.reservations.memory", reservations.get("memory"), parse_size, "256M"),
        ("deploy.resources.limits.memory", limits.get("memory"), parse_size, "512M"),
        ("deploy.resources.limits.cpus", limits.get("cpus"), parse_cpus, '"0.5"'),
    ]
    for key, value, parser, example in checks:
        # Values of another kind have their finding already; a reference to a secret is judged by Compose.
        if value is None or kind_of(value) not in "sn" or (isinstance(value, str) and "${" in value):
            continue
        if isinstance(value, int | float) and parser is parse_duration:
            continue
        try:
            parser(value)
        except ValueError as exc:
            yield error(
                "shape", f"{name}: {key}: {exc}.", f"write for example {example}.", f"services.{name}.{key}", name
            )


def _swap(value: Any) -> int:
    return -1 if str(value) == "-1" else parse_size(value)


def _count(value: Any) -> int:
    if isinstance(value, float) or not str(value).lstrip("-").isdigit():
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)


_DURATIONS = ("interval", "timeout", "start_period", "start_interval")


def check_references(project: Mapping[str, Any], disabled: Iterable[str] = ()) -> list[Finding]:
    """Findings about names that nothing defines, loops of dependencies, and services that cannot run.

    ``project`` is merged and in long form; ``disabled`` names services that a profile or a parameter switched off.
    """
    services: Mapping[str, Any] = project.get("services") or {}
    off = set(disabled)
    findings: list[Finding] = []
    for name, service in services.items():
        findings.extend(_check_names(name, service, project))
        findings.extend(_check_dependencies(name, service, services, off))
        if not service.get("image") and not service.get("build"):
            message = f"{name} has neither image nor build."
            fix = f"add image: to the service, or set images: {{{name}: {{image: ...}}}}."
            findings.append(error("image-missing", message, fix, f"services.{name}", name))
        if service.get("network_mode") and service.get("networks"):
            message = f"{name} has both networks and network_mode."
            findings.append(error("shape", message, "keep one of them.", f"services.{name}.network_mode", name))
    for loop in cycles({name: dependencies(service) for name, service in services.items()}):
        message = f"these services wait for each other: {' -> '.join(loop)}."
        fix = "take one of these depends_on lines away."
        findings.append(error("dependency-cycle", message, fix, f"services.{loop[0]}.depends_on", loop[0]))
    return findings


def dependencies(service: Mapping[str, Any]) -> set[str]:
    """Names of the services that a service (in long form) needs before it can start, said or implied."""
    needed = set(service.get("depends_on") or {})
    needed.update(str(link).partition(":")[0] for link in service.get("links") or [])
    for source in service.get("volumes_from") or []:
        if not str(source).startswith("container:"):
            needed.add(str(source).partition(":")[0])
    for key in ("network_mode", "ipc", "pid"):
        value = service.get(key)
        if isinstance(value, str) and value.startswith("service:"):
            needed.add(value.partition(":")[2])
    return needed


def _check_names(name: str, service: Mapping[str, Any], project: Mapping[str, Any]) -> Iterator[Finding]:
    wanted: list[tuple[str, str, str]] = [
        *(("networks", network, f"networks.{network}") for network in service.get("networks") or {}),
        *(
            ("volumes", volume["source"], f"volumes[{index}]")
            for index, volume in enumerate(service.get("volumes") or [])
            if volume["type"] == "volume" and isinstance(volume.get("source"), str)
        ),
        *(
            (section, grant["source"], f"{section}[{index}]")
            for section in ("secrets", "configs")
            for index, grant in enumerate(service.get(section) or [])
        ),
    ]
    for section, target, where in wanted:
        known = _mapping(project.get(section))
        if target not in known and not (section == "networks" and target == "default"):
            message = f"{name} uses {target!r}, and {section} defines no such name.{_hint(target, known)}"
            fix = f"add {target}: under {section}: at the end of the file, or correct the name."
            yield error("reference-undefined", message, fix, f"services.{name}.{where}", name)


def _check_dependencies(
    name: str, service: Mapping[str, Any], services: Mapping[str, Any], off: set[str]
) -> Iterator[Finding]:
    for target in sorted(dependencies(service)):
        entry = (service.get("depends_on") or {}).get(target) or {}
        where = f"services.{name}.depends_on" if entry else f"services.{name}"
        if target in off:
            message = f"{name} needs {target}, which is switched off (profile or enabled: false)."
            fix = f"switch {target} on, or switch {name} off too, or write required: false."
            yield error("dependency-disabled", message, fix, where, name)
        elif target not in services:
            message = f"{name} depends on {target!r}, and there is no such service.{_hint(target, services)}"
            yield error("reference-undefined", message, "correct the name, or remove the line.", where, name)
        elif entry.get("condition") == "service_healthy" and not _has_check(services[target]):
            message = f"{name} waits until {target} is healthy, and the file gives {target} no healthcheck."
            fix = f"add a healthcheck to {target}; without one in its image, {name} never starts."
            yield error("healthcheck-awaited", message, fix, where, name)


def _has_check(service: Mapping[str, Any]) -> bool:
    check = service.get("healthcheck") or {}
    return bool(check) and check.get("disable") is not True and check.get("test") != ["NONE"]


def _wrong_kind(label: str, path: str, kinds: str, value: Any, service: str | None) -> Finding:
    found = kind_of(value)
    words = kind_words(found) if found != "?" else type(value).__name__
    message = f"{label} must be {kind_words(kinds)}, and is {words}."
    fix = "check the indentation and the dashes of these lines."
    if "s" in kinds and found in "nb":
        fix = "put the value in quotes." if kinds == "s" else fix
    return error("shape", message, fix, path, service)


def _hint(word: str, known: Iterable[str]) -> str:
    return closest(word, known)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
