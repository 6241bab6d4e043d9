#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: fleet_lock
short_description: Keep two updates of a fleet apart
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Takes, renews or frees a lease on the host, which says who updates the fleet. Another run is refused while it holds.
  - A lease ends by itself, by the clock of the host, when it was not renewed. So a controller that died blocks nobody
    for ever.
  - A lease from the future (the clock was set back) gets its length once more. A damaged file is no lease.
attributes:
  check_mode:
    support: full
    description: Fails where the lease would be refused, and takes none.
  diff_mode:
    support: none
    description: A lease is nothing that stays.
  idempotent:
    support: partial
    description: Taking a lease that is held already renews it, which is a change.
options:
  state:
    description:
      - V(present) takes the lease, or renews it where it is this owner's. V(renewed) only renews. V(absent) frees it.
    type: str
    choices: [present, renewed, absent]
    default: present
  owner:
    description: What tells this run from all others, such as a UUID. Not needed with O(force).
    type: str
    default: ''
  who:
    description: Who it is, for people.
    type: str
    default: ''
  seconds:
    description: How long the lease holds when it is not renewed.
    type: int
    default: 3600
  force:
    description: With O(state=absent), free it whoever has it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Lock the fleet
  hypercode.deploy.fleet_lock:
    owner: "{{ update_run }}"
    who: alice@laptop

- name: Free it, whoever has it
  hypercode.deploy.fleet_lock:
    state: absent
    force: true
"""

RETURN = r"""
lease:
  description: The lease that is held now; with a refusal, the other run's. Times are seconds since 1970.
  returned: when there is one
  type: dict
  sample: {"owner": "5f1c", "who": "alice@laptop", "since": 1795900000.0, "renewed": 1795900060.0, "seconds": 3600}
"""

import platform
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.fleet_lease import (
    LeaseHeldError,
    LeaseLostError,
    Leases,
)

SPEC: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "renewed", "absent"], "default": "present"},
    "owner": {"type": "str", "default": ""},
    "who": {"type": "str", "default": ""},
    "seconds": {"type": "int", "default": 3600},
    "force": {"type": "bool", "default": False},
}


def refuse_wrong(module: AnsibleModule) -> None:
    """Refuse what makes no lease."""
    params = module.params
    if not params["owner"] and not (params["state"] == "absent" and params["force"]):
        module.fail_json(msg="owner is empty. Nothing was changed. Fix: give what tells this run from others, or force")
    if params["seconds"] < 1:
        module.fail_json(msg=f"seconds is {params['seconds']}. Nothing was changed. Fix: give a number above 0")


def act(leases: Leases, params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Do what is asked for; return the result."""
    owner, seconds = params["owner"], params["seconds"]
    if params["state"] == "absent":
        if not check:
            return {"changed": leases.free(owner, force=params["force"])}
        held = leases.holder()
        return {"changed": held is not None and (params["force"] or held.owner == owner)}
    if check:
        leases.look(owner)
        return {"changed": True}
    if params["state"] == "renewed":
        lease = leases.renew(owner, seconds)
    else:
        lease = leases.take(owner, params["who"] or "somebody", seconds)
    return {"changed": True, "lease": asdict(lease)}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    refuse_wrong(module)
    try:
        result = act(Leases(host=platform.node()), module.params, check=module.check_mode)
    except LeaseHeldError as error:
        module.fail_json(msg=str(error), lease=asdict(error.lease))
    except (LeaseLostError, FileError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
