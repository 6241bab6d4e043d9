# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tokens, passwords, keys and plain texts."""

from __future__ import annotations

import base64

import pytest

from .conftest import Judge

KEY = bytes.fromhex("9f3c01ab77e24d5806bfe19a2c7d43e5b2d86a1ff0935c7e4481d7ac36902be8")


def rule_of(judged: Judge, value: str, kind: str, **rule: object) -> str:
    findings = judged({"V": value}, {"V": {"kind": kind, **rule}})
    assert len(findings) < 2
    return findings[0].rule.removeprefix("secret-") if findings else ""


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("vT4kQz9LmXc2Rw7NpJ5bYd8G", ""),
        ("vT4kQz9LmXc2Rw7NpJ5b", "weak"),
        # Every 4096th value of 16 bytes begins like a hexadecimal number, and is none.
        ("0xWqBijA6-hFs00vUa0htQ", ""),
        ("prod_vT4kQz9LmXc2Rw7NpJ5bYd8G", ""),
        ("changeme-vT4kQz9LmXc2Rw7N", "placeholder"),
        ("changeme-vT4kQz9LmXc2Rw7NpJ5bYd8G", ""),
        ("6f2c8e1a-93b4-4d57-a0e8-5b1f7c3d9e24", "weak"),
        ("018f4e3a-7c2b-7d19-8e5f-3a6b9c0d1e2f", "weak"),
        (base64.b64encode(b"changeme-changeme-changeme").decode(), "placeholder"),
        (b"password-for-production".hex(), "placeholder"),
        ("${POSTGRES_PASSWORD}", "placeholder"),
        ("vT4kQz9LmXc2Rw7NpJ5bYd8G{{ suffix }}", "placeholder"),
        ("postgresql://u:changeme@db.example.com:5432/some-long-database-name", "placeholder"),
        ("postgresql://u:vT4kQz9LmXc2Rw7NpJ5bYd8G@db:5432/x", ""),
    ],
)
def test_token(judged: Judge, value: str, rule: str) -> None:
    assert rule_of(judged, value, "token") == rule


def test_the_least_strength_is_a_choice(judged: Judge) -> None:
    assert rule_of(judged, "6f2c8e1a-93b4-4d57-a0e8-5b1f7c3d9e24", "token", bits=122) == ""
    assert rule_of(judged, "vT4kQz9LmXc2Rw7NpJ5bYd8G", "token", bits=160) == "weak"


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("Xk9#mQ2$vL7p", ""),
        ("vF3kqZ8sTn1B", ""),
        ("tulip-anvil-marsh-quiet-oboe", ""),
        ("unwound gravel pastel cosmic", ""),
        ("P@ssw0rd2024!", "placeholder"),
        ("Summer-2024-Berlin!", "weak"),
        ("correct horse battery staple", "placeholder"),
        ("my-secret-hypercode-password-for-production", "placeholder"),
        ("a" * 100, "weak"),
        ("Kestrel7", "weak"),
    ],
)
def test_password(judged: Judge, value: str, rule: str) -> None:
    assert rule_of(judged, value, "password") == rule


def test_a_password_can_be_asked_for_bits(judged: Judge) -> None:
    assert rule_of(judged, "vF3kqZ8sTn1B", "password", bits=100) == "weak"


def test_jwt_wants_256_bits(judged: Judge) -> None:
    assert rule_of(judged, KEY.hex(), "jwt_hs256") == ""
    assert rule_of(judged, base64.b64encode(KEY).decode(), "jwt_hs256") == ""
    assert rule_of(judged, base64.urlsafe_b64encode(KEY).decode().rstrip("="), "jwt_hs256") == ""
    assert rule_of(judged, KEY[:31].hex(), "jwt_hs256") == "weak"
    assert rule_of(judged, "your-256-bit-secret", "jwt_hs256") == "placeholder"


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (KEY, ""),
        (KEY[:24], ""),
        (KEY[:16], ""),
        (KEY[:31], "malformed"),
        (KEY[:12], "malformed"),
        (bytes(32), "weak"),
        (bytes(range(16)), "weak"),
        (KEY[:4] * 8, "weak"),
        (b"kresmawolbertun!", "weak"),
    ],
)
def test_aes_key(judged: Judge, data: bytes, rule: str) -> None:
    assert rule_of(judged, base64.b64encode(data).decode(), "aes_key_base64") == rule


def test_aes_key_that_is_no_base64(judged: Judge) -> None:
    assert rule_of(judged, base64.b64encode(KEY).decode().rstrip("="), "aes_key_base64") == "malformed"
    assert rule_of(judged, KEY.hex() + "!", "aes_key_base64") == "malformed"
    assert rule_of(judged, "changeme", "aes_key_base64") == "placeholder"
    assert rule_of(judged, base64.b64encode(b"changeme-changeme-changeme-12345").decode(), "aes_key_base64") in (
        "placeholder",
        "weak",
    )


def test_fernet(judged: Judge) -> None:
    key = base64.urlsafe_b64encode(KEY).decode()
    assert rule_of(judged, key, "fernet") == ""
    assert rule_of(judged, key.rstrip("="), "fernet") == "malformed"
    assert rule_of(judged, base64.urlsafe_b64encode(KEY[:31]).decode(), "fernet") == "malformed"
    assert rule_of(judged, base64.b64encode(b"\xff" * 32).decode(), "fernet") == "malformed"
    assert rule_of(judged, base64.urlsafe_b64encode(b"k" * 32).decode(), "fernet") in ("weak", "placeholder")
    assert rule_of(judged, base64.urlsafe_b64encode(b"\x07" * 32).decode(), "fernet") == "weak"


def test_hex(judged: Judge) -> None:
    assert rule_of(judged, KEY[:16].hex(), "hex") == ""
    assert rule_of(judged, KEY[:16].hex().upper(), "hex") == ""
    assert rule_of(judged, KEY[:15].hex(), "hex") == "weak"
    assert rule_of(judged, KEY.hex()[:-1], "hex") == "malformed"
    assert rule_of(judged, "0123456789abcdef" * 4, "hex") == "weak"
    assert rule_of(judged, "your_hex_key_here", "hex") == "placeholder"


@pytest.mark.parametrize("value", ["hypercode", "postgres", "admin", "alice", "mail.example.com", "a", "Jane Doe", "7"])
def test_a_text_may_be_weak(judged: Judge, value: str) -> None:
    assert rule_of(judged, value, "text") == ""


@pytest.mark.parametrize(
    "value", ["<user>", "your_user_here", "CHANGEME", "change-me", "TODO", "xxxx", "${USER}", "{{ user }}"]
)
def test_a_text_may_be_no_placeholder(judged: Judge, value: str) -> None:
    assert rule_of(judged, value, "text") == "placeholder"
