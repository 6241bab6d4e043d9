#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_info
short_description: Read how each certificate of a host stands, or rehearse its renewal
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Reads the certificates that the sites of the host need, those that Caddy keeps and those that were given.
  - With O(rehearse) it goes the whole way to a new certificate for each name that comes from a CA, with a storage that
    is thrown away. No certificate in use is touched. See docs/certificates.md.
attributes:
  check_mode:
    support: full
    description: Changes nothing, so check mode is the same. A rehearsal runs there, too.
  diff_mode:
    support: none
    description: Nothing is written that stays.
  idempotent:
    support: full
    description: Changes nothing.
options:
  rehearse:
    description: Whether to rehearse a renewal.
    type: bool
    default: false
  names:
    description: Only rehearse for these names. Without it, for all that come from a CA.
    type: list
    elements: str
    default: []
  ca:
    description: ACME directory for the rehearsal. Without it, the test directory of the CA in use, where it has one.
    type: str
    default: ""
  timeout:
    description: Seconds for the rehearsal of all names together.
    type: float
    default: 120
  fail_on_findings:
    description: Fail when a certificate is not in order, or the rehearsal of a name failed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show how the certificates stand
  hypercode.deploy.certificate_info:

- name: Rehearse a renewal
  hypercode.deploy.certificate_info:
    rehearse: true
    fail_on_findings: true
"""

RETURN = r"""
certificates:
  description: How the certificate for each name stands. Without O(rehearse).
  returned: when nothing was rehearsed
  type: list
  elements: dict
  contains:
    name:
      description: The name of the site.
      type: str
    mode:
      description: V(acme), V(acme_dns), V(internal) or V(files).
      type: str
    state:
      description:
        - One of V(ok), V(renewal due), V(late), V(expired), V(not yet valid), V(missing), V(unreadable),
          V(does not cover the name), V(key mismatch) and V(revoked).
      type: str
    good:
      description: Whether there is nothing to do.
      type: bool
    lifetime_left:
      description: The part of its lifetime that is left, 1 when new. Null where none can be read.
      type: float
    names:
      description: The names that it covers.
      type: list
      elements: str
    issuer:
      description: Who issued it.
      type: str
    not_before:
      description: Since when it is valid, in seconds since 1970.
      type: int
    not_after:
      description: Until when it is valid, in seconds since 1970.
      type: int
    serial:
      description: Its serial number, in hexadecimal.
      type: str
    file:
      description: Where it lies.
      type: str
    message:
      description: What is wrong.
      type: str
    fix:
      description: What to do next.
      type: str
rehearsal:
  description: How the rehearsal went for each name. With O(rehearse).
  returned: when it was rehearsed
  type: list
  elements: dict
  sample:
    - name: app.example.com
      passed: false
      step: challenge
      message: "HTTP 403 urn:ietf:params:acme:error:unauthorized - Invalid response"
      fix: "Check the A and AAAA records of app.example.com: another server answers there."
findings:
  description: What is not in order.
  returned: always
  type: list
  elements: dict
"""

import platform
from collections.abc import Iterable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.caddy import CaddyError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.rehearsal_log import (
    Rehearsed,
    render_rehearsal,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.rehearse import rehearse_names
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.state import State, read_states
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.text import render_certificates
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import (
    Paths,
    read_wanted,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.x509 import CertificateError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding, summary


def state_findings(states: Iterable[State]) -> list[Finding]:
    """What is not in order among the states."""
    return [
        Finding(
            "certificate",
            "error",
            state.name,
            f"The certificate for {state.name}: {state.state}. {state.message}",
            state.fix,
        )
        for state in states
        if not state.is_good
    ]


def rehearsal_findings(results: Iterable[Rehearsed]) -> list[Finding]:
    """What failed in a rehearsal."""
    return [
        Finding(
            "renewal",
            "error",
            result.name,
            f"A renewal for {result.name} would fail, in the step '{result.step}': {result.message}",
            result.fix,
        )
        for result in results
        if not result.passed
    ]


def look(paths: Paths, params: dict[str, Any]) -> tuple[dict[str, Any], list[Finding], str]:
    """What is returned, what is not in order, and the text for a person."""
    wanted = read_wanted(paths.wanted) or []
    if not params["rehearse"]:
        states = read_states(paths, wanted)
        rows = [state.as_dict() for state in states]
        return {"certificates": rows}, state_findings(states), render_certificates(rows)
    results = rehearse_names(paths, wanted, params["names"], ca=params["ca"], timeout=params["timeout"])
    return (
        {"rehearsal": [result.as_dict() for result in results]},
        rehearsal_findings(results),
        render_rehearsal(results),
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "rehearse": {"type": "bool", "default": False},
            "names": {"type": "list", "elements": "str", "default": []},
            "ca": {"type": "str", "default": ""},
            "timeout": {"type": "float", "default": 120.0},
            "fail_on_findings": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        result, findings, text = look(Paths(), module.params)
    except (CertificateError, CaddyError) as error:
        module.fail_json(msg=f"{error}.", findings=[])
    except OSError as error:
        module.fail_json(msg=f"The certificates cannot be read: {error}. Fix: run as root (become: true).", findings=[])
    result |= {"changed": False, "findings": [finding.as_dict() for finding in findings]}
    if findings and module.params["fail_on_findings"]:
        module.fail_json(msg=summary(findings, platform.node()), **result)
    module.exit_json(hypercode_summary=text.splitlines(), **result)


if __name__ == "__main__":
    main()
