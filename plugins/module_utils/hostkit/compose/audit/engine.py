# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the rules over a project that has been read."""

from __future__ import annotations

from collections.abc import Iterable

from ..findings import Finding
from ..interpolate import Interpolator
from ..model import check_references
from ..project import Project
from ..release import check_health, check_images, check_networks, jobs_of
from .registry import RULES
from .rule import AuditRule
from .view import Context, View


def audit(project: Project, context: Context, rules: Iterable[AuditRule] = RULES.values()) -> list[Finding]:
    """What the rules with a check of their own find in a project, with file and line."""
    view = View(project, context)
    findings = [
        Finding(rule.id, rule.severity, hit.service, hit.message, hit.fix or rule.fix, hit.path)
        for rule in rules
        if rule.check is not None
        for hit in rule.check(view)
    ]
    return [project.locator.place(finding) for finding in findings]


def check_project(project: Project, interpolator: Interpolator, context: Context) -> list[Finding]:
    """What stands between a project and a release: names that nothing defines, images, loops, variables."""
    findings = list(check_networks(project.data, context.classes, context.policy))
    findings += check_references(project.data, project.disabled)
    findings += check_images({n: s for n, s in project.services.items() if not interpolator.unset_at(n, "image")})
    findings += check_health(project.services, jobs_of(project.services))
    findings += interpolator.findings(project.services)
    return [project.locator.place(finding) for finding in findings]
