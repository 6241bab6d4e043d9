# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Turns the short forms of a service into the long ones, so that everything behind sees one form only."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .findings import Finding, error
from .interpolate import plain_text
from .short import parse_port, parse_volume

_MAPPED = ("labels", "annotations", "sysctls")
_LISTED = ("dns", "dns_search", "tmpfs", "label_file")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def normalize_service(service: dict[str, Any], path: str, name: str) -> tuple[dict[str, Any], list[Finding]]:
    """A service in long form, empty (null) keys left out; findings for items that have no valid form."""
    findings: list[Finding] = []

    def refuse(where: str, problem: str, fix: str) -> None:
        findings.append(error("shape", f"{name}: {problem}.", fix, where, name))

    result = {key: value for key, value in service.items() if value is not None}
    for key in _MAPPED:
        if key in result:
            result[key] = {name: text or "" for name, text in to_mapping(result[key]).items()}
    for key in _LISTED:
        if isinstance(result.get(key), str):
            result[key] = [result[key]]
    for key, convert in _CONVERTERS.items():
        if key in result:
            result[key] = convert(result[key], f"{path}.{key}", refuse)
    return result, findings


Refuse = Callable[[str, str, str], None]


def to_mapping(value: Any) -> dict[str, str | None]:
    """``KEY=VALUE`` items or a mapping as a mapping of texts; a key without a value maps to None."""
    if isinstance(value, list):
        pairs = [str(item).partition("=") for item in value]
        return {key.strip(): text if equals else None for key, equals, text in pairs}
    return {str(key): None if item is None else plain_text(item) for key, item in value.items()}


def _environment(value: Any, path: str, refuse: Refuse) -> dict[str, str | None]:
    result = to_mapping(value)
    for key in [k for k in result if not _ENV_NAME.fullmatch(k)]:
        refuse(path, f"{key!r} is no name for a variable", "use letters, digits and _ only.")
        del result[key]
    return result


def _ports(value: list[Any], path: str, refuse: Refuse) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if isinstance(item, dict):
            port = _long_port(item)
            if port is None:
                refuse(where, "this port has no usable target", "add target: the port inside the container.")
            else:
                result.append(port)
            continue
        try:
            result.extend(parse_port(item))
        except (ValueError, TypeError) as exc:
            refuse(where, str(exc), "quote it and write HOST:CONTAINER.")
    return result


def _long_port(item: dict[str, Any]) -> dict[str, Any] | None:
    target = item.get("target")
    if isinstance(target, bool) or not isinstance(target, int) or not 1 <= target <= 65535:
        return None
    port = {**item, "protocol": item.get("protocol") or "tcp"}
    if item.get("published") is not None:
        port["published"] = str(item["published"])
    return port


def _volumes(value: list[Any], path: str, refuse: Refuse) -> list[dict[str, Any]]:
    result = []
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        try:
            volume = dict(item) if isinstance(item, dict) else parse_volume(item)
        except (ValueError, AttributeError) as exc:
            refuse(where, str(exc), "write SOURCE:TARGET.")
            continue
        if not isinstance(volume.get("target"), str) or not isinstance(volume.get("type"), str):
            refuse(where, "this mount lacks type or target", "add type: bind or volume, and target: /path.")
        elif volume["type"] == "bind" and not isinstance(volume.get("source"), str):
            refuse(where, "this bind mount has no source", "add source: the file or folder.")
        else:
            result.append(volume)
    return result


def _depends_on(value: Any, path: str, refuse: Refuse) -> dict[str, Any]:
    if isinstance(value, list):
        value = {str(name): {} for name in value}
    return {
        name: {"condition": "service_started", "required": True, **(entry or {})}
        for name, entry in value.items()
        if isinstance(entry, dict) or entry is None
    }


def _networks(value: Any, path: str, refuse: Refuse) -> dict[str, Any]:
    return {str(name): None for name in value} if isinstance(value, list) else dict(value)


def _healthcheck(value: dict[str, Any], path: str, refuse: Refuse) -> dict[str, Any]:
    result = {key: item for key, item in value.items() if item is not None}
    test = result.get("test")
    if isinstance(test, str):
        result["test"] = ["CMD-SHELL", test]
    elif isinstance(test, list) and (not test or test[0] not in ("NONE", "CMD", "CMD-SHELL")):
        refuse(
            f"{path}.test", "a healthcheck list begins with CMD, CMD-SHELL or NONE", 'write ["CMD", "program", ...].'
        )
    elif isinstance(test, list):
        result["test"] = [plain_text(word) for word in test]
    return result


def _env_file(value: Any, path: str, refuse: Refuse) -> list[dict[str, Any]]:
    result = []
    for index, item in enumerate(value if isinstance(value, list) else [value]):
        entry = {"path": item} if isinstance(item, str) else item
        if isinstance(entry, dict) and isinstance(entry.get("path"), str):
            result.append({"required": True, **entry})
        else:
            refuse(f"{path}[{index}]", "an env_file entry names no path", "write the file's path, or {path: ...}.")
    return result


def _ulimits(value: dict[str, Any], path: str, refuse: Refuse) -> dict[str, Any]:
    return {
        name: item if isinstance(item, dict) else {"soft": item, "hard": item}
        for name, item in value.items()
        if item is not None
    }


def _grants(value: list[Any], path: str, refuse: Refuse) -> list[dict[str, Any]]:
    result = []
    for index, item in enumerate(value):
        entry = {"source": item} if isinstance(item, str) else item
        if isinstance(entry, dict) and isinstance(entry.get("source"), str):
            result.append(dict(entry))
        else:
            refuse(f"{path}[{index}]", "this entry has no source", "write the name of the secret or config.")
    return result


def _extra_hosts(value: Any, path: str, refuse: Refuse) -> list[str]:
    if isinstance(value, list):
        return [str(item) for item in value]
    pairs = ((host, a) for host, a_list in value.items() for a in (a_list if isinstance(a_list, list) else [a_list]))
    return [f"{host}={address}" if ":" in str(address) else f"{host}:{address}" for host, address in pairs]


def _build(value: Any, path: str, refuse: Refuse) -> dict[str, Any]:
    build = {"context": value} if isinstance(value, str) else dict(value)
    for key in ("args", "labels"):
        if isinstance(build.get(key), list | dict):
            build[key] = to_mapping(build[key])
    return build


def _extends(value: Any, path: str, refuse: Refuse) -> dict[str, Any]:
    return {"service": value} if isinstance(value, str) else value


def _texts(value: list[Any], path: str, refuse: Refuse) -> list[str]:
    return [plain_text(item) for item in value]


def _deploy(value: dict[str, Any], path: str, refuse: Refuse) -> dict[str, Any]:
    result = {key: item for key, item in value.items() if item is not None}
    if "labels" in result:
        result["labels"] = to_mapping(result["labels"])
    return result


_CONVERTERS: dict[str, Callable[[Any, str, Refuse], Any]] = {
    "environment": _environment,
    "ports": _ports,
    "expose": _texts,
    "volumes": _volumes,
    "depends_on": _depends_on,
    "networks": _networks,
    "healthcheck": _healthcheck,
    "env_file": _env_file,
    "ulimits": _ulimits,
    "secrets": _grants,
    "configs": _grants,
    "extra_hosts": _extra_hosts,
    "build": _build,
    "extends": _extends,
    "deploy": _deploy,
}
