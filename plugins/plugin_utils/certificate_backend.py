# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compares keys and signatures on the controller, in memory: a key may come out of a vault, and is written nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.given import (
    GivenFile,
    UnusableKeyError,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.x509 import Certificate

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
except ImportError:  # ansible-core cannot be installed without it; only a bare import of this file gets here.
    pass


class Cryptography:
    """The backend of hostkit's rules for given certificates."""

    def place_of(self, key: GivenFile, chain: Sequence[Certificate]) -> int | None:
        """Which certificate of the chain has the public key of this one."""
        try:
            public = serialization.load_pem_private_key(key.text.encode(), None).public_key()
        except TypeError as error:
            raise UnusableKeyError(has_passphrase=True) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UnusableKeyError from error
        return next((number for number, one in enumerate(chain) if _public_key(one) == public), None)

    def is_issued_by(self, one: Certificate, issuer: Certificate) -> bool:
        """Whether names and signature say so."""
        try:
            x509.load_der_x509_certificate(one.der).verify_directly_issued_by(
                x509.load_der_x509_certificate(issuer.der)
            )
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return False
        return True


def _public_key(certificate: Certificate) -> Any:
    try:
        return x509.load_der_x509_certificate(certificate.der).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
