#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_fetch
short_description: Fetch the Compose project of a git repository to the controller
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Resolves a branch, tag or commit and unpacks that commit into a folder of the controller's cache.
  - Runs on the controller and connects to no managed host. git must be there.
attributes:
  check_mode:
    support: full
    description: Only the controller's cache is written, in check mode too, so that the project can be checked.
  diff_mode:
    support: none
    description: The diff of the release shows what differs.
  idempotent:
    support: full
    description: A commit that is in the cache is not fetched again.
options:
  repository:
    description: Address of the git repository. A login in it is never shown.
    type: str
    required: true
  ref:
    description: Branch, tag or commit (all 40 digits).
    type: str
    default: main
  path:
    description: Folder of the Compose project in the repository. Its root by default.
    type: str
    default: ""
  cache:
    description: Folder for what was fetched. The five newest commits of a repository stay.
    type: path
    default: ~/.cache/hypercode/stack
"""

EXAMPLES = r"""
- name: Fetch the project
  hypercode.deploy.stack_fetch:
    repository: https://git.example.com/team/stack.git
    ref: v1.4.0
  register: fetched

- name: Resolve it
  hypercode.deploy.compose_render:
    project_name: demo
    files: ["{{ fetched.folder }}/compose.yaml"]
"""

RETURN = r"""
folder:
  description: Where the project is on the controller. Empty when it could not be fetched.
  returned: always
  type: str
commit:
  description: The commit that the ref means now.
  returned: always
  type: str
findings:
  description: Why it could not be fetched. Empty when all is well.
  returned: always
  type: list
  elements: dict
"""
