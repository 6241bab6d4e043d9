# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Merges Compose files, a later one over an earlier one, by the rules of the Compose specification.

Both sides are in long form (see ``normalize``). Mappings merge, most lists join, single values replace.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

RESET = "reset"
OVERRIDE = "override"

_REPLACED = frozenset({"command", "entrypoint"})
# Here a key without a value means: take it from where Compose runs.
_MEANINGFUL_NULL = frozenset({"environment", "args"})


def merge_projects(base: Mapping[str, Any], over: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """One project of two. ``tags`` maps a path of ``over`` to ``reset`` or ``override``."""
    result = _without_resets(base, "", tags)
    for key, value in over.items():
        if _tagged(result, key, value, key, tags):
            continue
        if key == "services":
            result[key] = _merge_services(result.get(key) or {}, value or {}, tags)
        elif isinstance(value, dict) and isinstance(result.get(key), dict) and not key.startswith("x-"):
            result[key] = _merge_mapping(result[key], value, key, tags)
        elif value is not None or key not in result:
            result[key] = copy.deepcopy(value)
    return result


def _merge_services(base: Mapping[str, Any], over: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    result = dict(base)
    for name, service in over.items():
        path = f"services.{name}"
        if not _tagged(result, name, service, path, tags):
            result[name] = merge_service(result.get(name) or {}, service or {}, path, tags)
    return result


def merge_service(
    base: Mapping[str, Any], over: Mapping[str, Any], path: str, tags: Mapping[str, str]
) -> dict[str, Any]:
    """One service of two; ``path`` is the place of ``over`` in its document."""
    result = _without_resets(base, f"{path}.", tags)
    for key, value in over.items():
        where = f"{path}.{key}"
        if _tagged(result, key, value, where, tags) or value is None:
            continue
        result[key] = _merge_value(key, result.get(key), copy.deepcopy(value), where, tags)
    return result


def _merge_value(key: str, old: Any, new: Any, path: str, tags: Mapping[str, str]) -> Any:
    if old is None or key in _REPLACED or key.startswith("x-"):
        return new
    if key == "logging" and old.get("driver") and new.get("driver") and old["driver"] != new["driver"]:
        return new
    if key in _IDENTITY and isinstance(old, list) and isinstance(new, list):
        return _join(old, new, _IDENTITY[key])
    if isinstance(old, dict) and isinstance(new, dict):
        return _merge_mapping(old, new, path, tags)
    if isinstance(old, list) and isinstance(new, list):
        return _join(old, new, repr)
    return new


def _merge_mapping(old: dict[str, Any], new: dict[str, Any], path: str, tags: Mapping[str, str]) -> dict[str, Any]:
    result = dict(old)
    for key, value in new.items():
        where = f"{path}.{key}"
        if _tagged(result, key, value, where, tags):
            continue
        if where.endswith(".healthcheck.test"):
            result[key] = value
        elif value is None and key in result and path.rpartition(".")[2] not in _MEANINGFUL_NULL:
            continue  # An entry repeated without content (a network, say) adds nothing.
        else:
            result[key] = _merge_value("", result.get(key), copy.deepcopy(value), where, tags)
    return result


def _without_resets(base: Mapping[str, Any], prefix: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """A copy of ``base`` without what is reset below ``prefix``; the long form of ``over`` no longer shows it."""
    result: dict[str, Any] = copy.deepcopy(dict(base))
    for path, tag in tags.items():
        if tag == RESET and path.startswith(prefix):
            _remove(result, path[len(prefix) :])
    return result


def _remove(mapping: dict[str, Any], path: str) -> None:
    mapping.pop(path, None)
    for key, value in mapping.items():  # Keys may hold dots, so each one that fits is followed.
        if isinstance(value, dict) and path.startswith(f"{key}."):
            _remove(value, path[len(key) + 1 :])


def _tagged(result: dict[str, Any], key: str, value: Any, path: str, tags: Mapping[str, str]) -> bool:
    tag = tags.get(path)
    if tag == RESET:
        result.pop(key, None)
    elif tag == OVERRIDE:
        result[key] = copy.deepcopy(value)
    return tag is not None


def _join(old: list[Any], new: list[Any], identity: Callable[[Any], str]) -> list[Any]:
    """Both lists; an item that names the same thing as an earlier one takes its place."""
    result: dict[str, Any] = {}
    for item in [*old, *new]:
        result[identity(item)] = item
    return list(result.values())


def _port_identity(port: Mapping[str, Any]) -> str:
    return repr((port.get("host_ip"), port.get("published"), port["target"], port.get("protocol")))


def _grant_identity(grant: Mapping[str, Any]) -> str:
    return str(grant.get("target") or grant["source"])


def _device_identity(device: Any) -> str:
    if isinstance(device, dict):
        return str(device.get("target") or device.get("source"))
    parts = str(device).split(":")
    return parts[1] if len(parts) > 1 else parts[0]


_IDENTITY: dict[str, Callable[[Any], str]] = {
    "ports": _port_identity,
    "volumes": lambda volume: str(volume["target"]),
    "secrets": _grant_identity,
    "configs": _grant_identity,
    "devices": _device_identity,
    "env_file": lambda entry: str(entry["path"]),
    "tmpfs": lambda entry: str(entry).partition(":")[0],
}
