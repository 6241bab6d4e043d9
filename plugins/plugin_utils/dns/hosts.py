# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The records that follow from the inventory: of hosts, of names that the edge serves, and who may certify these."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding

from .names import NameProblem, in_zone, to_ascii, zone_of
from .providers import wrong
from .records import RecordSet, address_records

Made = list[tuple[str, RecordSet]]
# Not reachable from outside: what Ansible logs in by is then not what a name is to point to.
_INSIDE = tuple(
    map(
        ipaddress.ip_network,
        "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 0.0.0.0/8 "
        "fc00::/7 fe80::/10 ::1/128".split(),
    )
)
_CA = re.compile(r"[a-z0-9][a-z0-9.-]*\.[a-z]{2,}")


def host_records(
    facts: Mapping[str, Mapping[str, Any]],
    host_zone: str,
    ttls: Mapping[str, int],
    left_out: Collection[str],
    findings: list[Finding],
) -> Made:
    """A and AAAA of each host, with where they come from. ``ttls`` has the zones."""
    made: Made = []
    owner: dict[str, str] = {}
    for host, about in facts.items():
        written = about.get("name")
        name = _host_name(host, host if written is None else str(written), host_zone, ttls, findings)
        if not name or name in left_out:
            continue
        if name in owner:
            text = f"The hosts {owner[name]} and {host} both have the name {name}."
            findings.append(wrong("dns_host_name", text, "Give one of them another dns_host_name in its host_vars."))
            continue
        owner[name] = host
        addresses = addresses_of(host, about, findings)
        records = address_records(name, addresses, ttls[zone_of(name, ttls)])
        made += [(f"the host {host}", record) for record in records]
    return made


def _host_name(host: str, written: str, host_zone: str, zones: Mapping[str, int], findings: list[Finding]) -> str:
    """The whole name of a host; "" where it is to have none."""
    if not written or not zones:
        return ""
    try:
        name = to_ascii(written)
        if zone_of(name, zones):
            return name
        if "." in name and written == host:
            # Its name in the inventory is one of a zone that is not ours, or an address.
            return ""
        zone = to_ascii(host_zone)
        if zone not in zones:
            text = f"dns_host_zone is {host_zone}, which is not in dns_zones."
            finding = wrong("dns_host_zone", text, f"Write one of {', '.join(zones)}.")
            findings += [] if finding in findings else [finding]
            return ""
        return in_zone(written, zone)
    except NameProblem as problem:
        text = f"The host {host} cannot have the name '{written}': {problem}."
        findings.append(wrong("dns_host_name", text, f'Set dns_host_name in host_vars/{host}, or "" for no record.'))
        return ""


def addresses_of(host: str, about: Mapping[str, Any], findings: list[Finding]) -> list[str]:
    """The addresses that names of a host point to; a finding once where it has none that can be."""
    given = about.get("addresses") or []
    stated = [given] if isinstance(given, str) else list(given)
    good = []
    for text in stated:
        try:
            good.append(str(ipaddress.ip_address(str(text))))
        except ValueError:
            _once(findings, f"dns_addresses of {host} has '{text}', which is no IP address.", "Correct it", host)
    if stated:
        return good
    login = str(about.get("ansible_host") or host)
    try:
        address = ipaddress.ip_address(login)
    except ValueError:
        _once(findings, f"The host {host} has no address: it is logged in to as '{login}'.", "Write its address", host)
        return []
    if any(address in network for network in _INSIDE):
        text = f"The host {host} is logged in to as {address}, which nobody outside can reach."
        _once(findings, text, "Write its public addresses (or this one, where that is meant)", host)
        return []
    return [str(address)]


def _once(findings: list[Finding], text: str, fix: str, host: str) -> None:
    finding = wrong("dns_addresses", text, f"{fix}: dns_addresses in host_vars/{host}, such as [192.0.2.10].")
    if finding not in findings:
        findings.append(finding)


def site_records(
    sites: Mapping[str, Sequence[Mapping[str, Any]]],
    facts: Mapping[str, Mapping[str, Any]],
    ttls: Mapping[str, int],
    authorities: Sequence[str],
    left_out: Collection[str],
    findings: list[Finding],
) -> Made:
    """A, AAAA and CAA of each name that the edge of some host serves. Names in other zones are left to others."""
    addresses: dict[str, list[str]] = {}
    certified: set[str] = set()
    for host, entries in sites.items():
        for entry in entries:
            name = _site_name(str(entry.get("name", "")), findings)
            if not name or name in left_out or not zone_of(name, ttls):
                continue
            addresses.setdefault(name, []).extend(addresses_of(host, facts.get(host, {}), findings))
            if entry.get("acme", True):
                certified.add(name)
    made: Made = []
    for name, found in addresses.items():
        records = address_records(name, found, ttls[zone_of(name, ttls)])
        made += [(f"the site {name}", record) for record in records]
    return made + _authorities(certified, ttls, authorities, findings)


def _site_name(written: str, findings: list[Finding]) -> str:
    try:
        return to_ascii(written)
    except NameProblem as problem:
        text = f"'{written}' cannot be the name of a site: {problem}."
        findings.append(wrong("edge_sites", text, "Correct the name in edge_sites."))
        return ""


def _authorities(
    names: Collection[str], ttls: Mapping[str, int], authorities: Sequence[str], findings: list[Finding]
) -> Made:
    """Who may certify these names. At each name itself, so that what others have in the zone is not touched by it."""
    good = []
    for authority in authorities:
        if _CA.fullmatch(str(authority)):
            good.append(str(authority))
        else:
            text = f"dns_caa has '{authority}', which is no name of a certificate authority."
            findings.append(
                wrong("dns_caa", text, "Write the name that its documents give for CAA, such as letsencrypt.org.")
            )
    made: Made = []
    bases = sorted({name.removeprefix("*.") for name in names}) if good else []
    for base in bases:
        zone = zone_of(base, ttls)
        tags = ("issue", "issuewild") if f"*.{base}" in names else ("issue",)
        values = tuple(f'0 {tag} "{authority}"' for tag in tags for authority in sorted(set(good)))
        made += [(f"the site {base}", RecordSet(base, "CAA", ttls[zone], values))] if zone else []
    return made
