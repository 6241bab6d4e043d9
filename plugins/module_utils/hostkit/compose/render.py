# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From Compose files and a policy to the one resolved file of a release."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .audit.engine import audit, check_project
from .audit.recorder import RecordingReader
from .audit.registry import RULES
from .audit.view import Before, Context, unknown
from .emit import emit, ordered
from .findings import ERROR, Finding, apply_ignore, check_ignore, error, unused_ignores, warning
from .interpolate import Interpolator, plain_text
from .loader import Reader
from .model import dependencies
from .order import CycleError, levels
from .outlets import add_outlets
from .policy import (
    KEEP_EXTENSION,
    ROLLOUT_EXTENSION,
    Settings,
    check_settings,
    class_of,
    disabled,
    kept,
    matching,
    merged,
    unknown_class,
    unknown_keep,
    unknown_rollout,
)
from .project import Project, load_project
from .release import jobs_of, set_images, summary
from .repair import Repairs, Rules, repair_service

HEADER = ("Resolved by hypercode.deploy; written anew by each release. Change the project's Compose file instead.",)
_PROJECT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Request:
    """What to render. Paths are absolute; ``files`` are on the controller, ``bind_root`` is on the host."""

    project_name: str
    files: Sequence[str]
    project_directory: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    secret_names: Collection[str] = ()
    profiles: Collection[str] = ()
    settings: Settings = field(default_factory=Settings)
    bind_root: str | None = None
    ignore: Sequence[Mapping[str, Any]] = ()


@dataclass
class Result:
    """What came out. ``errors`` empty means that ``compose`` and ``text`` are a release; else they are empty."""

    findings: list[Finding]
    ignored: list[dict[str, Any]]
    compose: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    order: list[list[str]] = field(default_factory=list)
    repairs: list[dict[str, Any]] = field(default_factory=list)
    variables: dict[str, list[str]] = field(default_factory=dict)
    binds: list[dict[str, str]] = field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        """Findings that stop the release."""
        return [finding for finding in self.findings if finding.severity == ERROR]

    @property
    def warnings(self) -> list[Finding]:
        """Findings that do not stop it."""
        return [finding for finding in self.findings if finding.severity != ERROR]


def render(request: Request, reader: Reader, kind_of: Callable[[str], str | None] = unknown) -> Result:
    """Read, check, repair, audit and write. Bad content never raises: see ``Result.errors``.

    ``kind_of`` tells what stands at a path of the controller; see ``audit.view.Context``.
    """
    option_findings = check_request(request)
    interpolator = Interpolator(request.variables, request.secret_names)
    recorder = RecordingReader(reader)
    project = load_project(
        request.files,
        recorder,
        interpolator,
        project_directory=request.project_directory,
        bind_root=request.bind_root,
        profiles=request.profiles,
        disabled=disabled(request.settings),
    )
    option_findings += check_settings(request.settings, project.services, project.disabled)
    repairs = Repairs()
    findings = list(project.findings)
    context = Context(
        policy=request.settings.policy,
        project_name=request.project_name,
        directory=request.project_directory,
        secret_names=request.secret_names,
        sources=recorder.documents,
        kind_of=kind_of,
        before=Before.of(project.services),
    )
    # With wrong options the repairs would raise or mislead; what is wrong with the files is told all the same.
    if not any(f.severity == ERROR for f in option_findings):
        findings += set_images(project.services, request.settings, interpolator, repairs)
        classes = apply_policy(project, request.settings, interpolator, repairs, findings)
        context = replace(context, classes=classes)
        findings += add_outlets(project.data, request.project_name, request.settings.outlets, project.disabled, repairs)
        findings += audit(project, context, [rule for rule in RULES.values() if not rule.settled])
    findings += grant_variables(project, interpolator)
    findings += check_project(project, interpolator, context)
    findings = option_findings + [project.locator.place(f) for f in findings if f.service not in project.disabled]
    standing, ignored = apply_ignore(in_order(findings), request.ignore)
    standing = in_order(standing + unused_ignores(findings, request.ignore))
    result = Result(standing, ignored, binds=project.binds)
    result.variables = {
        "secrets": interpolator.secrets_used(project.services),
        "plain": interpolator.used(project.services),
        "unset": interpolator.unset(project.services),
    }
    if not result.errors:
        _finish(result, project, request, context.classes, repairs)
    return result


def check_request(request: Request) -> list[Finding]:
    """Findings about the request itself."""
    findings = []
    if not _PROJECT_NAME.fullmatch(request.project_name):
        fix = "use lower-case letters, digits, - and _; begin with a letter or digit."
        message = f"{request.project_name!r} is no project name."
        findings.append(error("option", message, fix, "project_name"))
    if not request.files:
        findings.append(error("option", "files is empty.", "name at least one Compose file.", "files"))
    if request.bind_root is not None and not request.bind_root.startswith("/"):
        message = f"bind_root {request.bind_root!r} is no absolute path."
        findings.append(error("option", message, "begin it with a slash.", "bind_root"))
    for label, names in (("environment_variables", request.variables), ("secret_names", request.secret_names)):
        for name in names:
            if not _VARIABLE_NAME.fullmatch(name):
                message = f"{label}: {name!r} is no name for a variable."
                findings.append(error("option", message, "use letters, digits and _ only.", label))
    for name in sorted(set(request.variables) & set(request.secret_names)):
        message = f"{name} is in secret_names and in environment_variables; the plain value is not used."
        findings.append(warning("secret-in-variables", message, f"remove {name} from environment_variables.", name))
    return findings + check_ignore(request.ignore)


def apply_policy(
    project: Project, settings: Settings, interpolator: Interpolator, repairs: Repairs, findings: list[Finding]
) -> dict[str, str | None]:
    """Apply class policy to every service; returns their classes."""
    if project.version:
        repairs.note(None, "version", "(set)", None, "version")
        project.version = False
    jobs = jobs_of(project.services)
    classes: dict[str, str | None] = {}
    for name in sorted(project.services):
        service = project.services[name]
        override = _override(name, settings, interpolator)
        class_name = class_of(name, service, settings)
        if class_name is not None and class_name not in settings.policy:
            findings.append(unknown_class(name, class_name, settings))
            class_name = None
        elif class_name is None and settings.policy:
            message = f"{name} has no class, so no limits, restart policy or healthcheck timing are applied to it."
            fix = "name it in classes, or set default_class."
            findings.append(warning("class-missing", message, fix, f"services.{name}", name))
        path = f"services.{name}.{KEEP_EXTENSION}"
        findings.extend(unknown_keep(name, service.get(KEEP_EXTENSION), path))
        rollout, path = service.get(ROLLOUT_EXTENSION), f"services.{name}.{ROLLOUT_EXTENSION}"
        findings.extend(unknown_rollout(name, rollout, path))
        classes[name] = class_name
        if name in project.broken:
            continue
        rules = Rules(
            policy=interpolator.document(settings.policy.get(class_name or "", {}), f"policy.{class_name}", name),
            override=override,
            keep=frozenset(kept(service, override)),
            class_name=class_name,
            publish=str(override.get("publish") or settings.publish),
            job=name in jobs,
        )
        repair_service(name, service, rules, repairs)
    return classes


def _override(name: str, settings: Settings, interpolator: Interpolator) -> dict[str, Any]:
    """What the caller wants of one service, as template text like the file's own values."""
    override = merged(settings.services, name)
    # Patterns add up by variable here, and an empty value removes the variable.
    tables = [entry.get("environment") or {} for entry in matching(settings.services, name)]
    values = {str(key): value for table in tables for key, value in table.items()}
    override["environment"] = {k: None if v is None else plain_text(v) for k, v in values.items()}
    override["labels"] = {str(k): plain_text(v) for k, v in (override.get("labels") or {}).items() if v is not None}
    result: dict[str, Any] = interpolator.document(override, f"services.{name}", name)
    return result


def grant_variables(project: Project, interpolator: Interpolator) -> list[Finding]:
    """Secrets and configs whose content is a variable (``environment: NAME``)."""
    findings = []
    for section in ("secrets", "configs"):
        for name, entry in (project.data.get(section) or {}).items():
            variable = (entry or {}).get("environment")
            if not isinstance(variable, str):
                continue
            value = interpolator.reference(variable, f"{section}.{name}.environment", None)
            if section == "configs" and value is not None and not interpolator.is_secret(variable):
                # The env file of a release holds secrets only, so a plain value has to stand in the file.
                del entry["environment"]
                entry["content"] = value
            elif value is not None and not interpolator.is_secret(variable):
                message = f"the secret {name} takes its value from {variable}, which is not listed as a secret."
                fix = f"list {variable} in secret_names."
                findings.append(error("secret-not-listed", message, fix, f"secrets.{name}.environment"))
    return findings


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Errors first, then by place, each once."""
    unique = list(dict.fromkeys(findings))
    return sorted(unique, key=lambda f: (f.severity != ERROR, f.file or "", f.line or 0, f.service or "", f.rule))


def _finish(
    result: Result, project: Project, request: Request, classes: Mapping[str, str | None], repairs: Repairs
) -> None:
    services = project.services
    try:
        result.order = levels({name: dependencies(service) for name, service in services.items()})
    except CycleError as exc:  # Reported by check_references already, so this cannot be reached with no errors.
        result.findings.append(error("dependency-cycle", str(exc), "take one depends_on away."))
        return
    data = {key: value for key, value in project.data.items() if value or key == "services"}
    result.compose = ordered({"name": request.project_name, **data})
    result.text = emit(result.compose, HEADER)
    result.services = {name: summary(services[name], classes.get(name)) for name in sorted(services)}
    result.repairs = repairs.entries


def describe(finding: Finding, directory: str) -> Finding:
    """The finding with its file written relative to the project's folder, which is how people know it."""
    prefix = directory.rstrip("/") + "/"
    if finding.file and finding.file.startswith(prefix):
        return replace(finding, file=finding.file[len(prefix) :])
    return finding
