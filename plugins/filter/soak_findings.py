# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: soak_findings
short_description: Judge what a soak check is to be started with
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Says what makes no sense, as findings, before any host is touched.
options:
  _input:
    description: The options of M(hypercode.deploy.soak_check), by name. An empty one is chosen to fit the duration.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Judge the settings
  hypercode.deploy.settings_check:
    rules:
      - name: soak_duration
        findings: "{{ {'duration': soak_duration} | hypercode.deploy.soak_findings }}"
"""

RETURN = r"""
_value:
  description: Findings, each with C(rule), C(severity), C(name), C(message) and C(fix). Empty where all is well.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.request import document_from
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.settings import SoakError


def soak_findings(asked: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what makes no sense: nothing, or the first that was found."""
    given = {name: value for name, value in asked.items() if value not in ("", None)}
    try:
        document_from(given)
    except SoakError as error:
        message, _fix, fix = str(error).partition(". Fix: ")
        return [
            {
                "rule": "soak-settings",
                "severity": "error",
                "name": "soak_",
                "message": f"{message}.",
                "fix": fix or "correct it",
            }
        ]
    return []


class FilterModule:
    """Filters of hypercode.deploy."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"soak_findings": soak_findings}
