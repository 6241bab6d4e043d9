# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets that a running service keeps, so that a new value in its environment changes nothing.

Postgres takes POSTGRES_PASSWORD for the first start on an empty volume only, Grafana its admin's password likewise.
Here stands what is asked for; how each kind is told is in the modules named after it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

POSTGRES_ROLE = "postgres_role"
GRAFANA_ADMIN = "grafana_admin"
# kind -> the keys it needs, and those it may have.
KINDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    POSTGRES_ROLE: (("secret", "service", "role"), ("database",)),
    GRAFANA_ADMIN: (("secret", "service"), ()),
}
# Postgres cuts longer names off.
LONGEST_NAME = 63
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class CredentialError(Exception):
    """A service could not be told its secret, or what is asked for makes no sense. What, where and the fix; no value.

    `passing` is true for what may be over in a moment, such as a database that is still starting.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True)
class Credential:
    """A secret that a service keeps: in Postgres the password of a role, in Grafana that of the first administrator."""

    secret: str
    kind: str
    service: str
    role: str = ""
    database: str = "postgres"

    @property
    def deed(self) -> str:
        """What is done where the value is another one, as a plan says it."""
        if self.kind == POSTGRES_ROLE:
            return f"set the password of role {self.role}"
        return "set the password of the administrator"


def read_credentials(entries: Any, services: Collection[str], secrets: Mapping[str, str]) -> list[Credential]:
    """Return what is asked for. Raises CredentialError for an entry that cannot be carried out on this stack."""
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        raise CredentialError("credentials is no list. Fix: give a list of {secret, kind, service}")
    found: list[Credential] = []
    for number, entry in enumerate(entries, start=1):
        made = _read(f"Entry {number} of credentials", entry)
        where = f"Entry {number} of credentials ({made.kind} for {made.service})"
        if made.service not in services:
            known = ", ".join(sorted(services))
            raise CredentialError(f"{where} names a service that is not in the stack. Fix: name one of: {known}")
        if not secrets.get(made.secret):
            raise CredentialError(f"{where} needs the secret {made.secret}, which has no value. Fix: give it one")
        if "\n" in secrets[made.secret] and made.kind == GRAFANA_ADMIN:
            raise CredentialError(f"{where}: {made.secret} has several lines. Fix: give it a value of one line")
        same = [
            other for other in found if (other.kind, other.service, other.role) == (made.kind, made.service, made.role)
        ]
        if same:
            raise CredentialError(f"{where} is there twice. Fix: remove one of the two")
        found.append(made)
    return found


def recorded_credentials(entries: Any) -> list[Credential]:
    """Return what release.json holds. What cannot be read of it is left out: it was checked when it was written."""
    found = []
    for entry in entries if isinstance(entries, list) else []:
        try:
            found.append(_read("release.json", entry))
        except CredentialError:
            continue
    return found


def _read(where: str, entry: Any) -> Credential:
    if not isinstance(entry, Mapping):
        raise CredentialError(f"{where} is no mapping. Fix: write it as {{secret, kind, service}}")
    kind = entry.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise CredentialError(f"{where} has a kind that is not known. Fix: use one of: {', '.join(KINDS)}")
    needed, optional = KINDS[kind]
    odd = sorted(str(key) for key in entry if key not in ("kind", *needed, *optional))
    if odd:
        raise CredentialError(f"{where} has keys that {kind} does not know: {', '.join(odd)}. Fix: remove them")
    for key in (*needed, *(key for key in optional if key in entry)):
        value = entry.get(key)
        if not isinstance(value, str) or not value or CONTROL.search(value):
            raise CredentialError(f"{where} needs '{key}' as text of one line. Fix: add it")
    for key in ("role", "database"):
        if len(str(entry.get(key, "")).encode()) > LONGEST_NAME:
            raise CredentialError(f"{where}: '{key}' is longer than Postgres takes. Fix: at most {LONGEST_NAME} bytes")
    return Credential(**{key: str(entry[key]) for key in ("kind", *needed, *optional) if key in entry})
