"""What is read from a certificate, against what `cryptography` reads from the same one."""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.x509 import (
    CertificateError,
    parse_der,
    parse_pem,
    read_certificates,
)
from cryptography.hazmat.primitives import serialization
from fakes.certificates import DAY, NOW, authority, issue
from hypothesis import given, settings
from hypothesis import strategies as st

LABEL = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
# The first is the common name too, which is at most 64 long (RFC 5280).
NAME = st.lists(LABEL, min_size=2, max_size=4).map(".".join).filter(lambda name: len(name) <= 64)
NAMES = st.lists(NAME, min_size=1, max_size=5, unique=True)
# UTCTime ends with 2049; later times are written in another form.
MOMENTS = st.integers(min_value=0, max_value=int(datetime.datetime(2199, 1, 1, tzinfo=datetime.UTC).timestamp()))
DER = issue().certificate.public_bytes(serialization.Encoding.DER)


@settings(max_examples=40)
@given(names=NAMES, begin=MOMENTS, lasts=st.integers(min_value=1, max_value=900 * DAY))
def test_it_reads_what_was_written(names: list[str], begin: int, lasts: int) -> None:
    issued = issue(names, begin=begin, end=begin + lasts)
    (read,) = parse_pem(issued.pem)
    assert (list(read.names), read.not_before, read.not_after) == (names, begin, begin + lasts)
    assert int(read.serial, 16) == issued.certificate.serial_number
    assert (read.subject, read.issuer, read.self_issued) == (names[0], names[0], True)
    assert all(read.covers(name) for name in names)


def test_issuer_addresses_and_a_chain(tmp_path: Path) -> None:
    root = authority("Example Root")
    issued = issue(("app.example.com", "192.0.2.1", "2001:db8::1"), issuer=root)
    (tmp_path / "chain.pem").write_text("a comment before it\r\n" + (issued.pem + root.pem).replace("\n", "\r\n"))
    leaf, parent = read_certificates(tmp_path / "chain.pem")
    assert leaf.names == ("app.example.com", "192.0.2.1", "2001:db8::1")
    assert (leaf.issuer, leaf.self_issued) == ("Example Root", False)
    assert (parent.subject, parent.names, parent.self_issued) == ("Example Root", (), True)


@pytest.mark.parametrize(
    ("name", "covered"),
    [
        ("app.example.com", True),
        ("APP.Example.com.", True),
        ("other.example.com", False),
        ("a.wild.example.com", True),
        ("*.wild.example.com", True),
        ("a.b.wild.example.com", False),
        ("wild.example.com", False),
        ("*.example.com", False),
        (".wild.example.com", False),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
    ],
)
def test_which_names_it_covers(name: str, covered: bool) -> None:
    (read,) = parse_pem(issue(("app.example.com", "*.wild.example.com", "192.0.2.1")).pem)
    assert read.covers(name) is covered


def test_the_part_of_the_lifetime_that_is_left() -> None:
    (read,) = parse_pem(issue(begin=NOW, end=NOW + 45 * DAY).pem)
    assert [round(read.lifetime_left(NOW + days * DAY), 3) for days in (0, 30, 45, 54)] == [1.0, 0.333, 0.0, -0.2]


@settings(max_examples=400)
@given(at=st.integers(0, len(DER) - 1), value=st.integers(0, 255))
def test_a_damaged_certificate_is_read_or_refused(at: int, value: int) -> None:
    damaged = DER[:at] + bytes([value]) + DER[at + 1 :]
    # Anything else than this error would end the look at all other certificates.
    with contextlib.suppress(CertificateError):
        assert isinstance(parse_der(damaged).names, tuple)


@given(data=st.binary(max_size=80) | st.integers(0, len(DER) - 1).map(lambda end: DER[:end]))
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(CertificateError, match=r"."):
        parse_der(data)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it holds no certificate"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "it holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAA!A\n-----END CERTIFICATE-----\n", "certificate 1 in it is damaged"),
        (issue().pem + "-----BEGIN CERTIFICATE-----\nMAMC\n-----END CERTIFICATE-----\n", "certificate 2 in it is dama"),
    ],
)
def test_files_that_hold_none(text: str, why: str) -> None:
    with pytest.raises(CertificateError, match=why):
        parse_pem(text)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "huge.pem").write_bytes(b"A" * 1_000_001)
    with pytest.raises(CertificateError, match="larger than any chain"):
        read_certificates(tmp_path / "huge.pem")
