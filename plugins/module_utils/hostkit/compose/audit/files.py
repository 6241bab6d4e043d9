# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Audits Compose files as they are. Which findings a rendering would repair is not claimed, but tried on a copy."""

from __future__ import annotations

import copy
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..envfile import EnvFileError, load_env
from ..findings import ERROR, Document, Finding, apply_ignore, error, unused_ignores
from ..interpolate import Interpolator, plain_text
from ..loader import Reader
from ..policy import check_settings, disabled
from ..project import Project, load_project
from ..render import Request, apply_policy, check_request, grant_variables, in_order
from ..repair import Repairs
from .engine import audit, check_project
from .recorder import RecordingReader
from .view import Before, Context, unknown
from .words import holds_secret


@dataclass
class Report:
    """What an audit found: ``findings`` stand, ``ignored`` were set aside with a reason."""

    findings: list[Finding]
    ignored: list[dict[str, Any]]


def audit_files(
    request: Request,
    env_files: Sequence[str],
    reader: Reader,
    kind_of: Callable[[str], str | None] = unknown,
) -> Report:
    """Audit the files of ``request``. Bad content never raises. An empty project name is taken from file or folder."""
    findings = check_request(replace(request, project_name=request.project_name or "unknown"))
    variables, secret_names = _variables(request, env_files, reader, findings)
    interpolator = Interpolator(variables, secret_names)
    recorder = RecordingReader(reader)
    project = load_project(
        request.files,
        recorder,
        interpolator,
        project_directory=request.project_directory,
        # The files are audited where they are.
        bind_root=request.project_directory,
        profiles=request.profiles,
        disabled=disabled(request.settings),
    )
    findings += check_settings(request.settings, project.services, project.disabled)
    documents = recorder.documents
    context = Context(
        policy=request.settings.policy,
        project_name=request.project_name or _project_name(documents, request.project_directory),
        directory=request.project_directory,
        secret_names=secret_names,
        sources=documents,
        kind_of=kind_of,
    )
    findings += [project.locator.place(finding) for finding in project.findings]
    findings += grant_variables(project, interpolator)
    findings += _judge(project, request, interpolator, context, not _errors(findings, "option"))
    findings = [project.locator.place(f) for f in findings if f.service not in project.disabled]
    standing, ignored = apply_ignore(in_order(findings), request.ignore)
    return Report(in_order(standing + unused_ignores(findings, request.ignore)), ignored)


def _errors(findings: Sequence[Finding], rule: str) -> bool:
    return any(finding.rule == rule and finding.severity == ERROR for finding in findings)


def _judge(
    project: Project, request: Request, interpolator: Interpolator, context: Context, repair: bool
) -> list[Finding]:
    """The findings of a project as it is; those that are gone after the repairs of a rendering are marked."""
    if not repair:
        return check_project(project, interpolator, context) + audit(project, context)
    repaired = replace(project, data=copy.deepcopy(project.data))
    found: list[Finding] = []
    context = replace(context, classes=apply_policy(repaired, request.settings, interpolator, Repairs(), found))
    found += check_project(project, interpolator, context) + audit(project, context)
    context = replace(context, before=Before.of(project.services))
    left = {_place(f) for f in found if f.rule == "option"}
    left.update(map(_place, check_project(repaired, interpolator, context) + audit(repaired, context)))
    return [f if f.rule in ("class-missing", "option") else replace(f, repairable=_place(f) not in left) for f in found]


def _place(finding: Finding) -> tuple[str, str | None, str]:
    return finding.rule, finding.service, finding.path


def _variables(
    request: Request, env_files: Sequence[str], reader: Reader, findings: list[Finding]
) -> tuple[dict[str, str], list[str]]:
    """Variables and names of secrets. What is a secret in an env file is one here: its value goes no further."""
    given = {str(name): plain_text(value) for name, value in request.variables.items() if value is not None}
    values: dict[str, str] = {}
    for file in env_files:
        values.update(_env_file(file, {**values, **given}, reader, findings))
    secrets = {name for name, value in values.items() if name not in given and holds_secret(name, value)}
    return {**values, **given}, sorted(secrets.union(request.secret_names))


def _env_file(file: str, known: Mapping[str, str], reader: Reader, findings: list[Finding]) -> dict[str, str]:
    try:
        text = reader.text(file)
        if text is not None:
            return load_env(text, known)
        findings.append(replace(_broken("is not there", "create it, or correct the path."), file=file))
    except EnvFileError as exc:
        findings.append(
            replace(_broken(f"is no env file: {exc}", "write one NAME=value a line."), file=file, line=exc.line)
        )
    except ValueError as exc:
        findings.append(replace(_broken(f"cannot be read: {exc}", "save the file as UTF-8 text."), file=file))
    return {}


def _broken(problem: str, fix: str) -> Finding:
    return error("env-file", f"the env file {problem}.", fix, "env_files")


def _project_name(documents: Sequence[Document], directory: str) -> str:
    """The name that Compose would give the project: from the files, else from the folder."""
    stated = [str(document.data["name"]) for document in documents if isinstance(document.data.get("name"), str)]
    if stated and "$" not in stated[-1]:
        return stated[-1]
    return "" if stated else re.sub(r"[^a-z0-9_-]", "", posixpath.basename(directory.rstrip("/")).lower()).lstrip("_-")
