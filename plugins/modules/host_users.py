#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: host_users
short_description: Bring the people of a host to what is wanted, with keys and sudo
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Makes users with their keys, password hash, groups and right to sudo, a whole list in one round trip.
  - Keys, groups and rights that somebody gave by hand stay. A key that an earlier run brought and that is no longer
    wanted is taken away.
  - Each user's right to sudo is a file of its own, checked with C(visudo) alone and together with all others. When sudo
    would break, everything is as before.
  - What would take away the way in, or sudo, of the user that Ansible logged in as is refused before anything is
    changed.
notes:
  - The messages name the settings as the variables of the role C(base), with the prefix C(base_).
attributes:
  check_mode:
    support: full
    description: Tells what would change, also for users that do not exist yet and on a host without sudo.
  diff_mode:
    support: full
    description: Shows the steps. A password hash is never shown.
  idempotent:
    support: full
    description: What is as wanted is left alone.
options:
  state:
    description:
      - V(present) brings the users to what is wanted.
      - V(validated) only judges the settings, on the controller. It connects to nothing and fails for nothing.
    type: str
    choices: [present, validated]
    default: present
  users:
    description:
      - A list of users. Each has C(name), and may have C(keys) (a list of public keys), C(password_hash), C(sudo)
        (V(none), V(password) or V(nopasswd)), C(groups), C(shell), C(comment) and C(state) (V(present) or V(absent)).
      - A password hash that is missing leaves the password as it is. The home of a user that is removed stays.
    type: raw
    default: []
  sudo_password_known:
    description: Used by the action of this module. Whether Ansible knows a password for sudo.
    type: bool
    default: false
seealso:
  - module: hypercode.deploy.sshd_apply
  - module: ansible.builtin.user
"""

EXAMPLES = r"""
- name: Make the deploy user
  hypercode.deploy.host_users:
    users:
      - name: deploy
        keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGkq2i0ZcFfDGqX3mB2j1f5mLk0oW6v9c3M1v7E0pJ2Z deploy@laptop"]
        sudo: nopasswd
      - name: alice
        keys: "{{ alice_keys }}"
        password_hash: "{{ alice_password_hash }}"
        sudo: password
      - name: bob
        state: absent
"""

RETURN = r"""
findings:
  description: What is wrong with the settings, or what the host speaks against.
  returned: always
  type: list
  elements: dict
  sample:
    - rule: user-setting
      severity: error
      name: base_users[0].keys[0]
      message: "base_users[0] (deploy): keys[0] is no public key."
      fix: "Write the whole line of a .pub file, such as: ssh-ed25519 AAAA... name@laptop."
actions:
  description: What was done, or in check mode would be done.
  returned: always
  type: list
  elements: str
  sample: ["deploy: make the user", "deploy: give sudo, without a password"]
"""

import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils import proved_module
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult, run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding, refusal
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.ssh_session import Session, find_session
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.apply import UserError, Users
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.judge import host_findings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.key_file import KeyFileError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.sudoers import SudoError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.wanted import read_users, secrets_in

# Tests put a made-up host here.
ROOT = Path("/")
_TIMEOUT = 120  # seconds; useradd asks every directory that the host knows
ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "validated"], "default": "present"},
    # Judged by read_users, which finds everything that is wrong at once.
    "users": {"type": "raw", "default": []},
    "sudo_password_known": {"type": "bool", "default": False, "no_log": False},
}


def _run(argv: Sequence[str], text: str | None = None) -> CommandResult:
    return run_command(argv, timeout=_TIMEOUT, text=text)


def _session() -> Session | None:
    return find_session(ROOT, os.getppid(), os.environ)


def judge_options(params: Mapping[str, Any]) -> list[Finding]:
    """Everything that is wrong with the options themselves."""
    return read_users(params["users"])[1]


def report(findings: Sequence[Finding], host: str) -> dict[str, Any]:
    """The result of a run that was refused."""
    return refusal(findings, f"The users of {host} were not changed")


def present(module: AnsibleModule, host: str) -> dict[str, Any]:
    """Look, and do what is missing."""
    wanted, findings = read_users(module.params["users"])
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as scratch:
        users = Users(_run, ROOT, host, Path(scratch))
        known = module.params["sudo_password_known"]
        findings += host_findings(wanted, users, _session(), host, password_known=known)
        if findings:
            module.fail_json(**report(findings, host))
        steps = users.plan(wanted)
        if not module.check_mode:
            users.act(steps)
    actions = [step.words for step in steps]
    result: dict[str, Any] = {"changed": bool(steps), "findings": [], "actions": actions}
    if module._diff and steps:
        result["diff"] = {"prepared": "".join(f"{words}\n" for words in actions)}
    return result


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.no_log_values.update(secrets_in(module.params["users"]))
    host = platform.node() or "this host"

    def work() -> dict[str, Any]:
        if module.params["state"] == "validated":
            return {"changed": False, "findings": [item.as_dict() for item in judge_options(module.params)]}
        return present(module, host)

    proved_module.finish(module, host, (UserError, SudoError, KeyFileError, FileError), work)


if __name__ == "__main__":
    main()
