# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ACME directories: those that are known, and the one that each CA has for tests."""

from __future__ import annotations

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
# What a test directory issues counts against no limit and is trusted by nobody.
TEST_DIRECTORIES = {
    LETS_ENCRYPT: "https://acme-staging-v02.api.letsencrypt.org/directory",
    "https://dv.acme-v02.api.pki.goog/directory": "https://dv.acme-v02.test-api.pki.goog/directory",
    "https://api.buypass.com/acme/directory": "https://api.test4.buypass.no/acme/directory",
}


def test_directory(directory: str) -> str:
    """The directory for tests of a CA, or its own where none is known; "" is Let's Encrypt."""
    return TEST_DIRECTORIES.get(directory or LETS_ENCRYPT, directory)
