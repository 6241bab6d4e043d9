#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: inventory_check
short_description: Judge the chosen inventory and the variables of a host
version_added: 0.1.0
description:
  - With O(mode=selection), checks that an inventory was chosen, that the wanted groups have hosts, and that
    C(--limit) names hosts that exist and leaves some of them. Every finding comes with the corrected command line.
    Also checks each file of variables before Ansible reads it. A vault that no given password opens, a key that stands
    twice and aliases without an end are named with their file.
  - With O(mode=host), checks the variables of a host without facts. Finds variables that no role has, that were removed
    or renamed, that are missing, that have a wrong type or value, and that use an undefined variable.
  - Reports everything that is wrong at once. The value of a variable that is or may be secret is never shown.
  - Runs on the controller and connects to nothing.
author: The hypercode.deploy authors (@hypercode)
attributes:
  check_mode:
    support: full
    description: The action changes nothing, so check mode does the same.
  diff_mode:
    support: none
    description: The action changes nothing, so there is no difference to show.
  idempotent:
    support: full
    description: The action changes nothing.
options:
  mode:
    description: What to check.
    type: str
    choices: [selection, host]
    required: true
  groups:
    description: With O(mode=selection), the groups that must have hosts.
    type: list
    elements: str
    default: [hypercode]
  project_dir:
    description:
      - With O(mode=selection), the folder whose C(inventories/) are offered.
      - By default the current folder, the folder of the playbook, those above it, and the collection, whichever has
        C(inventories/) first.
    type: path
  roles_path:
    description: With O(mode=host), the folder of the roles. By default the roles of this collection.
    type: path
  removed_variables:
    description:
      - With O(mode=host), a YAML file that lists variables that are gone, each with its C(name), the release in which
        it left (C(since)), the variable to C(use) instead and a C(note).
      - By default C(meta/removed_variables.yml) of this collection.
    type: path
  known_variables:
    description:
      - With O(mode=host), names or globs of variables that look like a role's but belong to something else.
    type: list
    elements: str
    default: []
  fail_on_findings:
    description: Fail when there is a finding of severity V(error).
    type: bool
    default: true
notes:
  - A play on V(localhost) is left out when C(--limit) is given. A play on V(localhost:all) with C(run_once) is not.
"""

EXAMPLES = r"""
- name: Check which inventory was chosen
  hosts: localhost:all
  gather_facts: false
  tasks:
    - name: Check that there are servers to work on
      hypercode.deploy.inventory_check:
        mode: selection
        groups: [hypercode]
      run_once: true

- name: Check the variables of every server
  hosts: hypercode
  gather_facts: false
  tasks:
    - name: Check the variables of this server
      hypercode.deploy.inventory_check:
        mode: host
        known_variables: [docker_users, backup_other_*]
"""

RETURN = r"""
findings:
  description: Everything that is wrong.
  returned: always
  type: list
  elements: dict
  contains:
    rule:
      description: Identifier of the rule.
      type: str
    severity:
      description: V(error) or V(warning).
      type: str
    name:
      description: The variable, the group, or the part of the limit that is wrong.
      type: str
    message:
      description: What is wrong with it, and where it was set when that is known.
      type: str
    fix:
      description: What to do next, possibly in several lines.
      type: str
  sample:
    - rule: variable-unknown
      severity: error
      name: stack_enabeld
      message: >-
        stack_enabeld is set for web1 (inventories/production/group_vars/all.yml:3), but the role stack has no such
        variable. Did you mean stack_enabled?
      fix: Rename it to stack_enabled, or, if something else needs it, add it to `preflight_known_variables`.
msg:
  description: The host or the inventory, and how many problems there are.
  returned: always
  type: str
"""
