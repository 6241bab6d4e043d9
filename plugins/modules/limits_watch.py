#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: limits_watch
short_description: Watch whether every container keeps within its limits
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Watches the containers of the stack on the host while something else puts load on it, and says whether their limits
    held.
  - Looks at the memory of each container once a second, without the page cache; at the CPU periods in which it was cut
    short; at restarts and at processes that the kernel killed for memory.
  - The watch is C(hypercode limits) in a transient systemd unit, so it goes on between the tasks of a playbook. It ends
    by itself when nobody stops it.
  - Works with control groups of version 1 and 2.
attributes:
  check_mode:
    support: full
    description: In check mode nothing is watched, and the report is empty.
  diff_mode:
    support: none
    description: Nothing on the host is changed that stays.
  idempotent:
    support: none
    description: Each start is a watch of its own.
options:
  state:
    description:
      - V(started) starts a watch and returns when it has looked at every container once.
      - V(stopped) ends it and returns its report.
    type: str
    choices: [started, stopped]
    required: true
  seconds:
    description: After so long the watch ends by itself.
    type: float
    default: 900
  memory_share:
    description: The share of its memory limit that a container has to stay below.
    type: float
    default: 0.9
  throttled_share:
    description: The share of the CPU periods in which a container wanted to run, in which it may be cut short.
    type: float
    default: 0.25
"""

EXAMPLES = r"""
- name: Watch the limits
  hypercode.deploy.limits_watch:
    state: started

- name: Say whether they held
  hypercode.deploy.limits_watch:
    state: stopped
  register: limits
"""

RETURN = r"""
addresses:
  description: Where the host reaches the containers of each service, by its name in the Compose file.
  returned: with O(state=started), not in check mode
  type: dict
report:
  description: What was seen.
  returned: with O(state=stopped), not in check mode
  type: dict
  contains:
    held:
      description: Whether every limit held.
      type: bool
    seconds:
      description: How long was watched.
      type: float
    looks:
      description: How often memory was looked at.
      type: int
    services:
      description: One entry for each container, with C(service), C(memory_peak_bytes), C(memory_limit_bytes),
        C(cpu_limit), C(cpu_periods), C(cpu_periods_throttled), C(throttled_share), C(restarts) and C(oom_kills).
      type: list
      elements: dict
    points:
      description: Each limit that did not hold, with C(rule), C(service) and C(message).
      type: list
      elements: dict
table:
  description: The same as lines of text.
  returned: with O(state=stopped), not in check mode
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.upstreams import addresses
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine, EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.limits_unit import WatchError, WatchUnit
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.limits_watch import Bounds, render
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths, ReleaseError, Store


def places() -> dict[str, list[str]]:
    """The addresses of the containers of the release in use, by service."""
    release = Store(Paths()).current()
    return addresses(Engine().containers(str(release.read()["project"]))) if release else {}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped"], "required": True},
            "seconds": {"type": "float", "default": 900},
            "memory_share": {"type": "float", "default": 0.9},
            "throttled_share": {"type": "float", "default": 0.25},
        },
        supports_check_mode=True,
    )
    params, unit = module.params, WatchUnit()
    if module.check_mode:
        module.exit_json(changed=False)
    try:
        if params["state"] == "started":
            unit.start(params["seconds"], Bounds(params["memory_share"], params["throttled_share"]))
            module.exit_json(changed=False, addresses=places())
        report = unit.stop()
    except (EngineError, ReleaseError, WatchError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, report=report, table=render(report))


if __name__ == "__main__":
    main()
