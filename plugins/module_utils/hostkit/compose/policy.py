# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which class a service has, and whether the policy, the overrides and the images make sense.

A policy maps a class to ``{healthcheck, limits, restart, logging, security, stop_grace_period, needs_outside}``, all
optional: see ``CLASS_KEYS``. Overrides map a service to single values: see ``OVERRIDE_KEYS``.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .findings import Finding, closest, error, warning
from .units import duration_text, parse_cpus, parse_size

CLASS_LABEL = "hypercode.class"
SERVICE_LABEL = "hypercode.service"
CLASS_EXTENSION = "x-hypercode-class"
KEEP_EXTENSION = "x-hypercode-keep"
# Whether an update starts the new container beside the old one. It stays in the release: the rollout reads it.
ROLLOUT_EXTENSION = "x-hypercode-rollout"
START_FIRST, REPLACE = "start-first", "replace"

HEALTHCHECK_KEYS = ("test", "interval", "timeout", "retries", "start_period", "start_interval")
LIMIT_KEYS = ("cpus", "memory", "pids")
SECURITY_KEYS = ("read_only", "init", "cap_drop", "cap_add", "security_opt", "tmpfs", "user")
CLASS_KEYS = (
    "healthcheck",
    "limits",
    "restart",
    "logging",
    "security",
    "stop_grace_period",
    "needs_outside",
    "description",
)
OVERRIDE_KEYS = (
    *LIMIT_KEYS,
    *SECURITY_KEYS,
    *("class", "restart", "healthcheck", "logging", "stop_grace_period", "environment", "labels", "publish"),
    *("image", "tag", "digest", "enabled", "keep"),
)
KEEP_KEYS = ("restart", "limits", "healthcheck", "logging", "security", "stop_grace_period", *SECURITY_KEYS)
IMAGE_KEYS = ("image", "tag", "digest")
PUBLISH = ("none", "loopback", "keep")

_RESTART = re.compile(r"no|always|unless-stopped|on-failure(:\d+)?")
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Settings:
    """What the caller wants of a project: classes and their policy, overrides, images, ports, services with outlets."""

    policy: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    default_class: str | None = None
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    images: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    publish: str = "none"
    outlets: Collection[str] = ()


def class_of(name: str, service: Mapping[str, Any], settings: Settings) -> str | None:
    """The class of a service: override, ``classes``, label or extension, default; None when nothing says one."""
    chosen = merged(settings.services, name).get("class") or lookup(settings.classes, name)
    stated = (service.get("labels") or {}).get(CLASS_LABEL) or service.get(CLASS_EXTENSION)
    result = chosen or stated or settings.default_class
    return None if result is None else str(result)


def lookup(table: Mapping[str, Any], name: str) -> Any:
    """The entry for a service: by its name, else by the first pattern that fits; None when there is none."""
    if name in table:
        return table[name]
    return next((value for key, value in table.items() if fnmatch.fnmatchcase(name, key)), None)


def merged(table: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    """All entries that fit a service in one: patterns in their order, the exact name last. Empty values are dropped."""
    result = {key: value for entry in matching(table, name) for key, value in entry.items()}
    return {key: value for key, value in result.items() if value is not None}


def matching(table: Mapping[str, Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """The entries that fit a service: patterns in their order, the exact name last."""
    found = [entry for key, entry in table.items() if key != name and fnmatch.fnmatchcase(name, key)]
    return [entry for entry in [*found, table.get(name)] if isinstance(entry, Mapping)]


def disabled(settings: Settings) -> list[str]:
    """Names and patterns of the services with ``enabled: false``."""
    entries = settings.services.items()
    return [name for name, entry in entries if isinstance(entry, Mapping) and entry.get("enabled") is False]


def kept(service: Mapping[str, Any], override: Mapping[str, Any]) -> set[str]:
    """Fields in which the file's own word stands, from ``x-hypercode-keep`` and the override ``keep``."""
    result: set[str] = set()
    for value in (service.get(KEEP_EXTENSION), override.get("keep")):
        result.update(map(str, _words(value)))
    return result | (set(SECURITY_KEYS) if "security" in result else set())


def _words(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def restart_text(value: Any) -> str:
    """A restart policy as Compose wants it; an unquoted ``no`` arrives as False. Raises ValueError."""
    text = "no" if value is False else str(value)
    if not _RESTART.fullmatch(text):
        raise ValueError(f"{value!r} is no restart policy (no, always, unless-stopped, on-failure, on-failure:3)")
    return text


def check_settings(settings: Settings, names: Iterable[str], disabled_names: Iterable[str] = ()) -> list[Finding]:
    """Findings about the caller's options; ``names`` are the services that are switched on."""
    return list(_check(settings, set(names), set(disabled_names)))


def _check(settings: Settings, names: set[str], off: set[str]) -> Iterator[Finding]:
    for name, entry in settings.policy.items():
        yield from _check_class(name, entry)
    for table, label in ((settings.classes, "classes"), (settings.services, "services"), (settings.images, "images")):
        yield from _check_names(table, label, names, off)
    for key, value in [*settings.classes.items(), *_override_classes(settings)]:
        if value not in settings.policy:
            yield _unknown_class(value, settings, f"classes.{key}", None)
    if settings.default_class is not None and settings.default_class not in settings.policy:
        yield _unknown_class(settings.default_class, settings, "default_class", None)
    for name, entry in settings.services.items():
        yield from _check_override(name, entry)
    for name, entry in settings.images.items():
        yield from _unknown_keys(entry, IMAGE_KEYS, f"images.{name}")
    if settings.publish not in PUBLISH:
        yield _bad("publish", f"{settings.publish!r} is not known", f"use {', '.join(PUBLISH)}.")


def _override_classes(settings: Settings) -> Iterator[tuple[str, Any]]:
    return (
        (name, entry["class"])
        for name, entry in settings.services.items()
        if isinstance(entry, Mapping) and entry.get("class")
    )


def _check_names(table: Mapping[str, Any], label: str, names: set[str], off: set[str]) -> Iterator[Finding]:
    for key in table:
        pattern = bool(_GLOB.search(key))
        if key in off or any(fnmatch.fnmatchcase(name, key) for name in names | off):
            continue
        if pattern:
            message = f"{label}: no service fits the pattern {key!r}."
            yield warning("option-unused", message, "correct the pattern, or remove it.", f"{label}.{key}")
        else:
            yield _bad(f"{label}.{key}", f"there is no service {key!r}{closest(key, names)}", "correct the name.")


def unknown_class(name: str, value: str, settings: Settings) -> Finding:
    """The finding for a service whose file names a class that the policy does not have."""
    return _unknown_class(value, settings, f"services.{name}.labels", name)


def _unknown_class(value: Any, settings: Settings, path: str, service: str | None) -> Finding:
    known = ", ".join(sorted(settings.policy)) or "none"
    message = f"{path}: there is no class {value!r}.{closest(str(value), settings.policy)}"
    return error("option", message, f"use one of: {known}.", path, service)


def _check_class(name: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    path = f"policy.{name}"
    yield from _unknown_keys(entry, CLASS_KEYS, path)
    if not isinstance(entry, Mapping):
        return
    for key, known in (("healthcheck", HEALTHCHECK_KEYS), ("limits", LIMIT_KEYS), ("security", SECURITY_KEYS)):
        inner = entry.get(key)
        if inner is not None and not isinstance(inner, dict):
            yield _bad(f"{path}.{key}", "this is not a mapping", f"write {key}: with its values indented below it.")
        elif inner:
            yield from _unknown_keys(inner, known, f"{path}.{key}")
    limits, health = entry.get("limits"), entry.get("healthcheck")
    yield from _check_values(
        path, {**entry, **(limits if isinstance(limits, dict) else {})}, health if isinstance(health, dict) else {}
    )


def _check_override(name: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    path = f"services.{name}"
    yield from _unknown_keys(entry, OVERRIDE_KEYS, path)
    if not isinstance(entry, Mapping):
        return
    health = entry.get("healthcheck")
    if isinstance(health, dict):
        yield from _unknown_keys(health, HEALTHCHECK_KEYS, f"{path}.healthcheck")
    for key, kind, words in (
        ("healthcheck", dict, "a mapping"),
        ("environment", dict, "a mapping"),
        ("labels", dict, "a mapping"),
        ("logging", dict, "a mapping"),
        ("enabled", bool, "true or false"),
        ("read_only", bool, "true or false"),
        ("init", bool, "true or false"),
        ("cap_add", list, "a list"),
        ("cap_drop", list, "a list"),
        ("security_opt", list, "a list"),
        ("tmpfs", list, "a list"),
    ):
        if entry.get(key) is not None and not isinstance(entry[key], kind):
            yield _bad(f"{path}.{key}", f"this is not {words}", f"write {words}.")
    for key in ("environment", "labels"):
        for inner, value in (entry[key] if isinstance(entry.get(key), dict) else {}).items():
            if isinstance(value, dict | list):
                yield _bad(f"{path}.{key}.{inner}", "this is not a single value", "write it as one text.")
    if entry.get("publish") not in (None, *PUBLISH):
        yield _bad(f"{path}.publish", f"{entry['publish']!r} is not known", f"use {', '.join(PUBLISH)}.")
    yield from unknown_keep(name, entry.get("keep"), f"{path}.keep")
    yield from _check_values(path, entry, health if isinstance(health, dict) else {})


def unknown_keep(name: str, value: Any, path: str) -> Iterator[Finding]:
    """Findings for words in a ``keep`` list that name no field."""
    for word in _words(value):
        if word not in KEEP_KEYS:
            message = f"{name}: keep has the unknown word {word!r}.{closest(str(word), KEEP_KEYS)}"
            yield error("option", message, f"use: {', '.join(KEEP_KEYS)}.", path, name)


def unknown_rollout(name: str, value: Any, path: str) -> Iterator[Finding]:
    """A finding where a service says something else than how it can be updated."""
    known = (START_FIRST, REPLACE)
    if value is not None and value not in known:
        message = f"{name}: {ROLLOUT_EXTENSION} is {value!r}.{closest(str(value), known)}"
        yield error("option", message, f"use: {', '.join(known)}.", path, name)


def _check_values(path: str, values: Mapping[str, Any], health: Mapping[str, Any]) -> Iterator[Finding]:
    checks: list[tuple[str, Any, Callable[[Any], Any], str]] = [
        ("cpus", values.get("cpus"), parse_cpus, "1.5"),
        ("memory", values.get("memory"), parse_size, "1G"),
        ("pids", values.get("pids"), int, "256"),
        ("restart", values.get("restart"), restart_text, "on-failure:3"),
        ("stop_grace_period", values.get("stop_grace_period"), duration_text, "30s"),
        ("healthcheck.retries", health.get("retries"), int, "5"),
        *((f"healthcheck.{key}", health.get(key), duration_text, "60s") for key in HEALTHCHECK_KEYS[1:3]),
        *((f"healthcheck.{key}", health.get(key), duration_text, "60s") for key in HEALTHCHECK_KEYS[4:]),
    ]
    for key, value, parser, example in checks:
        if value is None:
            continue
        try:
            parser(value)
        except (ValueError, TypeError):
            yield _bad(f"{path}.{key}", f"{value!r} has no usable form", f"write for example {example}.")


def _unknown_keys(entry: Any, known: Iterable[str], path: str) -> Iterator[Finding]:
    if not isinstance(entry, Mapping):
        yield _bad(path, "this is not a mapping", "write key: value pairs below it.")
        return
    for key in entry:
        if key not in known:
            yield _bad(path, f"{key!r} is not known here{closest(str(key), known)}", f"use: {', '.join(known)}.")


def _bad(path: str, problem: str, fix: str) -> Finding:
    stop = "" if problem.endswith("?") else "."
    return error("option", f"{path}: {problem}{stop}", fix, path)
