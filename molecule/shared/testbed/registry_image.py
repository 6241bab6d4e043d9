"""The image of the registry: the stack's images are built, pushed to a registry once, and kept with it as one image."""

from __future__ import annotations

import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from .images import (
    DOCKERFILES,
    PREFIX,
    SOURCES,
    SPECIAL,
    STAND_INS,
    VERSIONS,
    app_base,
    app_name,
    build,
    digest_of,
    exists,
    host_image,
    host_name,
    missing,
    monitor_base,
    monitor_name,
    with_packages,
)
from .monitors import MONITOR_LINES, MONITORS
from .shell import TestbedError, docker, step

WORKERS = 2
REGISTRY_LINES = (
    with_packages("docker-registry", "git"),
    "COPY registry/config.yml /etc/docker/registry/config.yml",
    "COPY registry/neighbour /usr/local/bin/neighbour",
    "RUN mkdir -p /srv/git /srv/registry",
    'CMD ["/usr/local/bin/neighbour"]',
)


def registry_name() -> str:
    parts = (
        app_name(),
        monitor_name(),
        MONITORS,
        MONITOR_LINES,
        REGISTRY_LINES,
        DOCKERFILES,
        STAND_INS,
        VERSIONS,
        SPECIAL,
    )
    return f"{PREFIX}/registry-full:{digest_of(*parts, folders=(SOURCES,))}"


def registry_image() -> str:
    """Make the image of the registry with all the stack's images in it, pushed once and then cached whole."""
    image = registry_name()
    with missing(image) as wanted:
        if wanted:
            _fill_registry(image)
    return image


def _fill_registry(image: str) -> None:
    with ThreadPoolExecutor(WORKERS) as workers:
        app, monitor = workers.submit(app_base), workers.submit(monitor_base)
        base, monitors = app.result(), monitor.result()
    sources = image.rpartition(":")[2]
    empty = f"{PREFIX}/registry-empty:{sources}"
    seed = f"{PREFIX}-seed-{sources}"
    with step("Building the stack's images and filling the registry (once)"):
        build(empty, base, REGISTRY_LINES)
        docker("rm", "--force", seed, check=False)
        docker("run", "--detach", "--name", seed, "--publish", "127.0.0.1::5000", empty)
        try:
            address = docker("port", seed, "5000/tcp").splitlines()[0]
            wait_registry(address, seed)
            push_all(address, base, monitors)
            docker("stop", seed)
            docker("commit", seed, image)
        finally:
            docker("rm", "--force", "--volumes", seed, check=False)


def wait_registry(address: str, container: str, timeout: float = 30) -> None:
    """Wait until a registry answers: the engine takes connections in its place before that, and breaks them off."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/v2/", timeout=2):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise TestbedError(
                    f"The registry does not answer: {error}\n{docker('logs', container, check=False)}"
                ) from error
            time.sleep(0.2)


def push_all(address: str, base: str, monitors: str) -> None:
    """Build every stand-in in every version and push them to a registry on loopback."""
    # First by themselves, so that the others find their layers there.
    push(base, f"{address}/sandbox/base:debian12")
    push(monitors, f"{address}/sandbox/base:debian13")
    with ThreadPoolExecutor(WORKERS) as workers:
        made = [workers.submit(push_stand_in, address, base, name) for name in DOCKERFILES]
        made += [workers.submit(push_monitor, address, monitors, name) for name in MONITORS]
        # Not before the last is built: with an image goes what it was made from, and another build may just use that.
        docker("rmi", *(local for done in made for local in done.result()))


def push_monitor(address: str, base: str, name: str) -> list[str]:
    """Build one of those that watch the others, and push it; return what it is called here."""
    local = f"{PREFIX}/{name}:stand-in"
    build(local, base, (*MONITOR_LINES, MONITORS[name]))
    push(local, f"{address}/sandbox/{name}:stand-in")
    return [local]


def push_stand_in(address: str, base: str, name: str) -> list[str]:
    """Build one stand-in in its versions and push it under the names of all whose place it takes; return its own."""
    made = []
    versions = VERSIONS if name in set(STAND_INS.values()) else ("stand-in",)
    for version in (*versions, *(special for image, special in SPECIAL if image == name)):
        local = f"{PREFIX}/{name}:{version}"
        build(local, base, (*SPECIAL.get((name, version), ()), *DOCKERFILES[name]), f"ENV APP_VERSION={version}")
        targets = [service for service, source in STAND_INS.items() if source == name]
        for target in [f"hypercode/{service}" for service in targets] or [f"sandbox/{name}"]:
            push(local, f"{address}/{target}:{version}")
        made.append(local)
    return made


def push(image: str, remote: str) -> None:
    docker("tag", image, remote)
    docker("push", "--quiet", remote)
    docker("rmi", remote)


def prepare(kind: str) -> None:
    """Make the images of hosts and of the registry at once, where both are missing: each keeps one core busy."""
    if exists(host_name(kind)) or exists(registry_name()):
        return
    with (
        step("Building the images of the hosts and of the stack (once, some minutes)"),
        ThreadPoolExecutor(WORKERS) as workers,
    ):
        for done in [workers.submit(host_image, kind), workers.submit(registry_image)]:
            done.result()
