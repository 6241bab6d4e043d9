# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: served_names
short_description: Tell which names each host serves, for the records of these names
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Reads C(edge_sites) of each host, its names and aliases, and whether a public CA certifies them.
  - A host with C(edge_enabled=false) serves none. What is no site is left to the role edge, which says so.
options:
  _input:
    description: Names of hosts.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variables of all hosts.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Keep the records of all hosts and sites
  ansible.builtin.include_role:
    name: hypercode.deploy.dns
  vars:
    dns_sites: "{{ groups['hypercode'] | hypercode.deploy.served_names(hostvars) }}"
"""

RETURN = r"""
_value:
  description: By host, a list of names, each with C(name) and C(acme).
  type: dict
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

# Ways to a certificate in which a public CA is asked for it; "files" may come from any CA.
_ASKED_FOR = ("acme", "acme_dns")


def served_names(hosts: Iterable[str], hostvars: Mapping[str, Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the names by host; hosts that serve none are left out."""
    found = {str(host): _names(hostvars[host]) for host in hosts if host in hostvars}
    return {host: names for host, names in found.items() if names}


def _names(variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    sites = variables.get("edge_sites", [])
    if not isinstance(sites, list) or not _is_on(variables):
        return []
    usual = variables.get("edge_certificate", _ASKED_FOR[0])
    return [
        {"name": str(name), "acme": (site.get("certificate") or usual) in _ASKED_FOR}
        for site in sites
        if isinstance(site, Mapping) and site.get("name")
        for name in (site["name"], *_aliases(site))
    ]


def _aliases(site: Mapping[str, Any]) -> list[Any]:
    aliases = site.get("aliases") or []
    return aliases if isinstance(aliases, list) else []


def _is_on(variables: Mapping[str, Any]) -> bool:
    enabled = variables.get("edge_enabled", True)
    return str(enabled).lower() not in ("false", "no", "0", "off")


class FilterModule:
    """Filters of hypercode.deploy."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"served_names": served_names}
