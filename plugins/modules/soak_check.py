#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: soak_check
short_description: Start a soak check on a host, see how it stands, wait for its verdict, or end it
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - A soak check watches a host for a day, or as long as you say, and then says PASS, FAIL or INCONCLUSIVE, with the
    evidence.
  - It runs on the host, in C(hypercode-soak.service). It goes on when the controller is gone, and after a reboot.
attributes:
  check_mode:
    support: full
    description: In check mode it says whether a soak would be started or ended, and refuses what would be refused.
  diff_mode:
    support: none
    description: Nothing is shown that a reader could compare.
  idempotent:
    support: partial
    description: One with the same settings that is under way is left alone. After one that has ended comes a new one.
  action:
    support: full
    description: While it waits, lines on the controller say how long it takes yet, and what was found.
options:
  state:
    description:
      - V(started) starts one, unless it is under way.
      - V(status) says how the one that is under way stands, or the last one.
      - V(finished) waits until it has ended. Stop it with Ctrl-C as you like, the soak goes on. Run it again, from
        anywhere, to wait again.
      - V(stopped) ends it now, and has it judged as it is.
    type: str
    choices: [started, status, finished, stopped]
    required: true
  name:
    description: The name of the soak, which becomes a part of its id.
    type: str
    default: soak
  duration:
    description: How long it takes, such as V(24h), V(10m) or a number of seconds.
    type: str
    default: 24h
  warmup:
    description: The time at the start in which only crashes count. V(30m) of a day, less of a shorter soak.
    type: str
  interval:
    description: The time from sample to sample. V(60) seconds of a day. The watch has to write down figures as often.
    type: str
  probe_interval:
    description: The time from request to request, to each service and each site. V(10) seconds of a day.
    type: str
  limits:
    description: From where on a figure is too much, by name. C(docs/soak.md) lists them.
    type: dict
    default: {}
  expect:
    description: What is planned meanwhile, which does not count against the release.
    type: list
    elements: dict
    default: []
    suboptions:
      what:
        description: What will happen.
        type: str
        choices: [rollout, reboot, dockerd, restart, outage]
        required: true
      begins:
        description: When, as a time after the start.
        type: str
        default: "0"
      ends:
        description: Until when, as a time after the start.
        type: str
        required: true
      service:
        description: Of which service. Empty for the host.
        type: str
        default: ""
  baseline:
    description:
      - The id of an earlier soak of this host to compare with, or V(previous) for the last one that has a verdict.
      - Empty for none.
    type: str
    default: ""
  keep_going:
    description: Go on to the end, also when it is clear before that the release does not hold.
    type: bool
    default: false
  faults:
    description: What is broken on purpose, to see that it recovers.
    type: dict
    default: {}
    suboptions:
      kill:
        description: Kill each container that keeps no data once.
        type: bool
        default: false
      reboot:
        description: Reboot the host once.
        type: bool
        default: false
  occasion:
    description:
      - With O(state=started), when to start one.
      - V(always) starts one each time. V(first) only where none was ever started on this host.
      - V(release) where another release is in use than that of the last soak. One that is under way for an earlier
        release ends then.
    type: str
    choices: [always, first, release]
    default: always
  wait:
    description: With O(state=finished), how long to wait at most, such as V(25h). Without it, until the soak has ended.
    type: str
  reason:
    description: With O(state=stopped), who ends it, or why.
    type: str
    default: a playbook
  require_pass:
    description: Fail when the soak has ended with another verdict than V(PASS).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Start a soak check
  hypercode.deploy.soak_check:
    state: started
    duration: 24h

- name: Wait for its verdict
  hypercode.deploy.soak_check:
    state: finished
  register: soak

- name: Fail unless the release holds
  ansible.builtin.assert:
    that: soak.verdict == 'PASS'
    fail_msg: "{{ soak.reason }}"
"""

RETURN = r"""
run:
  description: The id of the soak. Empty where there is none.
  returned: always
  type: str
  sample: 20261201T020000Z-soak
running:
  description: Whether it is under way.
  returned: when there is one
  type: bool
verdict:
  description: V(PASS), V(FAIL), V(INCONCLUSIVE), or none yet.
  returned: when there is one
  type: str
reason:
  description: One sentence that says why.
  returned: when there is one
  type: str
next:
  description: One sentence that says what to do.
  returned: when there is one
  type: str
left:
  description: How many seconds it takes yet.
  returned: when there is one
  type: float
findings:
  description: The checks that fail, each with C(title), C(verdict) and C(observed).
  returned: when there is one
  type: list
  elements: dict
folder:
  description: Where its journal and its report are on the host.
  returned: when there is one
  type: str
hypercode_summary:
  description: The same as lines for the end of a run.
  returned: with O(state=status), O(state=finished) and O(state=stopped), when there is one
  type: list
  elements: str
lines:
  description: How it stands, as lines of text.
  returned: when there is one
  type: list
  elements: str
"""

import os
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import ReleaseError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.command import render
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.control import Control
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.paths import runs, unfinished
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.request import TIMES, seconds_of
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.settings import SoakError

SETTINGS = ("name", *TIMES, "limits", "expect", "baseline", "faults", "keep_going")
SPEC: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["started", "status", "finished", "stopped"], "required": True},
    "name": {"type": "str", "default": "soak"},
    "duration": {"type": "str", "default": "24h"},
    "warmup": {"type": "str"},
    "interval": {"type": "str"},
    "probe_interval": {"type": "str"},
    "limits": {"type": "dict", "default": {}},
    "expect": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "what": {
                "type": "str",
                "choices": ["rollout", "reboot", "dockerd", "restart", "outage"],
                "required": True,
            },
            "begins": {"type": "str", "default": "0"},
            "ends": {"type": "str", "required": True},
            "service": {"type": "str", "default": ""},
        },
    },
    "baseline": {"type": "str", "default": ""},
    "faults": {
        "type": "dict",
        "default": {},
        "options": {"kill": {"type": "bool", "default": False}, "reboot": {"type": "bool", "default": False}},
    },
    "keep_going": {"type": "bool", "default": False},
    "occasion": {"type": "str", "choices": ["always", "first", "release"], "default": "always"},
    "wait": {"type": "str"},
    "reason": {"type": "str", "default": "a playbook"},
    "require_pass": {"type": "bool", "default": False},
}
FOREVER = 1e9


def control() -> Control:
    """That of this host."""
    return Control()


def start(host: Control, params: Mapping[str, Any], check_mode: bool) -> tuple[bool, str]:
    """Start one where that is wanted; whether something was or would be started, and its id."""
    asked = {name: params[name] for name in SETTINGS if params[name] not in (None, "")}
    there, running = runs(host.paths), unfinished(host.paths)
    if params["occasion"] == "first" and there:
        return False, there[-1]
    if params["occasion"] == "release" and there:
        if not host.is_of_older_release(there[-1]):
            return False, there[-1]
        if running and not check_mode:
            host.stop("a newer release is in use")
            running = ""
    if running and host.is_the_same(running, asked):
        return False, running
    if check_mode:
        if not (running and params["occasion"] == "release"):
            host.plan(asked)
        return True, ""
    return True, host.start(asked)


def as_findings(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """The checks that do not pass, for people."""
    return [
        {
            "rule": f"soak-{finding['verdict'].lower()}",
            "severity": "error",
            "name": found["run"],
            "message": f"{finding['title']}: {finding['observed']}",
            "fix": finding.get("next") or found["next"] or "see the report",
        }
        for finding in found["findings"]
    ]


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    params, host = module.params, control()
    changed = False
    try:
        running = unfinished(host.paths)
        if params["state"] == "started":
            changed, run = start(host, params, module.check_mode)
        else:
            run = running or (runs(host.paths) or [""])[-1]
        if params["state"] == "stopped" and running:
            changed = True
            if not module.check_mode:
                host.stop(params["reason"])
        if params["state"] == "finished" and running and not module.check_mode:
            host.wait(running, FOREVER if params["wait"] is None else seconds_of(params["wait"], "wait"))
        found = host.status(run) if run else {}
    except (EngineError, FileError, ReleaseError, SoakError, OSError) as error:
        module.fail_json(msg=f"{error}")
    if not run and params["state"] in ("finished", "status") and not module.check_mode:
        module.fail_json(msg="no soak was started on this host yet. Fix: playbooks/soak.yml --tags start", run="")
    result = {"run": run, **found, "lines": render(found) if found else []}
    if found and params["state"] in ("status", "finished", "stopped"):
        # Shown at the end of a run, host by host.
        result["hypercode_summary"] = [
            f"Soak check of {os.uname().nodename}:",
            *(f"  {line}" for line in result["lines"]),
        ]
    if found and params["require_pass"] and not found["running"] and found["verdict"] != "PASS":
        said = f"The soak check says {found['verdict']}: {found['reason']}"
        module.fail_json(msg=said, **{**result, "findings": as_findings(found)})
    module.exit_json(changed=changed, **result)


if __name__ == "__main__":
    main()
