# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether images that are on this host can run here, and are those that were asked for. Before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from .engine import Engine
from .rollout_error import RolloutError

# What an engine runs besides its own, as it does when it chooses from an image for several architectures.
ALSO_RUNS = {"amd64": ("386",), "arm64": ("arm",)}


class Image(Protocol):
    """An image on this host: as it was asked for, and as the engine knows it."""

    @property
    def image(self) -> str: ...

    @property
    def reference(self) -> str: ...


def check_images(engine: Engine, images: Mapping[str, Image], model: Mapping[str, Any]) -> None:
    """Refuse images (by service) that cannot run here or have another digest than stated. Raises RolloutError.

    An image for another architecture is taken where its service says so with `platform`: this host may emulate it.
    """
    inspected: dict[str, Mapping[str, Any] | None] = {}
    foreign: dict[str, str] = {}
    here = ""
    for name, image in images.items():
        if image.reference not in inspected:
            inspected[image.reference] = engine.image(image.reference)
        found = inspected[image.reference]
        if found is None:
            continue
        _check_digest(image.image, found)
        kind = str(found.get("Architecture") or "")
        if not kind or kind == _architecture_in(str(model["services"][name].get("platform") or "")):
            continue
        here = here or engine.architecture()
        if here and kind not in (here, *ALSO_RUNS.get(here, ())):
            foreign[image.image] = kind
    if foreign:
        raise RolloutError(_foreign_message(foreign, here))


def _check_digest(image: str, found: Mapping[str, Any]) -> None:
    """Compare the digest that was stated with those that the engine knows the image by."""
    digest = image.partition("@")[2]
    known = {str(listed).partition("@")[2] for listed in found.get("RepoDigests") or []}
    if digest and known and digest not in {*known, str(found.get("Id"))}:
        raise RolloutError(
            f"The image {image} has another digest on this host: {', '.join(sorted(known))}. Nothing was stopped. "
            "Fix: correct the digest (stack_images, or the Compose file), then run the same command again"
        )


def _architecture_in(platform: str) -> str:
    """The architecture in a platform, such as linux/arm64/v8."""
    words = platform.split("/")
    return words[1] if len(words) > 1 else words[0]


def _foreign_message(foreign: Mapping[str, str], here: str) -> str:
    which = ", ".join(f"{image} ({kind})" for image, kind in sorted(foreign.items()))
    one = len(foreign) == 1
    return (
        f"{'This image is' if one else 'These images are'} for another architecture than this host, which is {here}: "
        f"{which}. {'It' if one else 'They'} would not start. Nothing was stopped. "
        f"Fix: build and push {'it' if one else 'them'} for linux/{here}, then run the same command again"
    )
