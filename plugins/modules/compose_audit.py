#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: compose_audit
short_description: Find what is unsafe or broken in Compose files before they are deployed
version_added: 0.1.0
description:
  - Reads the Compose files of a project on the controller as they are and reports all findings at once, each with file,
    line, service and fix. No Docker engine is needed, and no host is asked.
  - Each rule has a page in C(docs/audit/) of the collection, with a bad and a good example.
  - M(hypercode.deploy.compose_render) runs the same rules after its repairs. What it would mend with the same policy is
    marked C(repairable).
options:
  files:
    description: Compose files on the controller. A later one is merged over the earlier ones.
    type: list
    elements: str
    required: true
  project_directory:
    description: Folder on the controller that relative paths count from. The folder of the first file where not given.
    type: str
  env_files:
    description:
      - Files with values for C(${NAME}), read as C(docker compose --env-file) reads them. A later one wins.
      - A name in there that sounds like a secret counts as one of O(secret_names). Its value goes no further.
    type: list
    elements: str
    default: []
  environment_variables:
    description:
      - Values for C(${NAME}) in the files. They win over O(env_files). Secrets do not belong here.
      - The controller's environment is not read, and a C(.env) file only where O(env_files) names it.
    type: dict
    default: {}
  secret_names:
    description: Names of variables that are secrets. They are never replaced.
    type: list
    elements: str
    default: []
  profiles:
    description: Active Compose profiles. V(*) is all of them.
    type: list
    elements: str
    default: []
  classes:
    description: Class by service name or pattern, as in M(hypercode.deploy.compose_render).
    type: dict
    default: {}
  policy:
    description:
      - Class by class, what applies to its services, as in M(hypercode.deploy.compose_render).
      - It says which healthchecks are too tight, who needs a way out, and what a rendering would repair.
    type: dict
    default: {}
  default_class:
    description: Class of the services for which nothing else says one.
    type: str
  ignore:
    description:
      - Findings to set aside, each C({rule, service, reason}). Without a reason the entry is refused.
      - C(service) can be a pattern, or be left out. An entry that fits nothing is a warning.
    type: list
    elements: dict
    default: []
  fail_on:
    description: V(error) fails on errors, V(warning) on any finding, V(never) only when its options cannot be used.
    type: str
    choices: [error, warning, never]
    default: error
attributes:
  check_mode:
    support: full
    description: It changes nothing in any mode, so the result is the same.
  diff_mode:
    support: none
    description: It changes nothing.
  idempotent:
    support: full
    description: The same files and options give the same findings.
  action:
    support: full
    description: It runs on the controller and never connects to the host.
seealso:
  - module: hypercode.deploy.compose_render
author: The hypercode.deploy authors (@hypercode)
"""

EXAMPLES = r"""
- name: Audit a project
  hypercode.deploy.compose_audit:
    files: [compose.yaml, compose.production.yaml]
    env_files: [.env]
    secret_names: [POSTGRES_PASSWORD]

- name: Audit with the policy of the stack, and set one finding aside
  hypercode.deploy.compose_audit:
    files: [compose.yaml]
    policy: "{{ stack_classes }}"
    default_class: infra
    ignore:
      - rule: docker-socket
        service: traefik
        reason: Reads labels only, through a proxy that allows nothing else.
    fail_on: warning
"""

RETURN = r"""
findings:
  description:
    - What is wrong, each C({rule, severity, service, message, fix, path, line, file, repairable}). Errors come first.
    - C(repairable) is true where M(hypercode.deploy.compose_render) mends it with the same policy.
  returned: always
  type: list
  elements: dict
ignored:
  description: Findings that O(ignore) set aside, with the reason.
  returned: always
  type: list
  elements: dict
valid:
  description: Whether there is no finding of the severity in O(fail_on). With V(never), whether there is no error.
  returned: always
  type: bool
msg:
  description: The verdict in words, with the first findings and their number.
  returned: always
  type: str
"""
