"""Updates of a real stack, asked all the time from outside. The tests are one story, told in order."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from checks import playbook, stack
from checks.web import Load, Site, WebSocket, until
from testbed.hosts import Bed

BED = Bed(
    "molecule-rolling_update", playbook.ROOT / ".cache" / "testbed" / "molecule-rolling_update", "molecule", "docker"
)
SITE = Site(BED.address(0), "app.test")
MIRROR = "198.51.100.130:5000/sandbox"
DRAIN = 12


@pytest.fixture(autouse=True)
def story(host: Any) -> None:
    """Every test has to do with the host: testinfra then leaves them in their order."""


def update(inventory: Path, *words: str, start_first: bool = True, **environment: str) -> playbook.Outcome:
    variables = {"stack_environment": {"MIRROR": MIRROR, **environment}, "stack_start_first": start_first}
    return playbook.play("--tags", "stack", *words, "--extra-vars", json.dumps(variables), inventory=inventory)


def version() -> str:
    return SITE.get("/").headers["x-version"]


@contextmanager
def asked() -> Iterator[dict[str, Load]]:
    """Kept connections, fresh ones, and requests that take 8 seconds, all at once."""
    loads = {
        "kept": Load(SITE, rate=100, keep=True),
        "fresh": Load(SITE, rate=30, workers=4),
        "slow": Load(SITE, rate=1, workers=10, path="/slow=8"),
    }
    with loads["kept"].running(), loads["fresh"].running(), loads["slow"].running():
        time.sleep(1)
        yield loads
        time.sleep(1)


def told(loads: dict[str, Load]) -> str:
    return "; ".join(
        f"{name} {load.sent}: {len(load.failures)} failed, {load.again} asked again, longest {load.longest:.1f} s"
        for name, load in loads.items()
    )


def nothing_failed(loads: dict[str, Load]) -> None:
    assert {name: (load.kinds, load.again) for name, load in loads.items()} == dict.fromkeys(loads, ({}, 0))


def containers_of_app(host: Any) -> list[str]:
    words = "docker ps --all --no-trunc --format '{{.ID}}' --filter label=com.docker.compose.service=app"
    return stack.root(host, words).split()


def test_the_plan_says_how_each_service_is_replaced(host, inventory):
    shown = update(inventory, "--check", "--diff", VERSION="2")
    assert "app: replace: its configuration changed (the new one starts first)" in shown.output, shown.output
    assert version() == "1"


def test_an_update_under_load_fails_no_request_and_cuts_none(host, inventory, figure):
    socket = WebSocket(SITE).open()
    until("something is heard", 5, lambda: socket.heard)
    old = containers_of_app(host)
    began = time.monotonic()
    with asked() as loads:
        done = update(inventory, VERSION="2")
        took = time.monotonic() - began
    assert done.code == 0, done.output
    figure("requests through an update", told(loads))
    figure(
        "an update of one service, with the play", f"{took:.0f} s, of which 10 s healthy and {DRAIN} s drain at most"
    )
    nothing_failed(loads)
    assert loads["kept"].sent > 1000
    assert version() == "2"
    assert len(containers_of_app(host)) == 1
    assert containers_of_app(host) != old
    # It was open from before, and got its time.
    until("the WebSocket is closed", 5, lambda: socket.closed)
    figure("a WebSocket that was open stays open after the update began", f"{socket.closed - began:.0f} s")
    assert update(inventory, VERSION="2").changed("web1") == 0


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("never", "app did not get healthy within 20 s"),
        # As it is when one looks: Docker has it down for a moment, then starts it again.
        ("soon", r"app (stopped with exit code 0|crashed and was started again)"),
    ],
)
def test_a_bad_release_never_gets_a_request(host, inventory, figure, broken, said):
    old = containers_of_app(host)
    began = time.monotonic()
    with asked() as loads:
        done = update(inventory, VERSION="3", BROKEN=broken)
        took = time.monotonic() - began
    assert done.code != 0
    assert re.search(said, done.output), done.output
    figure(f"requests while a release that is broken ({broken}) is refused", f"in {took:.0f} s, {told(loads)}")
    nothing_failed(loads)
    # It was healthy for some seconds, as Docker sees it; that is not yet trusted.
    assert set.union(*(load.versions for load in loads.values())) == {"2"}
    assert version() == "2"
    assert containers_of_app(host) == old


def test_the_usual_way_beside_it(host, inventory, figure):
    """Replaced in place, as `docker compose up` does it. What it costs is told, not asserted."""
    with asked() as loads:
        done = update(inventory, start_first=False, VERSION="4")
    assert done.code == 0, done.output
    figure("the same in place, as docker compose up does it", told(loads))
    assert version() == "4"
