# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: alertmanager_findings
short_description: Judge who is to be told of alerts
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Gives a finding for all that M(hypercode.deploy.alertmanager_config) would refuse, and for what is worth a warning.
  - Addresses of chats are secrets, so no finding shows a value.
options:
  _input:
    description: Who is told, as in C(monitoring_receivers) of the role monitoring. See docs/alerts.md.
    type: list
    elements: dict
    required: true
  switch:
    description: The address of the dead man's switch, as in C(monitoring_dead_mans_switch_url). Empty for none.
    type: str
    default: ""
  host:
    description: The name of this host, where O(hostvars) is given.
    type: str
    default: ""
  hosts:
    description: The names of all hosts. An address of the dead man's switch that two of them share is worth a warning.
    type: list
    elements: str
    default: []
  hostvars:
    description: The variables of all hosts.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Check who is told of alerts
  hypercode.deploy.settings_check:
    rules:
      - name: monitoring_receivers
        findings: >-
          {{ monitoring_receivers | hypercode.deploy.alertmanager_findings(
             monitoring_dead_mans_switch_url, inventory_hostname, groups['hypercode'], hostvars) }}
"""

RETURN = r"""
_value:
  description: Findings, each with C(rule), C(severity) (C(error) or C(warning)), C(name), C(message) and C(fix).
  type: list
  elements: dict
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.hypercode.deploy.plugins.plugin_utils.alertmanager_receivers import (
    SWITCH,
    read_receivers,
    read_switch,
)


def alertmanager_findings(
    receivers: Any,
    switch: Any = "",
    host: str = "",
    hosts: Iterable[str] = (),
    hostvars: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[dict[str, str]]:
    """Return what is wrong, or worth a warning, first to last."""
    _told, problems = read_receivers(receivers)
    known = hostvars or {}
    others = [known[other] for other in hosts if other != host and other in known] if switch else []
    _url, more = read_switch(switch, [variables.get(SWITCH) for variables in others if _is_on(variables)])
    return [finding.as_dict() for finding in (*problems, *more)]


def _is_on(variables: Mapping[str, Any]) -> bool:
    return str(variables.get("monitoring_enabled", True)).lower() not in ("false", "no", "0", "off")


class FilterModule:
    """Filters of hypercode.deploy."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"alertmanager_findings": alertmanager_findings}
