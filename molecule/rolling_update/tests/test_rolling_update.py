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
DRAIN = 9
GOING_AWAY = 1001


@pytest.fixture(autouse=True)
def story(host: Any) -> None:
    """Every test has to do with the host: testinfra then leaves them in their order."""


def words(*more: str, bake: int = 5, **environment: str) -> list[str]:
    variables = {"stack_environment": {"MIRROR": MIRROR, "CALLS": "app:8000", **environment}, "stack_bake": bake}
    return ["--tags", "stack", *more, "--extra-vars", json.dumps(variables)]


def update(inventory: Path, *more: str, bake: int = 5, **environment: str) -> playbook.Outcome:
    return playbook.play(*words(*more, bake=bake, **environment), inventory=inventory)


def version() -> str:
    return SITE.get("/").headers["x-version"]


@contextmanager
def asked() -> Iterator[dict[str, Load]]:
    """Kept connections, fresh ones, and requests that take 6 seconds, all at once."""
    loads = {
        "kept": Load(SITE, rate=100, keep=True),
        "fresh": Load(SITE, rate=30, workers=4),
        "slow": Load(SITE, rate=1, workers=10, path="/slow=6"),
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


def events(host: Any) -> list[str]:
    """The journal of the newest rollout."""
    text = stack.root(host, "cat $(ls -t /var/lib/hypercode/rollout/*.jsonl | head -1)")
    return [json.loads(line)["event"] for line in text.splitlines()]


def calls(host: Any) -> dict[str, int]:
    """How calls from one service to another went since the caller began."""
    name = stack.root(host, "docker ps --quiet --filter label=com.docker.compose.service=board").split()[0]
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:3000/calls').read().decode())"
    found: dict[str, int] = json.loads(stack.root(host, f'docker exec {name} python3 -c "{ask}"'))
    return found


def test_the_plan_says_how_each_service_is_replaced(host, inventory):
    shown = update(inventory, "--check", "--diff", VERSION="2")
    assert "app: replace: its configuration changed (the new one starts first)" in shown.output, shown.output
    assert version() == "1"


def test_an_update_under_load_fails_no_request_and_cuts_none(host, inventory, figure):
    socket = WebSocket(SITE).open()
    until("something is heard", 5, lambda: socket.heard)
    old, called = containers_of_app(host), calls(host)
    began = time.monotonic()
    with asked() as loads:
        done = update(inventory, VERSION="2")
        took = time.monotonic() - began
    assert done.code == 0, done.output
    between = {name: number - called[name] for name, number in calls(host).items()}
    figure("calls from service to service meanwhile", "{calls}: {again} asked again, {failed} failed".format(**between))
    assert between["calls"] > 200
    assert between["failed"] == 0
    figure("requests through an update", told(loads))
    figure(
        "an update of one service, with the play",
        f"{took:.0f} s, of which 5 s healthy, {DRAIN} s drain at most and 5 s watched",
    )
    nothing_failed(loads)
    assert loads["kept"].sent > 1000
    assert version() == "2"
    assert len(containers_of_app(host)) == 1
    assert containers_of_app(host) != old
    # It was open from before, and got its time.
    until("the WebSocket is closed", 5, lambda: socket.closed)
    assert socket.code == GOING_AWAY
    figure("a WebSocket that was open stays open after the update began", f"{socket.closed - began:.0f} s")
    assert update(inventory, VERSION="2").changed("web1") == 0


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("never", "app did not get healthy within 8 s"),
        # As it is when one looks: Docker has it down for a moment, then starts it again.
        ("soon", r"app (stopped with exit code 0|crashed and was started again)"),
        ("errors", "app is not trusted: it answers GET / with 500 .* where the old one answers 200"),
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


def test_a_release_that_goes_bad_later_is_taken_back(host, inventory, figure):
    """Healthy all the time, and after a while it answers 500: only those who ask can tell."""
    began = time.monotonic()
    with asked() as loads:
        done = update(inventory, bake=60, VERSION="4", BROKEN="later")
        took = time.monotonic() - began
    assert done.code != 0
    assert "app.test answers with errors since the rollout" in done.output, done.output
    assert "The previous release" in done.output
    failed = sorted(moment for load in loads.values() for moment in load.failed_at)
    figure(
        "a release that answers 500 after a while",
        f"noticed and back on the old one {failed[-1] - failed[0]:.0f} s after its first error; {took:.0f} s in all;"
        f" {told(loads)}",
    )
    assert version() == "2"
    # Noticed within 30 s, and back 30 s later.
    assert failed[-1] - failed[0] < 60
    assert {kind for load in loads.values() for kind in load.kinds} == {"500"}
    about = json.loads(stack.root(host, "cat $(ls -td /opt/hypercode/releases/* | head -1)/release.json"))
    assert about["status"] == "reverted"
    assert "answers with errors" in about["failure"]["message"]
    assert "app" in stack.root(host, f"ls {about['failure']['evidence']}")


def in_the_middle(host: Any, inventory: Path, command: str, *more: str, **environment: str) -> playbook.Outcome:
    """Begin an update, and do something on the host as soon as two containers of app are there."""
    journals = stack.root(host, "ls /var/lib/hypercode/rollout | wc -l")
    process = playbook.start(*words(*more, **environment), inventory=inventory)
    until("it begins", 60, lambda: stack.root(host, "ls /var/lib/hypercode/rollout | wc -l") != journals)
    until("the new one is beside", 60, lambda: len(containers_of_app(host)) == 2)
    stack.root(host, command)
    output, _nothing = process.communicate(timeout=150)
    return playbook.Outcome(process.returncode, output)


def test_docker_is_started_again_in_the_middle(host, inventory, figure):
    # Docker asks a container anew only when its interval is over, also one that was healthy before.
    patience = ("--extra-vars", "stack_ready_timeout=60")
    with asked() as loads:
        done = in_the_middle(host, inventory, "systemctl restart docker", *patience, VERSION="5")
    figure("docker is started again while two of them run", told(loads))
    assert done.code == 0, done.output
    nothing_failed(loads)
    assert version() == "5"
    assert len(containers_of_app(host)) == 1


def test_an_operator_ends_it_in_the_middle(host, inventory, figure):
    old = containers_of_app(host)
    with asked() as loads:
        done = in_the_middle(host, inventory, "hypercode rollout abort", VERSION="6")
    figure("it is ended by hand while two of them run", told(loads))
    assert "stopped by hand" in done.output, done.output
    nothing_failed(loads)
    assert version() == "5"
    assert containers_of_app(host) == old
    assert "reverted" in stack.root(host, "hypercode rollout status", ok=False)
