# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges a certificate that the operator gives: whether it, its chain and its key work, before a host gets them."""

from __future__ import annotations

import itertools
import ssl
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import x509 as reader
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.state import DUE, day
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import ERROR, WARNING, Finding

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
except ImportError:  # ansible-core cannot be installed without it; only a bare import of this file gets here.
    pass

_RSA_BITS = 2048


@dataclass(frozen=True)
class GivenFile:
    """The text of a file, "" and the reason in `problem` when it cannot be read. `mode`: None where it says nothing."""

    path: str
    text: str = ""
    problem: str = ""
    mode: int | None = None


@dataclass(frozen=True)
class Given:
    """A certificate for a site, with its key."""

    name: str
    names: Sequence[str]
    certificate: GivenFile
    key: GivenFile


Roots = Callable[[], frozenset[bytes]]


def system_roots() -> frozenset[bytes]:
    """The names, in DER, of the CAs that this machine trusts; empty where it has no bundle."""
    where = ssl.get_default_verify_paths()
    for path in (where.cafile, "/etc/ssl/certs/ca-certificates.crt"):
        if path and Path(path).is_file():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Old roots have serial numbers that are frowned upon today.
                found = x509.load_pem_x509_certificates(Path(path).read_bytes())
                return frozenset(one.subject.public_bytes() for one in found)
    return frozenset()


def judge(given: Given, now: float, roots: Roots = system_roots) -> list[Finding]:
    """Everything that is wrong with one given certificate."""
    unreadable = [
        _finding(
            "certificate-file", given, f"{file.path} {file.problem}.", f"Correct {option} of the site {given.name}."
        )
        for option, file in (("certificate_file", given.certificate), ("key_file", given.key))
        if file.problem
    ]
    findings = [*unreadable, *_readable_by_others(given)]
    chain = _chain(given, findings) if given.certificate.text else []
    key = _key(given, findings) if given.key.text else None
    if not chain:
        return findings
    place = 0 if key is None else _place_of_own(given, chain, key, findings)
    findings += _time_and_names(given, place, now)
    # In another order nothing else can be said about the chain.
    return findings if place else [*findings, *_order(given, chain, roots)]


def _finding(rule: str, given: Given, message: str, fix: str, severity: str = ERROR) -> Finding:
    return Finding(rule, severity, given.name, message, fix, file=given.certificate.path)


def _readable_by_others(given: Given) -> list[Finding]:
    key = given.key
    if key.mode is None or not key.mode & 0o007:
        return []
    text = f"The key {key.path} can be read by everybody on this machine (mode {key.mode & 0o777:04o})."
    return [_finding("certificate-key-mode", given, text, f"chmod 600 {key.path}, or encrypt it with ansible-vault.")]


def _chain(given: Given, findings: list[Finding]) -> list[Any]:
    path = given.certificate.path
    try:
        reader.parse_pem(given.certificate.text)
        return x509.load_pem_x509_certificates(given.certificate.text.encode())
    except (reader.CertificateError, ValueError) as error:
        why = str(error) if isinstance(error, reader.CertificateError) else "a certificate in it is damaged"
        fix = "Give the file with the certificate itself and those of the CA below it, in PEM format."
        findings.append(_finding("certificate-invalid", given, f"{path} cannot be used: {why}.", fix))
        return []


def _key(given: Given, findings: list[Finding]) -> Any:
    path, text = given.key.path, given.key.text
    try:
        key = serialization.load_pem_private_key(text.encode(), None)
    except TypeError:
        fix = f"Take it off (openssl pkey -in {path} -out NEW) and encrypt the new file with ansible-vault."
        findings.append(_finding("certificate-key-invalid", given, f"The key {path} has a passphrase.", fix))
        return None
    except (ValueError, UnsupportedAlgorithm):
        fix = "Give the private key in PEM format (-----BEGIN PRIVATE KEY-----)."
        findings.append(_finding("certificate-key-invalid", given, f"{path} is no private key that can be used.", fix))
        return None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < _RSA_BITS:
        message = f"The key {path} has {key.key_size} bits, which no browser takes."
        findings.append(_finding("certificate-key-weak", given, message, "Have a certificate issued for a new key."))
    return key


def _place_of_own(given: Given, chain: list[Any], key: Any, findings: list[Finding]) -> int:
    """Where in the chain the certificate of the key is; a finding where that is not the first place, or not in it."""
    place = next((index for index, one in enumerate(chain) if one.public_key() == key.public_key()), None)
    if place is None:
        text = f"The key {given.key.path} belongs to another certificate than {given.certificate.path}."
        fix = "Give the key with which this certificate was asked for, or have a new one issued."
        findings.append(_finding("certificate-key-mismatch", given, text, fix))
    elif place > 0:
        text = f"In {given.certificate.path} the site's own certificate is number {place + 1}."
        fix = "Put it first, then those of the CA, each above its issuer."
        findings.append(_finding("certificate-order", given, text, fix))
    return place or 0


def _time_and_names(given: Given, place: int, now: float) -> list[Finding]:
    leaf = reader.parse_pem(given.certificate.text)[place]
    path = given.certificate.path
    found = []
    missing = [name for name in given.names if not leaf.covers(name)]
    if missing:
        text = f"{path} is for {', '.join(leaf.names) or 'no names'}, not for {', '.join(missing)}."
        fix = "Have one issued for all names of the site, or take these names out of it."
        found.append(_finding("certificate-names", given, text, fix))
    left = leaf.lifetime_left(now)
    if left <= 0:
        found.append(
            _finding("certificate-expired", given, f"{path} ended on {day(leaf.not_after)}.", "Give a new one.")
        )
    elif now < leaf.not_before:
        fix = "Wait until then, or compare the clock of this machine."
        text = f"{path} is valid from {day(leaf.not_before)} on, not yet."
        found.append(_finding("certificate-not-yet-valid", given, text, fix))
    elif left < DUE:
        text = f"{path} ends on {day(leaf.not_after)}: {left:.0%} of its lifetime are left."
        found.append(_finding("certificate-ends-soon", given, text, "Have a new one issued.", WARNING))
    return found


def _order(given: Given, chain: Sequence[Any], roots: Roots) -> list[Finding]:
    """Whether each certificate is issued by the next one, and the last by a CA that is known."""
    path = given.certificate.path
    for number, (one, issuer) in enumerate(itertools.pairwise(chain), 1):
        if _is_issued_by(one, issuer):
            continue
        elsewhere = any(_is_issued_by(one, other) for other in chain if other is not one)
        text = f"In {path}, certificate {number + 1} is not the issuer of certificate {number}."
        if elsewhere:
            return [_finding("certificate-order", given, text, "Put each certificate above its issuer.")]
        return [
            _finding("certificate-chain", given, text, f"Put the certificate of {_called(one.issuer)} in its place.")
        ]
    last = chain[-1]
    if last.issuer == last.subject:
        if len(chain) > 1:
            return []
        text = f"{path} is signed by itself: browsers warn of it."
        return [
            _finding(
                "certificate-self-signed", given, text, "Have it issued by a CA, or use certificate: acme.", WARNING
            )
        ]
    if last.issuer.public_bytes() in roots():
        return []
    issuer = _called(last.issuer)
    if _says_where_its_issuer_is(last):
        text = f"{path} is not complete: the certificate of {issuer}, which issued the last one in it, is missing."
        return [_finding("certificate-chain", given, text, "Append it; the CA offers it as chain or bundle.")]
    text = f"{path} is issued by {issuer}, which this machine does not know."
    return [_finding("certificate-unknown-ca", given, text, "All who visit the site need its root.", WARNING)]


def _is_issued_by(one: Any, issuer: Any) -> bool:
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _says_where_its_issuer_is(certificate: Any) -> bool:
    """CAs whose intermediate ones have to be sent along say where these are to be had."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return False
    return any(one.access_method == x509.oid.AuthorityInformationAccessOID.CA_ISSUERS for one in access)


def _called(name: Any) -> str:
    """The common name of a CA, else all of its name."""
    common = name.get_attributes_for_oid(x509.oid.NameOID.COMMON_NAME)
    return str(common[0].value) if common else str(name.rfc4514_string())
