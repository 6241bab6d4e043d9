# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: as_findings
short_description: Turn the results of several checks into one list of findings
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Each check keeps its findings in C(findings), each in words of its own. This brings them all to the same keys.
  - A check that ended without a verdict counts as a finding, so that nothing passes unjudged.
options:
  _input:
    description: Registered results of checks. A skipped one has no findings.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Report everything at once
  hypercode.deploy.host_check:
    findings: "{{ [settings, compose] | hypercode.deploy.as_findings }}"
"""

RETURN = r"""
_value:
  description:
    - Findings, each with C(rule), C(severity), C(name), C(message) and C(fix).
    - Those about a file also have C(file), and C(line) where it is known.
  type: list
  elements: dict
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any


def as_findings(results: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the findings of all results, first to last."""
    return [finding for result in results for finding in _findings(result)]


def _findings(result: Mapping[str, Any]) -> list[dict[str, str]]:
    if result.get("skipped"):
        return []
    if "findings" not in result:
        return [
            {
                "rule": "no-verdict",
                "severity": "error",
                "name": "check",
                "message": str(result.get("msg") or "A check ended without a verdict."),
                "fix": "correct what it names",
            }
        ]
    return [_finding(finding) for finding in result["findings"]]


def _finding(finding: Mapping[str, Any]) -> dict[str, str]:
    name = finding.get("name") or finding.get("service") or finding.get("secret") or finding.get("path") or ""
    result = {
        "rule": str(finding.get("rule", "")),
        "severity": str(finding.get("severity", "error")),
        "name": str(name),
        "message": str(finding["message"]),
        "fix": str(finding.get("fix") or finding.get("hint") or ""),
    }
    if finding.get("file"):
        result["file"] = str(finding["file"])
        if finding.get("line"):
            result["line"] = str(finding["line"])
    return result


class FilterModule:
    """Filters of hypercode.deploy."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"as_findings": as_findings}
