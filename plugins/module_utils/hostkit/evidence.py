# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a failed step leaves behind: logs, state and health history, taken before anything is removed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .engine import Engine, EngineError
from .files import write_file
from .stack_state import containers_by_service


def collect(engine: Engine, project: str, services: Sequence[str], folder: Path) -> list[str]:
    """Write `<service>.log` and `<service>.json` into the folder (0700); return the file names.

    The JSON holds state, health history, image and limits; never the environment, which holds secrets.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = []
    try:
        grouped = containers_by_service(engine.containers(project))
    except EngineError as error:
        write_file(folder / "engine.txt", f"{error}\n".encode(), mode=0o600)
        return ["engine.txt"]
    for service in services:
        for number, container in enumerate(grouped.get(service, [])):
            stem = service if number == 0 else f"{service}-{number + 1}"
            write_file(folder / f"{stem}.log", engine.logs(container["Id"], 200).encode(), mode=0o600)
            write_file(folder / f"{stem}.json", json.dumps(_facts(container), indent=2).encode(), mode=0o600)
            written += [f"{stem}.log", f"{stem}.json"]
    return written


def _facts(container: dict[str, Any]) -> dict[str, Any]:
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
        "networks": sorted((container.get("NetworkSettings", {}).get("Networks") or {}).keys()),
    }
