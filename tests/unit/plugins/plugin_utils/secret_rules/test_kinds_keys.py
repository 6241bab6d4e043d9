# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private keys and certificates, made by the same library that reads them, and by ssh-keygen's format."""

from __future__ import annotations

import datetime
import functools

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from .conftest import TODAY, Judge

PEM, NONE = serialization.Encoding.PEM, serialization.NoEncryption()
PKCS8, OPENSSH = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.OpenSSH


@functools.cache
def key(kind: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey:
    """A key of this kind, made once."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    if kind == "dsa":
        return dsa.generate_private_key(1024)  # noqa: S505 - it must be refused.
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1() if kind == "p256" else ec.SECP192R1())


def pem(
    kind: str,
    form: serialization.PrivateFormat = PKCS8,
    encryption: serialization.KeySerializationEncryption = NONE,
) -> str:
    return key(kind).private_bytes(PEM, form, encryption).decode()


def certificate(kind: str, begins: int, ends: int) -> str:
    """A certificate that is valid from and to so many days from the day of the test."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "example.com")])
    now = datetime.datetime.combine(TODAY, datetime.time(), datetime.UTC)
    signing = key(kind)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(signing.public_key())
    builder = builder.serial_number(1).not_valid_before(now + datetime.timedelta(begins))
    made = builder.not_valid_after(now + datetime.timedelta(ends)).sign(signing, hashes.SHA256())
    return made.public_bytes(PEM).decode()


def found(judged: Judge, value: str, kind: str = "pem_private_key", **more: object) -> list[str]:
    rule: dict[str, object] = {name: more.pop(name) for name in ("certificate", "bits") if name in more}
    rule["kind"] = kind
    return [finding.rule for finding in judged({"V": value}, {"V": rule}, **more)]


@pytest.mark.parametrize("kind", ["rsa2048", "ed25519", "p256"])
def test_good_keys(judged: Judge, kind: str) -> None:
    assert found(judged, pem(kind)) == []
    assert found(judged, pem(kind).strip()) == []
    assert found(judged, pem(kind).replace("\n", "\r\n")) == []
    assert found(judged, pem(kind, OPENSSH), "ssh_private_key") == []
    assert found(judged, pem(kind), "ssh_private_key") == []


def test_keys_that_are_too_small_or_of_an_old_sort(judged: Judge) -> None:
    for kind in ("rsa1024", "dsa", "p192"):
        assert found(judged, pem(kind)) == ["secret-weak"], kind
    assert found(judged, pem("rsa2048"), bits=3072) == ["secret-weak"]


def test_an_encrypted_key(judged: Judge) -> None:
    locked = serialization.BestAvailableEncryption(b"x")
    head = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00"
    old = f"-----BEGIN RSA PRIVATE KEY-----\n{head}\n\nAAAA\n-----END RSA PRIVATE KEY-----"
    for value, kind in (
        (pem("p256", PKCS8, locked), "pem_private_key"),
        (pem("p256", OPENSSH, locked), "ssh_private_key"),
        (old, "pem_private_key"),
    ):
        (finding,) = judged({"V": value}, {"V": {"kind": kind}})
        assert finding.rule == "secret-malformed"
        assert "encrypted" in finding.message or "cannot be read" in finding.message
    assert "passphrase" in judged({"V": pem("p256", PKCS8, locked)}, {"V": {"kind": "pem_private_key"}})[0].hint


@pytest.mark.parametrize("kind", ["pem_private_key", "ssh_private_key"])
def test_what_is_no_key(judged: Judge, kind: str) -> None:
    good = pem("p256", OPENSSH if kind.startswith("ssh") else PKCS8)
    for value in (good[:90], good.strip().replace("\n", " "), "-----BEGIN PRIVATE KEY-----", "zq81kvTplm"):
        assert found(judged, value, kind) == ["secret-malformed"]
    public = key("p256").public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    assert found(judged, public, kind) == ["secret-malformed"]
    assert found(judged, "changeme", kind) == ["secret-placeholder"]
    assert found(judged, "<paste your private key here>", kind) == ["secret-placeholder"]


def test_the_certificate_beside_a_key(judged: Judge) -> None:
    value = pem("p256")
    good = certificate("p256", -10, 90)
    assert found(judged, value, certificate="C", related={"C": good}) == []
    assert found(judged, value + good) == []
    assert found(judged, value, certificate="C") == ["certificate-missing"]
    assert found(judged, value, certificate="C", related={"C": "x"}) == ["certificate-malformed"]
    assert found(judged, value, certificate="C", related={"C": certificate("p256", -90, -1)}) == ["certificate-expired"]
    assert found(judged, value, certificate="C", related={"C": certificate("p256", 5, 90)}) == ["certificate-expired"]
    soon = judged(
        {"V": value}, {"V": {"kind": "pem_private_key", "certificate": "C"}}, related={"C": certificate("p256", -9, 9)}
    )
    assert [(finding.rule, finding.severity) for finding in soon] == [("certificate-expires-soon", "warning")]
    assert found(judged, pem("ed25519"), certificate="C", related={"C": good}) == ["certificate-mismatch"]
