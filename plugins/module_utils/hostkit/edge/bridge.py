# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change of where a certificate comes from, without a gap: the old one serves until the new one is there.

What counts is what Caddy really serves: it is asked with a handshake, and the file with that certificate is looked for.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..certificates.storage import LOCAL, ca_folder, safe
from ..files import group_id, user_id, write_file
from .layout import BRIDGE, DATA, USER, Paths
from .settings import ACME, INTERNAL, Settings, Site

Serves = Callable[[str], "bytes | None"]
PAUSE = 0.5


def served(name: str, address: str = "127.0.0.1", port: int = 443) -> bytes | None:
    """The certificate (DER) that this host serves for a name now; None when there is none. Nothing is trusted here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    asked = name.replace("*", "any", 1)
    try:
        with (
            socket.create_connection((address, port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=asked) as secured,
        ):
            return secured.getpeercert(binary_form=True)
    except OSError:
        return None


def first_certificate(path: Path) -> bytes | None:
    """The first certificate of a PEM file, as DER; None when there is none to read."""
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    if begin not in text or end not in text:
        return None
    with contextlib.suppress(ValueError):
        return ssl.PEM_cert_to_DER_cert(begin + text.partition(begin)[2].partition(end)[0] + end)
    return None


@dataclass(frozen=True)
class Plank:
    """One name whose certificate of the new kind is not there yet, and the pair that serves it meanwhile."""

    site: str
    name: str
    certificate: Path
    key: Path
    wanted: Path


def issuer(settings: Settings, site: Site) -> str:
    """The folder in which Caddy keeps the certificates of a site."""
    return LOCAL if site.mode == INTERNAL else ca_folder(settings.acme_ca)


def planks(settings: Settings, before: list[Mapping[str, Any]], paths: Paths, serves: Serves = served) -> list[Plank]:
    """What is served now and would not be, the moment that these settings are loaded. ``before`` are the old sites."""
    found = []
    for site in settings.with_mode(ACME, INTERNAL):
        for name in site.names:
            wanted, _key = paths.stored(issuer(settings, site), name)
            if wanted.exists():
                continue
            now = serves(name)
            pair = next(
                (pair for pair in _pairs(name, before, paths) if now and first_certificate(pair[0]) == now), None
            )
            if pair:
                found.append(Plank(site.name, name, *pair, wanted))
    return found


def _pairs(name: str, before: list[Mapping[str, Any]], paths: Paths) -> Iterator[tuple[Path, Path]]:
    """Certificates and keys on this host that may be those of a name."""
    for site in before:
        if site.get("certificate_file") and site.get("key_file"):
            yield paths.at(str(site["certificate_file"])), paths.at(str(site["key_file"]))
    file = safe(name)
    for certificate in sorted(paths.at(f"{DATA}/caddy/certificates").glob(f"*/{file}/{file}.crt")):
        yield certificate, certificate.with_suffix(".key")
    for bundle in sorted(paths.at(BRIDGE).glob(f"*/{file}.pem")):
        yield bundle, bundle


def folders(found: list[Plank]) -> dict[str, str]:
    """By site, the folder on the host in which Caddy finds what serves meanwhile."""
    return {plank.site: f"{BRIDGE}/{safe(plank.site)}" for plank in found}


def build(found: list[Plank], paths: Paths) -> None:
    """Put the pairs where Caddy loads them from, one file for each name."""
    uid, gid = user_id(USER), group_id(USER)
    for plank in found:
        if plank.certificate == plank.key:
            continue
        folder = paths.at(f"{BRIDGE}/{safe(plank.site)}")
        for part in (folder.parent, folder):
            if not part.is_dir():
                part.mkdir(mode=0o750)
                shutil.chown(part, uid if uid is not None else -1, gid if gid is not None else -1)
        chain = plank.certificate.read_bytes().rstrip() + b"\n"
        # The last one twice: Caddy tells certificates apart by their chain, and lets go of the old one, which would be
        # the same as this, when it loads what is new.
        last = chain[chain.rindex(b"-----BEGIN CERTIFICATE-----") :]
        text = chain + last + plank.key.read_bytes()
        write_file(folder / f"{safe(plank.name)}.pem", text, mode=0o600, uid=uid, gid=gid)


def tear_down(paths: Paths) -> None:
    """Remove what served meanwhile."""
    shutil.rmtree(paths.at(BRIDGE), ignore_errors=True)


def wait(
    found: list[Plank],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Plank]:
    """Wait until the new certificates are there; those that are not when the time is over."""
    until = clock() + seconds
    while True:
        missing = [plank for plank in found if not plank.wanted.exists()]
        if not missing or clock() >= until:
            return missing
        sleep(PAUSE)
