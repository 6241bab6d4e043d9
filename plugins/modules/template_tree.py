#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: template_tree
short_description: Renders a folder of templates and applies it to a host in one step
version_added: 0.1.0
description:
  - Renders a folder that is laid out as on the host, by default C(templates/tree) of the role, and brings all its
    files, folders and links onto the host in one round trip.
  - Everything is rendered and validated before anything is written. Each file is written whole, so no reader ever sees
    half of one.
  - The host keeps a record of what each tree wrote, in C(/var/lib/hypercode/trees). A file that is no longer wanted is
    removed, provided that this tree created it and nobody changed it since. Nothing else is ever removed.
author: The hypercode.deploy authors (@hypercode)
attributes:
  check_mode:
    support: full
    description: Predicts exactly what a run would change, also on a bare host. A user or group that does not exist yet,
      or a validate command that is not installed yet, is no error there, since an earlier task may bring it. On a host
      that does not have this tree yet, a validate command that fails gives a warning.
  diff_mode:
    support: full
    description: Shows a diff for each changed text file up to 100 kB. Files that match O(sensitive) are never shown.
  idempotent:
    support: full
    description: A second run changes nothing.
options:
  name:
    description:
      - Who owns this tree, mostly the name of the role. The record on the host goes by it, so each tree has its own.
      - Lower-case letters, digits, C(-) and C(_).
    type: str
    required: true
  state:
    description:
      - V(present) brings the tree onto the host and removes what this tree wrote earlier and no longer wants.
      - V(absent) removes all that the tree wrote. All other options but O(name) and O(root) are then not looked at.
    type: str
    choices: [present, absent]
    default: present
  src:
    description:
      - The folder to bring, laid out as on the host. It is looked for like the source of M(ansible.builtin.template).
      - Without O(src) and O(trees) it is V(tree), that is C(templates/tree) of the role, and has to exist.
    type: str
  trees:
    description:
      - Several folders instead of O(src). An empty list means that there is no folder, only what O(files),
        O(directories) and O(links) say.
    type: list
    elements: dict
    suboptions:
      src:
        description: The folder, looked for in C(templates), or in C(files) first when O(trees[].template) is false.
        type: str
        required: true
      dest:
        description: The folder on the host that O(trees[].src) stands for.
        type: str
        default: /
      template:
        description:
          - Whether files that end with C(.j2) are rendered, and lose that ending. They are rendered as
            M(ansible.builtin.template) does it. All other files are copied as they are.
        type: bool
        default: true
      exclude:
        description:
          - Files and folders to leave out, as patterns for the name or for the path below O(trees[].src).
          - C(.gitkeep), C(.DS_Store), C(__pycache__), C(*~) and C(*.swp) are always left out.
        type: list
        elements: str
        default: []
      mode:
        description: Mode of the files of this folder instead of O(mode).
        type: raw
      owner:
        description: Owner of the files and new folders of this folder instead of O(owner).
        type: str
      group:
        description: Group of the files and new folders of this folder instead of O(group).
        type: str
      dir_mode:
        description: Mode of new folders instead of O(dir_mode).
        type: raw
  files:
    description:
      - What is special about single files, by their path on the host. Each value is a dictionary of these keys.
      - C(mode), C(owner), C(group) - as the options of the same name.
      - C(content) - the text of a file that is in no folder.
      - C(validate) - a command that must succeed on a copy before anything is written; C(%s) stands for the copy.
        The copy has the same name and stands in a copy of the whole tree. The command runs without a shell.
      - C(when) - V(false) means that the file is not wanted; it is removed if it was ours. It is not rendered then.
      - C(follow) - as O(follow).
    type: dict
    default: {}
  directories:
    description: Folders that have to exist, also empty ones. Folders above files need no entry.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The folder.
        type: str
        required: true
      mode:
        description: Its mode instead of O(dir_mode).
        type: raw
      owner:
        description: Its owner instead of O(owner).
        type: str
      group:
        description: Its group instead of O(group).
        type: str
  links:
    description: Symbolic links that have to exist. A real file or folder is never replaced by one.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The link.
        type: str
        required: true
      target:
        description: What it points to; it need not exist.
        type: str
        required: true
  absent:
    description: Files, links and empty folders to remove, whoever made them.
    type: list
    elements: str
    default: []
  mode:
    description: Mode of files, as octal text in quotes.
    type: raw
    default: "0644"
  dir_mode:
    description: Mode of folders that have to be made. One that exists and is not in O(directories) is left as it is.
    type: raw
    default: "0755"
  owner:
    description: Owner of files and of new folders, a name or a number.
    type: str
    default: root
  group:
    description: Group of files and of new folders, a name or a number.
    type: str
    default: root
  follow:
    description: Whether a file that is a link on the host is written through to its target, rather than an error.
    type: bool
    default: false
  sensitive:
    description:
      - Patterns of paths on the host, such as C(/etc/hypercode/*.env). The diff of these files, and the output of their
        C(validate), is never shown. C(*) matches C(/) too.
    type: list
    elements: str
    default: []
  root:
    description: Folder that all paths on the host are below. For tests and for images.
    type: str
    default: /
  _payload:
    description: Internal. How the action hands the rendered tree to the module; a task cannot set it.
    type: str
seealso:
  - module: ansible.builtin.template
"""

EXAMPLES = r"""
- name: Bring the configuration of the base role
  hypercode.deploy.template_tree:
    name: base
    files:
      /etc/sudoers.d/hypercode: {mode: "0440", validate: visudo -cf %s}
      /usr/local/bin/hypercode: {mode: "0755"}
      /etc/hypercode/proxy.conf: {when: "{{ base_proxy != '' }}"}
    directories:
      - path: /var/lib/hypercode/watch
        mode: "0750"
    links:
      - path: /etc/localtime
        target: /usr/share/zoneinfo/UTC
  register: __base_tree
  notify: Reload the host programs

- name: Bring templates and a folder of plain files, one of them secret
  hypercode.deploy.template_tree:
    name: stack
    trees:
      - src: tree
      - src: hostkit
        dest: /usr/local/lib/hypercode/hostkit
        template: false
    files:
      /etc/hypercode/stack.env: {content: "{{ __stack_env }}", mode: "0600"}
    sensitive: [/etc/hypercode/*.env]

- name: Remove all that the base role brought
  hypercode.deploy.template_tree:
    name: base
    state: absent
"""

RETURN = r"""
changed_paths:
  description: Every path that was created, updated or removed, sorted. Handlers act on those that concern them.
  returned: success, and failure on the host
  type: list
  elements: str
  sample: [/etc/hypercode, /etc/hypercode/base.yml]
created:
  description: Paths that were not there before.
  returned: success
  type: list
  elements: str
updated:
  description: Paths whose content, owner, mode or target changed.
  returned: success
  type: list
  elements: str
removed:
  description: Paths that were removed.
  returned: success
  type: list
  elements: str
kept:
  description: Paths that are no longer wanted but were kept, since somebody changed them or they were there before. A
    warning names each. They no longer belong to the tree.
  returned: success
  type: list
  elements: str
problems:
  description: What was wrong, one entry each.
  returned: failure on the host
  type: list
  elements: str
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult, run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree import unpack
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree_apply import TreeError, apply_tree
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError, HostRoot

_ATTRIBUTES: dict[str, Any] = {"mode": {"type": "raw"}, "owner": {"type": "str"}, "group": {"type": "str"}}
OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "src": {"type": "str"},
    "trees": {
        "type": "list",
        "elements": "dict",
        "options": {
            "src": {"type": "str", "required": True},
            "dest": {"type": "str", "default": "/"},
            "template": {"type": "bool", "default": True},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "dir_mode": {"type": "raw"},
            **_ATTRIBUTES,
        },
    },
    "files": {"type": "dict", "default": {}},
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"path": {"type": "str", "required": True}, **_ATTRIBUTES},
    },
    "links": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"path": {"type": "str", "required": True}, "target": {"type": "str", "required": True}},
    },
    "absent": {"type": "list", "elements": "str", "default": []},
    "mode": {"type": "raw", "default": "0644"},
    "dir_mode": {"type": "raw", "default": "0755"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "follow": {"type": "bool", "default": False},
    "sensitive": {"type": "list", "elements": "str", "default": []},
    "root": {"type": "str", "default": "/"},
}
MUTUALLY_EXCLUSIVE = [("src", "trees")]
_VALIDATE_TIMEOUT = 120  # seconds


def _run(argv: Sequence[str]) -> CommandResult:
    return run_command(argv, timeout=_VALIDATE_TIMEOUT)


def main() -> None:
    # The action plugin of the same name renders everything and hands it over packed in _payload: never on a command
    # line, and as no_log never in a log or a result.
    module = AnsibleModule(
        argument_spec={**OPTIONS, "_payload": {"type": "str", "no_log": True}},
        mutually_exclusive=MUTUALLY_EXCLUSIVE,
        supports_check_mode=True,
    )
    payload = module.params["_payload"]
    if not payload:
        module.fail_json(
            msg="template_tree renders on the controller: call it as a task, hypercode.deploy.template_tree"
        )
    root = module.params["root"]
    if not Path(root).is_dir():
        module.fail_json(msg=f"root {root!r} is not a folder on this host: create it first, or leave root out")
    try:
        tree = unpack(module.params["name"], payload)
        plan = apply_tree(tree, HostRoot(root), check_mode=module.check_mode, run=_run, scratch=Path(module.tmpdir))
    except TreeError as error:
        module.fail_json(
            msg=str(error), problems=error.problems, changed=bool(error.done), changed_paths=sorted(error.done)
        )
    except FileError as error:
        module.fail_json(msg=str(error), problems=[str(error)], changed=False, changed_paths=[])
    for warning in plan.warnings:
        module.warn(warning)
    result: dict[str, Any] = {
        "changed": bool(plan.changed_paths),
        "changed_paths": plan.changed_paths,
        "created": sorted(plan.created),
        "updated": sorted(plan.updated),
        "removed": sorted(plan.removed),
        "kept": sorted(plan.kept),
    }
    if module._diff:
        result["diff"] = plan.diffs
    module.exit_json(**result)


if __name__ == "__main__":
    main()
