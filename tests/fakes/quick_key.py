"""Gives a restic repository a key that is quick to open, for tests.

restic derives a key from the password with scrypt (https://restic.readthedocs.io/en/stable/100_references.html#keys-encryption-and-mac),
made to take half a second for each call. Tests call it some thousand times, and what they show is not the key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

_NONCE, _MAC = 16, 16
_QUICK = {"N": 2, "r": 1, "p": 1}
_MEMORY = 512 << 20


def make_quick(repository: Path, password: str) -> None:
    """Put a quick key in the place of each key of the repository. ValueError where the password opens none of them."""
    for path in (repository / "keys").iterdir():
        found = json.loads(path.read_bytes())
        master = _open(_derived(password, found), base64.b64decode(found["data"]))
        found.update(_QUICK)
        found["data"] = base64.b64encode(_seal(_derived(password, found), master)).decode()
        content = json.dumps(found).encode()
        path.unlink()
        # The name of a file is the digest of its content.
        (repository / "keys" / hashlib.sha256(content).hexdigest()).write_bytes(content)


def _derived(password: str, about: dict[str, object]) -> bytes:
    """The key for the cipher (32 bytes), then the two parts of that for the authentication (16 each)."""
    n, r, p = (int(str(about[name])) for name in ("N", "r", "p"))
    salt = base64.b64decode(str(about["salt"]))
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=_MEMORY, dklen=64)


def _open(key: bytes, sealed: bytes) -> bytes:
    nonce, text, mac = sealed[:_NONCE], sealed[_NONCE:-_MAC], sealed[-_MAC:]
    if _mac(key, nonce, text) != mac:
        raise ValueError("the password does not open this key")
    return _cipher(key, nonce, text)


def _seal(key: bytes, text: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    hidden = _cipher(key, nonce, text)
    return nonce + hidden + _mac(key, nonce, hidden)


def _cipher(key: bytes, nonce: bytes, text: bytes) -> bytes:
    """AES-256 in counter mode, which is its own reverse."""
    return Cipher(algorithms.AES(key[:32]), modes.CTR(nonce)).encryptor().update(text)


def _mac(key: bytes, nonce: bytes, text: bytes) -> bytes:
    """Poly1305-AES: what is added at the end is the nonce, encrypted."""
    added = Cipher(algorithms.AES(key[32:48]), modes.ECB()).encryptor().update(nonce)  # noqa: S305  One block.
    return Poly1305.generate_tag(key[48:64] + added, text)
