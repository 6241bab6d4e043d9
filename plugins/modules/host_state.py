#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: host_state
short_description: Verify that settings of a host are in force
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Compares what is in force on a host with what is wanted, in one round trip. These are kernel settings as loaded,
    units as they run, and the jails of fail2ban.
  - It looks at the running system, not at files, and changes nothing.
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
  sysctl:
    description:
      - Kernel settings and the values that they are to have.
      - In a container only those under C(net.) are looked at, as far as it has them. The others are the machine's.
    type: dict
    default: {}
  units:
    description: Units as for M(hypercode.deploy.systemd_units).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: One unit.
        type: str
        required: true
      enabled:
        description: Whether it starts at boot.
        type: bool
      state:
        description: Whether it runs.
        type: str
        choices: [started, stopped]
      masked:
        description: Whether nothing at all may start it.
        type: bool
      if_present:
        description: Whether a unit that does not exist is left out.
        type: bool
        default: false
  jails:
    description: Jails of fail2ban that have to be up.
    type: list
    elements: str
    default: []
  commands:
    description: Commands that have to work and change nothing, each in one line.
    type: list
    elements: str
    default: []
seealso:
  - module: hypercode.deploy.systemd_units
"""

EXAMPLES = r"""
- name: Verify that the host is as it should be
  hypercode.deploy.host_state:
    sysctl:
      net.ipv4.ip_forward: 1
    units:
      - {name: fail2ban.service, enabled: true, state: started}
    jails: [sshd]
    commands: [hypercode --version]
"""

RETURN = r"""
findings:
  description: What is not in force. The module fails when there is one.
  returned: always
  type: list
  elements: dict
  sample:
    - rule: sysctl
      severity: error
      name: net.ipv4.ip_forward
      message: net.ipv4.ip_forward is 0 on web1 instead of 1.
      fix: Apply the role base again; if it comes back, something else on the host sets it.
"""

import platform
from collections.abc import Sequence
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult, run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.host_state import (
    command_findings,
    jail_findings,
    sysctl_findings,
    unit_findings,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.units import Systemd, UnitError, parse_wanted

# Tests put a made-up host here.
ROOT = Path("/")
_TIMEOUT = 60  # seconds


def _run(argv: Sequence[str]) -> CommandResult:
    return run_command(argv, timeout=_TIMEOUT, environment={"SYSTEMD_COLORS": "0"})


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "sysctl": {"type": "dict", "default": {}},
            "units": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "enabled": {"type": "bool"},
                    "state": {"type": "str", "choices": ["started", "stopped"]},
                    "masked": {"type": "bool"},
                    "if_present": {"type": "bool", "default": False},
                },
            },
            "jails": {"type": "list", "elements": "str", "default": []},
            "commands": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params
    host = platform.node() or "this host"
    try:
        found = [
            *sysctl_findings(ROOT, params["sysctl"], host),
            *unit_findings(parse_wanted(params["units"]), Systemd(_run, host), host),
            *jail_findings(params["jails"], _run, host),
            *command_findings(params["commands"], _run, host),
        ]
    except UnitError as error:
        module.fail_json(msg=str(error), findings=[])
    findings = [finding.as_dict() for finding in found]
    if found:
        texts = "\n".join(f"- {finding.message} Fix: {finding.fix}" for finding in found)
        module.fail_json(msg=f"{host} is not as it should be.\n{texts}", findings=findings)
    module.exit_json(changed=False, findings=findings)


if __name__ == "__main__":
    main()
