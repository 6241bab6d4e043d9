#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: acme_preflight
short_description: See whether a CA would find this host, before it is asked
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - A CA counts failed attempts, and refuses further ones for hours. So everything that it looks at is looked at before,
    from the controller. Each name leads to this host, over IPv4 and IPv6; ports 80 and 443 of it answer, with a token
    that was put there for this; the CAA records allow the CA; the clock of the host is right.
  - Looks only at names that have no valid certificate of this CA yet. Where each has one, it asks nobody.
  - Where a resolver has no address or another one, the name servers of the zone itself are asked, as a CA does.
  - Port 443 is enough for a CA. With port 80 closed it is a warning.
  - The token is given out by Caddy where it runs, else by a process that ends by itself. It is taken away in any case.
attributes:
  check_mode:
    support: partial
    details: Nothing is put on the host. Ports are only looked at where something listens already.
    description: Changes nothing in any case.
  diff_mode:
    support: none
    description: Nothing is written that stays.
  idempotent:
    support: full
    description: Changes nothing.
options:
  sites:
    description: What asks for a certificate. Only those with O(sites[].mode) V(acme) or V(acme_dns) are looked at.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name of the site.
        type: str
        required: true
      names:
        description: All names of the site. Without them, O(sites[].name).
        type: list
        elements: str
        default: []
      mode:
        description: Where its certificate comes from.
        type: str
        choices: [acme, acme_dns, internal, files]
        required: true
      certificate_file:
        description: Where the certificate lies on the host, when Caddy does not keep it.
        type: str
        default: ""
  ca:
    description: ACME directory of the CA. Without it, Let's Encrypt.
    type: str
    default: ""
  caa_identities:
    description: What CAA records call the CA. Known for the large ones; without it, others are not judged.
    type: list
    elements: str
    default: []
  addresses:
    description: Addresses that lead to this host without being its own, such as those of NAT or a load balancer.
    type: list
    elements: str
    default: []
  resolvers:
    description: Addresses of name servers to ask. Without them, those of the controller.
    type: list
    elements: str
    default: []
  http_port:
    description: Where a CA asks. Another one only in tests.
    type: int
    default: 80
  https_port:
    description: Where sites are served. Another one only in tests.
    type: int
    default: 443
  timeout:
    description: Seconds to wait for an answer of the host.
    type: float
    default: 5
  fail_on_findings:
    description: Fail when something is wrong. Else it is told as warnings.
    type: bool
    default: true
  phase:
    description: Which part runs on the host. Set by the action.
    type: str
    choices: [open, close]
    default: open
  token:
    description: What to take away. Set by the action.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: See whether the CA would find this host
  hypercode.deploy.acme_preflight:
    sites:
      - name: app.example.com
        names: [app.example.com, www.example.com]
        mode: acme
"""

RETURN = r"""
names:
  description: The names that were looked at, since they have no valid certificate yet.
  returned: always
  type: list
  elements: str
  sample: [www.example.com]
findings:
  description: Everything that would keep the CA from issuing.
  returned: always
  type: list
  elements: dict
  sample:
    - rule: acme-address
      severity: error
      name: www.example.com
      message: The A record of www.example.com is 192.0.2.9, which is no address of web1.
      fix: Change it to 198.51.100.11.
"""

import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import token
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.caddy import CaddyError, find_caddy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.directories import LETS_ENCRYPT
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.state import (
    GOOD,
    RENEWAL_LATE,
    read_states,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.storage import ca_folder, find
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import (
    FROM_CA,
    Paths,
    WantedCertificate,
    read_wanted,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.x509 import CertificateError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.bridge import served
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.listeners import read_listeners

SITE = {
    "name": {"type": "str", "required": True},
    "names": {"type": "list", "elements": "str", "default": []},
    "mode": {"type": "str", "required": True, "choices": ["acme", "acme_dns", "internal", "files"]},
    "certificate_file": {"type": "str", "default": ""},
}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "sites": {"type": "list", "elements": "dict", "required": True, "options": SITE},
    "ca": {"type": "str", "default": ""},
    "caa_identities": {"type": "list", "elements": "str", "default": []},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "resolvers": {"type": "list", "elements": "str", "default": []},
    "http_port": {"type": "int", "default": 80},
    "https_port": {"type": "int", "default": 443},
    "timeout": {"type": "float", "default": 5.0},
    "fail_on_findings": {"type": "bool", "default": True},
    "phase": {"type": "str", "choices": ["open", "close"], "default": "open"},
    "token": {"type": "dict", "default": {}, "no_log": False},
}
# Seconds until the token is taken away even when nobody says so: the controller may be gone.
LIMIT = 120.0
# Interfaces of containers: nobody outside reaches this host by their addresses.
_INNER = ("lo", "docker", "br-", "veth", "virbr")
_VALID = (*GOOD, RENEWAL_LATE)


def without_certificate(paths: Paths, sites: list[dict[str, Any]], ca: str = "") -> dict[str, str]:
    """The names that need a certificate from this CA and have no valid one of it, each with its mode."""
    wanted = [
        WantedCertificate(
            site["name"].lower(),
            tuple(name.lower() for name in site["names"] or [site["name"]]),
            site["mode"],
            site["certificate_file"],
        )
        for site in sites
        if site["mode"] in FROM_CA
    ]
    states = {state.name: state.state for state in read_states(paths, wanted)}
    return {
        name: entry.mode
        for entry in wanted
        for name in entry.names
        if states.get(entry.name if entry.certificate_file else name) not in _VALID
        or (not entry.certificate_file and not _is_from(paths, name, ca))
    }


def _is_from(paths: Paths, name: str, ca: str) -> bool:
    """Whether Caddy has a certificate of this CA: of another one it would ask for its own."""
    folder = ca_folder(ca or LETS_ENCRYPT)
    return any(stored.ca == folder for stored in find(paths.storage, name, internal=False))


def own_addresses() -> list[str]:
    """The addresses by which others may reach this host."""
    done = run_command(["ip", "-json", "address", "show", "up"], timeout=10)
    try:
        links = json.loads(done.stdout or "[]")
    except ValueError:
        return []
    return [
        str(entry["local"])
        for link in links
        if not str(link.get("ifname", "")).startswith(_INNER)
        for entry in link.get("addr_info", [])
        if entry.get("scope") == "global" and not entry.get("temporary")
    ]


def holders(ports: list[int]) -> dict[str, dict[str, str]]:
    """Who listens on these ports: the name of the process and its unit."""
    found: dict[str, dict[str, str]] = {}
    for listener in read_listeners(Path("/"), [("tcp", port) for port in ports]):
        process = listener.processes[0] if listener.processes else None
        found[str(listener.port)] = {
            "name": process.name if process else "another program",
            "unit": process.unit if process else "",
        }
    return found


def shown(paths: Paths, port: int) -> dict[str, str]:
    """A certificate that Caddy shows now: for which name, and its SHA-256. Empty when it shows none."""
    with contextlib.suppress(CertificateError):
        for name in (name for entry in read_wanted(paths.wanted) or [] for name in entry.names):
            found = served(name, port=port)
            if found is not None:
                return {"name": name, "digest": hashlib.sha256(found).hexdigest()}
    return {}


def open_up(paths: Paths, params: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Say what the controller needs to know, and put the token in its place."""
    names = without_certificate(paths, params["sites"], params["ca"])
    by_http = [name for name, mode in names.items() if mode == "acme"]
    # Two sites, or the same in the configuration, may share a port in tests.
    ports = list(dict.fromkeys([params["http_port"], params["https_port"]]))
    answer: dict[str, Any] = {"names": names, "clock": time.time(), "token": {}, "holders": {}, "addresses": []}
    if not names:
        return answer
    answer |= {"addresses": own_addresses(), "holders": holders(ports)}
    if not by_http or check_mode:
        return answer
    text = token.new_token()
    proof: dict[str, Any] = {"token": text, "proof": token.proof_of(text), "pid": 0, "ports": []}
    proof |= vars(token.Placed())
    holder = answer["holders"].get(str(params["http_port"]), {}).get("name", "")
    if holder == "caddy":
        try:
            proof |= vars(token.place(find_caddy(paths), text, by_http))
        except CaddyError as error:
            answer["note"] = str(error)
    if answer["holders"].get(str(params["https_port"]), {}).get("name", "") == "caddy":
        proof["shown"] = shown(paths, params["https_port"])
    free = [port for port in ports if str(port) not in answer["holders"]]
    if free:
        proof["pid"] = token.listen(free, text, LIMIT)
        proof["ports"] = free
        # Before its first settings, the Caddy of a package cannot be asked: what listens at the other port is enough.
        answer.pop("note", None)
    return {**answer, "token": proof}


def close_down(paths: Paths, proof: dict[str, Any]) -> None:
    """Take the token away."""
    text = str(proof.get("token", ""))
    if not token.is_token(text):
        return
    if proof.get("pid"):
        token.end(int(proof["pid"]), text)
    if proof.get("files"):
        try:
            caddy = find_caddy(paths)
        except CaddyError:
            caddy = None
        token.take_away(proof["files"], text, caddy)


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    paths = Paths()
    try:
        if module.params["phase"] == "close":
            close_down(paths, module.params["token"])
            module.exit_json(changed=False)
        result = open_up(paths, module.params, check_mode=module.check_mode)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        module.fail_json(
            msg=f"This host cannot be prepared for the look of a CA: {error.strerror or error}{where}."
            " Fix: run as root (become: true), and run again",
            findings=[],
        )
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
