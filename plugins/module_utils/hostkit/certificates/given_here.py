# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Given certificates on the host that serves them, with what every host has: Python's ssl, the openssl program."""

from __future__ import annotations

import os
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..command import NOT_FOUND, CommandResult, run_command
from ..files import user_id
from ..finding import Finding, errors
from .given import Given, GivenFile, Place, UnusableKeyError, judge
from .wanted import FILES, WantedCertificate
from .x509 import Certificate

Run = Callable[..., CommandResult]
_TIMEOUT = 30.0  # seconds
# Larger than any certificate or key.
_LARGEST = 1_000_000


@dataclass(frozen=True)
class OpenSsl:
    """Asks OpenSSL. ``root`` is the folder that the paths of keys lie below."""

    root: Path = Path("/")
    run: Run = run_command

    def place_of(self, key: GivenFile, chain: Sequence[Certificate]) -> int | None:
        """Which certificate of the chain OpenSSL takes the key for."""
        path = self.root / key.path.lstrip("/")
        with tempfile.TemporaryDirectory(prefix="hypercode-certificate-") as folder:
            for number, one in enumerate(chain):
                alone = Path(folder) / "one.pem"
                alone.write_text(one.pem, encoding="ascii")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                # How long a key has to be, is judged elsewhere.
                context.set_ciphers("DEFAULT:@SECLEVEL=0")
                try:
                    # A key with a passphrase would make OpenSSL ask on the terminal.
                    context.load_cert_chain(alone, path, password=lambda: "")
                except ssl.SSLError as error:
                    if "MISMATCH" not in str(error).upper():
                        raise UnusableKeyError(has_passphrase="ENCRYPTED" in key.text) from error
                else:
                    return number
        return None

    def is_issued_by(self, one: Certificate, issuer: Certificate) -> bool:
        """Whether the names say so and, where the program is there, the signature is right."""
        if one.issuer_der != issuer.subject_der:
            return False
        with tempfile.TemporaryDirectory(prefix="hypercode-certificate-") as folder:
            below, above = Path(folder) / "one.pem", Path(folder) / "issuer.pem"
            below.write_text(one.pem, encoding="ascii")
            above.write_text(issuer.pem, encoding="ascii")
            words = "openssl verify -partial_chain -no_check_time -no-CAfile -no-CApath -auth_level 0 -trusted".split()
            done = self.run([*words, str(above), str(below)], timeout=_TIMEOUT)
        return done.code in (0, NOT_FOUND)


def judge_given(
    wanted: Iterable[WantedCertificate],
    host: str,
    user: str,
    *,
    root: Path = Path("/"),
    run: Run = run_command,
    clock: Callable[[], float] = time.time,
) -> list[Finding]:
    """What keeps the given certificates of this host from being served by ``user``; what is merely unwise does not."""
    place = Place(host, f"chgrp {user} {{path}} && chmod 640 {{path}}")
    found: list[Finding] = []
    for entry in wanted:
        if entry.mode != FILES:
            continue
        certificate, key = (_file(root, path, host, user, run) for path in (entry.certificate_file, entry.key_file))
        found += judge(Given(entry.name, entry.names, certificate, key), clock(), OpenSsl(root, run), place)
    # The messages name the files: no need for a second time.
    return [replace(finding, file="") for finding in errors(found)]


def _file(root: Path, path: str, host: str, user: str, run: Run) -> GivenFile:
    at = root / path.lstrip("/")
    try:
        mode = at.stat().st_mode
        # In a folder that is closed to others, nobody else gets to it, whatever its own mode.
        if not all(folder.stat().st_mode & 0o001 for folder in at.resolve().parents):
            mode &= ~0o007
        with at.open("rb") as stream:
            text = stream.read(_LARGEST).decode("latin-1")
    except FileNotFoundError:
        return GivenFile(path, problem=f"does not exist on {host}")
    except OSError as error:
        return GivenFile(path, problem=f"cannot be read: {error.strerror}")
    if os.geteuid() == 0 and user_id(user) is not None and not _may_read(user, at, run):
        fix = f"chgrp {user} {path} && chmod 640 {path}, and let {user} into the folders above it."
        return GivenFile(path, text, f"cannot be read by the user {user} on {host}", mode, fix)
    return GivenFile(path, text, mode=mode)


def _may_read(user: str, path: Path, run: Run) -> bool:
    return run(["runuser", "--user", user, "--", "test", "-r", str(path)], timeout=_TIMEOUT).code == 0
