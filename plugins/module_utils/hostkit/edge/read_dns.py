# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads who changes DNS for a certificate. Stock Caddy has no such providers; lego has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..firewall.words import Reader
from .settings import DnsChallenge

_RFC2136 = ("server", "key_name", "key_algorithm", "key", "zone")
_KEYS = ("provider", "environment", "resolvers", *_RFC2136)
_ALGORITHMS = ("hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")
_PLACE = "edge_dns_challenge"


def read_challenge(reader: Reader, value: Any) -> DnsChallenge | None:
    """The provider with its variables; None where nothing is set, or where it is wrong."""
    if not value:
        return None
    entry = reader.mapping(_PLACE, value, _KEYS)
    if entry is None:
        return None
    before = len(reader.findings)
    provider = str(entry.get("provider") or "")
    if not re.fullmatch(r"[a-z0-9]+", provider):
        fix = "Write rfc2136, or a provider as `lego dnshelp` names it, such as hetzner."
        reader.wrong(f"{_PLACE}.provider", f"is '{provider}'.", fix, "edge-setting")
    environment = reader.mapping(
        f"{_PLACE}.environment", entry.get("environment") or {}, entry.get("environment") or ()
    )
    for name, text in (environment or {}).items():
        if not _VARIABLE.fullmatch(str(name)) or not str(text).isprintable():
            reader.wrong(
                f"{_PLACE}.environment", f"has {name}, which is no variable.", "Write NAME: one line.", "edge-setting"
            )
    found = {str(name): str(text) for name, text in (environment or {}).items()}
    if provider == "rfc2136":
        found = {**_rfc2136(reader, entry), **found}
    elif any(entry.get(key) for key in _RFC2136):
        fix = "Write its variables under environment, as `lego dnshelp -c PROVIDER` shows them."
        reader.wrong(_PLACE, f"has settings of rfc2136, and the provider is {provider}.", fix, "edge-setting")
    resolvers = []
    for number, item in enumerate(reader.items(f"{_PLACE}.resolvers", entry.get("resolvers"))):
        if not re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", str(item)):
            reader.wrong(
                f"{_PLACE}.resolvers[{number}]", f"is '{item}'.", "Write an address: 192.0.2.53.", "edge-setting"
            )
        resolvers.append(_address(str(item)))
    if len(reader.findings) > before:
        return None
    return DnsChallenge(provider, tuple(sorted(found.items())), tuple(resolvers))


def _rfc2136(reader: Reader, entry: Mapping[str, Any]) -> dict[str, str]:
    for key in ("server", "key_name", "key"):
        if not str(entry.get(key) or "").strip() or not str(entry[key]).isprintable():
            reader.wrong(f"{_PLACE}.{key}", "is missing.", "Add it; take the key from the vault.", "edge-setting")
    algorithm = str(entry.get("key_algorithm") or "hmac-sha256").rstrip(".").lower()
    reader.choice(f"{_PLACE}.key_algorithm", algorithm, _ALGORITHMS)
    server = str(entry.get("server") or "")
    return {
        "RFC2136_NAMESERVER": _address(server),
        "RFC2136_TSIG_ALGORITHM": f"{algorithm}.",
        "RFC2136_TSIG_KEY": str(entry.get("key_name") or ""),
        "RFC2136_TSIG_SECRET": str(entry.get("key") or ""),
    }


def _address(server: str) -> str:
    """An address with its port."""
    if re.search(r"(\]|^[^:]*):[0-9]+$", server):
        return server
    return f"[{server}]:53" if ":" in server and not server.startswith("[") else f"{server}:53"
