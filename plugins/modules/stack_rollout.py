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
  - Where they differ it writes a release folder, pulls every image before anything is stopped, records digests, starts
    the services in dependency order, waits until each is healthy, and switches C(current).
  - When a service does not get healthy, evidence is collected and the previous release is put back.
  - Before any container is touched it looks into the images, and refuses a release that holds forbidden packages.
  - Services that keep a secret of their own, such as Postgres, are told the new value of it.
  - Where nothing differs it changes nothing, but waits until every service is ready, and fails when one is not.
  - The work runs in a process of its own on the host and ends well when the controller goes away. The same task run
    again waits for it, or finishes what was cut off.
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
    description:
      - Values for the variables that C(compose) still refers to. They go into the C(env) file of the release (0600).
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
  forbidden_python_packages:
    description:
      - Python packages that no image may hold, in any spelling. A release with one of them is refused, and nothing is
        touched. With an empty list no image is looked into.
      - An image is looked into once; what was found is kept on the host. Nothing of it is run for that.
    type: list
    elements: str
    default: []
  allowed_packages:
    description:
      - Exceptions from O(forbidden_python_packages), each a mapping of C(package), C(reason) and C(service).
      - The service is a name or a pattern; without it all services are meant.
      - The reason is written into release.json. An entry without one is refused.
    type: list
    elements: dict
    default: []
  credentials:
    description:
      - Secrets that a running service keeps, so that a new value in its environment changes nothing. Each is a mapping
        of C(secret), the name of it in O(secrets), C(kind) and C(service).
      - Of kind C(postgres_role) it is the password of the C(role). C(database) is where to log in, by default
        C(postgres). What the database has is compared at every run, and set where it is another one.
      - Of kind C(grafana_admin) it is the password of Grafana's first user. What Grafana has cannot be read, so it is
        set when the value differs from that in the release in use.
      - The value goes to the service over standard input; Postgres gets only what it stores in place of a password.
    type: list
    elements: dict
    default: []
  local_images:
    description: Images that were built on this host and are not to be pulled.
    type: list
    elements: str
    default: []
  ready_timeout:
    description: Seconds that each dependency level has to get healthy.
    type: int
    default: 180
  start_first:
    description:
      - Whether the new container of a service starts beside the old one, and takes over when it is ready.
      - A service that cannot run twice is replaced in place. The plan says so, and why.
    type: bool
    default: true
  restore_point:
    description:
      - Whether a backup is made before a service that has data is changed, before a hook runs, and before a release
        that cannot be left backwards. Where none are set up, there is none, and the plan says so.
    type: bool
    default: true
  min_healthy:
    description: Seconds that a new container has to stay ready before it takes over from the old one.
    type: int
    default: 10
  drain_timeout:
    description: Seconds that an old container has at most to finish what it has begun. It gets no new request.
    type: int
    default: 30
  bake:
    description:
      - Seconds for which the release is still watched when it is up. Where a container falls down, a health check fails
        or the edge answers with errors (a burn rate over 14.4 of 0.1 %), the previous release is put back.
      - Only for a release that takes the place of another one.
    type: int
    default: 600
  hooks:
    description:
      - Commands to run around the rollout, such as a migration of a database. The keys are C(before_rollout), run
        before any service is touched, C(after_rollout), run when the release is up, and C(before_rollback), run before
        it is left for an older one. Each is a list of mappings of C(service), C(command), a list, and C(timeout) in
        seconds (300).
      - Each runs in a container of its own, with the image, environment and networks of the service in this release.
      - When one of C(before_rollout) fails, nothing is touched. When one of C(after_rollout) fails, the release fails.
      - None runs where nothing changes, and none of C(before_rollout) before the first release.
    type: dict
    default: {}
  reversible:
    description:
      - Whether the release before this one understands the data after it. Where it does not, this one is not taken back
        when it fails, and M(hypercode.deploy.stack_rollback) refuses to leave it backwards.
    type: bool
    default: true
  timeout:
    description: Seconds to wait for the whole rollout, besides O(bake). It goes on when this passes.
    type: int
    default: 1800
  keep_releases:
    description: How many deployed releases are kept on the host.
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
    forbidden_python_packages: [python-jose]
    allowed_packages:
      - package: python-jose
        service: hypercode-core
        reason: Replaced in 2.1; see ticket 12.
    credentials:
      - secret: POSTGRES_PASSWORD
        kind: postgres_role
        service: postgres
        role: hypercode
        database: hypercode
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
service:
  description: The service that failed, where it is one.
  returned: on failure
  type: str
evidence:
  description: Folder on the host with logs and state of what failed.
  returned: on failure
  type: str
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import deploy, restore_point
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.emit import emit
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.converge import Converge, ConvergeError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine, EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.hook_list import AFTER, BEFORE, hook_lines
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.new_digests import with_new_digests
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.plan_text import plan_text
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths, ReleaseError, Store
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_facts import board_of, short, who

SPEC: dict[str, Any] = {
    "project": {"type": "str", "required": True},
    "compose": {"type": "dict", "required": True},
    "services": {"type": "dict", "required": True},
    "order": {"type": "list", "elements": "list", "required": True},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "version": {"type": "str", "default": ""},
    "reason": {"type": "str", "default": ""},
    "forbidden_python_packages": {"type": "list", "elements": "str", "default": []},
    "allowed_packages": {"type": "list", "elements": "dict", "default": []},
    # Names of secrets and services, no values.
    "credentials": {"type": "list", "elements": "dict", "default": [], "no_log": False},
    "local_images": {"type": "list", "elements": "str", "default": []},
    "ready_timeout": {"type": "int", "default": 180},
    "start_first": {"type": "bool", "default": True},
    "restore_point": {"type": "bool", "default": True},
    "min_healthy": {"type": "int", "default": 10},
    "drain_timeout": {"type": "int", "default": 30},
    "bake": {"type": "int", "default": 600},
    "hooks": {"type": "dict", "default": {}},
    "reversible": {"type": "bool", "default": True},
    "timeout": {"type": "int", "default": 1800},
    "keep_releases": {"type": "int", "default": 5},
}


def secrets_from(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the secrets as text. Of what is neither text nor a whole number the name is told, never the value."""
    wrong = sorted(
        name for name, value in values.items() if isinstance(value, bool) or not isinstance(value, str | int)
    )
    if wrong:
        raise deploy.DeployError(
            f"These secrets are not text: {', '.join(wrong)}. Nothing was changed. Fix: put their values in quotes"
        )
    return {str(name): str(value) for name, value in values.items()}


def wanted_from(params: Mapping[str, Any]) -> deploy.Wanted:
    """Return what is asked for, from the module's parameters."""
    for name in ("ready_timeout", "timeout", "keep_releases"):
        if params[name] < 1:
            raise deploy.DeployError(f"{name} is {params[name]}. Nothing was changed. Fix: give a number above 0")
    for name in ("min_healthy", "drain_timeout", "bake"):
        if params[name] < 0:
            raise deploy.DeployError(f"{name} is {params[name]}. Nothing was changed. Fix: give 0 or a number above it")
    return deploy.Wanted(
        model=params["compose"],
        services=params["services"],
        order=params["order"],
        secrets=secrets_from(params["secrets"]),
        project=params["project"],
        about={
            "version": params["version"],
            "who": who(),
            "why": params["reason"],
            "local_images": params["local_images"],
            "credentials": params["credentials"],
            "package_rules": {
                "forbidden": params["forbidden_python_packages"],
                "allowed": params["allowed_packages"],
            },
            "ready_timeout": params["ready_timeout"],
            "keep_releases": params["keep_releases"],
            "hooks": params["hooks"],
            "reversible": params["reversible"],
            **{name: params[name] for name in ("start_first", "min_healthy", "drain_timeout", "bake", "restore_point")},
        },
    )


def diff_of(store: Store, engine: Engine, plan: deploy.Plan, wanted: deploy.Wanted) -> list[dict[str, str]]:
    """Return compose.yaml before and after, and the plan. Secrets stay references."""
    current = store.current()
    try:
        before = emit(current.read_model()) if current else ""
    except ReleaseError:
        before = ""
    # A repair runs no hooks, and before the first release there is nothing that one could work on.
    is_new = plan.release is None or plan.release != current
    first = []
    if current and is_new:
        first = restore_point.plan_lines(plan.actions, wanted.model["services"], wanted.about, store.paths.root)
        first += hook_lines(wanted.about, BEFORE)
    last = hook_lines(wanted.about, AFTER) if is_new else []
    services, local = wanted.model["services"], wanted.about.get("local_images") or []
    actions = with_new_digests(plan.actions, services, engine, local) if not plan.blind else plan.actions
    path = "/opt/hypercode/current/compose.yaml"
    return [
        {"before": before, "after": wanted.compose_text, "before_header": path, "after_header": path},
        {"prepared": plan_text(actions, plan.reason, wanted.order, wanted.about, first, last)},
    ]


def about_now(store: Store) -> dict[str, Any]:
    """Return release.json of the release in use; nothing where there is none, or it cannot be read."""
    try:
        current = store.current()
        return current.read() if current else {}
    except ReleaseError:
        return {}


def fail(module: AnsibleModule, error: ConvergeError, plan: deploy.Plan, board: list[dict[str, Any]]) -> NoReturn:
    """Fail with the reason, what was to be done, and how the services stand now."""
    module.fail_json(
        msg=str(error),
        changed=bool(plan.actions),
        plan=dict(plan.actions),
        service=error.service,
        evidence=error.evidence,
        release=short(error.about),
        **({"hypercode_board": board} if board else {}),
    )
    raise AssertionError("fail_json returned")


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    store, engine = Store(Paths()), Engine()
    try:
        wanted = wanted_from(module.params)
        plan = deploy.make_plan(store, engine, wanted)
        diff = diff_of(store, engine, plan, wanted) if module._diff and plan.actions else []
        if module.check_mode:
            about = about_now(store)
            if plan.blind and plan.release:
                module.warn("Docker does not answer on this host, so only the record of the release was compared.")
            for sentence in plan.unread:
                module.warn(f"It cannot be told whether this differs. {sentence}")
        else:
            plan, about = Converge(store, engine, wanted, float(module.params["timeout"] + module.params["bake"])).run(
                plan
            )
    except ConvergeError as error:
        fail(module, error, plan, board_of(store, engine, wanted.project))
    except (EngineError, ReleaseError, deploy.DeployError, deploy.LaunchError) as error:
        module.fail_json(msg=str(error))
    result: dict[str, Any] = {"changed": bool(plan.actions), "plan": dict(plan.actions)}
    if diff and plan.actions:
        result["diff"] = diff
    if about:
        result["release"] = short(about)
    if not module.check_mode:
        result["hypercode_board"] = board_of(store, engine, wanted.project)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
