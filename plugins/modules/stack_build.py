#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_build
short_description: Build a stack's own images from a git repository
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Resolves a branch, tag or commit, builds an image for each context folder, tags it with the commit, and pushes it
    where asked.
  - An image that exists already for that commit is not built again, and one that was pushed is not pushed again.
attributes:
  check_mode:
    support: partial
    description: Resolves the commit and says what would be built.
    details: A machine without git cannot resolve the commit; it says so, and names the ref instead.
  diff_mode:
    support: none
    description: Images have no readable difference.
  idempotent:
    support: full
    description: Nothing is done when all images of the commit are there.
options:
  repository:
    description: Address of the git repository. A login in it is never shown.
    type: str
    required: true
  ref:
    description: Branch, tag or commit (all 40 digits).
    type: str
    default: main
  contexts:
    description: Build context folder of each image, by image name.
    type: dict
    required: true
  registry:
    description: Registry and path that the images are named after.
    type: str
    required: true
  push:
    description: Push the images after they are built.
    type: bool
    default: false
  arguments:
    description: Build arguments. No secrets, they stay readable in the image.
    type: dict
    default: {}
  cache:
    description: Folder for the fetched repositories.
    type: path
    default: /var/lib/hypercode/source
"""

EXAMPLES = r"""
- name: Build the agents
  hypercode.deploy.stack_build:
    repository: https://git.example.com/hypercode.git
    ref: main
    contexts: {qa-engineer: agents/04-qa-engineer}
    registry: registry.example.com/hypercode
    push: true
"""

RETURN = r"""
version:
  description: The short commit, which is the tag of the images.
  returned: success
  type: str
  sample: 4659b9e01a2b
commit:
  description: The commit.
  returned: success
  type: str
images:
  description: Image reference to what was done.
  returned: success
  type: dict
  sample: {"registry.example.com/hypercode/qa-engineer:4659b9e01a2b": "built"}
local_images:
  description: The images that are only on this machine, because they were not pushed.
  returned: success
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine, EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.image_build import Builder, BuildError, Result


def builder_for(params: dict[str, Any]) -> Builder:
    return Builder(params["repository"], params["ref"], Path(params["cache"]), Engine())


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "repository": {"type": "str", "required": True},
            "ref": {"type": "str", "default": "main"},
            "contexts": {"type": "dict", "required": True},
            "registry": {"type": "str", "required": True},
            "push": {"type": "bool", "default": False},
            "arguments": {"type": "dict", "default": {}},
            "cache": {"type": "path", "default": "/var/lib/hypercode/source"},
        },
        supports_check_mode=True,
    )
    params = module.params
    builder = builder_for(params)
    # Ansible repeats what a module was called with; it takes out what is listed here.
    module.no_log_values.update(builder.source.secrets)
    try:
        if module.check_mode and not module.get_bin_path("git"):
            # A bare host: git comes with the role base, so the commit is not known before that has run.
            tags = [f"{params['registry']}/{name}:{params['ref']}" for name in sorted(params["contexts"])]
            result = Result(params["ref"], "", dict.fromkeys(tags, "would be built"))
            module.warn("git is not on this host yet, so the ref could not be resolved to a commit.")
        else:
            result = builder.build(
                params["contexts"],
                params["registry"],
                push=params["push"],
                arguments={key: str(value) for key, value in params["arguments"].items()},
                check=module.check_mode,
            )
    except (BuildError, EngineError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=result.changed,
        version=result.version,
        commit=result.commit,
        images=result.images,
        local_images=[] if params["push"] else sorted(result.images),
    )


if __name__ == "__main__":
    main()
