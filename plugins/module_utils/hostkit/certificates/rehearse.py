# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rehearses a renewal for the names of this host, each with the program that renews it."""

from __future__ import annotations

from collections.abc import Sequence

from .caddy import find_caddy
from .rehearsal import rehearse
from .rehearsal_dns import rehearse_dns
from .rehearsal_log import Rehearsed
from .wanted import ACME, ACME_DNS, Paths, WantedCertificate, from_ca
from .x509 import CertificateError


def rehearse_names(
    paths: Paths,
    wanted: Sequence[WantedCertificate],
    names: Sequence[str] = (),
    *,
    ca: str = "",
    timeout: float = 120.0,
) -> list[Rehearsed]:
    """How it went for each of these names, or for all that come from a CA. CertificateError for one that does not."""
    chosen = list(dict.fromkeys(names or from_ca(wanted)))
    by_http, by_dns = choose_names(wanted, chosen)
    results = rehearse(find_caddy(paths), by_http, ca=ca, timeout=timeout) if by_http else []
    results += rehearse_dns(paths, by_dns, ca=ca, timeout=timeout) if by_dns else []
    found = {result.name: result for result in results}
    return [found[name] for name in chosen]


def choose_names(wanted: Sequence[WantedCertificate], names: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Those of the names that Caddy gets, and the names of the sites of those that lego gets. CertificateError for one
    that comes from no CA."""
    known = from_ca(wanted)
    strange = [name for name in names if name not in known]
    if strange:
        has = ", ".join(known) or "none"
        raise CertificateError(f"{strange[0]} gets no certificate from a CA on this host. Fix: use one of these: {has}")
    by_http = [name for entry in wanted if entry.mode == ACME for name in entry.names if name in names]
    by_dns = [entry.names for entry in wanted if entry.mode == ACME_DNS and set(entry.names) & set(names)]
    return list(dict.fromkeys(by_http)), by_dns
