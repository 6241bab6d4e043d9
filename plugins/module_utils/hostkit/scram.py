# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Postgres keeps in place of a password: made here, and compared with a password, so that none has to be sent.

Sources: RFC 5802 and RFC 7677 (SCRAM-SHA-256), RFC 4013 with RFC 3454 (SASLprep), and the documentation of Postgres'
catalog pg_authid for the form of what is stored.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import stringprep
import unicodedata

# What Postgres itself uses. A password that was generated needs no more.
ITERATIONS = 4096
SALT_BYTES = 16
# A stored count beyond this is damage: comparing would take minutes.
MOST_ITERATIONS = 10_000_000
SCRAM = re.compile(r"SCRAM-SHA-256\$(\d{1,9}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")
MD5 = re.compile(r"md5([0-9a-f]{32})")
PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def make_verifier(password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """Return what Postgres stores for a password, in the form in which ALTER ROLE takes it as it is."""
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    stored, server = scram_keys(password, salt, iterations)
    return f"SCRAM-SHA-256${iterations}:{_text(salt)}${_text(stored)}:{_text(server)}"


def scram_keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """Return StoredKey and ServerKey of RFC 5802, section 3, with SHA-256."""
    salted = hashlib.pbkdf2_hmac("sha256", prepare_password(password), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")


def fits(stored: str, password: str, role: str) -> bool:
    """True when `stored`, the column rolpassword of a role, belongs to the password. False for what cannot be read."""
    old = MD5.fullmatch(stored)
    if old:
        wanted = hashlib.md5(f"{password}{role}".encode(), usedforsecurity=False).hexdigest()
        return hmac.compare_digest(old[1], wanted)
    found = SCRAM.fullmatch(stored)
    if not found or not 0 < int(found[1]) <= MOST_ITERATIONS:
        return False
    try:
        salt, stored_key, server_key = (base64.b64decode(part, validate=True) for part in found.groups()[1:])
    except (binascii.Error, ValueError):
        return False
    stored_wanted, server_wanted = scram_keys(password, salt, int(found[1]))
    return hmac.compare_digest(stored_key, stored_wanted) and hmac.compare_digest(server_key, server_wanted)


def prepare_password(password: str) -> bytes:
    """Return the bytes that are hashed: prepared as SASLprep says, or as they are where it refuses the password.

    Postgres and its clients do the same, so that a password with a forbidden character works too.
    """
    raw = password.encode("utf-8", errors="surrogateescape")
    if password.isascii():
        return raw
    prepared = _saslprep(password)
    return raw if prepared is None else prepared.encode()


def _saslprep(text: str) -> str | None:
    # The zero-width space is in both tables; Postgres and its clients take it for a space.
    spaced = "".join(" " if stringprep.in_table_c12(letter) else letter for letter in text)
    mapped = "".join(letter for letter in spaced if not stringprep.in_table_b1(letter))
    if not mapped or any(forbidden(letter) for letter in mapped for forbidden in PROHIBITED):
        return None
    result = unicodedata.normalize("NFKC", mapped)
    if any(stringprep.in_table_d1(letter) for letter in mapped):
        # Written from right to left: from the first to the last letter, or not at all.
        mixed = any(stringprep.in_table_d2(letter) for letter in mapped)
        if mixed or not (stringprep.in_table_d1(mapped[0]) and stringprep.in_table_d1(mapped[-1])):
            return None
    return result


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
