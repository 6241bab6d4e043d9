"""What only some tests want of a fake host: the volumes of containers, and images for other processors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .docker_host import Container, DockerHost


def with_volumes(docker: DockerHost, volumes: Mapping[str, str]) -> None:
    """Have the containers of services (by name) write a volume each, as the engine shows it."""
    inspect = docker.inspect

    def show(container: Container) -> dict[str, Any]:
        name = volumes.get(container.service)
        mounts = [{"Type": "volume", "Name": name, "Destination": "/data", "RW": True}] if name else []
        return {**inspect(container), "Mounts": mounts}

    docker.inspect = show  # type: ignore[method-assign]


def with_architecture(docker: DockerHost, engine: str, images: Mapping[str, str]) -> None:
    """Have the engine run one architecture, and images (by the end of their name before the tag) be for another."""
    document = docker._document

    def show(path: str, query: dict[str, str]) -> Any:
        found = document(path, query)
        if path == "/version":
            return {**found, "Arch": engine}
        kind = next((kind for name, kind in images.items() if f"/{name}@" in path or f"/{name}:" in path), engine)
        is_image = path.startswith("/images/") and isinstance(found, dict)
        return {**found, "Architecture": kind} if is_image else found

    docker._document = show  # type: ignore[method-assign]
