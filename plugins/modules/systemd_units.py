#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_units
short_description: Enables, starts, stops, restarts and masks a list of systemd units in one step
version_added: 0.1.0
description:
  - Brings a list of systemd units into the wanted state in one round trip. The state of all is read in one call, and
    only what differs is acted on.
  - All units are judged before the first one is touched. Unit files are enabled or disabled first, then units are
    started, stopped, restarted or reloaded in the order of the list.
  - Services, sockets, timers and instances such as C(getty@tty1.service) are all units. A name without a type is a
    service.
author: The hypercode.deploy authors (@hypercode)
attributes:
  check_mode:
    support: full
    description: Predicts what a run would do. A unit that does not exist yet counts as one that would be enabled and
      started, since an earlier task may bring it.
  diff_mode:
    support: full
    description: Shows the state of each unit that changes, before and after.
  idempotent:
    support: partial
    description: V(restarted) and V(reloaded) act on every run. All else acts only where needed.
options:
  units:
    description: The units, in the order in which they are to be started or stopped.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: One unit. Not a pattern.
        type: str
        required: true
      enabled:
        description: Whether it starts at boot. Without it, that stays as it is.
        type: bool
      state:
        description:
          - V(started) and V(stopped) act only when needed. V(restarted) and V(reloaded) always act, and start a unit
            that does not run.
          - A unit that does not exist is as good as stopped and disabled. Wanting it enabled or started is an error.
        type: str
        choices: [started, stopped, restarted, reloaded]
      masked:
        description: Whether nothing at all may start it.
        type: bool
      if_present:
        description: Whether a unit that does not exist is left out. Otherwise O(units[].masked) masks it beforehand.
        type: bool
        default: false
  daemon_reload:
    description:
      - Whether systemd reads its unit files anew first. This alone does not count as a change.
      - When systemd knows that the file of a listed unit changed on disk, it is made to read the files in any case.
    type: bool
    default: false
seealso:
  - module: ansible.builtin.systemd_service
"""

EXAMPLES = r"""
- name: Enable and start what the base role needs
  hypercode.deploy.systemd_units:
    units:
      - {name: nftables, enabled: true, state: started}
      - {name: hypercode-backup.timer, enabled: true, state: started}
      - {name: rpcbind.socket, state: stopped, masked: true, if_present: true}

- name: Restart the firewall, then the proxy, after their unit files changed
  hypercode.deploy.systemd_units:
    daemon_reload: true
    units:
      - {name: nftables, state: restarted}
      - {name: caddy, state: reloaded}
"""

RETURN = r"""
changed_units:
  description: Names of the units that were changed, in the order of the list.
  returned: success
  type: list
  elements: str
  sample: [nftables.service]
actions:
  description: What was done, or in check mode would be done, as systemctl verbs with the unit.
  returned: always
  type: list
  elements: str
  sample: [enable nftables.service, start nftables.service]
units:
  description: One entry for each unit that is not left out, in the order of the list.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Full name of the unit.
      type: str
      sample: nftables.service
    before:
      description: Its state before, in the words of systemd (C(load), C(active), C(sub), C(file)).
      type: dict
    after:
      description: Its state as it is to be after the steps.
      type: dict
    steps:
      description: The systemctl verbs for this unit, in order.
      type: list
"""

import platform
from collections.abc import Sequence

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult, run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.units import (
    STATES,
    Systemd,
    UnitError,
    UnitPlan,
    apply_units,
    parse_wanted,
    warnings_for,
)

# systemd has its own time limit for every unit; this one only ends a systemctl that hangs.
_TIMEOUT = 900  # seconds


def _run(argv: Sequence[str]) -> CommandResult:
    return run_command(argv, timeout=_TIMEOUT, environment={"SYSTEMD_COLORS": "0"})


def _diff(plans: Sequence[UnitPlan]) -> dict[str, str]:
    changing = [plan for plan in plans if plan.steps]
    before = "".join(f"{plan.wanted.name}: {plan.before.text}\n" for plan in changing)
    after = "".join(f"{plan.wanted.name}: {plan.after.text} ({', '.join(plan.steps)})\n" for plan in changing)
    return {"before_header": "units", "after_header": "units", "before": before, "after": after}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "units": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "enabled": {"type": "bool"},
                    "state": {"type": "str", "choices": list(STATES)},
                    "masked": {"type": "bool"},
                    "if_present": {"type": "bool", "default": False},
                },
            },
            "daemon_reload": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    host = platform.node() or "this host"
    try:
        plans = apply_units(
            parse_wanted(module.params["units"]),
            Systemd(_run, host),
            host=host,
            daemon_reload=module.params["daemon_reload"],
            check_mode=module.check_mode,
        )
    except UnitError as error:
        module.fail_json(msg=str(error), actions=error.done, changed=bool(error.done))
    for warning in warnings_for(plans):
        module.warn(warning)
    actions = [f"{step} {plan.wanted.name}" for plan in plans for step in plan.steps]
    result = {
        "changed": bool(actions),
        "changed_units": [plan.wanted.name for plan in plans if plan.steps],
        "actions": actions,
        "units": [
            {
                "name": plan.wanted.name,
                "before": plan.before.as_dict(),
                "after": plan.after.as_dict(),
                "steps": plan.steps,
            }
            for plan in plans
        ],
    }
    if module._diff:
        result["diff"] = _diff(plans)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
