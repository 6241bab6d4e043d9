# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The images of a release: pulled by their tag once, recorded by digest, and from then on fetched by digest only.

A tag can move, and a registry can go away. So what was recorded at the first pull counts for every later start of the
release: its repair, its end after a cut, and the way back to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .command import NOT_FOUND, CommandResult
from .engine import Engine
from .image_checks import check_images
from .rollout_error import RolloutError

Runner = Callable[..., CommandResult]
PULL_TIMEOUT = 1800.0


@dataclass(frozen=True)
class Resolved:
    """An image that is on this host: as it was asked for, as Compose is told, and what it is.

    `recorded` is the digest that it was pulled by, where Docker does not know it by that any more.
    """

    image: str
    reference: str
    image_id: str
    recorded: str = ""

    @property
    def digest(self) -> str:
        return self.reference.partition("@")[2] or self.recorded


def recorded_reference(meta: Mapping[str, Any]) -> str:
    """Return the reference that a service of a release was pulled as; empty when it was never pulled."""
    image, digest = str(meta.get("image") or ""), str(meta.get("digest") or "")
    if not meta.get("image_id"):
        return ""
    return image if "@" in image or not digest else f"{image}@{digest}"


@dataclass(frozen=True)
class Images:
    """Has images on this host."""

    engine: Engine
    run: Runner

    def have_all(
        self, about: Mapping[str, Any], model: Mapping[str, Any], result: dict[str, Resolved] | None = None
    ) -> dict[str, Resolved]:
        """Return service -> image for all services of a release. Pulls what is missing or was never pulled.

        Raises RolloutError or EngineError; what it had by then is in `result`.
        """
        local = set(about.get("local_images") or [])
        known: dict[tuple[str, str], Resolved] = {}
        result = {} if result is None else result
        for name, meta in about["services"].items():
            image = str(model["services"][name]["image"])
            recorded = recorded_reference(meta) if meta.get("image") == image else ""
            if (image, recorded) not in known:
                image_id = str(meta.get("image_id") or "") if recorded else ""
                known[image, recorded] = self._have(image, recorded, image_id, local=image in local)
            result[name] = known[image, recorded]
        check_images(self.engine, result, model)
        return result

    def _have(self, image: str, recorded: str, image_id: str, *, local: bool) -> Resolved:
        # A bare tag is asked for anew, unless it was built here: only then does it mean what is on this host.
        fixed = recorded or (image if local or "@" in image else "")
        found: Mapping[str, Any] | None = self.engine.image(fixed) if fixed else None
        if found is None:
            if local:
                raise RolloutError(
                    f"The image {image} was to be built on this host, but it is not here. "
                    "Fix: run site.yml again; it builds it"
                )
            try:
                found = self._pull(fixed or image)
            except RolloutError as error:
                if not image_id:
                    raise
                # Where one image has several names, pruning takes all but one. By its id it is the same.
                if self.engine.image(image_id) is None:
                    raise RolloutError(f"{error}. It was on this host, and somebody removed it") from error
                return Resolved(image, image_id, image_id, recorded.partition("@")[2])
        reference = fixed or _with_digest(image, found)
        return Resolved(image, reference, str(found["Id"]))

    def _pull(self, reference: str) -> Mapping[str, Any]:
        done = self.run(["docker", "pull", "--quiet", reference], timeout=PULL_TIMEOUT)
        found = self.engine.image(reference) if done.code == 0 else None
        if found is None:
            raise RolloutError(_pull_message(reference, done))
        return found


def repository_of(image: str) -> str:
    """The name of an image without its tag."""
    return image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image


def _with_digest(image: str, found: Mapping[str, Any]) -> str:
    repository = repository_of(image)
    for listed in found.get("RepoDigests") or []:
        name, _at, digest = str(listed).partition("@")
        if _same_repository(name, repository):
            return f"{image}@{digest}"
    return image


def _same_repository(name: str, repository: str) -> bool:
    """Docker shortens names of its own hub in RepoDigests: docker.io/library/redis is listed as redis."""
    return name == repository or repository in (f"docker.io/{name}", f"docker.io/library/{name}")


def _pull_message(image: str, done: CommandResult) -> str:
    words = (done.stderr.strip() or done.stdout.strip()).splitlines()
    reason = words[-1].strip().rstrip(".") if words else f"exit code {done.code}"
    if done.code == NOT_FOUND:
        fix = "install the docker client (role docker), then run the same command again"
    elif "denied" in reason or "unauthorized" in reason or "no basic auth" in reason:
        fix = "check the image's name, and the registry's user and password in docker_registries"
    elif "no matching manifest" in reason:
        fix = "build and push it for this host's architecture too, then run the same command again"
    elif "@" in image and any(word in reason for word in ("manifest unknown", "not found", "verification failed")):
        fix = "correct the digest (stack_images, or the Compose file): the registry has no image with this one"
    elif "manifest unknown" in reason or "not found" in reason:
        fix = "check its name and tag, or push it, then run the same command again"
    elif "x509" in reason or "certificate" in reason:
        fix = "give the registry's authority as ca_file in docker_registries"
    elif "no space" in reason:
        fix = "make room on the disk of /var/lib/docker"
    else:
        fix = "check that the host reaches the registry, then run the same command again"
    return f"The image {image} cannot be pulled: {reason}. Fix: {fix}. Nothing was stopped"
