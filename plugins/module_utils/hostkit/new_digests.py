# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says in a plan which digest each new image has, as its registry tells it now. Pulls nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from .engine import CLIENT_CONFIG, Engine, EngineError
from .plan_changes import SHORT


def with_new_digests(
    actions: Mapping[str, str],
    services: Mapping[str, Any],
    engine: Engine,
    local_images: Collection[str] = (),
    config: Path = Path(CLIENT_CONFIG) / "config.json",
) -> dict[str, str]:
    """Return the actions of a plan, each new image with its digest. Where a registry does not tell, it stays as it is.

    ``services`` are those of the wanted project; ``config`` is the docker client's, with the logins.
    """
    told: dict[str, str] = {}
    silent: set[str] = set()
    result = {}
    for name, action in actions.items():
        image = str((services.get(name) or {}).get("image") or "")
        registry = registry_of(image)
        is_new = f" -> {image}" in action and "@" not in image and image not in local_images
        if is_new and image not in told and registry not in silent:
            try:
                told[image] = engine.registry_digest(image, login(config, registry))
            except EngineError:
                # One that is away is waited for once, not for each image.
                silent.add(registry)
        digest = told.get(image, "") if is_new else ""
        result[name] = action.replace(f" -> {image}", f" -> {image} ({digest[:SHORT]})", 1) if digest else action
    return result


def registry_of(image: str) -> str:
    """The registry of an image; that of Docker itself where the name tells none."""
    first, slash, _rest = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def login(config: Path, registry: str) -> dict[str, str]:
    """The login for a registry from the client's configuration; empty where there is none that can be read."""
    key = "https://index.docker.io/v1/" if registry == "docker.io" else registry
    try:
        entry = json.loads(config.read_text(encoding="utf-8"))["auths"][key]
        user, _colon, password = base64.b64decode(entry["auth"]).decode().partition(":")
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {"username": user, "password": password, "serveraddress": key} if user else {}
