# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where Caddy keeps certificates: certificates/<CA>/<name>/<name>.crt, with .key and .json beside it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LOCAL = "local"  # the folder of Caddy's own CA
_REPLACED = {" ": "_", "+": "_plus_", "*": "wildcard_", ":": "-", "..": ""}


@dataclass(frozen=True)
class Stored:
    """One certificate in the storage."""

    ca: str
    certificate: Path

    @property
    def key(self) -> Path:
        return self.certificate.with_suffix(".key")

    def renew_at(self) -> float | None:
        """When the CA asked that it be renewed (ARI, RFC 9773), in seconds since 1970; None when it did not."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            about = json.loads(self.certificate.with_suffix(".json").read_text(encoding="utf-8"))
            return _moment(about["issuer_data"]["renewal_info"])
        return None


def safe(text: str) -> str:
    """A name or the name of a CA, as Caddy writes it into a path."""
    text = text.lower().strip()
    for old, new in _REPLACED.items():
        text = text.replace(old, new)
    return re.sub(r"[^\w@.-]", "", text, flags=re.ASCII)


def ca_folder(directory: str) -> str:
    """The folder of the CA with this ACME directory (an address)."""
    parts = urlsplit(directory)
    path = parts.path.replace("/", "-").strip("-")
    return safe(f"{parts.netloc}-{path}" if path else parts.netloc)


def find(storage: Path, name: str, *, internal: bool, ca: str = "") -> list[Stored]:
    """All certificates for a name, of its own or of the wildcard above it, in the order of the folders' names.

    With `ca`, the address of an ACME directory, only that CA's where it has one. OSError when it may not be read.
    """
    folder = storage / "certificates"
    try:
        cas = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return []
    cas = [one for one in cas if (one == LOCAL) == internal]
    if ca and ca_folder(ca) in cas:
        cas = [ca_folder(ca)]
    _label, dot, parent = name.partition(".")
    for candidate in (name, f"*.{parent}" if dot else ""):
        file = safe(candidate)
        found = [Stored(one, path) for one in cas if file and (path := folder / one / file / f"{file}.crt").is_file()]
        if found:
            return found
    return []


def _moment(renewal: Mapping[str, Any]) -> float | None:
    """Caddy picks a moment in the window that the CA suggests; without one, its end counts."""
    text = renewal.get("_selectedTime") or renewal["suggestedWindow"]["end"]
    moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(text)))
    return moment.timestamp() if moment.year > 2000 else None
