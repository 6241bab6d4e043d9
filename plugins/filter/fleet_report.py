# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_report
short_description: Say how a fleet stands before or after an update
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Reads what C(playbooks/update.yml) noted of each host, and returns a small table with a sentence below it.
options:
  _input:
    description: Names of the hosts of the fleet.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
  stage:
    description: Whether it is the plan, or the end.
    type: str
    choices: [plan, end]
    default: end
  command:
    description: The command that takes a host back, with the words HOST and ID in it.
    type: str
    default: ''
"""

EXAMPLES = r"""
- name: Report
  ansible.builtin.debug:
    msg: "{{ (ansible_play_hosts_all | hypercode.deploy.fleet_report(hostvars)).text }}"
"""

RETURN = r"""
_value:
  description: C(text) for people; C(good) is true when every host was updated; C(bad) names those that were not.
  type: dict
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.hypercode.deploy.plugins.plugin_utils.fleet_report import Member, plan_text, report


def fleet_report(
    hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]], stage: str = "end", command: str = ""
) -> dict[str, Any]:
    """Return {text, good, bad}."""
    members = [_member(str(host), hostvars[host]) for host in hosts]
    if stage == "plan":
        return {"text": plan_text(members), "good": True, "bad": []}
    return report(members, command)


def _member(host: str, noted: Mapping[str, Any]) -> Member:
    end = noted.get("__update_end") or {}
    is_known = not end.get("unreachable") and bool(end.get("release"))
    return Member(
        host=host,
        before=noted.get("__update_before") or {},
        now=end["release"] if is_known else None,
        wanted=str(noted.get("__update_wanted") or ""),
        plan=noted.get("__update_plan") or {},
        error=str(noted.get("__update_error") or ""),
        back_error=str(noted.get("__update_back_error") or ""),
    )


class FilterModule:
    """Filters of hypercode.deploy."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"fleet_report": fleet_report}
