# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private keys in PEM and SSH format, and the certificate beside one."""

from __future__ import annotations

import datetime
import warnings

from .finding import WARNING, SecretFinding
from .subject import Subject

try:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
except ImportError:  # ansible-core cannot be installed without it; only a bare import of this file gets here.
    pass

_RSA_BITS = 2048
_CURVE_BITS = 256
_SOON = datetime.timedelta(days=14)
_NEW_KEY = "Make a new key, put it in with: scripts/secrets edit {environment}"


def pem_private_key(subject: Subject) -> list[SecretFinding]:
    """A key that parses, has a safe size, is not encrypted, and fits a certificate that has not expired."""
    key, findings = _load(subject, ssh=False)
    if key is None:
        return findings
    return [*findings, *_size(subject, key), *_certificate(subject, key)]


def ssh_private_key(subject: Subject) -> list[SecretFinding]:
    """The same for a key of OpenSSH, or an SSH key in PEM format."""
    key, findings = _load(subject, ssh=True)
    return findings if key is None else [*findings, *_size(subject, key)]


def _load(subject: Subject, ssh: bool) -> tuple[object | None, list[SecretFinding]]:
    data = subject.value.encode() + b"\n"
    what = "private SSH key" if ssh else "private key in PEM format"
    if b"-----BEGIN " not in data:
        known = subject.strength(subject.value, 64.0)
        problem = f"is no {what}: there is no line -----BEGIN ... PRIVATE KEY-----."
        return None, known if known and known[0].rule == "secret-placeholder" else [subject.malformed(problem)]
    if "\n" not in subject.value.strip():
        hint = f"Put the whole file in, with all of its line breaks: {_edit(subject)}"
        return None, [subject.malformed(f"is a {what} that has lost its line breaks.", hint)]
    openssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    load = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Old algorithms are refused below, in our own words.
            return load(data, None), []
    except TypeError:
        problem = "is encrypted with a passphrase, which nobody will be there to type."
        return None, [subject.malformed(problem, f"Remove the passphrase, then run: {_edit(subject)}")]
    except UnsupportedAlgorithm:
        return None, [subject.malformed("is a key of a type that is not supported. Use Ed25519, ECDSA or RSA.")]
    except ValueError as error:
        if "password" in str(error).lower() or "encrypted" in str(error).lower():
            problem = "is encrypted with a passphrase, which nobody will be there to type."
            return None, [subject.malformed(problem, f"Remove the passphrase, then run: {_edit(subject)}")]
        hint = f"Put the whole file in, with all of its line breaks: {_edit(subject)}"
        return None, [subject.malformed(f"cannot be read as a {what}.", hint)]


def _edit(subject: Subject) -> str:
    return f"scripts/secrets edit {subject.around.environment}"


def _size(subject: Subject, key: object) -> list[SecretFinding]:
    hint = _NEW_KEY.format(environment=subject.around.environment)
    if isinstance(key, rsa.RSAPrivateKey):
        fits = key.key_size >= max(_RSA_BITS, subject.rule.bits or 0)
        problem = f"is an RSA key of less than {max(_RSA_BITS, subject.rule.bits or 0)} bits."
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        fits = key.curve.key_size >= _CURVE_BITS
        problem = f"is a key on a curve of less than {_CURVE_BITS} bits."
    else:
        fits = isinstance(key, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey))
        named = "a DSA key" if isinstance(key, dsa.DSAPrivateKey) else "a key of a type that cannot sign"
        problem = f"is {named}. Use Ed25519, ECDSA or RSA."
    return [] if fits else [subject.finding("secret-weak", problem, hint)]


def _certificate(subject: Subject, key: object) -> list[SecretFinding]:
    name = subject.rule.certificate
    text = subject.value if name is None else subject.around.texts.get(name, subject.around.related.get(name, ""))
    if name is None and "-----BEGIN CERTIFICATE-----" not in text:
        return []
    where = f"The certificate {name}" if name else "The certificate beside it"
    if not text:
        hint = f"Add {name} to the secrets or to related, or correct certificate in the policy of {subject.name}."
        return [subject.finding("certificate-missing", f"should fit the certificate {name}, which is not there.", hint)]
    begin = text.find("-----BEGIN CERTIFICATE-----")
    try:
        certificate = x509.load_pem_x509_certificates(text[max(begin, 0) :].encode() + b"\n")[0]
        fits = _public(certificate.public_key()) == _public(key.public_key())  # type: ignore[attr-defined]
    except (ValueError, UnsupportedAlgorithm):
        problem = f"cannot be compared with its certificate. {where} cannot be read as PEM."
        return [subject.finding("certificate-malformed", problem, f"Put in the whole certificate: {_edit(subject)}")]
    findings = []
    hint = f"Put the key and the certificate in that belong together: {_edit(subject)}"
    if not fits:
        findings.append(
            subject.finding("certificate-mismatch", f"does not belong to its certificate. {where} differs.", hint)
        )
    return findings + _validity(subject, certificate, where)


def _validity(subject: Subject, certificate: x509.Certificate, where: str) -> list[SecretFinding]:
    hint = f"Renew the certificate, then run: {_edit(subject)}"
    today = datetime.datetime.combine(subject.around.today, datetime.time(), datetime.UTC)
    until = certificate.not_valid_after_utc
    if until < today:
        return [
            subject.finding("certificate-expired", f"has a certificate that has expired. {where} is too old.", hint)
        ]
    if certificate.not_valid_before_utc > today + datetime.timedelta(days=1):
        return [
            subject.finding(
                "certificate-expired", f"has a certificate that is not valid yet. {where} begins later.", hint
            )
        ]
    if until - today < _SOON:
        problem = f"has a certificate that expires within {_SOON.days} days."
        return [subject.finding("certificate-expires-soon", problem, hint, WARNING)]
    return []


def _public(key: object) -> bytes:
    return key.public_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
