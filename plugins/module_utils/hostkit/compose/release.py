# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images of a release, checks of the finished services, and the summary that rollouts and boards read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .findings import Finding, error, warning
from .interpolate import Interpolator
from .model import dependencies
from .policy import Settings, merged
from .repair import Repairs, port_text
from .short import parse_image
from .units import parse_cpus, parse_duration, parse_size, seconds

# What the engine does where nothing is stated.
_DEFAULT_INTERVAL = 30.0
_DEFAULT_TIMEOUT = 30.0
_DEFAULT_RETRIES = 3
_DEFAULT_START_INTERVAL = 5.0
_DEFAULT_STOP_GRACE = 10.0


def set_images(
    services: Mapping[str, dict[str, Any]], settings: Settings, interpolator: Interpolator, repairs: Repairs
) -> list[Finding]:
    """Apply image overrides in place: ``images`` (patterns, then the exact name), then the service's own override.

    ``{service}`` in an ``image`` stands for the service's name. A tag replaces the tag and drops an old digest.
    """
    findings = []
    for name, service in services.items():
        own = {k: v for k, v in merged(settings.services, name).items() if k in ("image", "tag", "digest")}
        stated = {**merged(settings.images, name), **own}
        if not stated:
            continue
        wanted = interpolator.document(stated, f"services.{name}", name)
        before = service.get("image")
        reference = str(wanted.get("image") or before or "").replace("{service}", name)
        if not reference:
            message = f"{name}: a tag or digest is given, and there is no image to put it on."
            fix = f"add image: to the entry of {name}."
            findings.append(error("image-missing", message, fix, f"services.{name}.image", name))
            continue
        try:
            image = parse_image(reference).changed(str(wanted.get("tag") or ""), str(wanted.get("digest") or ""))
            parse_image(str(image))
        except ValueError as exc:
            fix = "correct image, tag or digest."
            findings.append(error("image-invalid", f"{name}: {exc}.", fix, f"services.{name}.image", name))
            continue
        repairs.note(name, "image", before, str(image), "image")
        service["image"] = str(image)
    return findings


def check_images(services: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Findings for images that are only built, have no valid name, or may be another one tomorrow."""
    for name, service in services.items():
        path, reference = f"services.{name}.image", service.get("image")
        if not reference:
            if service.get("build"):
                message = f"{name} has build and no image: a release is pulled, never built on the way."
                fix = f"push the image and set images: {{{name}: {{image: registry/name, tag: version}}}}."
                yield error("image-missing", message, fix, path, name)
            continue
        if "${" in reference:
            continue  # A part that is a secret is known to Compose only.
        try:
            image = parse_image(reference)
        except ValueError as exc:
            yield error("image-invalid", f"{name}: {exc}.", "correct the image's name.", path, name)
            continue
        if not image.pinned:
            what = "the tag latest" if image.tag else "no tag"
            message = f"{name}: the image {reference} has {what}, so nobody can say what runs, or go back to it."
            fix = f"name a version: images: {{{name}: {{tag: ...}}}}, or add a digest."
            yield error("image-not-pinned", message, fix, path, name)


def check_networks(
    project: Mapping[str, Any], classes: Mapping[str, str | None], policy: Mapping[str, Mapping[str, Any]]
) -> Iterator[Finding]:
    """Findings for services that need a way out and have none; warnings for what is external."""
    services: Mapping[str, Mapping[str, Any]] = project["services"]
    networks: Mapping[str, Any] = project.get("networks") or {}
    for name in services:
        class_name = classes.get(name)
        if class_name is None or not policy.get(class_name, {}).get("needs_outside"):
            continue
        mode = str(_network_source(name, services).get("network_mode") or "")
        joined = list(_network_source(name, services).get("networks") or {"default": None})
        if mode == "none" or (not mode and all((networks.get(n) or {}).get("internal") is True for n in joined)):
            where = "no network at all" if mode else f"internal networks only ({', '.join(joined)})"
            message = f"{name} has no way out: it is on {where}, so every call to an outside API fails."
            fix = f"give {name} one more network that is not internal; nothing needs to be published for that."
            yield error("no-way-out", message, fix, f"services.{name}.networks", name)
    for section, thing in (("networks", "network"), ("volumes", "volume")):
        for name, entry in (project.get(section) or {}).items():
            if (entry or {}).get("external"):
                message = f"the {thing} {name} is external: nothing here creates it."
                fix = f"take external away, or create it on each host before the first deploy (docker {thing} create)."
                yield warning(f"{thing}-external", message, fix, f"{section}.{name}")


def _network_source(name: str, services: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The service whose network a service uses: itself, unless network_mode names another one."""
    seen = {name}
    while str(services[name].get("network_mode") or "").startswith("service:"):
        target = str(services[name]["network_mode"]).partition(":")[2]
        if target in seen or target not in services:
            break
        seen.add(target)
        name = target
    return services[name]


def check_health(services: Mapping[str, Mapping[str, Any]], jobs: set[str]) -> Iterator[Finding]:
    """Warnings for services that run on without anything looking at them."""
    for name, service in services.items():
        if name not in jobs and healthcheck_summary(service) is None:
            message = f"{name} has no healthcheck, so nobody notices when it hangs."
            fix = "add one to the Compose file, or in services: {...: {healthcheck: {test: ...}}}."
            yield warning("healthcheck-missing", message, fix, f"services.{name}.healthcheck", name)


def jobs_of(services: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Services that others wait for to finish: they run once and end."""
    return {
        target
        for service in services.values()
        for target, entry in (service.get("depends_on") or {}).items()
        if entry.get("condition") == "service_completed_successfully"
    }


def summary(service: Mapping[str, Any], class_name: str | None) -> dict[str, Any]:
    """What others need to know of a finished service; durations in seconds, memory in bytes, None where not limited."""
    limits = ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    stated = service.get("depends_on") or {}
    needed = dict.fromkeys(sorted(dependencies(service)), "service_started")
    return {
        "image": service.get("image"),
        "class": class_name,
        "depends_on": {**needed, **{name: entry["condition"] for name, entry in sorted(stated.items())}},
        "healthcheck": healthcheck_summary(service),
        "limits": {
            "cpus": _number(parse_cpus, limits.get("cpus")),
            "memory_bytes": _number(parse_size, limits.get("memory")),
            "pids": _number(int, limits.get("pids")),
        },
        "restart": service.get("restart") or "no",
        "stop_grace_period_s": _seconds(service.get("stop_grace_period"), _DEFAULT_STOP_GRACE),
        "networks": [] if service.get("network_mode") else list(service.get("networks") or {"default": None}),
        "network_mode": service.get("network_mode"),
        "volumes": [
            {
                "type": volume["type"],
                "source": volume.get("source"),
                "target": volume["target"],
                "read_only": volume.get("read_only") is True,
            }
            for volume in service.get("volumes") or []
        ],
        "ports": [port_text(port) for port in service.get("ports") or []],
        "expose": [str(item) for item in service.get("expose") or []],
    }


def healthcheck_summary(service: Mapping[str, Any]) -> dict[str, Any] | None:
    """A service's healthcheck with the engine's defaults filled in, seconds throughout; None when it has none.

    ``test`` reads as in the container: a doubled dollar sign is single again, references to secrets stay.
    """
    check = service.get("healthcheck") or {}
    if not check or check.get("disable") is True or check.get("test") == ["NONE"]:
        return None
    return {
        "test": [str(word).replace("$$", "$") for word in check["test"]] if check.get("test") else None,
        "interval_s": _seconds(check.get("interval"), _DEFAULT_INTERVAL),
        "timeout_s": _seconds(check.get("timeout"), _DEFAULT_TIMEOUT),
        "retries": _number(int, check.get("retries")) or _DEFAULT_RETRIES,
        "start_period_s": _seconds(check.get("start_period"), 0.0),
        "start_interval_s": _seconds(check.get("start_interval"), _DEFAULT_START_INTERVAL),
    }


def _seconds(value: Any, default: float) -> float | int:
    try:
        return seconds(parse_duration(value) if value else default)
    except ValueError:
        return seconds(default)


def _number(parser: Any, value: Any) -> Any:
    """A limit as a number; None for no limit, and for one that is a secret."""
    try:
        number = parser(value) if value is not None else None
    except ValueError:
        return None
    return number if number and number > 0 else None
