#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: prune_filter
short_description: Have root's docker client spare the containers that keep images
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Puts one filter into C(pruneFilters) of C(/root/.docker/config.json), or takes it out. All else in it stays.
  - Each rollout puts it there by itself. A file that says nothing without it is removed.
attributes:
  check_mode:
    support: full
    description: Predicts the change and writes nothing.
  diff_mode:
    support: full
    description: Shows the filters before and after. Never a login, which that file may hold too.
  idempotent:
    support: full
    description: Nothing is touched when the file is as wanted.
options:
  state:
    description: Whether the filter is to be there.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Let root prune as before
  hypercode.deploy.prune_filter:
    state: absent
"""

RETURN = r"""
filters:
  description: The filters of the client, after the task.
  returned: success
  type: list
  elements: str
  sample: ["label!=hypercode.purpose=keep-image"]
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.prune_filter import CONFIG, set_filter

ROOT = Path("/")
SPEC: dict[str, Any] = {"state": {"type": "str", "choices": ["present", "absent"], "default": "present"}}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        before, after = set_filter(ROOT, wanted=module.params["state"] == "present", check=module.check_mode)
    except FileError as error:
        module.fail_json(msg=str(error))
    result: dict[str, Any] = {"changed": before != after, "filters": after}
    if module._diff and before != after:
        texts = {"before": before, "after": after}
        result["diff"] = {
            **{name: "".join(f"{found}\n" for found in filters) for name, filters in texts.items()},
            **dict.fromkeys(("before_header", "after_header"), f"/{CONFIG} (pruneFilters)"),
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
