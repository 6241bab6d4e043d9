# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a CA has told Caddy about a certificate: its last OCSP answer, which Caddy keeps to pass it on (RFC 6960).

Caddy has checked who signed it; here only the verdict is read. Some CAs, Let's Encrypt among them, have no OCSP.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from .storage import safe
from .x509 import inside, parts

_SEQUENCE, _OCTETS, _INTEGER, _BODY, _REVOKED = 0x30, 0x04, 0x02, 0xA0, 0xA1
_LARGEST = 100_000


def is_revoked(storage: Path, name: str, serial: str) -> bool:
    """Whether an answer about the certificate with this serial number says that it is revoked."""
    for path in storage.glob(f"ocsp/{safe(name)}-*"):
        # A damaged answer says nothing.
        with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
            with path.open("rb") as stream:
                data = stream.read(_LARGEST)
            if serial in revoked_in(data):
                return True
    return False


def revoked_in(data: bytes) -> list[str]:
    """The serial numbers, in hexadecimal, that an answer in DER calls revoked. ValueError and its like for none."""
    fields = dict(parts(inside(data, _SEQUENCE)))
    # The answer proper is packed in octets: type, then content.
    packed = dict(parts(inside(fields[_BODY], _SEQUENCE)))[_OCTETS]
    about = inside(inside(packed, _SEQUENCE), _SEQUENCE)
    # The list of verdicts is the only sequence at this place that is no name or extension.
    (verdicts,) = [value for tag, value in parts(about) if tag == _SEQUENCE]
    found = []
    for _tag, verdict in parts(verdicts):
        (_sequence, which), (status, _when) = list(parts(verdict))[:2]
        serial = dict(parts(which))[_INTEGER]
        if status == _REVOKED:
            found.append(serial.lstrip(b"\0").hex() or "00")
    return found
