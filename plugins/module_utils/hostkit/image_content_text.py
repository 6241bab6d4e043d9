# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The images of the release in use and what is in them, for people and as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .image_content import Package
from .image_content_cache import ContentCache
from .image_content_check import known_contents
from .image_content_rules import Held, PackageRuleError, PackageRules, Verdict, judge, rules_in
from .release import Release, ReleaseError


@dataclass(frozen=True)
class ImagesInUse:
    """The services of a release, and what is known of their images, by image id."""

    release_id: str
    services: Mapping[str, Mapping[str, Any]]
    rules: PackageRules
    found: Mapping[str, Sequence[Package] | None]
    verdict: Verdict

    def packages(self, service: str) -> Sequence[Package] | None:
        """Return what is in a service's image; None when nobody looked into it."""
        return self.found.get(str(self.services[service].get("image_id") or ""))

    def held(self, service: str) -> list[Held]:
        """Return the watched packages in a service's image."""
        return [held for held in self.verdict.held if held.service == service]

    def as_dict(self, *, packages: bool) -> dict[str, Any]:
        """Return it as data. `python_packages` is None for an image into which nobody looked."""
        return {
            "release": self.release_id,
            "watched": sorted(self.rules.forbidden),
            "images": [self._image(service, packages=packages) for service in sorted(self.services)],
        }

    def _image(self, service: str, *, packages: bool) -> dict[str, Any]:
        found = self.packages(service)
        image: dict[str, Any] = {
            "service": service,
            "image": str(self.services[service].get("image") or ""),
            "image_id": str(self.services[service].get("image_id") or ""),
            "python_packages": None if found is None else len(found),
            "watched": [
                {"name": held.package.name, "version": held.package.version, "reason": held.reason}
                for held in self.held(service)
            ],
        }
        if packages:
            image["packages"] = [{"name": p.name, "version": p.version, "path": p.path} for p in found or ()]
        return image


def images_of(release: Release, cache: ContentCache) -> ImagesInUse:
    """Read what is known of the images of a release. Looks into none."""
    about = release.read()
    try:
        rules = rules_in(about)
    except PackageRuleError as error:
        raise ReleaseError(f"{release.folder / 'release.json'}: {error}") from error
    found = known_contents(cache, about["services"])
    return ImagesInUse(release.id, about["services"], rules, found, judge(rules, about["services"], found))


def render_images(images: ImagesInUse, *, packages: bool) -> list[str]:
    """Return the lines of a table, with `packages` every package below its image."""
    rows = [("SERVICE", "IMAGE", "PACKAGES", "WATCHED")]
    for service in sorted(images.services):
        found = images.packages(service)
        count = "not looked into" if found is None else str(len(found))
        rows.append((service, str(images.services[service].get("image") or ""), count, _watched(images.held(service))))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)]
        lines.append("  ".join([*cells, row[3]]).rstrip())
        if packages and row is not rows[0]:
            lines += [
                f"    {p.name} {p.version or '(version unknown)'}  {p.path}" for p in images.packages(row[0]) or ()
            ]
    watched = ", ".join(sorted(images.rules.forbidden)) or "none (stack_forbidden_python_packages is empty)"
    return [*lines, f"release {images.release_id}  watched packages: {watched}"]


def _watched(held: Sequence[Held]) -> str:
    return ", ".join(
        f"{item.package.name} {item.package.version or '(version unknown)'} "
        + (f"(allowed: {item.reason})" if item.reason else "(forbidden)")
        for item in held
    )
