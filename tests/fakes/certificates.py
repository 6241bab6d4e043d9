"""Real certificates, made at test time, and a host on which they lie as Caddy keeps them."""

from __future__ import annotations

import datetime
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

Key = ec.EllipticCurvePrivateKey
DAY = 86_400
NOW = 1_800_000_000
# Making keys takes most of the time: two are enough to tell them apart.
KEY, OTHER_KEY, CA_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, and both as PEM."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return pem_of(self.key)


def pem_of(key: Key, password: bytes | None = None) -> str:
    """A private key as PEM."""
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how).decode()


def issue(
    names: Sequence[str] = ("app.example.com",),
    *,
    begin: float = NOW - DAY,
    end: float = NOW + 89 * DAY,
    key: Key = KEY,
    issuer: Issued | None = None,
    subject: str = "",
    is_ca: bool = False,
    aia: bool = False,
) -> Issued:
    """A certificate for these names, signed by `issuer` or by itself."""
    about = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject or (names[0] if names else "a CA"))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(about)
        .issuer_name(issuer.certificate.subject if issuer else about)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.fromtimestamp(begin, datetime.UTC))
        .not_valid_after(datetime.datetime.fromtimestamp(end, datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
    if aia:
        url = x509.UniformResourceIdentifier("http://ca.example/issuer.crt")
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, url)
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    return Issued(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def authority(name: str = "Example Root", issuer: Issued | None = None, key: Key = CA_KEY) -> Issued:
    """A CA, its own root or signed by another one."""
    return issue((), subject=name, key=key, issuer=issuer, is_ca=True, begin=NOW - 900 * DAY, end=NOW + 900 * DAY)


def keep(root: Path, name: str, issued: Issued, *, ca: str = "ca.example-dir", key: Key | None = None) -> Path:
    """Put a certificate where Caddy keeps it; return its file."""
    file = name.replace("*", "wildcard_")
    folder = root / "var/lib/caddy/caddy/certificates" / ca / file
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{file}.crt").write_text(issued.pem)
    (folder / f"{file}.key").write_text(pem_of(key or issued.key))
    (folder / f"{file}.json").write_text(json.dumps({"sans": [name], "issuer_data": {"url": "https://ca.example"}}))
    return folder / f"{file}.crt"


def want(root: Path, *entries: dict[str, object]) -> None:
    """Write the wanted list."""
    path = root / "etc/hypercode/edge/certificates.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{"mode": "acme", "certificate_file": None, **entry} for entry in entries]))


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
