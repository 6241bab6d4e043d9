# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads Compose files one by one: variables, short forms, extends, includes, and paths as they are on the host."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .findings import Document, Finding, Locator, closest, error
from .interpolate import Interpolator
from .merge import merge_projects, merge_service
from .model import check_shape
from .normalize import normalize_service

# What stands in for a service that could not be read, so that its users are not reported as well.
_STUB: dict[str, Any] = {"image": "unread:0", "healthcheck": {"test": ["CMD", "true"]}}


class Reader(Protocol):
    """Where files come from."""

    def document(self, path: str) -> Document:
        """A YAML file; why it cannot be read is in the document's findings."""

    def text(self, path: str) -> str | None:
        """A text file, None when there is none. Raises ValueError when it is no UTF-8 text."""


class Loader:
    """Loads files one after the other and keeps what it finds."""

    def __init__(self, reader: Reader, interpolator: Interpolator, directory: str, bind_root: str | None) -> None:
        self.reader = reader
        self.interpolator = interpolator
        self.directory = directory
        self.bind_root = bind_root
        self.findings: list[Finding] = []
        self.locator = Locator()
        self.broken: set[str] = set()
        self.binds: list[dict[str, str]] = []
        self._documents: dict[str, Document] = {}
        self._reported: set[tuple[str, Finding]] = set()

    def files(self, files: Sequence[str], base: str, stack: tuple[str, ...]) -> dict[str, Any]:
        """The merged content of files whose relative paths count from ``base``."""
        result: dict[str, Any] = {}
        for file in files:
            document = self._document(file)
            self.locator.add(document)
            result = merge_projects(result, self._content(document, base, (*stack, file)), document.tags)
        return result

    def _document(self, file: str) -> Document:
        if file not in self._documents:
            document = self.reader.document(file)
            self._documents[file] = document
            self.findings.extend(document.findings)
        return self._documents[file]

    def _content(self, document: Document, base: str, stack: tuple[str, ...]) -> dict[str, Any]:
        data = {
            key: self.interpolator.document(value, key)
            for key, value in document.data.items()
            if key != "services" and not key.startswith("x-")
        }
        self._report(document, check_shape(data))
        for section in ("configs", "secrets"):
            self._grant_files(data, section, base)
        services = document.data.get("services")
        if isinstance(services, dict):
            data["services"] = {
                str(name): None
                if document.tags.get(f"services.{name}") == "reset"
                else self._service(document, str(name), str(name), base, ())
                for name in services
            }
        elif services is not None:
            self._report(document, check_shape({"services": services}))
        data = {key: value for key, value in data.items() if key == "services" or _right_kind(key, value)}
        return self._include(document, data, base, stack)

    def _service(
        self, document: Document, name: str, owner: str, base: str, chain: tuple[tuple[str, str], ...]
    ) -> dict[str, Any]:
        """A service in long form with what it extends; ``owner`` is the service that it becomes a part of."""
        path = f"services.{name}"
        raw = document.data["services"][name]
        data = self.interpolator.document(raw, path, owner)
        problems = check_shape({"services": {name: data}})
        self._report(document, problems)
        if problems:
            self.broken.add(owner)
            if any(problem.rule != "unknown-key" for problem in problems):
                return dict(_STUB)
        service, problems = normalize_service(data, path, name)
        self._report(document, problems)
        self._paths(service, path, owner, base)
        extends = service.pop("extends", None)
        if extends is None:
            return service
        parent = self._base(document, name, owner, extends, base, chain=(*chain, (document.file, name)))
        return merge_service(parent, service, path, document.tags)

    def _base(
        self,
        document: Document,
        name: str,
        owner: str,
        extends: Mapping[str, Any],
        base: str,
        *,
        chain: tuple[tuple[str, str], ...],
    ) -> dict[str, Any]:
        path = f"services.{name}.extends"
        target, file = extends.get("service"), extends.get("file")
        if not isinstance(target, str):
            self._report(
                document, [error("extends", f"{name}: extends names no service.", "add service:.", path, name)]
            )
            return {}
        if isinstance(file, str):
            file = posixpath.normpath(posixpath.join(base, file))
            document, base = self._document(file), posixpath.dirname(file)
        if (document.file, target) in chain:
            loop = " -> ".join([*(link for _file, link in chain), target])
            message = f"these services extend each other: {loop}."
            self._report(document, [error("extends", message, "take one extends away.", path, name)])
            return {}
        known = document.data.get("services")
        if not isinstance(known, dict) or target not in known:
            if not document.findings:
                hint = closest(target, known or {})
                message = f"{name} extends {target!r}, and {document.file} has no such service.{hint}"
                self._report(document, [error("extends", message, "correct the name or the file.", path, name)])
            return {}
        return self._service(document, target, owner, base, chain)

    def _include(self, document: Document, data: dict[str, Any], base: str, stack: tuple[str, ...]) -> dict[str, Any]:
        for index, entry in enumerate(data.pop("include", None) or []):
            path = f"include[{index}]"
            spec = {"path": entry} if isinstance(entry, str) else entry
            paths = spec.get("path") if isinstance(spec, dict) else None
            listed = [paths] if isinstance(paths, str) else paths
            valid = isinstance(listed, list) and all(isinstance(p, str) for p in listed)
            if not isinstance(spec, dict) or not isinstance(listed, list) or not valid:
                fix = "write the file's path, or {path: ...}."
                self._report(document, [error("include", "an include names no file.", fix, path)])
                continue
            unsupported = sorted(set(spec) - {"path", "project_directory"})
            remote = [p for p in listed if "://" in p or p.startswith(("oci:", "git@"))]
            if unsupported or remote or not listed:
                thing = f"include with {unsupported[0]}" if unsupported else "including a remote file"
                fix = "include a local file, and give values in environment_variables."
                self._report(document, [error("not-supported", f"{thing} is not supported yet.", fix, path)])
                continue
            files = [posixpath.normpath(posixpath.join(base, p)) for p in listed]
            if files[0] in stack:
                message = f"{files[0]} includes itself: {' -> '.join([*stack, files[0]])}."
                self._report(document, [error("include", message, "take one include away.", path)])
                continue
            inner = posixpath.join(base, str(spec.get("project_directory") or posixpath.dirname(files[0])))
            data = self._add_included(document, data, self.files(files, posixpath.normpath(inner), stack), path)
        return data

    def _add_included(
        self, document: Document, data: dict[str, Any], included: Mapping[str, Any], path: str
    ) -> dict[str, Any]:
        result = dict(data)
        for section, entries in included.items():
            if section in ("name", "version") or not isinstance(entries, dict):
                continue
            mine = result.get(section) or {}
            for name in sorted(set(mine) & set(entries)):
                if mine[name] != entries[name]:
                    message = f"{section}.{name} is defined in {document.file} and in a file that it includes."
                    fix = "rename one; to change it, list an override file: include: [{path: [file, override]}]."
                    self._report(document, [error("include", message, fix, path)])
            result[section] = {**entries, **mine}
        return result

    def _paths(self, service: dict[str, Any], path: str, owner: str, base: str) -> None:
        for index, volume in enumerate(service.get("volumes") or []):
            if volume["type"] == "bind":
                where = f"{path}.volumes[{index}]"
                volume["source"] = self._host_path(volume["source"], base, where, owner, str(volume["target"]))
        for entry in service.get("env_file") or []:
            entry["path"] = posixpath.normpath(posixpath.join(base, entry["path"]))

    def _grant_files(self, data: Mapping[str, Any], section: str, base: str) -> None:
        entries = data.get(section)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            if isinstance(entry, dict) and isinstance(entry.get("file"), str):
                entry["file"] = self._host_path(entry["file"], base, f"{section}.{name}.file", None, "")

    def _host_path(self, source: str, base: str, path: str, service: str | None, target: str) -> str:
        """The place on the host of a bind mount's source."""
        if source.startswith("/"):
            return source
        who = service or path
        if source.startswith("~"):
            message = f"{who} mounts {source}, a path in a home folder."
            self.findings.append(error("bind-outside", message, "write an absolute path.", path, service))
            return source
        relative = posixpath.relpath(posixpath.join(base, source), self.directory)
        if relative == ".." or relative.startswith("../"):
            message = f"{who} mounts {source}, which lies outside the project's folder and is not sent to the host."
            fix = "move it into the project's folder, or write an absolute path of the host."
            self.findings.append(error("bind-outside", message, fix, path, service))
            return source
        if self.bind_root is None:
            message = f"{who} mounts {source}, and nothing says where that is on the host."
            fix = "set bind_root to the folder on the host that holds the project's files."
            self.findings.append(error("bind-outside", message, fix, path, service))
            return source
        host_path = posixpath.normpath(posixpath.join(self.bind_root, relative))
        if service is not None:
            bind = {"service": service, "source": relative, "host_path": host_path, "target": target}
            if bind not in self.binds:
                self.binds.append(bind)
        return host_path

    def _report(self, document: Document, problems: Sequence[Finding]) -> None:
        """Keep findings once, with the file they come from."""
        local = Locator()
        local.add(document)
        for problem in problems:
            placed = local.place(problem)
            if placed.file is None:
                placed = Finding(**{**placed.as_dict(), "file": document.file})
            if (document.file, placed) not in self._reported:
                self._reported.add((document.file, placed))
                self.findings.append(placed)


def _right_kind(key: str, value: Any) -> bool:
    if key in ("networks", "volumes", "secrets", "configs", "models"):
        return isinstance(value, dict) and all(entry is None or isinstance(entry, dict) for entry in value.values())
    return key != "include" or isinstance(value, list)
