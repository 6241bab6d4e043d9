# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges a certificate that the operator gives: whether it, its chain and its key work, before Caddy is told of it.

The same rules hold on the controller, where files may lie in a vault, and on the host. How a key is compared and a
signature checked differs: see `Backend`.
"""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..finding import ERROR, WARNING, Finding
from .state import DUE, day
from .x509 import Certificate, CertificateError, parse_pem, read_certificates

_RSA_BITS = 2048
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class GivenFile:
    """The text of a file, "" and the reason in `problem` when it cannot be read. `mode`: None where it says nothing."""

    path: str
    text: str = ""
    problem: str = ""
    mode: int | None = None
    fix: str = ""
    """What to do about the problem, where that is more than to correct its path."""


@dataclass(frozen=True)
class Given:
    """A certificate for a site, with its key."""

    name: str
    names: Sequence[str]
    certificate: GivenFile
    key: GivenFile


@dataclass(frozen=True)
class Place:
    """Where the files lie: what it is called, and how a key there is closed to others ({path} is the key)."""

    name: str = "this machine"
    close_key: str = "chmod 600 {path}, or encrypt it with ansible-vault"


class UnusableKeyError(Exception):
    """A key cannot be used; `has_passphrase` says why."""

    def __init__(self, *, has_passphrase: bool = False) -> None:
        super().__init__()
        self.has_passphrase = has_passphrase


class Backend(Protocol):
    """What takes cryptography."""

    def place_of(self, key: GivenFile, chain: Sequence[Certificate]) -> int | None:
        """Which certificate of the chain the key belongs to; None when to none. UnusableKeyError."""

    def is_issued_by(self, one: Certificate, issuer: Certificate) -> bool:
        """Whether the signature of a certificate is that of the other one, and the names say so."""


Roots = Callable[[], frozenset[bytes]]


def system_roots() -> frozenset[bytes]:
    """The names, in DER, of the CAs that this machine trusts; empty where it has no bundle."""
    for path in (ssl.get_default_verify_paths().cafile, _BUNDLE):
        if path and Path(path).is_file():
            try:
                return frozenset(one.subject_der for one in read_certificates(Path(path)))
            except (CertificateError, OSError):
                continue
    return frozenset()


def judge(
    given: Given, now: float, backend: Backend, place: Place | None = None, roots: Roots = system_roots
) -> list[Finding]:
    """Everything that is wrong with one given certificate."""
    place = place or Place()
    findings = [
        _finding(
            "certificate-file",
            given,
            f"{file.path} {file.problem}.",
            file.fix or f"Correct {option} of the site {given.name}.",
        )
        for option, file in (("certificate_file", given.certificate), ("key_file", given.key))
        if file.problem
    ]
    findings += _readable_by_others(given, place)
    chain = _chain(given, findings) if given.certificate.text else []
    if not chain:
        return findings
    number = _place_of_own(given, chain, backend, findings) if given.key.text else 0
    findings += _time_and_names(given, chain[number], now, place)
    # In another order nothing else can be said about the chain.
    return findings if number else [*findings, *_order(given, chain, backend, roots, place)]


def _finding(rule: str, given: Given, message: str, fix: str, severity: str = ERROR) -> Finding:
    return Finding(rule, severity, given.name, message, fix, file=given.certificate.path)


def _readable_by_others(given: Given, place: Place) -> list[Finding]:
    key = given.key
    if key.mode is None or not key.mode & 0o007:
        return []
    text = f"The key {key.path} can be read by everybody on {place.name} (mode {key.mode & 0o777:04o})."
    return [_finding("certificate-key-mode", given, text, f"{place.close_key.format(path=key.path)}.")]


def _chain(given: Given, findings: list[Finding]) -> list[Certificate]:
    path = given.certificate.path
    try:
        return parse_pem(given.certificate.text)
    except CertificateError as error:
        fix = "Give the file with the certificate itself and those of the CA below it, in PEM format."
        findings.append(_finding("certificate-invalid", given, f"{path} cannot be used: {error}.", fix))
        return []


def _place_of_own(given: Given, chain: Sequence[Certificate], backend: Backend, findings: list[Finding]) -> int:
    """Where in the chain the certificate of the key is; a finding where that is not the first place, or not in it."""
    path = given.key.path
    try:
        number = backend.place_of(given.key, chain)
    except UnusableKeyError as error:
        if error.has_passphrase:
            text = f"The key {path} has a passphrase."
            fix = f"Take it off: openssl pkey -in {path} -out NEW. Then close the new file to others."
        else:
            text = f"{path} is no private key that can be used."
            fix = "Give the private key in PEM format (-----BEGIN PRIVATE KEY-----)."
        findings.append(_finding("certificate-key-invalid", given, text, fix))
        return 0
    if number is None:
        text = f"The key {path} belongs to another certificate than {given.certificate.path}."
        fix = "Give the key with which this certificate was asked for, or have a new one issued."
        findings.append(_finding("certificate-key-mismatch", given, text, fix))
        return 0
    if 0 < chain[number].key_bits < _RSA_BITS:
        text = f"The key {path} has {chain[number].key_bits} bits, which no browser takes."
        findings.append(_finding("certificate-key-weak", given, text, "Have a certificate issued for a new key."))
    if number:
        text = f"In {given.certificate.path} the site's own certificate is number {number + 1}."
        fix = "Put it first, then those of the CA, each above its issuer."
        findings.append(_finding("certificate-order", given, text, fix))
    return number


def _time_and_names(given: Given, leaf: Certificate, now: float, place: Place) -> list[Finding]:
    path = given.certificate.path
    found = []
    missing = [name for name in given.names if not leaf.covers(name)]
    if missing:
        text = f"{path} is for {', '.join(leaf.names) or 'no names'}, not for {', '.join(missing)}."
        fix = "Have one issued for all names of the site, or take these names out of it."
        found.append(_finding("certificate-names", given, text, fix))
    left = leaf.lifetime_left(now)
    if left <= 0:
        text = f"{path} ended on {day(leaf.not_after)}."
        found.append(_finding("certificate-expired", given, text, "Give a new one."))
    elif now < leaf.not_before:
        fix = f"Wait until then, or compare the clock of {place.name}."
        text = f"{path} is valid from {day(leaf.not_before)} on, not yet."
        found.append(_finding("certificate-not-yet-valid", given, text, fix))
    elif left < DUE:
        text = f"{path} ends on {day(leaf.not_after)}: {left:.0%} of its lifetime are left."
        found.append(_finding("certificate-ends-soon", given, text, "Have a new one issued.", WARNING))
    return found


def _order(given: Given, chain: Sequence[Certificate], backend: Backend, roots: Roots, place: Place) -> list[Finding]:
    """Whether each certificate is issued by the next one, and the last by a CA that is known."""
    path = given.certificate.path
    for number, (one, issuer) in enumerate(itertools.pairwise(chain), 1):
        if backend.is_issued_by(one, issuer):
            continue
        elsewhere = any(backend.is_issued_by(one, other) for other in chain if other is not one)
        text = f"In {path}, certificate {number + 1} is not the issuer of certificate {number}."
        if elsewhere:
            return [_finding("certificate-order", given, text, "Put each certificate above its issuer.")]
        return [_finding("certificate-chain", given, text, f"Put the certificate of {one.issuer} in its place.")]
    last = chain[-1]
    if last.self_issued:
        if len(chain) > 1:
            return []
        text = f"{path} is signed by itself: browsers warn of it."
        fix = "Have it issued by a CA, or use certificate: acme."
        return [_finding("certificate-self-signed", given, text, fix, WARNING)]
    known = roots()
    # Where nobody is known, nothing can be said.
    if not known or last.issuer_der in known:
        return []
    if last.tells_issuer:
        text = f"{path} is not complete: the certificate of {last.issuer}, which issued the last one in it, is missing."
        return [_finding("certificate-chain", given, text, "Append it; the CA offers it as chain or bundle.")]
    text = f"{path} is issued by {last.issuer}, which {place.name} does not know."
    return [_finding("certificate-unknown-ca", given, text, "All who visit the site need its root.", WARNING)]
