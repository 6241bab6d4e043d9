"""What Grafana would say of the files that it is provisioned with: each thing that is wrong, in a line.

Stricter than Grafana, which leaves out what it cannot use and starts all the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

PROVISIONING = Path("/etc/grafana/provisioning")
# What Grafana knows by itself.
BUILT_IN = {"-- Grafana --", "grafana", "-- Mixed --", "-- Dashboard --"}
_SOURCE_KEYS = {
    *(
        "name",
        "uid",
        "type",
        "access",
        "url",
        "isDefault",
        "editable",
        "jsonData",
        "secureJsonData",
        "orgId",
        "version",
    ),
    *("user", "database", "basicAuth", "basicAuthUser", "withCredentials"),
}
_PROVIDER_KEYS = {
    *("name", "uid", "orgId", "folder", "folderUid", "type", "disableDeletion", "allowUiUpdates"),
    *("updateIntervalSeconds", "options"),
}


def problems(folder: Path = PROVISIONING, root: Path = Path("/")) -> list[str]:
    """All that is wrong. Paths of dashboards are looked for below ``root``. Without any file nothing is wrong."""
    found = list(_sources(folder / "datasources"))
    sources = {str(one.get("uid")) for one, _file in _entries(folder / "datasources", "datasources")}
    return [*found, *_providers(folder / "dashboards", root, sources)]


def _entries(folder: Path, key: str) -> Iterator[tuple[dict[str, Any], str]]:
    for path in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")]):
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError):
            continue
        for entry in document.get(key) or [] if isinstance(document, dict) else []:
            if isinstance(entry, dict):
                yield entry, path.name


def _documents(folder: Path, key: str) -> Iterator[str]:
    for path in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")]):
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            yield f"{path.name} cannot be read: {error}"
            continue
        if not isinstance(document, dict) or document.get("apiVersion") != 1:
            yield f"{path.name} has no apiVersion: 1"
        elif not isinstance(document.get(key), list):
            yield f"{path.name} has no list of {key}"


def _sources(folder: Path) -> Iterator[str]:
    yield from _documents(folder, "datasources")
    found = list(_entries(folder, "datasources"))
    for source, file in found:
        name = source.get("name")
        for key in sorted(source.keys() - _SOURCE_KEYS):
            yield f"{file}: data source {name} has '{key}', which Grafana does not know"
        for key in ("name", "uid", "type", "access", "url"):
            if not isinstance(source.get(key), str) or not source[key]:
                yield f"{file}: data source {name} has no {key}"
        if source.get("access") not in ("proxy", "direct"):
            yield f"{file}: data source {name} has an access that is neither proxy nor direct"
    for key in ("name", "uid"):
        yield from _twice(f"data sources have the {key}", (str(source.get(key)) for source, _file in found))
    if found and sum(bool(source.get("isDefault")) for source, _file in found) != 1:
        yield "not exactly one data source is the default"


def _twice(what: str, values: Iterator[str]) -> Iterator[str]:
    for value, count in Counter(values).items():
        if count > 1:
            yield f"{count} {what} {value}"


def _providers(folder: Path, root: Path, sources: set[str]) -> Iterator[str]:
    yield from _documents(folder, "providers")
    found = list(_entries(folder, "providers"))
    yield from _twice("providers have the name", (str(provider.get("name")) for provider, _file in found))
    boards: list[tuple[str, dict[str, Any]]] = []
    for provider, file in found:
        name = provider.get("name")
        for key in sorted(provider.keys() - _PROVIDER_KEYS):
            yield f"{file}: provider {name} has '{key}', which Grafana does not know"
        if not provider.get("folder") or not provider.get("folderUid"):
            yield f"{file}: provider {name} has no folder with a uid"
        path = (provider.get("options") or {}).get("path")
        place = root / str(path).lstrip("/")
        if not path or not place.is_dir():
            yield f"{file}: the folder of provider {name} is not there: {path}"
            continue
        for board in sorted(place.rglob("*.json")):
            try:
                document = json.loads(board.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                yield f"{board.name} cannot be read: {error}"
                continue
            if isinstance(document, dict):
                boards.append((board.name, document))
            else:
                yield f"{board.name} is no dashboard"
    yield from _boards(boards, sources)


def _boards(boards: list[tuple[str, dict[str, Any]]], sources: set[str]) -> Iterator[str]:
    for key in ("uid", "title"):
        yield from _twice(f"dashboards have the {key}", (str(board.get(key)) for _name, board in boards))
    for name, board in boards:
        if not isinstance(board.get("uid"), str) or not 0 < len(board["uid"]) <= 40:
            yield f"{name} has no uid of at most 40 characters"
        if not isinstance(board.get("title"), str) or not board["title"]:
            yield f"{name} has no title"
        if board.get("id") is not None:
            yield f"{name} has an id, which belongs to one Grafana only"
        if not isinstance(board.get("schemaVersion"), int):
            yield f"{name} has no schemaVersion"
        panels = board.get("panels") or []
        if not panels:
            yield f"{name} has no panels"
        yield from _twice(f"panels of {name} have the id", (str(panel.get("id")) for panel in panels))
        for uid in sorted(set(_references(board)) - sources - BUILT_IN):
            yield f"{name} asks a data source that there is not: {uid}"


def _references(part: Any) -> Iterator[str]:
    """The uids of all data sources in a dashboard; of one that is named otherwise, what stands there."""
    if isinstance(part, dict):
        source = part.get("datasource")
        if source is not None:
            yield str(source.get("uid")) if isinstance(source, dict) else str(source)
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
