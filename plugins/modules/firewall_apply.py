#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_apply
short_description: Apply the firewall of a host, with a way back
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Keeps an nftables table, C(inet hypercode), that drops new connections from outside before Docker's rules are
    asked, and C(netdev hypercode) for containers on the network of the host. Other tables are never touched.
  - Compares the rules that are loaded with those that are wanted, so that a rule that someone took away by hand is put
    back.
  - New rules are checked first, then loaded in one transaction while a timer on the host waits to put the old ones
    back. The controller then connects anew. Only when that works, the timer is stopped and the rules are kept for
    the next boot.
  - All settings are judged before anything is looked at, and everything that is wrong is reported at once.
notes:
  - The messages name the settings as the variables of the role C(firewall), with the prefix C(firewall_).
attributes:
  check_mode:
    support: full
    description: Tells what would change, also on a host that has no nft yet.
  diff_mode:
    support: full
    description: Shows the rules that are loaded and those that would be.
  idempotent:
    support: full
    description: Rules that are loaded, and files that are right, are left alone.
options:
  state:
    description:
      - V(present) applies the rules. V(absent) takes the table, the unit and the files away, which opens the host.
      - V(validated) only judges the settings, on the controller. It connects to nothing and fails for nothing.
    type: str
    choices: [present, absent, validated]
    default: present
  open_ports:
    description:
      - A list of ports that answer to the outside, whether a program of the host or a container listens on them.
      - Each has C(port) (a number or a range such as V("8000-8010")), and may have C(proto) (V(tcp) or V(udp)), C(from)
        (a list of networks, or V(any)) and C(comment).
    type: raw
    default: []
  trusted_networks:
    description: A list of networks from which every port of the host and every published port can be reached.
    type: raw
    default: []
  trusted_interfaces:
    description: A list of interfaces on which nothing is filtered, such as that of a VPN.
    type: raw
    default: []
  container_interfaces:
    description: A list of the bridges of containers. Every other interface is the outside.
    type: raw
    default: [docker0, docker_gwbridge, "br-*", "veth*"]
  ssh_ports:
    description: A list of ports of sshd, beside those on which it listens, is to listen, or was connected to.
    type: raw
    default: []
  ssh_from:
    description: A list of networks that may connect to sshd, or V(any).
    type: raw
    default: any
  ssh_rate:
    description: How many new connections to sshd each source may make in a minute. V(0) sets no limit.
    type: raw
    default: 30
  swarm_peers:
    description: A list of the addresses of the other nodes of a Swarm. Only these reach its ports.
    type: raw
    default: []
  ping:
    description: Whether the host answers to ping.
    type: raw
    default: true
  dns_servers:
    description: A list of name servers that containers may ask, beside those of the host and of the engine.
    type: raw
    default: []
  egress:
    description:
      - A list of what containers may reach beside the internet.
      - Each has C(to) (a list of networks, or V(host), V(internet), V(any)), and may have C(from) (a list of the
        subnets of Docker networks, or V(any)), C(ports), C(proto) (V(tcp), V(udp) or V(any)) and C(comment).
    type: raw
    default: []
  egress_default:
    description: What containers may reach without a rule. V(internet) is everything but private ranges and the host.
    type: raw
    default: internet
  egress_closed:
    description: A list of subnets of Docker networks that reach nothing but what O(egress) says.
    type: raw
    default: []
  egress_services:
    description:
      - All that single services may reach, as a mapping of the name of a service to a list as in O(egress), without
        C(from). Nothing else that is said here about containers applies to them, but for name servers.
      - A service is known by the bridge of its outlet, which M(hypercode.deploy.compose_render) gives it with
        O(hypercode.deploy.compose_render#module:outlets).
    type: raw
    default: {}
  log_rate:
    description: How many refused packets are logged in a minute, for each direction. V(0) logs none.
    type: raw
    default: 10
  filter_macvlan:
    description:
      - Whether containers on the network of the host (macvlan, ipvlan) are closed to new connections, but for those to
        O(open_ports).
      - The rules see single packets there, no connections. Of UDP they let in the answers of name servers, and DHCP.
    type: raw
    default: true
  replace:
    description: A list of other firewalls that may be switched off. V(ufw), V(firewalld), V(nftables).
    type: raw
    default: []
extends_documentation_fragment: [hypercode.deploy.proved]
seealso:
  - module: hypercode.deploy.systemd_units
"""

EXAMPLES = r"""
- name: Let the web in, and SSH from the office
  hypercode.deploy.firewall_apply:
    open_ports:
      - {port: 80, comment: web}
      - {port: 443, comment: web}
      - {port: 443, proto: udp, comment: HTTP/3}
      - {port: "9100-9110", from: [198.51.100.7], comment: monitoring}
    ssh_from: [198.51.100.0/24, "2001:db8:51::/64"]
    egress:
      - {from: [172.20.0.0/16], to: [10.0.5.10], ports: [5432], comment: the company database}

- name: Judge the settings only
  hypercode.deploy.firewall_apply:
    state: validated
    open_ports: "{{ firewall_open_ports }}"
  register: judged

- name: Take the firewall away
  hypercode.deploy.firewall_apply:
    state: absent
"""

RETURN = r"""
findings:
  description: What is wrong with the settings or the host.
  returned: always
  type: list
  elements: dict
  sample:
    - rule: firewall-setting
      severity: error
      name: firewall_open_ports[0].port
      message: firewall_open_ports[0].port is 70000. There is no such port.
      fix: Write a number from 1 to 65535, or a range such as "8000-8010".
actions:
  description: What was done, or in check mode would be done.
  returned: O(state=present) or O(state=absent)
  type: list
  elements: str
  sample: [load the rules, write /etc/hypercode/firewall/rules.nft]
changed_by_hand:
  description: Whether the loaded rules had been changed by someone else since the last run.
  returned: O(state=present)
  type: bool
ssh_ports:
  description: The ports that were taken for sshd's.
  returned: O(state=present)
  type: list
  elements: int
  sample: [22]
confirmed:
  description: Whether new rules were proved over a new connection.
  returned: when rules were loaded
  type: bool
trial:
  description: The trial that the action has to confirm (C(token), C(seconds)). Not in the result of the task.
  returned: between the steps
  type: dict
undone:
  description: Whether the host put the old rules back by itself.
  returned: when new rules were not confirmed
  type: bool
"""

import contextlib
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
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.apply import Firewall, Wanted
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.host import read_host
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.judge import host_findings, report
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.nft import FirewallError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.read import OPTIONS, read_settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.rivals import replaceable
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.unit import Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.ssh_session import Session, find_session
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.trial import one_at_a_time
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.units import UnitError

# Tests put a made-up host here.
ROOT = Path("/")
_TIMEOUT = 120  # seconds; nft and systemctl take a moment, and a hanging one must not hang the deploy
_DEFAULTS: dict[str, Any] = {
    "container_interfaces": ["docker0", "docker_gwbridge", "br-*", "veth*"],
    "ssh_from": "any",
    "ssh_rate": 30,
    "ping": True,
    "egress_default": "internet",
    "egress_services": {},
    "log_rate": 10,
    "filter_macvlan": True,
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "absent", "validated"], "default": "present"},
    # Judged by read_settings, which finds everything that is wrong at once.
    **{name: {"type": "raw", "default": _DEFAULTS.get(name, [])} for name in OPTIONS},
    **proved_module.ARGUMENTS,
}


def _run(argv: Sequence[str]) -> CommandResult:
    return run_command(argv, timeout=_TIMEOUT, environment={"SYSTEMD_COLORS": "0"})


def _session() -> Session | None:
    return find_session(ROOT, os.getppid(), os.environ)


def judge_options(params: Mapping[str, Any]) -> list[Finding]:
    """Everything that is wrong with the options themselves."""
    findings = read_settings({name: params[name] for name in OPTIONS})[1]
    if not 5 <= params["confirm_timeout"] <= 600:
        text = f"firewall_confirm_timeout is {params['confirm_timeout']}."
        findings.append(
            Finding("firewall-setting", "error", "firewall_confirm_timeout", text, "Write seconds from 5 to 600.")
        )
    return findings


def present(module: AnsibleModule, firewall: Firewall, host: str) -> dict[str, Any]:
    """Look, and load the rules on trial where they differ."""
    params = module.params
    settings, _findings = read_settings({name: params[name] for name in OPTIONS})
    session = _session()
    view = read_host(ROOT, _run, session, settings)
    states = firewall.states()
    findings = judge_options(params) + host_findings(
        settings, view, session if params["refuse_lockout"] else None, ROOT, firewall.rivals(states), host
    )
    if findings:
        module.fail_json(**report(findings, host))
    wanted = Wanted.of(settings, view)
    if not module.check_mode:
        if not firewall.nft.present():
            raise FirewallError(
                f"nft is not installed on {host}. Fix: install the package nftables (the role base does)"
            )
        firewall.trials.clear()
    with tempfile.TemporaryDirectory(dir=module.tmpdir) as scratch:
        difference = firewall.look(wanted, states, Path(scratch))
    result = {
        "changed": difference.any,
        "findings": [],
        "actions": difference.actions(),
        "changed_by_hand": difference.by_hand,
        "ssh_ports": list(view.ssh_ports),
    }
    if difference.by_hand:
        module.warn(f"The firewall rules on {host} had been changed by hand. See the difference with --diff.")
    if module._diff and difference.rules:
        result["diff"] = {
            "before_header": f"rules that are loaded on {host}",
            "after_header": "rules that are wanted",
            "before": difference.loaded or "",
            "after": difference.expected if difference.expected is not None else wanted.all_rules,
        }
    if module.check_mode or not difference.any:
        return result
    if difference.rules:
        trial = proved_module.new_trial("firewall", session, params["confirm_timeout"])
        firewall.begin(wanted, trial, difference.loaded)
        return {**result, **proved_module.begun(trial)}
    firewall.keep(wanted)
    firewall.replace(difference.rivals)
    return result


def confirm(module: AnsibleModule, firewall: Firewall) -> dict[str, Any]:
    """Keep what is on trial, if this is a connection that proves something."""
    forgotten = "the host knows nothing of these rules any more, as after a restart"
    answer = proved_module.prove(module.params, firewall.trials, _session(), firewall.confirm, forgotten)
    if not answer["confirmed"]:
        return answer
    # Not done yet where the answer to the confirmation was lost on its way.
    firewall.finish()
    settings, _findings = read_settings({name: module.params[name] for name in OPTIONS})
    may_go = replaceable(ROOT, settings.replace)
    rivals = [name for name in firewall.rivals(firewall.states()) if name in may_go]
    firewall.replace(rivals)
    return answer


def absent(module: AnsibleModule, firewall: Firewall) -> dict[str, Any]:
    """Take everything away that is ours."""
    states = firewall.states()
    traces = firewall.traces(states)
    if traces and not module.check_mode:
        firewall.remove(states)
    return {"changed": bool(traces), "findings": [], "actions": [f"remove {trace}" for trace in traces]}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    host = platform.node() or "this host"
    firewall = Firewall(_run, host, Paths(ROOT))

    def work() -> dict[str, Any]:
        with contextlib.nullcontext() if module.check_mode else one_at_a_time(Paths(ROOT).lock):
            if module.params["state"] == "validated":
                return {"changed": False, "findings": [item.as_dict() for item in judge_options(module.params)]}
            if module.params["state"] == "absent":
                return absent(module, firewall)
            if module.params["phase"] == "confirm":
                return confirm(module, firewall)
            if module.params["phase"] == "look":
                return {"changed": False, "findings": [], "undone": firewall.trials.undone(module.params["token"])}
            return present(module, firewall, host)

    proved_module.finish(module, host, (FirewallError, FileError, UnitError), work)


if __name__ == "__main__":
    main()
