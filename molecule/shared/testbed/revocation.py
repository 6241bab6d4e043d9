"""Certificates of the CA that are taken back: told to it (RFC 8555, 7.6), and by it to whoever asks (OCSP)."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .shell import TestbedError

_REASON = 4  # superseded
_TRIES = 10


def revoke(directory: str, roots: str, certificate: bytes, key: str) -> None:
    """Revoke a certificate (DER) with its own key (PEM, P-256). ``roots`` are the CA's own, in PEM. TestbedError."""
    context = ssl.create_default_context(cadata=roots)
    places = json.loads(_ask(directory, context)[0])
    private = serialization.load_pem_private_key(key.encode(), None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TestbedError("Only a key on the curve P-256 can sign here.")
    body = {"certificate": _word(certificate), "reason": _REASON}
    for _try in range(_TRIES):
        # The CA refuses some nonces, as it may.
        nonce = _ask(places["newNonce"], context)[1]["Replay-Nonce"]
        try:
            _ask(places["revokeCert"], context, _signed(private, places["revokeCert"], nonce, body))
        except urllib.error.HTTPError as error:
            said = json.loads(error.read())
            if not said["type"].endswith(":badNonce"):
                raise TestbedError(f"The CA does not revoke: {said}") from error
        else:
            return
    raise TestbedError(f"The CA refused {_TRIES} nonces.")


def index(revoked: Sequence[bytes]) -> str:
    """The list of these certificates (DER), as `openssl ocsp -index` reads it."""
    lines = []
    for one in revoked:
        certificate = x509.load_der_x509_certificate(one)
        ends = certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
        serial = f"{certificate.serial_number:X}"
        serial = serial if len(serial) % 2 == 0 else f"0{serial}"
        now = time.strftime("%y%m%d%H%M%SZ", time.gmtime())
        lines.append("\t".join(("R", ends, f"{now},superseded", serial, "unknown", "/CN=revoked")) + "\n")
    return "".join(lines)


def _ask(url: str, context: ssl.SSLContext, body: bytes | None = None) -> tuple[bytes, Any]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/jose+json"})  # noqa: S310
    with urllib.request.urlopen(request, context=context, timeout=10) as answer:  # noqa: S310
        return answer.read(), answer.headers


def _signed(key: ec.EllipticCurvePrivateKey, url: str, nonce: str, body: object) -> bytes:
    """A request as the CA reads it: a JSON Web Signature with the key itself (ES256)."""
    numbers = key.public_key().public_numbers()
    about = {"kty": "EC", "crv": "P-256", "x": _number(numbers.x), "y": _number(numbers.y)}
    head = _word(json.dumps({"alg": "ES256", "jwk": about, "nonce": nonce, "url": url}).encode())
    payload = _word(json.dumps(body).encode())
    both = decode_dss_signature(key.sign(f"{head}.{payload}".encode(), ec.ECDSA(hashes.SHA256())))
    signature = b"".join(part.to_bytes(32, "big") for part in both)
    return json.dumps({"protected": head, "payload": payload, "signature": _word(signature)}).encode()


def _number(value: int) -> str:
    return _word(value.to_bytes(32, "big"))


def _word(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
