"""What Postgres keeps in place of a password, held against the RFCs and against what a real server stored."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.scram import (
    fits,
    make_verifier,
    prepare_password,
    scram_keys,
)
from hypothesis import given, settings
from hypothesis import strategies as st

# RFC 7677, section 3: user "user", password "pencil".
NONCE = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SALT = "W22ZaJ0SNY7soEsUEjb6gQ=="
EXCHANGE = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={NONCE},s={SALT},i=4096,c=biws,r={NONCE}".encode()
PROOF = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
SIGNATURE = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
# What PostgreSQL 15 stored for the role "weak" and this password.
EXAMPLE = "An-example, not a secret"
BY_POSTGRES = (
    "SCRAM-SHA-256$4096:/86FZzyyUlYlMTJBabgahw==$KvmxHPhv8uLi84LVyl2bHrDS4nw41mQoJurgKsliuF8="
    ":26pU/9W8NyXngJBbqexVIcmkS211A7ePJe3pnrcXZQk="
)
MD5_BY_POSTGRES = "md54c680f28599efcaa29b4997255c22ce8"


def test_the_example_of_the_rfc() -> None:
    stored, server = scram_keys("pencil", base64.b64decode(SALT), 4096)
    assert hmac.digest(server, EXCHANGE, "sha256") == base64.b64decode(SIGNATURE)
    mask = hmac.digest(stored, EXCHANGE, "sha256")
    client = bytes(a ^ b for a, b in zip(base64.b64decode(PROOF), mask, strict=True))
    assert hashlib.sha256(client).digest() == stored


@pytest.mark.parametrize("stored", [BY_POSTGRES, MD5_BY_POSTGRES])
def test_what_a_server_stored(stored: str) -> None:
    assert fits(stored, EXAMPLE, "weak")
    assert not fits(stored, EXAMPLE + " ", "weak")
    assert not fits(stored, "", "weak")
    # Only the old form has the role's name in it.
    assert fits(stored, EXAMPLE, "other") == stored.startswith("SCRAM")


@settings(max_examples=40, deadline=None)
@given(
    password=st.text(min_size=1, alphabet=st.characters(codec="utf-8", exclude_characters="\0")),
    other=st.text(min_size=1),
)
def test_there_and_back(password: str, other: str) -> None:
    verifier = make_verifier(password, iterations=2)
    assert fits(verifier, password, "role")
    if prepare_password(other) != prepare_password(password):
        assert not fits(verifier, other, "role")


def test_a_verifier_tells_nothing_and_is_never_the_same() -> None:
    first, second = make_verifier(EXAMPLE), make_verifier(EXAMPLE)
    assert first != second
    assert first.startswith("SCRAM-SHA-256$4096:")
    assert EXAMPLE not in first


def test_as_long_as_the_password_is_right_salt_and_count_are_the_servers() -> None:
    assert fits(make_verifier("x", salt=b"salt", iterations=17), "x", "role")


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "plain",
        "md5",
        "md5" + "0" * 31,
        "SCRAM-SHA-256$4096:x",
        "SCRAM-SHA-256$0:/86FZzyyUlYlMTJBabgahw==$KvmxHPhv8uLi84LVyl2bHrDS4nw41mQoJurgKsliuF8=:26pU",
        BY_POSTGRES.replace("4096", "999999999"),
        BY_POSTGRES.replace("==$", "$"),
        BY_POSTGRES.replace("SHA-256", "SHA-512"),
        BY_POSTGRES + "=",
        BY_POSTGRES[:-4],
        BY_POSTGRES.replace("$Kv", "$Lv"),
        BY_POSTGRES.replace(":26", ":36"),
    ],
)
def test_what_cannot_be_read_or_is_changed_fits_nothing(stored: str) -> None:
    assert not fits(stored, EXAMPLE, "weak")


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        # RFC 4013, section 3.
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        # It refuses these; Postgres then takes the password as it is.
        ("\u0007\u00e9", "\u0007\u00e9"),
        ("\u0627\u0031", "\u0627\u0031"),
        ("\u05d0\u2168\u05d0", "\u05d0\u2168\u05d0"),
        ("\u0627\u00b2", "\u0627\u00b2"),
        ("\u00ad", "\u00ad"),
        ("\u0221\u2168", "\u0221\u2168"),
        # Accepted from right to left, of spaces, and what is in two tables.
        ("\u0627\u0031\u0628", "\u0627\u0031\u0628"),
        ("a\u00a0b", "a b"),
        ("a\u200bb", "a b"),
        ("a\u0301", "\u00e1"),
        ("plain\x07ascii", "plain\x07ascii"),
    ],
)
def test_preparing(password: str, prepared: str) -> None:
    assert prepare_password(password) == prepared.encode()
