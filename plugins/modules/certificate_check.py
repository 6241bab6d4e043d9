#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_check
short_description: Judge certificates and keys that lie on the controller
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Collects everything that is wrong with certificates that the operator gives, so that a host never gets one that does
    not work. The key does not belong to it, it does not cover the names, it has expired or is not valid yet, its chain
    is not complete or in the wrong order, the key can be read by others or has a passphrase.
  - Files that are encrypted with ansible-vault are decrypted in memory.
  - Runs on the controller and connects to nothing. No part of a key is in the result.
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
  certificates:
    description: The certificates.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name of the site, for the messages.
        type: str
        required: true
      names:
        description: The names that it has to cover. Without them, O(certificates[].name).
        type: list
        elements: str
        default: []
      certificate_file:
        description: PEM file with the certificate of the site first, then those of the CA, each above its issuer.
        type: path
        required: true
      key_file:
        description: PEM file with the private key.
        type: path
        required: true
  fail_on_findings:
    description: Fail when something is wrong. Switch it off where the findings are reported together with others.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check the certificates that are given
  hypercode.deploy.certificate_check:
    certificates:
      - name: app.example.com
        names: [app.example.com, www.example.com]
        certificate_file: "{{ inventory_dir }}/certificates/app.pem"
        key_file: "{{ inventory_dir }}/certificates/app.key"
    fail_on_findings: true
"""

RETURN = r"""
findings:
  description: Everything that is wrong. With severity V(warning), what a deploy need not stop for.
  returned: always
  type: list
  elements: dict
  sample:
    - rule: certificate-names
      severity: error
      name: app.example.com
      message: app.pem is for app.example.com, not for www.example.com.
      fix: Have one issued for all names of the site, or take these names out of it.
      file: app.pem
"""
