#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: settings_check
short_description: Judge the settings of a role by rules that stand in the task
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Collects a finding for each rule that does not hold, so that all are seen at once.
  - A rule that cannot be evaluated, since a variable has the wrong type or is not set, is a finding as well.
  - Where no single rule can say it, such as of each entry in a list, a filter can give findings of its own.
  - Runs on the controller and connects to nothing.
attributes:
  check_mode:
    support: full
    description: Nothing is changed, so check mode is the same.
  diff_mode:
    support: none
    description: Nothing is written.
  idempotent:
    support: full
    description: Nothing is changed.
options:
  rules:
    description: The rules.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The setting that it is about.
        type: str
        required: true
      that:
        description: Whether the rule holds. Needs O(rules[].message) and O(rules[].fix).
        type: bool
      message:
        description: What is wrong, and where.
        type: str
      fix:
        description: What to do next.
        type: str
      findings:
        description: Findings instead of a rule, as a filter gives them. None where all is right.
        type: list
        elements: dict
  fail_on_findings:
    description:
      - Fail when a rule does not hold. A finding that is a warning does not count.
      - Switch it off where the findings are reported together with others.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check the settings of the role
  hypercode.deploy.settings_check:
    rules:
      - that: "{{ docker_log_max_size is match('^[0-9]+[kmg]$') }}"
        name: docker_log_max_size
        message: "docker_log_max_size is no size."
        fix: Write it as a number with k, m or g, such as 10m.
    fail_on_findings: true
"""

RETURN = r"""
findings:
  description: A finding for each rule that does not hold or cannot be judged.
  returned: always
  type: list
  elements: dict
  sample:
    - rule: setting
      severity: error
      name: docker_log_max_size
      message: docker_log_max_size is no size.
      fix: Write it as a number with k, m or g, such as 10m.
"""
