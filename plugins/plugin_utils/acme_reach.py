# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Would a CA find this host? Rules over what name servers and ports answer; both are injected."""

from __future__ import annotations

import functools
import hashlib
import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.directories import LETS_ENCRYPT
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.token import PATH
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.bridge import served
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import ERROR, WARNING, Finding

# What CAA records call a CA, by its directory.
IDENTITIES = {
    LETS_ENCRYPT: ("letsencrypt.org",),
    "https://acme-staging-v02.api.letsencrypt.org/directory": ("letsencrypt.org",),
    "https://acme.zerossl.com/v2/DV90": ("sectigo.com", "zerossl.com"),
    "https://dv.acme-v02.api.pki.goog/directory": ("pki.goog",),
    "https://api.buypass.com/acme/directory": ("buypass.com",),
}
# Certificates and the messages of the protocol bear times: minutes are tolerated, hours are not.
CLOCK_SKEW = 600.0
# Where the user says which addresses lead to a host.
ADDRESSES = "edge_public_addresses"
REFUSED, SILENT, NO_WAY = "refused", "silent", "no way"


class LookupFailedError(Exception):
    """A name server gave no answer; the text says why. No records is an answer."""


@dataclass(frozen=True)
class Answer:
    """What came back from a port: an outcome other than "" says that nothing did, and why."""

    outcome: str = ""
    body: str = ""
    server: str = ""


Lookup = Callable[[str, str], Sequence[str]]
"""The values of a record: (name, type) to texts; for CAA such as '0 issue "letsencrypt.org"'."""
Fetch = Callable[[str, int, str, str], Answer]
"""GET over HTTP: (address, port, host, path) to what came back. An empty path only connects."""
LeadsHere = Callable[[str, str], bool]
"""Whether (address, name) gives out the token that was put on this host."""
Show = Callable[[str, str, int], "bytes | None"]
"""The certificate (DER) that is shown: (name, address, port); None when there is none."""


@dataclass(frozen=True)
class Host:
    """What the host said, and what the inventory says about it."""

    name: str
    names: Mapping[str, str]
    addresses: Sequence[str]
    """The one to suggest first, for each family."""
    holders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    token: Mapping[str, Any] = field(default_factory=dict)
    clock_skew: float = 0.0
    """Seconds that its clock is ahead."""
    ports: tuple[int, int] = (80, 443)
    identities: Sequence[str] = ()


def judge(host: Host, lookup: Lookup, fetch: Fetch, again: Lookup | None = None, show: Show = served) -> list[Finding]:
    """Everything that would keep the CA from issuing, one finding for each cause.

    What `lookup` finds wrong is looked up once more with `again`: a resolver may still have what was there before.
    """
    findings = _clock(host) + _taken(host)

    @functools.cache
    def leads_here(address: str, name: str) -> bool:
        return _leads_here(host, address, name, fetch)

    in_dns, reached = _names(host, lookup, leads_here)
    if in_dns and again is not None:
        in_dns, reached = _names(host, again, leads_here)
    findings += in_dns
    if not any(finding.rule == "acme-port-taken" for finding in findings):
        for address, name in reached.items():
            findings += _ports(host, address, name, fetch, show)
    return list(dict.fromkeys(findings))


def _names(host: Host, lookup: Lookup, leads_here: LeadsHere) -> tuple[list[Finding], dict[str, str]]:
    """What is wrong with the records of all names, and the addresses that are right, each with one of its names."""
    findings: list[Finding] = []
    reached: dict[str, str] = {}
    for name, mode in host.names.items():
        found: list[Finding] = []
        if mode == "acme":
            found, good = _records(host, name, lookup, leads_here)
            reached |= {address: reached.get(address, name) for address in good}
        # A zone whose name servers fail has no CAA records either: that is said once.
        unknown = any(finding.rule == "acme-lookup" for finding in found)
        findings += found if unknown else [*found, *_caa(host, name, lookup)]
    return findings, reached


def _finding(rule: str, name: str, message: str, fix: str, severity: str = ERROR) -> Finding:
    return Finding(rule, severity, name, message, fix)


def _clock(host: Host) -> list[Finding]:
    skew = abs(host.clock_skew)
    if skew < CLOCK_SKEW:
        return []
    size = (
        f"{skew / 86400:.1f} days"
        if skew > 86400
        else f"{skew / 3600:.1f} hours"
        if skew > 5400
        else f"{skew / 60:.0f} minutes"
    )
    text = f"The clock of {host.name} is {size} {'ahead of' if host.clock_skew > 0 else 'behind'} that of this machine."
    return [
        _finding("acme-clock", "clock", text, f"Set it: timedatectl set-ntp true on {host.name}. Or this machine's.")
    ]


def _taken(host: Host) -> list[Finding]:
    return [
        _finding(
            "acme-port-taken",
            f"port {port}",
            f"Port {port} of {host.name} is taken by {holder['name']}, so the CA would not reach Caddy.",
            f"Stop it: systemctl disable --now {holder['unit']}."
            if holder.get("unit")
            else "Stop it, or move it to another port.",
        )
        for port, holder in host.holders.items()
        if holder.get("name") != "caddy"
    ]


# --- DNS ----------------------------------------------------------------------------------------------------------


def _records(host: Host, name: str, lookup: Lookup, leads_here: LeadsHere) -> tuple[list[Finding], list[str]]:
    """What is wrong with the addresses of a name, and those that are right."""
    findings: list[Finding] = []
    good: list[str] = []
    failed = 0
    known = {_plain(address) for address in host.addresses}
    for kind, version in (("A", 4), ("AAAA", 6)):
        try:
            values = [_plain(value) for value in lookup(name, kind)]
        except LookupFailedError as error:
            failed += 1
            text = f"The {kind} record of {name} cannot be looked up: {error}."
            findings.append(_finding("acme-lookup", name, text, "Check the name servers of its zone."))
            continue
        # One that is not known may lead here all the same, through NAT or a load balancer.
        here = [value for value in values if value in known or leads_here(value, name)]
        good += here
        mine = [address for address in host.addresses if ipaddress.ip_address(address).version == version]
        findings += [_wrong(host, name, kind, value, mine) for value in values if value not in here]
    if not good and not findings:
        has = " and ".join(f"{'AAAA' if ':' in address else 'A'} {address}" for address in _suggested(host))
        text = f"{name} has no A and no AAAA record, so the CA would not find {host.name}."
        findings.append(
            _finding("acme-address", name, text, f"Add to its zone: {name} {has or 'with the address of the host'}.")
        )
    # When both fail it is one cause.
    return (findings[:1] if failed == 2 else findings), good


def _wrong(host: Host, name: str, kind: str, value: str, mine: Sequence[str]) -> Finding:
    text = f"The {kind} record of {name} is {value}, which is no address of {host.name}."
    if kind == "AAAA":
        text += " CAs, and browsers, ask IPv6 first."
    if mine:
        fix = f"Change it to {_best(mine)}. If {value} leads to {host.name} all the same, add it to {ADDRESSES}."
    else:
        fix = f"Delete it: {host.name} has no such address. If it has one, add it to {ADDRESSES}."
    # In check mode there is no token that would prove it: only the deploy can tell.
    return _finding("acme-address", name, text, fix, ERROR if host.token else WARNING)


def _suggested(host: Host) -> list[str]:
    """One address for each family."""
    by_version: dict[int, list[str]] = {}
    for address in host.addresses:
        by_version.setdefault(ipaddress.ip_address(address).version, []).append(address)
    return [_best(by_version[version]) for version in sorted(by_version)]


def _best(addresses: Sequence[str]) -> str:
    """The first one that everybody can reach, else the first one."""
    return next((one for one in addresses if ipaddress.ip_address(one).is_global), addresses[0])


def _plain(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _caa(host: Host, name: str, lookup: Lookup) -> list[Finding]:
    """The records of the name, or of the nearest domain above it that has any, decide (RFC 8659)."""
    if not host.identities:
        return []
    wildcard = name.startswith("*.")
    domain = name.removeprefix("*.")
    while domain:
        try:
            records = [_parse_caa(value) for value in lookup(domain, "CAA")]
        except LookupFailedError as error:
            text = (
                f"The CAA records of {domain} cannot be looked up ({error}), and a CA refuses what it cannot look up."
            )
            return [_finding("acme-lookup", domain, text, "Check the name servers of its zone.")]
        if records:
            tags = {tag for _flags, tag, _value in records}
            tag = "issuewild" if wildcard and "issuewild" in tags else "issue"
            allowed = [value.partition(";")[0].strip().lower() for _flags, one, value in records if one == tag]
            if tag not in tags or set(allowed) & set(host.identities):
                return []
            text = (
                f"The CAA records of {domain} allow {', '.join(filter(None, allowed)) or 'nobody'} to issue for {name},"
                f" not {host.identities[0]}."
            )
            return [
                _finding("acme-caa", domain, text, f'Add to its zone: {domain} CAA 0 {tag} "{host.identities[0]}".')
            ]
        domain = domain.partition(".")[2]
    return []


def _parse_caa(value: str) -> tuple[str, str, str]:
    flags, _blank, rest = value.partition(" ")
    tag, _blank, text = rest.partition(" ")
    return flags, tag.lower(), text.strip().strip('"')


# --- ports --------------------------------------------------------------------------------------------------------


def _ports(host: Host, address: str, name: str, fetch: Fetch, show: Show) -> list[Finding]:
    """Whether the ports of an address answer, and whether it is this host that does."""
    findings = []
    outcomes: dict[int, str] = {}
    token, proof = str(host.token.get("token", "")), str(host.token.get("proof", ""))
    for port in dict.fromkeys(host.ports):
        asked_as = _asked_as(host, name, port)
        if str(port) not in host.holders and not asked_as:
            continue
        answer = fetch(address, port, asked_as or name, f"{PATH}{token}" if asked_as else "")
        if answer.outcome == NO_WAY:
            text = f"This machine has no way to {address}, so nobody has seen whether a CA would reach it."
            fix = "Look from a machine that has IPv6." if ":" in address else "Look at the network of this machine."
            return [_finding("acme-not-seen", address, text, fix, WARNING)]
        outcomes[port] = answer.outcome
        if answer.outcome:
            continue
        if (asked_as and answer.body.strip() != proof) or not _is_shown(host, address, port, show):
            findings.append(_other(host, address, port, name, answer))
    return [*findings, *(_closed(host, address, port, outcomes) for port, outcome in outcomes.items() if outcome)]


def _asked_as(host: Host, name: str, port: int) -> str:
    """As which host the token is to be had at a port; "" where nobody gives it out there."""
    if port in host.token.get("ports", ()):
        return name
    return str(host.token.get("asked_as", {}).get(name, "")) if port == host.ports[0] else ""


def _leads_here(host: Host, address: str, name: str, fetch: Fetch) -> bool:
    """Whether the token is to be had at an address for a name, at one of the ports."""
    for port in dict.fromkeys(host.ports):
        asked_as = _asked_as(host, name, port)
        if asked_as:
            answer = fetch(address, port, asked_as, f"{PATH}{host.token['token']}")
            if not answer.outcome and answer.body.strip() == host.token["proof"]:
                return True
    return False


def _is_shown(host: Host, address: str, port: int, show: Show) -> bool:
    """Whether an address shows the certificate that the host itself shows there, where it has any."""
    shown = host.token.get("shown") or {}
    if port != host.ports[1] or not shown:
        return True
    found = show(str(shown["name"]), address, port)
    return found is not None and hashlib.sha256(found).hexdigest() == shown["digest"]


def _closed(host: Host, address: str, port: int, outcomes: Mapping[int, str]) -> Finding:
    what = "refuses connections" if outcomes[port] == REFUSED else "does not answer"
    text = f"Port {port} of {address} {what}, though {host.name} listens there."
    fix = f"Open {port}/tcp: firewall_open_ports, and the firewall of the provider."
    if port == host.ports[0] and outcomes.get(host.ports[1]) == "":
        # TLS-ALPN-01 is enough for the CA.
        text += f" The CA comes by port {host.ports[1]}; but nobody is led from http:// to https://."
        return _finding("acme-port-closed", f"port {port}", text, fix, WARNING)
    return _finding("acme-port-closed", f"port {port}", text, fix)


def _other(host: Host, address: str, port: int, name: str, answer: Answer) -> Finding:
    who = f" ({answer.server})" if answer.server else ""
    text = f"Another server{who} answers at port {port} of {address} for {name}, not {host.name}."
    fix = f"Let {name} lead to {host.name} itself, without a proxy or another machine in front of it."
    return _finding("acme-other-server", name, text, fix)


def identities_of(directory: str, given: Iterable[str]) -> tuple[str, ...]:
    """What CAA records call the CA with this directory; empty when that is not known."""
    return tuple(one.lower() for one in given) or IDENTITIES.get(directory or LETS_ENCRYPT, ())
