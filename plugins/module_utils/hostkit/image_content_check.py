# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks what is in the images of a release: after they were pulled, before any container is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .image_content import ContentError, Package
from .image_content_cache import ContentCache
from .image_content_docker import Looker
from .image_content_rules import PackageRuleError, PackageRules, Verdict, judge, rules_in
from .journal import Journal
from .release import Release, Store
from .rollout_error import RolloutError


def known_contents(
    cache: ContentCache, services: Mapping[str, Mapping[str, Any]]
) -> dict[str, Sequence[Package] | None]:
    """Return image id -> packages for the services of release.json; None where nobody looked yet."""
    return {image_id: cache.read(image_id) for image_id in _image_ids(services)}


def judge_known(cache: ContentCache, rules: PackageRules, services: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """Judge the services of a release by what is known already; no image is looked into."""
    return judge(rules, services, known_contents(cache, services)) if rules.forbidden else Verdict()


def changes_to(about: Mapping[str, Any], rules: PackageRules, verdict: Verdict) -> dict[str, Any]:
    """Return what the verdict changes in release.json; empty when nothing differs."""
    told = verdict.about(about["services"]) if rules.forbidden else {"allowed_packages": []}
    default: dict[str, Any] = {"allowed_packages": []}
    return {key: value for key, value in told.items() if about.get(key, default.get(key)) != value}


def prune(store: Store) -> None:
    """Forget the contents of images that no release on this host uses any more."""
    keep: set[str] = set()
    for release in store.all():
        about = release.peek()
        keep |= set(_image_ids(about.get("services") or {}))
    ContentCache(store.paths.images).prune(keep)


def _image_ids(services: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = (str(meta.get("image_id") or "") for meta in services.values())
    return list(dict.fromkeys(image_id for image_id in found if image_id))


@dataclass
class ContentCheck:
    """Looks into the images of a release that nobody looked into yet, and judges all of them."""

    cache: ContentCache
    looker: Looker
    journal: Journal

    def check(self, release: Release) -> None:
        """Write what was found into release.json. Raises RolloutError with all that is refused."""
        about = release.read()
        try:
            rules = rules_in(about)
        except PackageRuleError as error:
            raise RolloutError(f"{error}. Nothing was touched") from error
        found: dict[str, Sequence[Package] | None] = {}
        if rules.forbidden:
            found = known_contents(self.cache, about["services"])
            missing = [image_id for image_id, packages in found.items() if packages is None]
            found |= {image_id: self._look(image_id, about["services"]) for image_id in missing}
            self.journal.write("looked into the images", images=len(found), new=len(missing))
        verdict = judge(rules, about["services"], found) if rules.forbidden else Verdict()
        changes = changes_to(about, rules, verdict)
        if changes:
            release.update(**changes)
        for held in verdict.held:
            what = {"service": held.service, "package": held.package.name, "version": held.package.version}
            self.journal.write("allowed package" if held.reason else "forbidden package", **what, reason=held.reason)
        if verdict.refused:
            only = {held.service for held in verdict.refused}
            raise RolloutError(
                f"The release is refused. {verdict.message('Nothing was touched')}",
                service=only.pop() if len(only) == 1 else "",
            )

    def _look(self, image_id: str, services: Mapping[str, Mapping[str, Any]]) -> list[Package]:
        users = [name for name, meta in services.items() if meta.get("image_id") == image_id]
        image = str(services[users[0]].get("image") or image_id)
        try:
            packages = self.looker.look(image_id)
            self.cache.write(image_id, packages)
        except ContentError as error:
            raise RolloutError(
                f"It cannot be told what is in the image {image} of {', '.join(users)}: {error}. Nothing was touched. "
                "Fix: see that Docker is well and its disk has room (docker info, df), then run the same command again",
                service=users[0] if len(users) == 1 else "",
            ) from error
        return packages
