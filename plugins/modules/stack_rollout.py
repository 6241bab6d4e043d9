#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_rollout
short_description: Move the host to a release of the stack
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Compares the host with the wanted stack. The release in use and the containers that really run are both looked at.
  - Where they differ it writes a release folder, pulls every image before anything is stopped, records digests, starts the
    services in dependency order, waits until each is healthy, and switches C(current).
  - When a service does not get healthy, evidence is collected and the previous release is put back.
  - The work runs in a process of its own on the host and ends well when the controller goes away. The same task run again
    waits for it, or finishes what was cut off.
attributes:
  check_mode:
    support: full
    description: Returns the plan and writes nothing. Works before Docker is installed.
  diff_mode:
    support: full
    description: Shows the resolved compose.yaml before and after, and the plan. Never a secret.
  idempotent:
    support: full
    description: Nothing is touched when the host is as wanted.
options:
  project:
    description: Name of the Compose project.
    type: str
    required: true
  compose:
    description: The resolved Compose project, as M(hypercode.deploy.compose_render) returns it in C(compose).
    type: dict
    required: true
  services:
    description: Facts of each service, as M(hypercode.deploy.compose_render) returns them.
    type: dict
    required: true
  order:
    description: Dependency levels, first to start first.
    type: list
    elements: list
    required: true
  secrets:
    description: Values for the variables that C(compose) still refers to. They go into the C(env) file of the release (0600).
    type: dict
    default: {}
  version:
    description: Name of the version that is deployed, for release.json and the board.
    type: str
    default: ""
  reason:
    description: Why this rollout is done, for release.json.
    type: str
    default: ""
  local_images:
    description: Images that were built on this host and are not to be pulled.
    type: list
    elements: str
    default: []
  ready_timeout:
    description: Seconds that each dependency level has to get healthy.
    type: int
    default: 180
  timeout:
    description: Seconds to wait for the whole rollout. It goes on when this passes.
    type: int
    default: 1800
  keep_releases:
    description: How many release folders are kept.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: Resolve the stack
  hypercode.deploy.compose_render:
    project_name: hypercode
    files: [compose.yaml]
  register: rendered

- name: Roll it out
  hypercode.deploy.stack_rollout:
    project: hypercode
    compose: "{{ rendered.compose }}"
    services: "{{ rendered.services }}"
    order: "{{ rendered.order }}"
    secrets: "{{ stack_secrets }}"
    version: "1.4.0"
"""

RETURN = r"""
plan:
  description: What is done to which service. Empty when the host is as wanted.
  returned: always
  type: dict
  sample: {"redis": "start"}
release:
  description: Id, version and status of the release.
  returned: when a release exists
  type: dict
  sample: {"id": "20261123T180000Z-1f2e3d4c", "version": "1.0.0", "status": "done"}
hypercode_board:
  description: The board after the rollout.
  returned: outside of check mode
  type: list
  elements: dict
evidence:
  description: Folder on the host with logs and state of what failed.
  returned: on failure
  type: str
"""

import getpass
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import deploy, stack_state
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.emit import emit
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine, EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import (
    UNFINISHED,
    Paths,
    ReleaseError,
    Store,
    lock,
)

SPEC = {
    "project": {"type": "str", "required": True},
    "compose": {"type": "dict", "required": True},
    "services": {"type": "dict", "required": True},
    "order": {"type": "list", "elements": "list", "required": True},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "version": {"type": "str", "default": ""},
    "reason": {"type": "str", "default": ""},
    "local_images": {"type": "list", "elements": "str", "default": []},
    "ready_timeout": {"type": "int", "default": 180},
    "timeout": {"type": "int", "default": 1800},
    "keep_releases": {"type": "int", "default": 5},
}


def who() -> str:
    """Return the person behind this run: the user who called sudo, where there is one."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def wanted_from(params: dict) -> deploy.Wanted:
    return deploy.Wanted(
        model=params["compose"],
        services=params["services"],
        order=params["order"],
        secrets={name: str(value) for name, value in params["secrets"].items()},
        project=params["project"],
        about={
            "version": params["version"],
            "who": who(),
            "why": params["reason"],
            "local_images": params["local_images"],
            "ready_timeout": params["ready_timeout"],
            "keep_releases": params["keep_releases"],
        },
    )


def diff_of(store: Store, plan: deploy.Plan, wanted: deploy.Wanted) -> list[dict]:
    """Return the compose.yaml before and after, without the digests that only a pull can tell."""
    current = store.current()
    before = emit(current.read_model()) if current else ""
    lines = "".join(f"{name}: {action}\n" for name, action in plan.actions.items())
    path = "/opt/hypercode/current/compose.yaml"
    return [
        {"before": before, "after": wanted.compose_text, "before_header": path, "after_header": path},
        {"prepared": f"plan ({plan.reason}):\n{lines}"},
    ]


def fail_if_another_is_at_work(module: AnsibleModule, store: Store, plan: deploy.Plan) -> bool:
    """Return True when the wanted rollout runs already; fail when it is another one."""
    with lock(store.paths) as free:
        if free:
            return False
    running = next((release for release in store.all() if release.read().get("status") in UNFINISHED), None)
    if running and plan.release and running.id == plan.release.id:
        return True
    name = running.id if running else "unknown"
    module.fail_json(
        msg=f"Another rollout is at work on this host (release {name}). Nothing was changed. "
        "Fix: wait until `hypercode rollout status` says that it ended, then run the same command again"
    )
    return False


def roll_out(module: AnsibleModule, store: Store, engine: Engine, plan: deploy.Plan, wanted: deploy.Wanted) -> dict:
    """Start or join the rollout and wait for its end; return its release.json, or fail with the reason."""
    launcher = deploy.Launcher()
    if fail_if_another_is_at_work(module, store, plan) and plan.release:
        release = plan.release
    else:
        release = deploy.prepare(store, plan, wanted)
        launcher.start(store, release, engine)
    about = launcher.wait(store, release, module.params["timeout"])
    if about["status"] == "done":
        return about
    failure = about.get("failure") or {}
    message = failure.get("message") or (
        "The rollout's process ended without a result. Fix: run the same command again; it finishes the job"
        if about["status"] == "died"
        else f"The rollout is still at work after {module.params['timeout']} s. Fix: run the same command again; it waits on"
    )
    if about["status"] == "reverted":
        message += f". The previous release {about.get('previous')} is running again"
    if failure.get("revert"):
        message += f". Putting the previous release back failed too: {failure['revert']}"
    module.fail_json(
        msg=message,
        plan=dict(plan.actions),
        service=failure.get("service", ""),
        evidence=failure.get("evidence", ""),
        release={key: about.get(key) for key in ("id", "version", "status")},
    )
    return about


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    store, engine = Store(Paths()), Engine()
    wanted = wanted_from(module.params)
    try:
        plan = deploy.make_plan(store, engine, wanted)
        result: dict = {"changed": bool(plan.actions), "plan": dict(plan.actions)}
        if module._diff and plan.actions:
            result["diff"] = diff_of(store, plan, wanted)
        about = store.current().read() if store.current() else {}
        if plan.actions and not module.check_mode:
            about = roll_out(module, store, engine, plan, wanted)
        if not module.check_mode:
            rows = stack_state.read_board(engine, wanted.project, store.current())
            result["hypercode_board"] = [row.as_board() for row in rows]
        if about:
            result["release"] = {key: about.get(key) for key in ("id", "version", "status")}
    except (EngineError, ReleaseError, deploy.DeployError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
