# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which certificates this host is to have: /etc/hypercode/edge/certificates.json, which the role edge writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .x509 import CertificateError

# Who gets the certificate: Caddy from a CA (over HTTP or DNS), Caddy from its own CA, or the operator.
ACME, ACME_DNS, INTERNAL, FILES = "acme", "acme_dns", "internal", "files"
MODES = (ACME, ACME_DNS, INTERNAL, FILES)
FROM_CA = (ACME, ACME_DNS)
_FIX = "Fix: run site.yml again; it writes the file anew"


@dataclass(frozen=True)
class Paths:
    """Where things are on the host; `root` is / except in tests."""

    root: Path = field(default_factory=lambda: Path("/"))

    @property
    def wanted(self) -> Path:
        return self.root / "etc/hypercode/edge/certificates.json"

    @property
    def storage(self) -> Path:
        """The storage of Caddy."""
        return self.root / "var/lib/caddy/caddy"

    @property
    def metrics(self) -> Path:
        return self.root / "var/lib/hypercode/metrics/certificates.prom"

    def at(self, path: str) -> Path:
        """An absolute path of the host."""
        return self.root / path.lstrip("/")


@dataclass(frozen=True)
class WantedCertificate:
    """The names of one site and where their certificate comes from. `ca` is the CA's directory, "" when not told."""

    name: str
    names: tuple[str, ...]
    mode: str
    certificate_file: str = ""
    key_file: str = ""
    ca: str = ""


def read_wanted(path: Path) -> list[WantedCertificate] | None:
    """The list; None without the file: the host then serves no site. CertificateError says what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise CertificateError(f"{path} is no text. {_FIX}") from error
    try:
        return parse_wanted(text)
    except ValueError as error:
        raise CertificateError(f"{path}: {error}. {_FIX}") from error


def from_ca(wanted: Iterable[WantedCertificate]) -> list[str]:
    """The names whose certificate Caddy gets from a CA, each once."""
    return list(dict.fromkeys(name for entry in wanted if entry.mode in FROM_CA for name in entry.names))


def parse_wanted(text: str) -> list[WantedCertificate]:
    """The list from JSON. ValueError says what is wrong with it."""
    entries = json.loads(text)
    if not isinstance(entries, list):
        raise ValueError("it holds no list")
    return [_entry(number, entry) for number, entry in enumerate(entries, 1)]


def _entry(number: int, entry: Any) -> WantedCertificate:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or not entry["name"]:
        raise ValueError(f"entry {number} has no name")
    name = entry["name"]
    names = entry.get("names") or [name]
    if not isinstance(names, list) or not all(isinstance(one, str) and one for one in names):
        raise ValueError(f"the names of {name} are no list of names")
    if entry.get("mode") not in MODES:
        raise ValueError(f"the mode of {name} is none of {', '.join(MODES)}")
    files = {key: str(entry.get(key) or "") for key in ("certificate_file", "key_file", "ca")}
    if entry["mode"] == FILES and not files["certificate_file"]:
        raise ValueError(f"{name} has no certificate_file")
    return WantedCertificate(name.lower(), tuple(one.lower() for one in names), str(entry["mode"]), **files)
