# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: site_certificates
short_description: Tell which certificate each site has, and where it comes from
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Reads C(edge_sites) as the module M(hypercode.deploy.edge_apply) does. Names are as in DNS.
  - A site that is wrong is left out; the role edge says what is wrong with it.
options:
  _input:
    description: The sites.
    type: list
    elements: dict
    required: true
  certificate:
    description: How a site gets its certificate that does not say so itself.
    type: str
    default: acme
"""

EXAMPLES = r"""
- name: See whether the CA would find this host
  hypercode.deploy.acme_preflight:
    sites: "{{ edge_sites | hypercode.deploy.site_certificates(edge_certificate) }}"
"""

RETURN = r"""
_value:
  description: The sites, each with C(name), C(names), C(mode) and C(certificate_file).
  type: list
"""

import json
from collections.abc import Callable
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.read import read_settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.render import certificates
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.names import to_ascii
from ansible_collections.hypercode.deploy.plugins.plugin_utils.lenient_action import plain


def site_certificates(sites: object, certificate: object = "acme") -> list[dict[str, Any]]:
    """Return what acme_preflight takes as sites."""
    settings, _findings = read_settings({"sites": plain(sites), "certificate": plain(certificate)}, to_ascii)
    return [
        {
            "name": entry["name"],
            "names": entry["names"],
            "mode": entry["mode"],
            "certificate_file": entry["certificate_file"] or "",
        }
        for entry in json.loads(certificates(settings))
    ]


class FilterModule:
    """Filters of hypercode.deploy."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"site_certificates": site_certificates}
