"""Updates of a real stack, asked all the time from outside. The tests are one story, told in order."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from checks import playbook, stack
from checks.updated import Updated, nothing_failed, told
from checks.web import WebSocket, until
from testbed.hosts import Bed

BED = Bed(
    "molecule-rolling_update", playbook.ROOT / ".cache" / "testbed" / "molecule-rolling_update", "molecule", "docker"
)
APP = Updated(BED)
SITE = APP.site
DRAIN = 9
GOING_AWAY = 1001


@pytest.fixture(autouse=True)
def story(host: Any) -> None:
    """Every test has to do with the host: testinfra then leaves them in their order."""


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
    shown = APP.update(inventory, "--check", "--diff", VERSION="2")
    assert "app: replace: its configuration changed (the new one starts first)" in shown.output, shown.output
    assert APP.version() == "1"


def test_an_update_under_load_fails_no_request_and_cuts_none(host, inventory, figure):
    socket = WebSocket(SITE).open()
    until("something is heard", 5, lambda: socket.heard)
    old, called = APP.containers(host), calls(host)
    began = time.monotonic()
    with APP.asked() as loads:
        done = APP.update(inventory, VERSION="2")
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
    assert APP.version() == "2"
    assert len(APP.containers(host)) == 1
    assert APP.containers(host) != old
    # It was open from before, and got its time.
    until("the WebSocket is closed", 5, lambda: socket.closed)
    assert socket.code == GOING_AWAY
    figure("a WebSocket that was open stays open after the update began", f"{socket.closed - began:.0f} s")
    assert APP.update(inventory, VERSION="2").changed("web1") == 0


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
    old = APP.containers(host)
    began = time.monotonic()
    with APP.asked() as loads:
        done = APP.update(inventory, VERSION="3", BROKEN=broken)
        took = time.monotonic() - began
    assert done.code != 0
    assert re.search(said, done.output), done.output
    figure(f"requests while a release that is broken ({broken}) is refused", f"in {took:.0f} s, {told(loads)}")
    nothing_failed(loads)
    # It was healthy for some seconds, as Docker sees it; that is not yet trusted.
    assert set.union(*(load.versions for load in loads.values())) == {"2"}
    assert APP.version() == "2"
    assert APP.containers(host) == old


def test_a_release_that_goes_bad_later_is_taken_back(host, inventory, figure):
    """Healthy all the time, and after a while it answers 500: only those who ask can tell."""
    began = time.monotonic()
    with APP.asked() as loads:
        done = APP.update(inventory, bake=60, VERSION="4", BROKEN="later")
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
    assert APP.version() == "2"
    # Noticed within 30 s, and back 30 s later.
    assert failed[-1] - failed[0] < 60
    assert {kind for load in loads.values() for kind in load.kinds} == {"500"}
    about = json.loads(stack.root(host, "cat $(ls -td /opt/hypercode/releases/* | head -1)/release.json"))
    assert about["status"] == "reverted"
    assert "answers with errors" in about["failure"]["message"]
    assert "app" in stack.root(host, f"ls {about['failure']['evidence']}")


def test_docker_is_started_again_in_the_middle(host, inventory, figure):
    # Docker asks a container anew only when its interval is over, also one that was healthy before.
    patience = ("--extra-vars", "stack_ready_timeout=60")
    with APP.asked() as loads, APP.in_the_middle(host, inventory, *patience, VERSION="5") as cut:
        stack.root(host, "systemctl restart docker")
    figure("docker is started again while two of them run", told(loads))
    assert cut.done.code == 0, cut.done.output
    nothing_failed(loads)
    assert APP.version() == "5"
    assert len(APP.containers(host)) == 1


def test_an_operator_ends_it_in_the_middle(host, inventory, figure):
    old = APP.containers(host)
    with APP.asked() as loads, APP.in_the_middle(host, inventory, VERSION="6") as cut:
        stack.root(host, "hypercode rollout abort")
    figure("it is ended by hand while two of them run", told(loads))
    assert "stopped by hand" in cut.done.output, cut.done.output
    nothing_failed(loads)
    assert APP.version() == "5"
    assert APP.containers(host) == old
    assert "reverted" in stack.root(host, "hypercode rollout status", ok=False)
