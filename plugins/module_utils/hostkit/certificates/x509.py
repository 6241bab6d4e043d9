# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads what a certificate says: names, issuer, time. Proves nothing: signatures are OpenSSL's business.

Python has no public reader of certificates, and the text that `openssl x509` prints is made for people: it changes with
the version, names in it are not escaped, and of a chain it shows only the first one. The structure (DER, RFC 5280) is
small and fixed, so these few fields are read from it. Whether a key fits is asked of OpenSSL, through `ssl`.
"""

from __future__ import annotations

import base64
import calendar
import ipaddress
import re
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..addresses import is_address

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----")
_INTEGER, _OID, _UTC, _LONG_TIME, _SEQUENCE, _SET = 0x02, 0x06, 0x17, 0x18, 0x30, 0x31
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
# The object identifiers that are looked for, in their encoded form.
_COMMON_NAME, _ORGANISATION, _ALTERNATIVE_NAMES = b"\x55\x04\x03", b"\x55\x04\x0a", b"\x55\x1d\x11"
_AUTHORITY_ACCESS, _CA_ISSUERS = b"\x2b\x06\x01\x05\x05\x07\x01\x01", b"\x2b\x06\x01\x05\x05\x07\x30\x02"
_RSA = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
_TEXTS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}
# A file larger than this holds no chain of certificates.
_LARGEST = 1_000_000


class CertificateError(Exception):
    """A certificate cannot be read; the text says why."""


@dataclass(frozen=True)
class Certificate:
    """What one certificate says. Times are seconds since 1970; `names` are lower-case host names and addresses."""

    names: tuple[str, ...]
    subject: str
    issuer: str
    not_before: int
    not_after: int
    serial: str
    self_issued: bool
    der: bytes = field(repr=False)
    """All of it; then the names of subject and issuer and the public key, in DER as well."""
    subject_der: bytes = field(repr=False)
    issuer_der: bytes = field(repr=False)
    key_bits: int
    """Of an RSA key; 0 for another one."""
    tells_issuer: bool
    """Whether it says where the certificate of its issuer is to be had: those above it have to be sent along then."""

    @property
    def pem(self) -> str:
        """It alone, as PEM."""
        return ssl.DER_cert_to_PEM_cert(self.der)

    @property
    def lifetime(self) -> int:
        """Seconds from the first to the last moment in which it is valid; 1 at the least."""
        return max(1, self.not_after - self.not_before)

    def lifetime_left(self, now: float) -> float:
        """The part of its lifetime that is left: 1 at the beginning, 0 at its end, less than 0 thereafter."""
        return (self.not_after - now) / self.lifetime

    def covers(self, name: str) -> bool:
        """Whether it is valid for a host name, a wildcard (*.example.com) or an address (RFC 6125: one label)."""
        wanted = name.lower().rstrip(".")
        if wanted in self.names:
            return True
        _label, dot, parent = wanted.partition(".")
        return bool(dot and _label) and _label != "*" and not is_address(wanted) and f"*.{parent}" in self.names


def read_certificates(path: Path) -> list[Certificate]:
    """Every certificate in a PEM file, first to last; at least one. CertificateError, or OSError from opening it."""
    with path.open("rb") as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise CertificateError("it is larger than any chain of certificates")
    return parse_pem(data.decode("latin-1"))


def parse_pem(text: str) -> list[Certificate]:
    """Every certificate in PEM text, first to last; at least one. CertificateError."""
    blocks = _PEM.findall(text)
    if not blocks:
        raise CertificateError("it holds no certificate (-----BEGIN CERTIFICATE-----)")
    found = []
    for number, block in enumerate(blocks, 1):
        try:
            found.append(parse_der(base64.b64decode("".join(block.split()), validate=True)))
        except (CertificateError, ValueError) as error:
            raise CertificateError(f"certificate {number} in it is damaged: {error}") from error
    return found


def parse_der(data: bytes) -> Certificate:
    """One certificate in DER. CertificateError when it is none."""
    try:
        return _certificate(data)
    except (IndexError, ValueError, OverflowError) as error:
        raise CertificateError(str(error) or "it ends too early") from error


def _certificate(data: bytes) -> Certificate:
    body = inside(inside(data, _SEQUENCE), _SEQUENCE)
    fields = list(parts(body))
    if fields and fields[0][0] == _VERSION:
        fields = fields[1:]
    # serial number, signature algorithm, issuer, validity, subject, public key, then what is optional.
    if [tag for tag, _value in fields[:6]] != [_INTEGER, *[_SEQUENCE] * 5]:
        raise ValueError("it is not built as a certificate")
    serial, _algorithm, issuer, validity, subject, public_key = (value for _tag, value in fields[:6])
    times = [_time(tag, value) for tag, value in parts(validity)]
    if len(times) != 2:
        raise ValueError("it does not say from when to when it is valid")
    names = [name for tag, value in fields[6:] if tag == _EXTENSIONS for name in _alternative_names(value)]
    return Certificate(
        names=tuple(dict.fromkeys(names)),
        subject=_name(subject),
        issuer=_name(issuer),
        not_before=times[0],
        not_after=times[1],
        serial=serial.lstrip(b"\0").hex() or "00",
        self_issued=subject == issuer,
        der=data,
        subject_der=subject,
        issuer_der=issuer,
        key_bits=_rsa_bits(public_key),
        tells_issuer=any(_tells_issuer(value) for tag, value in fields[6:] if tag == _EXTENSIONS),
    )


# --- DER ----------------------------------------------------------------------------------------------------------


def parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements that lie side by side in `data`, each as its tag and what is in it."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length == 0x80 or length > 0x84:
            raise ValueError("a length in it makes no sense")
        if length > 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        if at + length > len(data):
            raise ValueError("it ends too early")
        yield tag, data[at : at + length]
        at += length


def inside(data: bytes, tag: int) -> bytes:
    """What is in the first element, which must have this tag."""
    found, value = next(parts(data), (None, b""))
    if found != tag:
        raise ValueError("it is not built as a certificate")
    return value


def _time(tag: int, value: bytes) -> int:
    """UTCTime (two digits of the year, 1950 to 2049) or GeneralizedTime, always in UTC and with seconds (RFC 5280)."""
    text = value.decode("ascii")
    if tag == _UTC:
        text = ("20" if text[:2] < "50" else "19") + text
    elif tag != _LONG_TIME:
        raise ValueError("a time in it is none")
    if not re.fullmatch(r"\d{14}Z", text):
        raise ValueError("a time in it is none")
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))


def _name(data: bytes) -> str:
    """The common name of a subject or issuer, else its organisation, else ""."""
    found = {}
    for _set, entries in parts(data):
        for _sequence, entry in parts(entries):
            (_oid, kind), (tag, value) = list(parts(entry))[:2]
            found[kind] = value.decode(_TEXTS.get(tag, "latin-1"), errors="replace")
    return found.get(_COMMON_NAME) or found.get(_ORGANISATION) or ""


def _extension(data: bytes, wanted: bytes) -> Iterator[tuple[int, bytes]]:
    """What is listed in the extension with this identifier."""
    for _tag, extension in parts(inside(data, _SEQUENCE)):
        fields = list(parts(extension))
        if fields[0] == (_OID, wanted):
            yield from parts(inside(fields[-1][1], _SEQUENCE))


def _alternative_names(data: bytes) -> Iterator[str]:
    for tag, value in _extension(data, _ALTERNATIVE_NAMES):
        if tag == _DNS_NAME:
            yield value.decode("latin-1").lower()
        elif tag == _IP_ADDRESS:
            yield str(ipaddress.ip_address(value))


def _tells_issuer(data: bytes) -> bool:
    return any(next(parts(access)) == (_OID, _CA_ISSUERS) for _tag, access in _extension(data, _AUTHORITY_ACCESS))


def _rsa_bits(public_key: bytes) -> int:
    algorithm, bits = (value for _tag, value in parts(public_key))
    if next(parts(algorithm)) != (_OID, _RSA):
        return 0
    # The first byte says how many bits of the last one do not count: none.
    modulus = inside(inside(bits[1:], _SEQUENCE), _INTEGER)
    return int.from_bytes(modulus, "big").bit_length()
