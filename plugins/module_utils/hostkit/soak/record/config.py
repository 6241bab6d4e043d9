# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the recorder is told (/etc/hypercode/soak.json, written by the role soak): whom to ask."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..settings import SoakError


@dataclass(frozen=True)
class Site:
    """A site that is asked through an edge. `address` is where; `host` whose edge, empty for that of this host."""

    name: str
    address: str = "127.0.0.1"
    host: str = ""
    port: int = 443
    path: str = "/"


@dataclass(frozen=True)
class Config:
    """Whom to ask. Of a service that is not in `probes` its health check tells, or the edge."""

    project: str = "hypercode"
    # Addresses by service, with the name of the service as the host.
    probes: Mapping[str, str] = field(default_factory=dict)
    sites: tuple[Site, ...] = ()
    # The service that is Prometheus; empty for none.
    prometheus: str = "prometheus"
    # Seconds until a request has failed.
    timeout: float = 10.0


def read_config(path: Path) -> Config:
    """Read it. SoakError where it is missing or makes no sense."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SoakError(f"{path} cannot be read: {error.strerror}. Fix: run site.yml for this host") from error
    except ValueError as error:
        raise SoakError(f"{path} is no JSON. Fix: run site.yml for this host, it is written anew") from error
    try:
        return _config(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SoakError(
            f"{path} makes no sense: {error}. Fix: correct soak_ in the inventory, then run site.yml for this host"
        ) from error


def _config(document: Mapping[str, Any]) -> Config:
    timeout = float(document.get("timeout", Config.timeout))
    if not 0.1 <= timeout <= 60:
        raise ValueError("timeout has to be from 0.1 to 60 seconds")
    sites = tuple(
        Site(
            str(entry["name"]),
            str(entry.get("address") or Site.address),
            str(entry.get("host") or ""),
            int(entry.get("port") or Site.port),
            str(entry.get("path") or Site.path),
        )
        for entry in document.get("sites") or ()
    )
    probes = {str(name): str(url) for name, url in (document.get("probes") or {}).items() if url}
    return Config(
        str(document.get("project") or Config.project),
        probes,
        sites,
        str(document.get("prometheus", Config.prometheus) or ""),
        timeout,
    )
