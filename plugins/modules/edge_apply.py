#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: edge_apply
short_description: Apply the edge of a host, with the running site kept
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Makes Caddy serve sites that lead to the containers of a Compose project, and keeps their addresses right.
  - Certificates and keys that were given are judged where they lie. Where new ones do not work, a site goes on with
    what it has.
  - The new configuration is judged by Caddy, as the user that Caddy runs as, before anything is written. Files are
    written whole, then loaded without a gap. What Caddy does not take is put back, and what was served goes on.
  - Where a site gets its certificate another way than before, the old certificate serves until the new one is there.
  - All settings are judged before anything is looked at, and everything that is wrong is reported at once.
notes:
  - The messages name the settings as the variables of the role C(edge), with the prefix C(edge_).
attributes:
  check_mode:
    support: full
    description: Tells what would change, also on a host that has no Caddy yet.
  diff_mode:
    support: full
    description: Shows the files that change, but for hashes of passwords and what DNS is changed with.
  idempotent:
    support: full
    description: What runs is compared with what the files say, so that Caddy is only told what it does not know.
options:
  state:
    description:
      - V(present) applies the settings. V(absent) stops Caddy and takes the files away; certificates and logs stay.
      - V(validated) only judges the settings, on the controller. It connects to nothing and fails for nothing.
    type: str
    choices: [present, absent, validated]
    default: present
  sites:
    description: The sites, as the variable C(edge_sites) of the role has them.
    type: raw
    default: []
  certificate:
    description: How a site gets its certificate that does not say so itself.
    type: raw
    default: acme
  binary:
    description: The program.
    type: path
    default: /usr/bin/caddy
  project:
    description: Name of the Compose project that the containers belong to.
    type: str
    default: hypercode
  known_services:
    description: The services that a route may lead to. Without any, every name is taken.
    type: list
    elements: str
    default: []
  acme_email:
    description: Where the CA writes to. Without it, hostmaster@ and the first name that asks a CA.
    type: raw
    default: ''
  acme_ca:
    description: Address of the CA's directory; empty for Let's Encrypt.
    type: raw
    default: ''
  acme_ca_root:
    description: Certificate (PEM) of the authority that the CA's own address is signed by.
    type: str
    default: ''
  dns_challenge:
    description: Who changes DNS, for certificates that come through it.
    type: raw
    default: {}
  hsts:
    description: Value of the header Strict-Transport-Security; empty for none.
    type: raw
    default: max-age=63072000
  headers:
    description: Headers of every answer that does not have them already.
    type: raw
    default: {}
  body_limit:
    description: The largest request, for a site that does not say so itself.
    type: raw
    default: 10MB
  timeout:
    description: Seconds until a service has to begin its answer, for a route that does not say so itself.
    type: raw
    default: 300
  drain_timeout:
    description: Seconds for which WebSockets stay open when Caddy loads something new.
    type: raw
    default: 30
  header_timeout:
    description: Seconds for the head of a request.
    type: raw
    default: 10
  body_timeout:
    description: Seconds for the body of a request.
    type: raw
    default: 300
  idle_timeout:
    description: Seconds for which an idle connection is kept.
    type: raw
    default: 120
  health_path:
    description: A path at which a load balancer asks whether to send requests to this host; empty for none.
    type: raw
    default: ''
  trusted_proxies:
    description: Networks of proxies before this host, whose word about the client is taken.
    type: raw
    default: []
  log_size_mb:
    description: Size in megabytes at which the access log is rotated.
    type: raw
    default: 50
  log_keep:
    description: How many rotated access logs are kept.
    type: raw
    default: 10
  log_keep_days:
    description: For how many days rotated access logs are kept.
    type: raw
    default: 30
  internal_root_file:
    description: A file on the controller that gets the root certificate of the CA of V(internal); empty for none.
    type: str
    default: ''
seealso:
  - module: hypercode.deploy.firewall_apply
"""

EXAMPLES = r"""
- name: Serve the core of the stack
  hypercode.deploy.edge_apply:
    acme_email: ops@example.com
    sites:
      - name: app.example.com
        service: hypercode-core
        port: 8000

- name: Judge the settings, and touch nothing
  hypercode.deploy.edge_apply:
    sites: "{{ edge_sites }}"
    state: validated
  register: judged
"""

RETURN = r"""
findings:
  description: What is wrong with the settings. With any, nothing was changed.
  returned: always
  type: list
  elements: dict
  sample:
    - rule: wildcard
      severity: error
      name: edge_sites[app.example.com]
      message: edge_sites[app.example.com] has *.example.com, which takes DNS.
      fix: Set certificate to acme_dns for this site, and edge_dns_challenge.
actions:
  description: What was done, or in check mode would be done, in order.
  returned: when state is not validated
  type: list
  elements: str
  sample: [write /etc/hypercode/edge/Caddyfile, reload caddy]
root_certificate:
  description: The root certificate (PEM) of this host's own CA; empty where there is none yet.
  returned: when state is present
  type: str
"""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils import proved_module
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.given_here import judge_given
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import parse_wanted
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge import layout
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.apply import Edge
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.caddy import EdgeError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.layout import Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.names import International, as_written
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.read import read_settings, secrets_in
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.render import certificates
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding, refusal
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.units import UnitError

# Tests put a made-up host here.
PATHS = Paths()
_run = run_command
# Judged by read_settings, which finds everything that is wrong at once.
_JUDGED: dict[str, Any] = {
    "certificate": "acme",
    "acme_email": "",
    "acme_ca": "",
    "hsts": "max-age=63072000",
    "headers": {},
    "body_limit": "10MB",
    "timeout": 300,
    "drain_timeout": 30,
    "header_timeout": 10,
    "body_timeout": 300,
    "idle_timeout": 120,
    "health_path": "",
    "trusted_proxies": [],
    "log_size_mb": 50,
    "log_keep": 10,
    "log_keep_days": 30,
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "absent", "validated"], "default": "present"},
    "sites": {"type": "raw", "default": []},
    **{name: {"type": "raw", "default": default} for name, default in _JUDGED.items()},
    "dns_challenge": {"type": "raw", "default": {}},
    "binary": {"type": "path", "default": "/usr/bin/caddy"},
    "project": {"type": "str", "default": "hypercode"},
    "known_services": {"type": "list", "elements": "str", "default": []},
    "acme_ca_root": {"type": "str", "default": ""},
    "internal_root_file": {"type": "str", "default": ""},
}


def judge_options(params: Mapping[str, Any], international: International = as_written) -> list[Finding]:
    """Everything that is wrong with the options themselves."""
    return read_settings(params, international)[1]


def report(findings: Sequence[Finding], host: str) -> dict[str, Any]:
    """The result of a run that was refused."""
    return refusal(findings, f"The edge of {host} was not changed")


def apply(module: AnsibleModule, host: str) -> dict[str, Any]:
    """Look, and do what is missing."""
    settings, findings = read_settings(module.params)
    if findings and module.params["state"] == "present":
        module.fail_json(**report(findings, host))
    if module.params["state"] == "present":
        findings = judge_given(parse_wanted(certificates(settings)), host, layout.USER, root=PATHS.root, run=_run)
        if findings:
            module.fail_json(**report(findings, host))
    edge = Edge(settings, host, PATHS, _run, check_mode=module.check_mode, scratch=Path(module.tmpdir))
    done = edge.remove() if module.params["state"] == "absent" else edge.apply()
    for warning in done.warnings:
        module.warn(warning)
    result: dict[str, Any] = {
        "changed": bool(done.actions),
        "findings": [],
        "actions": done.actions,
        "root_certificate": done.root_certificate,
    }
    if module._diff:
        result["diff"] = done.diffs
    return result


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.no_log_values.update(secrets_in(module.params))
    host = platform.node() or "this host"

    def work() -> dict[str, Any]:
        if module.params["state"] == "validated":
            return {"changed": False, "findings": [item.as_dict() for item in judge_options(module.params)]}
        return apply(module, host)

    proved_module.finish(module, host, (EdgeError, UnitError, FileError), work)


if __name__ == "__main__":
    main()
