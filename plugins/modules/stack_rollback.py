#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_rollback
short_description: Move the host back to a release that was in use before
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Moves the host to an earlier release folder, by the same rollout as M(hypercode.deploy.stack_rollout) does. New
    containers start beside the old ones where that release in use asks for it, each has to get healthy, and when one
    does not, the host goes to where it was.
  - The images are on the host, recorded by digest, so no registry is asked. One that is gone all the same is pulled.
  - The work runs in a process of its own on the host and ends well when the controller goes away. The same task run
    again waits for it, or finishes what was cut off.
attributes:
  check_mode:
    support: full
    description: Returns the plan and writes nothing. Fails where the host does not have that release.
  diff_mode:
    support: full
    description: Shows the resolved compose.yaml before and after, and the plan. Never a secret.
  idempotent:
    support: full
    description: Nothing is touched when the host is on that release.
options:
  to:
    description:
      - Where to go back to. The id of a release, or a version, of which the newest release is taken.
      - Empty for the release that was in use before the current one. A host that went back already, or whose last
        update failed, stays where it is; so the same task can be run again.
    type: str
    default: ""
  project:
    description: Name of the Compose project. Empty for that of the release in use; another one is refused.
    type: str
    default: ""
  reason:
    description: Why this is done, for release.json.
    type: str
    default: ""
  accept_data:
    description:
      - Whether the data was put back to what that release understands. Without it, a release that is not reversible is
        not left backwards.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for the whole move. It goes on when this passes.
    type: int
    default: 1800
"""

EXAMPLES = r"""
- name: Go back to the release before this one
  hypercode.deploy.stack_rollback:
    reason: The new planner is slow.

- name: Go back to a version
  hypercode.deploy.stack_rollback:
    to: "1.3.0"
"""

RETURN = r"""
plan:
  description: What is done to which service. Empty when the host is on that release.
  returned: always
  type: dict
  sample: {"web": "replace: registry.example.com/web:2 -> registry.example.com/web:1 (the new one starts first)"}
note:
  description: Where it goes, or why nothing is done, in words.
  returned: when the release was found
  type: str
  sample: back to release 20261123T180000Z-1f2e3d4c
release:
  description: Id, version and status of the release that is gone back to.
  returned: when the release was found
  type: dict
  sample: {"id": "20261123T180000Z-1f2e3d4c", "version": "1.0.0", "status": "done"}
left:
  description: Id, version and status of the release that was in use before this task.
  returned: when the release was found
  type: dict
  sample: {"id": "20261124T090000Z-5a6b7c8d", "version": "1.1.0", "status": "done"}
hypercode_board:
  description: The board after the move.
  returned: outside of check mode
  type: list
  elements: dict
service:
  description: The service that failed, where it is one.
  returned: on failure
  type: str
evidence:
  description: Folder on the host with logs and state of what failed.
  returned: on failure
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import rollback
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.converge import ConvergeError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.deploy import DeployError, LaunchError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine, EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths, ReleaseError, Store
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollback import GoBack
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_facts import board_of, short, who

SPEC: dict[str, Any] = {
    "to": {"type": "str", "default": ""},
    "project": {"type": "str", "default": ""},
    "reason": {"type": "str", "default": ""},
    "accept_data": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 1800},
}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    store, engine, params = Store(Paths()), Engine(), module.params
    request = rollback.Request(params["to"], params["project"], who(), params["reason"], params["accept_data"])
    result: dict[str, Any] = {"changed": False}
    try:
        current = store.current()
        plan = rollback.make_plan(store, engine, request)
        target = rollback.target_of(plan)
        project = str(target.read()["project"])
        result |= {"left": short(current.peek() if current else {}), "release": short(target.read())}
        if module._diff and plan.actions:
            result["diff"] = rollback.diff_of(store, plan)
        if module.check_mode:
            if plan.blind:
                module.warn("Docker does not answer on this host, so only the records of the releases were compared.")
            for sentence in plan.unread:
                module.warn(f"It cannot be told whether this differs. {sentence}")
        else:
            move = GoBack(store, engine, rollback.wanted_of(target), float(params["timeout"]), request=request)
            plan, about = move.run(plan)
            result |= {"release": short(about), "hypercode_board": board_of(store, engine, project)}
    except ConvergeError as error:
        module.fail_json(
            msg=str(error),
            **{**result, "changed": bool(plan.actions), "plan": dict(plan.actions), "release": short(error.about)},
            service=error.service,
            evidence=error.evidence,
            hypercode_board=board_of(store, engine, project),
        )
    except (EngineError, ReleaseError, DeployError, LaunchError) as error:
        module.fail_json(msg=str(error))
    if not plan.actions:
        result.pop("diff", None)
    module.exit_json(**result | {"changed": bool(plan.actions), "plan": dict(plan.actions), "note": plan.reason})


if __name__ == "__main__":
    main()
