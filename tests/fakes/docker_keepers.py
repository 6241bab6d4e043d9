"""What a made-up Docker host does about images: containers that keep them, and their removal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult

from .docker_parts import without_tag

if TYPE_CHECKING:
    from .docker_host import DockerHost


def listed(host: DockerHost, query: dict[str, str]) -> list[dict[str, Any]]:
    """Answer /containers/json, with a label of a Compose project, another label, or none."""
    labels = json.loads(query["filters"])["label"] if "filters" in query else [""]
    project = labels[0].partition("=")[2] if labels[0].startswith("com.docker.compose.project=") else None
    found = [
        {"Id": item.id, "ImageID": item.image_id, "State": item.state, "Names": [f"/{item.service}"]}
        for item in host.containers.values()
        if not labels[0] or item.project == project
    ]
    keepers = [kept for kept in host.keepers.values() if not labels[0] or kept["Label"] == labels[0]]
    return found + keepers


def images(host: DockerHost, kind: str, rest: str) -> Any:
    """Answer /images/json, /images/NAME/json for a name or an id, and /distribution/NAME/json out of the registry."""
    if kind == "distribution":
        digest = host.registry.get(rest.removesuffix("/json")) if host.registry_answers else None
        return {"Descriptor": {"digest": digest}} if digest else None
    if rest == "json":
        return [{"Id": image_id} for image_id in {document["Id"] for document in host.images.values()}]
    return find(host, rest.removesuffix("/json"))


def find(host: DockerHost, name: str) -> dict[str, Any] | None:
    """Return an image by a name or by its id."""
    by_id = (document for document in host.images.values() if document["Id"] == name)
    return host.images.get(without_tag(name)) or next(by_id, None)


def run(host: DockerHost, words: list[str]) -> CommandResult:
    """Play `docker create` and `docker rmi`."""
    if words[1] == "rmi":
        return _remove(host, words[-1])
    name, label, image_id = words[words.index("--name") + 1], words[words.index("--label") + 1], words[-2]
    if any(f"/{name}" in kept["Names"] for kept in host.keepers.values()):
        return CommandResult(1, "", f"Error response from daemon: Conflict. The name {name} is already in use")
    made = f"keeper{len(host.commands):04d}"
    host.keepers[made] = {"Id": made, "ImageID": image_id, "State": "created", "Names": [f"/{name}"], "Label": label}
    return CommandResult(0, f"{made}\n")


def _remove(host: DockerHost, name: str) -> CommandResult:
    document = host.images.get(without_tag(name))
    if document is None:
        return CommandResult(1, "", f"Error response from daemon: No such image: {name}")
    names = [other for other, found in host.images.items() if found["Id"] == document["Id"]]
    if len(names) == 1 and document["Id"] in used(host):
        return CommandResult(1, "", "Error response from daemon: conflict: unable to remove repository reference")
    del host.images[without_tag(name)]
    return CommandResult(0)


def used(host: DockerHost) -> set[str]:
    """Return the ids of the images that a container was made of."""
    return {item.image_id for item in host.containers.values()} | {kept["ImageID"] for kept in host.keepers.values()}


def prune_images(host: DockerHost) -> None:
    """What `docker image prune --all` does."""
    host.images = {name: found for name, found in host.images.items() if found["Id"] in used(host)}
