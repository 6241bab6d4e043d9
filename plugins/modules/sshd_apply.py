#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: sshd_apply
short_description: Apply how people log in to a host, with a way back
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Keeps one drop-in of sshd, V(/etc/ssh/sshd_config.d/00-hypercode.conf). It comes first, and in sshd the first file
    that names a setting counts. Other files are never touched.
  - Has sshd itself check the whole configuration with the drop-in before it is put in place, and asks it what then
    holds for each user. What would lock out the user that Ansible logged in as, or a user of the inventory who has
    sudo, is refused, all of it at once.
  - A new drop-in is tried while a timer on the host waits to put the old one back. The controller then connects anew.
    Only when that works, the timer is stopped. A reboot in between puts the old one back, too.
  - The port of sshd is left alone.
notes:
  - The messages name the settings as the variables of the role C(base), with the prefix C(base_sshd_).
attributes:
  check_mode:
    support: full
    description: Tells what would change and what would be refused, also on a host that has no sshd yet.
  diff_mode:
    support: full
    description: Shows the drop-in that is there and the one that would be.
  idempotent:
    support: full
    description: A drop-in that is right is left alone, and sshd is not reloaded.
options:
  state:
    description:
      - V(present) applies the settings. V(absent) takes the drop-in away, as carefully.
      - V(validated) only judges the settings, on the controller. It connects to nothing and fails for nothing.
    type: str
    choices: [present, absent, validated]
    default: present
  allow_users:
    description: A list of names of users who may log in, each with an address behind an C(@) if wanted. Empty for all.
    type: raw
    default: []
  password_login:
    description: Whether a password is enough to log in. Never for root.
    type: raw
    default: false
  root_login:
    description: Whether root may log in. V(no), or V(prohibit-password) for keys only.
    type: raw
    default: "no"
  users:
    description: The users of the inventory, as for M(hypercode.deploy.host_users). They are only judged.
    type: raw
    default: []
extends_documentation_fragment: [hypercode.deploy.proved]
seealso:
  - module: hypercode.deploy.host_users
  - module: hypercode.deploy.firewall_apply
"""

EXAMPLES = r"""
- name: Let two people in, with their keys
  hypercode.deploy.sshd_apply:
    allow_users: [alice, bob]

- name: Judge the settings only
  hypercode.deploy.sshd_apply:
    state: validated
    allow_users: "{{ base_sshd_allow_users }}"
  register: judged

- name: Take the settings away
  hypercode.deploy.sshd_apply:
    state: absent
"""

RETURN = r"""
findings:
  description: What is wrong with the settings or the host.
  returned: always
  type: list
  elements: dict
  sample:
    - rule: lockout
      severity: error
      name: base_sshd_allow_users
      message: This connection logged in to web1 as deploy, but AllowUsers has only alice.
      fix: Add deploy to base_sshd_allow_users, or leave that empty.
actions:
  description: What was done, or in check mode would be done.
  returned: O(state=present) or O(state=absent)
  type: list
  elements: str
  sample: [write /etc/ssh/sshd_config.d/00-hypercode.conf, reload sshd]
effective:
  description: What sshd says of the whole configuration, setting in lower case and its values. Empty without sshd.
  returned: O(state=present) or O(state=absent)
  type: dict
confirmed:
  description: Whether a new drop-in was proved over a new connection.
  returned: when it changed
  type: bool
trial:
  description: The trial that the action has to confirm (C(token), C(seconds)). Not in the result of the task.
  returned: between the steps
  type: dict
undone:
  description: Whether the host put the old settings back by itself.
  returned: when a new drop-in was not confirmed
  type: bool
"""

import contextlib
import os
import platform
import shutil
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
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.sshd.apply import SshdHost
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.sshd.config import SshdError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.sshd.settings import read_settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.sshd.trial import Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.trial import TrialError, one_at_a_time
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.units import UnitError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.users.wanted import read_users, secrets_in

# Tests put a made-up host here.
ROOT = Path("/")
_TIMEOUT = 60  # seconds; sshd and systemctl take a moment, and a hanging one must not hang the deploy
ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "absent", "validated"], "default": "present"},
    # Judged by read_settings, which finds everything that is wrong at once.
    "allow_users": {"type": "raw", "default": []},
    "password_login": {"type": "raw", "default": False, "no_log": False},
    "root_login": {"type": "raw", "default": "no"},
    "users": {"type": "raw", "default": []},
    **proved_module.ARGUMENTS,
}


def _run(argv: Sequence[str]) -> CommandResult:
    return run_command(argv, timeout=_TIMEOUT, environment={"SYSTEMD_COLORS": "0"})


def _session() -> Session | None:
    return find_session(ROOT, os.getppid(), os.environ)


def judge_options(params: Mapping[str, Any]) -> list[Finding]:
    """Everything that is wrong with the options themselves. The users are judged by host_users."""
    return read_settings(params)[1]


def report(findings: Sequence[Finding], host: str) -> dict[str, Any]:
    """The result of a run that was refused."""
    return refusal(findings, f"sshd on {host} was not changed")


def apply(module: AnsibleModule, sshd: SshdHost, host: str, *, gone: bool) -> dict[str, Any]:
    """Look, and put the drop-in on trial where it differs."""
    params = module.params
    settings, findings = read_settings(params)
    users = read_users(params["users"])[0]
    session = _session()
    if not module.check_mode:
        sshd.trials().clear()
    look = sshd.look(None if gone else settings, users, session, check_mode=module.check_mode)
    findings += [item for item in look.findings if params["refuse_lockout"] or item.rule != "lockout"]
    if findings and not (gone and not look.differs):
        module.fail_json(**report(findings, host))
    result: dict[str, Any] = {
        "changed": look.differs,
        "findings": [],
        "actions": look.actions(),
        "effective": look.effective,
    }
    if module._diff and look.differs:
        result["diff"] = {
            "before_header": f"{sshd.paths.drop_in} on {host}",
            "after_header": f"{sshd.paths.drop_in} as wanted",
            "before": look.now or "",
            "after": look.then or "",
        }
    if module.check_mode or not look.differs:
        return result
    trial = proved_module.new_trial("sshd", session, params["confirm_timeout"])
    sshd.trials(session.client if session else "").start(trial, look.then)
    return {**result, **proved_module.begun(trial)}


def confirm(module: AnsibleModule, sshd: SshdHost) -> dict[str, Any]:
    """Keep what is on trial, if this is a connection that proves something."""
    trials = sshd.trials()
    gone = module.params["state"] == "absent"
    if gone and not sshd.paths.trial.exists() and not sshd.paths.drop_in.exists():
        # The answer to the confirmation was lost on its way.
        return {"changed": True, "findings": [], "confirmed": True}
    forgotten = "the host knows nothing of these settings any more"
    answer = proved_module.prove(module.params, trials, _session(), trials.confirm, forgotten)
    if answer["confirmed"] and gone:
        shutil.rmtree(sshd.paths.trial)
    return answer


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.no_log_values.update(secrets_in(module.params["users"]))
    host = platform.node() or "this host"
    phase, state = module.params["phase"], module.params["state"]

    def work() -> dict[str, Any]:
        with (
            contextlib.nullcontext() if module.check_mode else one_at_a_time(Paths(ROOT).lock),
            tempfile.TemporaryDirectory(dir=module.tmpdir) as scratch,
        ):
            sshd = SshdHost(_run, ROOT, host, Path(scratch))
            if state == "validated":
                return {"changed": False, "findings": [item.as_dict() for item in judge_options(module.params)]}
            if phase == "confirm":
                return confirm(module, sshd)
            if phase == "look":
                return {"changed": False, "findings": [], "undone": sshd.trials().undone(module.params["token"])}
            return apply(module, sshd, host, gone=state == "absent")

    proved_module.finish(module, host, (SshdError, TrialError, FileError, UnitError), work)


if __name__ == "__main__":
    main()
