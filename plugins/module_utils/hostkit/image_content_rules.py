# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which Python packages no image may hold, the exceptions with their reasons, and the judgement of a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from .image_content import NAME, Package, normal_name

ALLOWANCE_KEYS = {"package", "service", "reason"}


class PackageRuleError(Exception):
    """The list of forbidden packages, or of exceptions, makes no sense. What, where and the fix."""


@dataclass(frozen=True)
class Allowance:
    """An exception: a package in the services that fit the pattern, and why it may be there."""

    package: str
    service: str
    reason: str


@dataclass(frozen=True)
class PackageRules:
    """What is forbidden, by normal name, and what is allowed all the same."""

    forbidden: frozenset[str] = frozenset()
    allowed: Sequence[Allowance] = ()

    def reason_for(self, package: str, service: str) -> str:
        """Return why a package may be in a service; empty where it may not."""
        fitting = (a for a in self.allowed if a.package == package and fnmatchcase(service, a.service))
        return next((allowance.reason for allowance in fitting), "")


def read_package_rules(forbidden: Any, allowed: Any) -> PackageRules:
    """Return the rules. Raises PackageRuleError, for an exception without a reason among others."""
    if isinstance(forbidden, str) or not isinstance(forbidden, Sequence):
        raise PackageRuleError("forbidden_python_packages is no list. Fix: give a list of names")
    for name in forbidden:
        if not isinstance(name, str) or not NAME.fullmatch(name.strip()):
            raise PackageRuleError(f"'{name}' in forbidden_python_packages is no name of a package. Fix: correct it")
    if isinstance(allowed, str) or not isinstance(allowed, Sequence):
        raise PackageRuleError("allowed_packages is no list. Fix: give a list of {package, service, reason}")
    allowances = [_allowance(number, entry) for number, entry in enumerate(allowed, start=1)]
    return PackageRules(frozenset(normal_name(name) for name in forbidden), tuple(allowances))


def rules_in(about: Mapping[str, Any]) -> PackageRules:
    """Return the rules in release.json, or in what the controller says goes there. Raises PackageRuleError.

    They stand there as they were given: {"package_rules": {"forbidden": [...], "allowed": [...]}}.
    """
    rules = about.get("package_rules") or {}
    return read_package_rules(rules.get("forbidden") or [], rules.get("allowed") or [])


def _allowance(number: int, entry: Any) -> Allowance:
    where = f"Entry {number} of allowed_packages"
    if not isinstance(entry, Mapping):
        raise PackageRuleError(f"{where} is no mapping. Fix: write it as {{package, service, reason}}")
    odd = sorted(str(key) for key in entry if key not in ALLOWANCE_KEYS)
    if odd:
        raise PackageRuleError(f"{where} has keys that are not known: {', '.join(odd)}. Fix: remove them")
    package, service, reason = (entry.get(key) for key in ("package", "service", "reason"))
    if not isinstance(package, str) or not NAME.fullmatch(package.strip()):
        raise PackageRuleError(f"{where} names no package. Fix: add 'package'")
    if not isinstance(reason, str) or not reason.strip():
        raise PackageRuleError(
            f"{where} ({package}) has no reason. Fix: add 'reason' and say in it why {package} may be there"
        )
    if service is not None and not isinstance(service, str):
        raise PackageRuleError(f"{where} ({package}) has a service that is no text. Fix: give a name or a pattern")
    return Allowance(normal_name(package), service or "*", reason.strip())


@dataclass(frozen=True)
class Held:
    """A forbidden package in the image of a service. `reason` says why it is allowed; empty when it is not."""

    service: str
    image: str
    package: Package
    reason: str

    def as_text(self) -> str:
        """Return it as a part of a message."""
        version = f" {self.package.version}" if self.package.version else " (version unknown)"
        return f"{self.service} ({self.image}) holds {self.package.name}{version} in {self.package.path}"


@dataclass(frozen=True)
class Verdict:
    """What was found in the images of a release. `unknown` are services whose images nobody looked into yet."""

    held: Sequence[Held] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    unknown: Sequence[str] = ()

    @property
    def refused(self) -> list[Held]:
        return [held for held in self.held if not held.reason]

    def message(self, state: str) -> str:
        """Return all that is refused, how things stand, and the fix, as sentences."""
        refused = self.refused
        names = sorted({held.package.name for held in refused})
        first = refused[0]
        example = f"{{package: {first.package.name}, service: {first.service}, reason: ...}}"
        return (
            f"Images hold Python packages that are forbidden ({', '.join(names)}): "
            f"{'; '.join(held.as_text() for held in refused)}. {state}. "
            "Fix: build the images without them and deploy those; "
            f"or allow it with a reason in stack_allowed_packages: {example}"
        )

    def about(self, services: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Return the keys of release.json that tell what was found: of each service, and what is allowed and why."""
        told: dict[str, dict[str, Any]] = {name: dict(meta) for name, meta in services.items()}
        for name, meta in told.items():
            if name in self.counts:
                watched = [held.package for held in self.held if held.service == name]
                meta["python_packages"] = self.counts[name]
                meta["watched_packages"] = [{"name": p.name, "version": p.version} for p in watched]
        allowed = [
            {"service": h.service, "package": h.package.name, "version": h.package.version, "reason": h.reason}
            for h in self.held
            if h.reason
        ]
        return {"services": told, "allowed_packages": allowed}


def judge(
    rules: PackageRules, services: Mapping[str, Mapping[str, Any]], found: Mapping[str, Sequence[Package] | None]
) -> Verdict:
    """Judge the services of release.json, given what is in the images, by image id."""
    held: list[Held] = []
    counts: dict[str, int] = {}
    unknown: list[str] = []
    for service, meta in services.items():
        packages = found.get(str(meta.get("image_id") or ""))
        if packages is None:
            unknown.append(service)
            continue
        counts[service] = len(packages)
        held += [
            Held(service, str(meta.get("image") or ""), package, rules.reason_for(package.name, service))
            for package in packages
            if package.name in rules.forbidden
        ]
    return Verdict(held, counts, unknown)
