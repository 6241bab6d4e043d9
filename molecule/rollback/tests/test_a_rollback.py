"""Going back while the registry is gone and everything was pruned; and hooks."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checks import playbook, stack
from checks.updated import Updated, nothing_failed, told
from testbed import images, registry
from testbed.hosts import Bed
from testbed.shell import docker

BED = Bed("molecule-rollback", playbook.ROOT / ".cache" / "testbed" / "molecule-rollback", "molecule", "docker")
APP = Updated(BED)
KEEPERS = "docker ps --all --quiet --filter label=hypercode.purpose=keep-image"


def hook(code: str) -> dict[str, Any]:
    return {"service": "app", "command": ["python3", "-c", code], "timeout": 20}


HOOKS = {
    "before_rollout": [hook("import os; print('migrated for', os.environ['VERSION'])")],
    "before_rollback": [hook("import os; print('migrated back from', os.environ['VERSION'])")],
}


@pytest.fixture(autouse=True)
def story(host: Any) -> None:
    """Every test has to do with the host: testinfra then leaves them in their order."""


@pytest.fixture(scope="module", autouse=True)
def pushed() -> Iterator[None]:
    """Two versions of the image of the app, in the registry."""
    folder = registry.trust(BED)
    for tag in ("five", "six"):
        made = docker("create", images.app_base(), "true")
        docker("commit", "--change", f"LABEL version={tag}", made, f"{APP.mirror}/base:{tag}")
        docker("rm", made)
        docker("--config", str(folder), "push", "--quiet", f"{APP.mirror}/base:{tag}")
        docker("rmi", f"{APP.mirror}/base:{tag}")
    yield
    docker("start", BED.container("registry"))


def update(inventory: Path, tag: str, version: str, **more: Any) -> playbook.Outcome:
    variables = {
        "stack_environment": {"MIRROR": APP.mirror, "VERSION": version},
        "stack_version": version,
        "stack_images": {"app": {"tag": tag}},
        "stack_min_healthy": 3,
        "stack_drain_timeout": 6,
        **more,
    }
    return playbook.play("--tags", "stack", "--extra-vars", json.dumps(variables), inventory=inventory)


def is_here(host: Any, tag: str) -> bool:
    found = stack.root(host, "docker image ls --all --no-trunc --format '{{.ID}}' --filter label=version=" + tag)
    return bool(found.split())


def test_hooks_run_around_an_update(host, inventory):
    # In place, which is quicker: what is to come is one release more on the host.
    done = update(inventory, "five", "5", stack_start_first=False)
    assert done.code == 0, done.output
    done = update(inventory, "six", "6", stack_hooks=HOOKS)
    assert done.code == 0, done.output
    said = "cat /var/lib/hypercode/rollout/evidence/$(basename $(readlink /opt/hypercode/current))/hook-*.txt"
    assert "migrated for 6\n" in stack.root(host, said)
    assert len(APP.containers(host)) == 1


def test_a_hook_that_fails_stops_it_with_nothing_touched(host, inventory):
    before = APP.containers(host)
    bad = {"before_rollout": [hook("import sys; sys.exit('no table of that name')")]}
    done = update(inventory, "five", "7", stack_hooks=bad)
    assert done.code != 0
    assert "The before_rollout hook of app failed: no table of that name" in done.output, done.output
    assert "No service was touched" in done.output
    assert (APP.containers(host), APP.version()) == (before, "6")


@pytest.mark.parametrize(
    "command",
    [
        "docker image prune --all --force",
        "docker rmi $(docker image ls --quiet --filter label=version=five)",
        "docker container prune --force",
        "docker system prune --all --force",
        "docker system prune --all --volumes --force",
    ],
)
def test_what_was_in_use_survives_pruning(host, figure, command):
    # Another name for it: pruning may take one of the two.
    stack.root(host, f"docker tag {APP.mirror}/base:five kept/other:1", ok=False)
    with host.sudo():
        done = host.run(command)
    figure(f"{command} as root", f"exit code {done.rc}; {' '.join((done.stderr or done.stdout).split())[-200:]}")
    assert is_here(host, "five")
    assert len(stack.root(host, KEEPERS).split()) >= 3


def test_back_under_load_without_a_registry(host, inventory, figure):
    docker("stop", "--time", "1", BED.container("registry"))
    began = time.monotonic()
    with APP.asked(slow=False) as loads:
        done = playbook.play("-e", "rollback_to=5", inventory=inventory, playbook="playbooks/rollback.yml")
        took = time.monotonic() - began
    assert done.code == 0, done.output
    figure("requests through a rollback without a registry", f"in {took:.0f} s, {told(loads)}")
    nothing_failed(loads)
    assert (APP.version(), len(APP.containers(host))) == ("5", 1)
    assert re.search(r"web1 is on version 5 \(release \S+; back to release", " ".join(done.output.split())), done.output
    said = "cat /var/lib/hypercode/rollout/evidence/*/hook-before_rollback-*.txt"
    assert "migrated back from 6\n" in stack.root(host, said)
    now = APP.containers(host)
    assert "nothing to do" in stack.root(host, "hypercode rollout back 5")
    assert APP.containers(host) == now


def test_how_far_it_goes(host, figure):
    """A client that knows no filter takes the keepers, and then the images. The next way back says so."""
    stack.root(host, "DOCKER_CONFIG=/nowhere docker system prune --all --force")
    assert not stack.root(host, KEEPERS).split()
    assert not is_here(host, "six")
    before = APP.containers(host)
    with host.sudo():
        done = host.run("hypercode rollout back 6")
    assert done.rc == 1
    figure("going back to an image that is gone, without a registry", done.stderr.strip()[-300:])
    assert "somebody removed it" in done.stderr
    assert (APP.containers(host), APP.version()) == (before, "5")
    docker("start", BED.container("registry"))
    listed = stack.root(host, "hypercode rollout list")
    assert re.search(r"^\S+\s+5\s+in use", listed, re.MULTILINE), listed
