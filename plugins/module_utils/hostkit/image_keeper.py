# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps the images of the releases that can be gone back to, and removes those that none needs any more.

An image that a container was made of is left alone by `docker image prune --all` and `docker rmi`, though the container
has never run. So each kept image has one: a keeper. It has no network, no volume and no process.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .engine import Engine, EngineError
from .journal import Journal
from .prune_filter import add_filter
from .release import Release, Store
from .release_images import Resolved, Runner, recorded_reference, repository_of

# All three have to fit before a container is taken for a keeper: label, name, and never started.
LABEL = "hypercode.purpose=keep-image"
NAME_PREFIX = "hypercode-keep-"
# It is never run; without one Docker makes no container of an image that names no command.
NO_COMMAND = "/never-run"
TIMEOUT = 120.0
# `docker compose build` writes its labels on images, and a container has those of its image.
NOT_OF_A_PROJECT = ("--label", "com.docker.compose.project=", "--label", "com.docker.compose.service=")


@dataclass(frozen=True)
class Recorded:
    """An image as a release recorded it. `is_ours` when a rollout brought it to this host."""

    image_id: str
    image: str
    reference: str
    is_ours: bool


def images_of(release: Release) -> list[Recorded]:
    """Return the images that a release recorded, as far as it can be read."""
    services: Mapping[str, Mapping[str, Any]] = release.peek().get("services") or {}
    return [
        Recorded(str(meta["image_id"]), str(meta.get("image")), recorded_reference(meta), bool(meta.get("fetched")))
        for meta in services.values()
        if meta.get("image_id")
    ]


def note_images(
    store: Store, about: Mapping[str, Any], images: Mapping[str, Resolved], here_before: Collection[str]
) -> Mapping[str, dict[str, Any]]:
    """Return the services of a release.json with the image that each has, and whether a rollout brought that.

    It did where the image was not here before, was brought by an earlier one, or was built here for this release. Only
    these are ever removed.
    """
    brought = {found.image_id for release in store.all() for found in images_of(release) if found.is_ours}
    services: Mapping[str, dict[str, Any]] = about["services"]
    built = about.get("local_images") or []
    for name, image in images.items():
        is_ours = image.image_id not in here_before or image.image_id in brought or image.image in built
        services[name].update(image=image.image, digest=image.digest, image_id=image.image_id, fetched=is_ours)
    return services


def _by_digest(reference: str) -> str:
    """The name of an image without its tag, where it has a digest: so Docker lists it."""
    name, at, digest = reference.partition("@")
    return f"{repository_of(name)}@{digest}" if at else name


@dataclass(frozen=True)
class ImageKeeper:
    """Works on this host's images. What goes wrong is written into the journal: no rollout fails for it."""

    store: Store
    engine: Engine
    run: Runner
    journal: Journal

    def keep(self, release: Release) -> None:
        """Have a keeper for each image of this release and of those that can be gone back to."""
        try:
            kept = self._keepers()
            missing = self._wanted(release) - set(kept)
            problems = [problem for image_id in sorted(missing) if (problem := self._make(image_id))]
        except EngineError as error:
            problems, missing = [str(error)], set()
        problem = add_filter(self.store.paths.root)
        if problem:
            self.journal.write("prune filter not set", reason=problem)
        if missing:
            self.journal.write("keeping images", new=len(missing) - len(problems))
        for problem in problems:
            self.journal.write("image not kept", reason=problem)

    def prune(self, gone: Iterable[Recorded]) -> None:
        """Let go of what no release needs. `gone` are the images of releases that were removed just now."""
        try:
            needed = {found.image_id for release in self.store.all() for found in images_of(release)}
            wanted = self._wanted(None)
            for image_id, keepers in self._keepers().items():
                if image_id not in wanted:
                    for keeper in keepers:
                        self.run(["docker", "rm", keeper], timeout=TIMEOUT)
            self._remove({found for found in gone if found.is_ours and found.image_id not in needed})
        except EngineError as error:
            self.journal.write("images not removed", reason=str(error))

    def _wanted(self, release: Release | None) -> set[str]:
        releases = [found for found in self.store.all() if found.was_in_use or found == release]
        return {found.image_id for kept in releases for found in images_of(kept)}

    def _keepers(self) -> dict[str, list[str]]:
        """Return image id -> its keepers."""
        found: dict[str, list[str]] = {}
        for container in self.engine.get("/containers/json", all="1", filters={"label": [LABEL]}):
            names = [str(name).removeprefix("/") for name in container.get("Names") or []]
            if any(name.startswith(NAME_PREFIX) for name in names) and container.get("State") == "created":
                found.setdefault(str(container["ImageID"]), []).append(str(container["Id"]))
        return found

    def _make(self, image_id: str) -> str:
        """Make a keeper; return what went wrong."""
        image = self.engine.image(image_id)
        if image is None:
            # Of a release that is kept, and somebody removed it: going back there pulls it.
            return f"{image_id} is not on this host any more"
        # Docker would make a volume for each path that the image declares as one.
        volumes = [
            word for path in sorted((image.get("Config") or {}).get("Volumes") or {}) for word in ("--tmpfs", path)
        ]
        done = self.run(
            [
                *("docker", "create", "--pull", "never", "--name", NAME_PREFIX + image_id.rpartition(":")[2][:12]),
                *("--label", LABEL, *NOT_OF_A_PROJECT, "--network", "none", *volumes),
                *("--entrypoint", "", image_id, NO_COMMAND),
            ],
            timeout=TIMEOUT,
        )
        words = done.stderr.strip().splitlines()
        return "" if done.code == 0 else words[-1] if words else f"docker create ended with exit code {done.code}"

    def _remove(self, images: Collection[Recorded]) -> None:
        """Remove images by the names that rollouts gave them; not one that a container was made of."""
        if not images:
            return
        used = {str(container.get("ImageID")) for container in self.engine.get("/containers/json", all="1")}
        removed = 0
        for found in sorted(images, key=lambda one: (one.image_id, one.image)):
            for name in dict.fromkeys((found.image, _by_digest(found.reference))):
                # A tag may stand for another image by now; a name of somebody else's keeps the image.
                here = self.engine.image(name) if name and found.image_id not in used else None
                if here and here["Id"] == found.image_id:
                    removed += self.run(["docker", "rmi", name], timeout=TIMEOUT).code == 0
        if removed:
            self.journal.write("removed images", names=removed)
