"""Images that the containers are made of."""

from __future__ import annotations

import re
from functools import partial

from ..facts import Facts
from ..points import EMPTY, Point, Verdict, met_if, met_unless, not_applicable, not_met

GROUP = "Images"
ELSEWHERE = "This is about building an image. The toolkit deploys images that others build."


def as_root(facts: Facts) -> Verdict:
    """No container's program runs as root."""
    if facts.is_empty:
        return not_applicable(EMPTY)
    found = []
    for service, one in facts.containers.items():
        user = one["Config"].get("User") or (facts.images[one["Image"]].get("Config") or {}).get("User") or "root"
        if user.split(":")[0] in {"root", "0"}:
            found.append(service)
    return met_unless(found)


def pinned(facts: Facts) -> Verdict:
    """Every container runs an image that is named by its digest."""
    if facts.is_empty:
        return not_applicable(EMPTY)
    images = {service: one["Config"]["Image"] for service, one in facts.containers.items()}
    # The id of an image is a digest too: of what it is, wherever it came from.
    return met_unless(name for name, image in images.items() if not re.match(r"(.*@)?sha256:", image))


def own_health_check(facts: Facts) -> Verdict:
    if facts.is_empty:
        return not_applicable(EMPTY)
    return met_unless(
        service
        for service, one in facts.containers.items()
        if not (facts.images[one["Image"]].get("Config") or {}).get("Healthcheck")
    )


def declared(what: str, _facts: Facts) -> Verdict:
    """What nothing on a host shows, and the toolkit does not do."""
    return not_met(what)


POINTS = (
    Point("docker-4.1", GROUP, "No container runs as root", as_root),
    Point("docker-4.2", GROUP, "Images come from sources that are trusted", partial(declared, "nobody checks them")),
    Point("docker-4.3", GROUP, "Images hold nothing that is not needed", lambda _f: not_applicable(ELSEWHERE)),
    Point("docker-4.4", GROUP, "Images are searched for known holes", partial(declared, "not searched")),
    Point("docker-4.5", GROUP, "Signatures of images are checked", partial(declared, "not checked")),
    Point("docker-4.6", GROUP, "Each image has a health check of its own", own_health_check),
    Point(
        "docker-4.7", GROUP, "Builds fetch package lists and packages in one step", lambda _f: not_applicable(ELSEWHERE)
    ),
    Point(
        "docker-4.8", GROUP, "No program in an image gives its user more rights", partial(declared, "not looked for")
    ),
    Point("docker-4.9", GROUP, "Builds copy files instead of fetching them", lambda _f: not_applicable(ELSEWHERE)),
    Point("docker-4.10", GROUP, "No secret is built into an image", lambda _f: not_applicable(ELSEWHERE)),
    Point("docker-5.28", GROUP, "Each image is named by its digest", pinned),
    Point(
        "docker-6.1",
        GROUP,
        "No image without a name is left behind",
        lambda f: met_if(not f.lines("dangling"), f"{len(f.lines('dangling'))} images"),
    ),
)
