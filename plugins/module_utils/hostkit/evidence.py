# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a failed step leaves behind: logs, state and health history, taken before anything is removed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .engine import Engine, EngineError
from .files import FileError, explain, write_file
from .redact import Redactor
from .stack_state import containers_by_service

LINES = 200


def collect(
    engine: Engine,
    project: str,
    services: Sequence[str],
    folder: Path,
    *,
    redact: Redactor | None = None,
    notes: Mapping[str, str] | None = None,
) -> list[str]:
    """Write `<service>.log` and `<service>.json` into the folder (0700), and notes as `<name>.txt`; return the names.

    The JSON holds state, health history, image and limits; never the environment, which holds secrets. `redact` masks
    secrets in all of it. Never raises: evidence must not get in the way of what is done about the failure.
    """
    redact = redact or Redactor()
    files = {f"{name}.txt": text for name, text in (notes or {}).items()}
    try:
        grouped = containers_by_service(engine.containers(project))
    except EngineError as error:
        grouped = {}
        files["engine.txt"] = f"{error}\n"
    for service in services:
        for number, container in enumerate(grouped.get(service, [])):
            stem = service if number == 0 else f"{service}-{number + 1}"
            files[f"{stem}.log"] = engine.logs(str(container["Id"]), LINES)
            files[f"{stem}.json"] = json.dumps(_facts(container), indent=2)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in files.items():
            write_file(folder / name, redact(text).encode(errors="replace"), mode=0o600)
    except FileError as error:
        sys.stderr.write(f"hypercode: no evidence: {error}\n")
    except OSError as error:
        sys.stderr.write(f"hypercode: no evidence: {explain(str(folder), 'written', error)}\n")
    return list(files)


def _facts(container: Mapping[str, Any]) -> dict[str, Any]:
    config, host = container["Config"], container["HostConfig"]
    return {
        "name": container.get("Name"),
        "image": config.get("Image"),
        "image_id": container.get("Image"),
        "state": container.get("State"),
        "restarts": container.get("RestartCount"),
        "healthcheck": config.get("Healthcheck"),
        "restart_policy": host.get("RestartPolicy"),
        "memory_bytes": host.get("Memory"),
        "nano_cpus": host.get("NanoCpus"),
        "networks": sorted(((container.get("NetworkSettings") or {}).get("Networks") or {}).keys()),
    }
