# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Public keys as they stand in authorized_keys: read, judged, compared. Source of the form: sshd(8), RFC 4253."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

RSA_BITS_MIN = 3072
# type -> how many strings follow the name of the type in the key's data
_TYPES = {
    "ssh-ed25519": 1,
    "ssh-rsa": 2,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519@openssh.com": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
}
_WEAK = {"ssh-dss": "DSA keys can be forged, and sshd takes none"}
_ANY_TYPE = re.compile(r"(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]+")
# Options stand before the type; a quoted text in them may hold spaces.
_LINE = re.compile(
    r'(?:(?P<options>(?:[^\s"]|"(?:\\.|[^"\\])*")+)\s+)?(?P<type>[A-Za-z0-9@.-]+)\s+(?P<data>[A-Za-z0-9+/=]+)(?:\s+(?P<comment>.*))?'
)
_NEW_KEY = "make one with: ssh-keygen -t ed25519"


class KeyProblem(ValueError):
    """What is wrong with a key. ``fix`` is the way out."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True)
class PublicKey:
    """One key. ``data`` is its base64, which is what makes it the same key; ``bits`` is 0 unless it is RSA."""

    kind: str
    data: str
    options: str = ""
    comment: str = ""
    bits: int = 0

    @property
    def line(self) -> str:
        """The line of authorized_keys."""
        return " ".join(word for word in (self.options, self.kind, self.data, self.comment) if word)

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen -l shows it."""
        digest = hashlib.sha256(base64.b64decode(self.data)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def label(self) -> str:
        """For people: the comment and the fingerprint."""
        return f"{self.comment} ({self.fingerprint})" if self.comment else self.fingerprint


def parse_key(text: str) -> PublicKey:
    """Read one line. KeyProblem when it is no key that sshd could use; weak ones are read."""
    line = text.strip()
    if "PRIVATE KEY" in line:
        raise KeyProblem(
            "is a private key. Whoever has read it can log in",
            "take it out, put the line of its .pub file in its place, and replace the key pair, since it was written"
            f" down: {_NEW_KEY}",
        )
    if line.startswith("---- BEGIN SSH2"):
        raise KeyProblem("is a key in SSH2 form", "write the line that this prints: ssh-keygen -i -f FILE")
    if "\n" in line or "\r" in line:
        raise KeyProblem("holds more than one line", "write each key as an entry of its own")
    match = _LINE.fullmatch(line)
    if not match or not (match["type"] in _TYPES or _ANY_TYPE.fullmatch(match["type"])):
        raise KeyProblem(
            "is no public key", "write the whole line of a .pub file, such as: ssh-ed25519 AAAA... name@laptop"
        )
    kind, data = match["type"], match["data"]
    if kind in _WEAK:
        raise KeyProblem(f"is of the type {kind}: {_WEAK[kind]}", _NEW_KEY)
    if kind not in _TYPES:
        raise KeyProblem(f"is of the type {kind}, which is no key that can log in", _NEW_KEY)
    bits = _bits(kind, data)
    return PublicKey(kind, data, match["options"] or "", (match["comment"] or "").strip(), bits)


def judge_key(key: PublicKey) -> KeyProblem | None:
    """What speaks against a key that can be read."""
    if key.kind == "ssh-rsa" and key.bits < RSA_BITS_MIN:
        return KeyProblem(f"is an RSA key of {key.bits} bits, fewer than {RSA_BITS_MIN}", _NEW_KEY)
    return None


def _bits(kind: str, data: str) -> int:
    """The size of an RSA key, 0 for others. KeyProblem when the data is not that of such a key."""
    broken = KeyProblem("is damaged: a part of it is missing or was changed", "copy the whole line of the .pub file")
    try:
        rest = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise broken from None
    parts = []
    while rest:
        size = int.from_bytes(rest[:4], "big")
        if len(rest) < 4 + size:
            raise broken
        parts.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    if not parts or parts[0] != kind.encode() or len(parts) != _TYPES[kind] + 1:
        raise broken
    if kind == "ssh-ed25519" and len(parts[1]) != 32:
        raise broken
    return int.from_bytes(parts[2], "big").bit_length() if kind == "ssh-rsa" else 0


def keys_in(text: str) -> list[PublicKey]:
    """The keys of a file authorized_keys; what is none is passed over, as sshd does."""
    found = []
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                found.append(parse_key(line))
            except KeyProblem:
                continue
    return found
