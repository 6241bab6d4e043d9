# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How each certificate stands, in words. Time counts in parts of a lifetime: some last for hours, some for a year."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .revoked import told_revoked
from .storage import Stored, find
from .wanted import ACME, FILES, INTERNAL, Paths, WantedCertificate
from .x509 import Certificate, CertificateError, read_certificates

# Caddy, as certbot and lego, renews when a third is left. A tenth of that time later more than one attempt has failed.
DUE, LATE, CRITICAL = 1 / 3, 0.30, 0.10

OK = "ok"
RENEWAL_DUE = "renewal due"
RENEWAL_LATE = "late"
EXPIRED = "expired"
NOT_YET_VALID = "not yet valid"
MISSING = "missing"
UNREADABLE = "unreadable"
NOT_COVERED = "does not cover the name"
KEY_MISMATCH = "key mismatch"
REVOKED = "revoked"
STATES = (
    OK,
    RENEWAL_DUE,
    RENEWAL_LATE,
    EXPIRED,
    NOT_YET_VALID,
    MISSING,
    UNREADABLE,
    NOT_COVERED,
    KEY_MISMATCH,
    REVOKED,
)
# A renewal that is due is at work, not wrong.
GOOD = (OK, RENEWAL_DUE)

Clock = Callable[[], float]


@dataclass(frozen=True)
class State:
    """How the certificate for one name stands. `certificate` is None where none can be read."""

    name: str
    mode: str
    state: str
    message: str = ""
    fix: str = ""
    file: str = ""
    certificate: Certificate | None = None
    lifetime_left: float | None = None

    @property
    def is_good(self) -> bool:
        return self.state in GOOD

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON. Times are seconds since 1970."""
        certificate = self.certificate
        return {
            "name": self.name,
            "mode": self.mode,
            "state": self.state,
            "good": self.is_good,
            "lifetime_left": None if self.lifetime_left is None else round(self.lifetime_left, 4),
            "names": list(certificate.names) if certificate else [],
            "issuer": certificate.issuer if certificate else "",
            "not_before": certificate.not_before if certificate else None,
            "not_after": certificate.not_after if certificate else None,
            "serial": certificate.serial if certificate else "",
            "file": self.file,
            "message": self.message,
            "fix": self.fix,
        }


def read_states(
    paths: Paths,
    wanted: Sequence[WantedCertificate],
    clock: Clock = time.time,
    told: Callable[[float], Mapping[str, float]] = told_revoked,
) -> list[State]:
    """The state for each name. Caddy has a certificate for each name; one in a file is for all names of its site.

    `told` says when Caddy heard of each name that its certificate is revoked.
    """
    now = clock()
    revoked = told(now) if any(entry.mode == ACME for entry in wanted) else {}
    found: list[State] = []
    for entry in wanted:
        if entry.certificate_file:
            found.append(_in_file(paths, entry, now))
        else:
            found += [_kept(paths, entry, name, now, revoked.get(name)) for name in entry.names]
    # Two sites can share a name only by mistake; preflight says so. Here it is one certificate.
    return list({state.name: state for state in found}.values())


def _in_file(paths: Paths, entry: WantedCertificate, now: float) -> State:
    path = paths.at(entry.certificate_file)
    key = paths.at(entry.key_file) if entry.key_file else None
    again = "Put a new one into the inventory (certificate_file, key_file of the site), then run site.yml"
    if entry.mode != FILES:
        again = "Find out why: hypercode certificates rehearse"
    return judge(entry.name, entry.names, entry.mode, path, key, now, again)


def _kept(paths: Paths, entry: WantedCertificate, name: str, now: float, revoked: float | None) -> State:
    internal = entry.mode == INTERNAL
    stored = find(paths.storage, name, internal=internal, ca=entry.ca)
    if not stored:
        look = "journalctl -u caddy" if internal else "hypercode certificates rehearse"
        return State(name, entry.mode, MISSING, "Caddy has none for this name yet.", f"Find out why: {look}.")
    newest = max(stored, key=_begin)
    again = "Look why it is not renewed: journalctl -u caddy"
    if not internal:
        again = "Find out what hinders a renewal: hypercode certificates rehearse"
    state = judge(name, (name,), entry.mode, newest.certificate, newest.key, now, again)
    # A certificate that was put there since is another one.
    if state.certificate and revoked and revoked > newest.certificate.stat().st_mtime:
        text = "Its CA has revoked it: some browsers refuse it already. Caddy tries to replace it."
        return replace(
            state, state=REVOKED, message=text, fix=f"Replace it now: hypercode certificates replace {name}."
        )
    return _asked_to_renew(state, newest, now)


def _begin(stored: Stored) -> int:
    """Caddy uses the one that was issued last."""
    try:
        return read_certificates(stored.certificate)[0].not_before
    except (CertificateError, OSError):
        return 0


def _asked_to_renew(state: State, stored: Stored, now: float) -> State:
    """A CA that revokes, or is about to, asks for an early renewal."""
    if state.state != OK:
        return state
    moment = stored.renew_at()
    if moment is None or moment > now:
        return state
    text = "The CA asks for a renewal before its time; it may be about to revoke it."
    return replace(state, state=RENEWAL_DUE, message=text, fix="Caddy does so by itself.")


def judge(name: str, names: Iterable[str], mode: str, path: Path, key: Path | None, now: float, again: str) -> State:
    """The state of a certificate in a file; `again` says how one comes to a new one."""

    def state(word: str, message: str = "", fix: str = "") -> State:
        left = leaf.lifetime_left(now) if leaf else None
        return State(name, mode, word, message, fix and f"{fix}.", str(path), leaf, left)

    leaf: Certificate | None = None
    try:
        leaf = read_certificates(path)[0]
    except FileNotFoundError:
        return state(MISSING, f"{path} does not exist.", again)
    except CertificateError as error:
        return state(UNREADABLE, f"{path} cannot be used: {error}.", again)
    missing = [one for one in names if not leaf.covers(one)]
    if missing:
        has = ", ".join(leaf.names) or "no names"
        return state(NOT_COVERED, f"It is for {has}, not for {', '.join(missing)}.", again)
    problem = key_problem(path, key) if key else ""
    if problem:
        return state(KEY_MISMATCH, problem, again)
    if now < leaf.not_before:
        return state(
            NOT_YET_VALID, f"It is valid from {day(leaf.not_before)} on.", "Compare the clock of this host: timedatectl"
        )
    left = leaf.lifetime_left(now)
    if left <= 0:
        return state(EXPIRED, f"It ended on {day(leaf.not_after)}.", again)
    if left < LATE:
        return state(RENEWAL_LATE, f"It ends on {day(leaf.not_after)} and should have been renewed.", again)
    if left < DUE:
        return state(
            RENEWAL_DUE, f"It ends on {day(leaf.not_after)}.", again if mode == FILES else "It is renewed by itself"
        )
    return state(OK)


def key_problem(certificate: Path, key: Path) -> str:
    """Why OpenSSL does not take this key for this certificate; "" when it does."""
    try:
        # A key with a passphrase would make OpenSSL ask on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except FileNotFoundError:
        return f"Its key, {key}, does not exist."
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error).upper() or "KEY VALUES MISMATCH" in str(error).upper():
            return f"The key in {key} belongs to another certificate."
        return f"The key in {key} cannot be used: {error.reason or 'it is no key, or has a passphrase'}."
    return ""


def day(moment: float) -> str:
    """A moment to the minute, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
