# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads a Compose project: files, includes, extends, profiles and env files become one mapping in long form."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .audit.words import sounds_secret
from .envfile import EnvFileError, parse_env, parse_raw, resolve_env
from .findings import Finding, Locator, error
from .interpolate import Interpolator
from .loader import Loader, Reader


@dataclass
class Project:
    """A project in long form. ``services`` holds what is switched on; ``disabled`` names the rest."""

    data: dict[str, Any]
    findings: list[Finding]
    locator: Locator
    disabled: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    binds: list[dict[str, str]] = field(default_factory=list)
    version: bool = False

    @property
    def services(self) -> dict[str, Any]:
        """Services by name."""
        services: dict[str, Any] = self.data["services"]
        return services


def load_project(
    files: Sequence[str],
    reader: Reader,
    interpolator: Interpolator,
    *,
    project_directory: str,
    bind_root: str | None = None,
    profiles: Collection[str] = (),
    disabled: Collection[str] = (),
) -> Project:
    """Read and merge ``files``. Paths are absolute; relative binds come out below ``bind_root`` (a path on the host).

    ``disabled`` holds names or patterns of services to leave out. Never raises for bad content: see ``findings``.
    """
    loader = Loader(reader, interpolator, project_directory, bind_root)
    data = loader.files(files, project_directory, ())
    project = Project(data, loader.findings, loader.locator, broken=loader.broken, binds=loader.binds)
    project.version = data.pop("version", None) is not None
    for key in [k for k in data if k in ("name", "include") or k.startswith("x-")]:
        del data[key]
    data["services"] = data.get("services") or {}
    if not project.services and not any(f.rule in ("yaml-syntax", "file-missing") for f in project.findings):
        message = f"{files[0] if files else 'the project'} defines no services."
        project.findings.append(error("shape", message, "add services: with at least one service.", "services"))
    _switch_off(project, profiles, disabled)
    for name, service in project.services.items():
        _read_env_files(project, name, service, reader, interpolator)
        _pass_through(service, name, interpolator)
    project.binds[:] = [bind for bind in project.binds if bind["service"] in project.services]
    return project


def _switch_off(project: Project, profiles: Collection[str], patterns: Collection[str]) -> None:
    for name in sorted(project.services):
        wanted = project.services[name].pop("profiles", None) or []
        inactive = wanted and "*" not in profiles and not set(map(str, wanted)) & set(profiles)
        if inactive or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            project.disabled.append(name)
            del project.services[name]
    off = set(project.disabled)
    for service in project.services.values():
        needed: dict[str, Any] = service.get("depends_on") or {}
        for target in [t for t, entry in needed.items() if t in off and entry.get("required") is False]:
            del needed[target]
        if "depends_on" in service and not needed:
            del service["depends_on"]


def _read_env_files(
    project: Project, name: str, service: dict[str, Any], reader: Reader, interpolator: Interpolator
) -> None:
    collected: dict[str, str] = {}
    for entry in service.pop("env_file", None) or []:
        file, where = str(entry["path"]), f"services.{name}.env_file"
        try:
            text = reader.text(file)
            if text is None:
                if entry["required"] is not False:
                    message = f"{name}: the env_file {file} is not there."
                    fix = "create it, correct the path, or write required: false."
                    project.findings.append(error("env-file", message, fix, where, name))
                continue
            lines = parse_raw(text) if entry.get("format") == "raw" else parse_env(text)
        except EnvFileError as exc:
            fix = "write one NAME=value a line."
            project.findings.append(Finding("env-file", "error", name, f"{name}: {exc}.", fix, where, exc.line, file))
            continue
        except ValueError as exc:
            fix = "save the file as UTF-8 text."
            project.findings.append(error("env-file", f"{name}: {file}: {exc}.", fix, where, name))
            continue
        for line in lines:
            literal = line.text and "$" not in line.text
            if literal and sounds_secret(line.name) and not interpolator.is_secret(line.name):
                message = f"{name}: {line.name} stands in clear in an env_file and would go into the release file."
                fix = f"list {line.name} in secret_names and give its value as a secret."
                project.findings.append(Finding("env-file-secret", "error", name, message, fix, where, line.line, file))
        collected.update(resolve_env(lines, interpolator, where, name))
    if collected:
        service["environment"] = {**collected, **_without_null(service.get("environment") or {}, collected)}


def _without_null(environment: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    return {key: value for key, value in environment.items() if value is not None or key not in known}


def _pass_through(service: dict[str, Any], name: str, interpolator: Interpolator) -> None:
    """Names in ``environment`` without a value take the variable of that name."""
    environment = service.get("environment") or {}
    for key in [k for k, value in environment.items() if value is None]:
        environment[key] = interpolator.reference(key, f"services.{name}.environment.{key}", name) or ""
