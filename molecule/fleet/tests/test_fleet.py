"""Updates of three hosts that are asked all the time. The tests are one story, told in order."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from checks import playbook
from checks.web import Load, Site, until
from testbed.hosts import Bed
from testbed.shell import docker

BED = Bed("molecule-fleet", playbook.ROOT / ".cache" / "testbed" / "molecule-fleet", "molecule", "docker")
HOSTS = ("web1", "web2", "web3")
SITES = {host: Site(BED.address(number), "app.test") for number, host in enumerate(HOSTS)}
# One story about all three: it is told once, with the first host at hand.
testinfra_hosts = ["web1"]
# As a refusal has it (see the second test).
FREE = "ansible hypercode --become -m hypercode.deploy.fleet_lock -a 'state=absent force=true'"
WORDS = ("-e", "update_drain_seconds=2", "-e", "update_lock_seconds=40")


@pytest.fixture(autouse=True)
def story(host: Any) -> None:
    """Every test has to do with the host: testinfra then leaves them in their order."""


def words(version: str) -> tuple[str, ...]:
    return ("-e", f"stack_version={version}", *WORDS)


def update(inventory: Path, version: str, *more: str, variables: dict[str, str] | None = None) -> playbook.Outcome:
    return playbook.play(
        *words(version), *more, inventory=inventory, playbook="playbooks/update.yml", variables=variables
    )


def begin(inventory: Path, version: str, *more: str) -> Any:
    return playbook.start(*words(version), *more, inventory=inventory, playbook="playbooks/update.yml")


def versions() -> list[str]:
    return [SITES[host].get("/").headers["x-version"] for host in HOSTS]


@contextmanager
def asked() -> Iterator[dict[str, Load]]:
    """Requests to all three hosts at once, over kept connections."""
    loads = {host: Load(SITES[host], rate=30, workers=4, keep=True) for host in HOSTS}
    with ExitStack() as stack:
        for load in loads.values():
            stack.enter_context(load.running())
        yield loads


def nothing_failed(loads: dict[str, Load]) -> None:
    assert {host: (load.kinds, load.again) for host, load in loads.items()} == dict.fromkeys(loads, ({}, 0))
    assert all(load.sent > 200 for load in loads.values())


def told(loads: dict[str, Load]) -> str:
    return (
        f"{sum(load.sent for load in loads.values())} requests, {sum(len(x.failures) for x in loads.values())} failed"
    )


@contextmanager
def balancer() -> Iterator[dict[str, list[tuple[float, int]]]]:
    """Ask each host where a load balancer does; when it said what."""
    said: dict[str, list[tuple[float, int]]] = {host: [] for host in HOSTS}
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.3):
            for host, site in SITES.items():
                with contextlib.suppress(OSError):
                    said[host].append((time.time(), site.get("/edge-health").status))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield said
    finally:
        ended.set()
        thread.join()


def in_host(host: str, script: str) -> str:
    """Run a script on a host past the network."""
    return docker("exec", BED.container(host), "sh", "-c", script)


def steps(host: str) -> dict[str, float]:
    """The events of the newest rollout of a host, and when each was last."""
    lines = in_host(host, "cat $(ls -t /var/lib/hypercode/rollout/*.jsonl | head -n 1)").splitlines()
    return {event["event"]: event["time"] for event in map(json.loads, lines)}


def free(inventory: Path) -> None:
    """Free the fleet, by the command that a refusal names."""
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible"), "-i", inventory, *shlex.split(FREE)[1:]],
        cwd=playbook.ROOT,
        env=playbook.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def rolls_out(host: str) -> bool:
    return bool(in_host(host, 'grep -l \'"status": "running"\' /opt/hypercode/releases/*/release.json || true'))


def test_all_are_updated_under_load_and_a_second_update_is_kept_out(host, inventory, figure):
    began = time.monotonic()
    with asked() as loads, balancer() as said:
        process = begin(inventory, "2", "-e", "stack_bake=6")
        until("the first host has it", 90, lambda: "2" in versions())
        second = update(inventory, "9")
        output, _ = process.communicate(timeout=200)
    took = time.monotonic() - began
    assert process.returncode == 0, output
    assert versions() == ["2", "2", "2"]
    assert re.search(r"web3 +1 +2 +app: replace: its configuration changed", output), output
    assert "All 3 hosts are on version 2." in output, output
    figure("a fleet of three is updated, one after another", f"{took:.0f} s, {told(loads)}")
    nothing_failed(loads)
    for name in HOSTS:
        moved = steps(name)
        drained = [when for when, status in said[name] if status == 503]
        ready = [when for when, status in said[name] if status == 200]
        assert drained, f"{name} was not drained"
        # It is asked again while it is watched. One request may be under way meanwhile.
        assert max(drained) < moved["undrained"] + 1
        assert any(moved["watching"] + 1 < when < moved["watched"] for when in ready)
    assert second.code != 0
    assert "web1 is locked by another update: " in second.output, second.output
    assert FREE in second.output


def test_a_release_that_is_broken_on_the_second_host_takes_all_back(host, inventory, figure):
    began = time.monotonic()
    with asked() as loads:
        done = update(inventory, "3")
    assert done.code != 0
    figure("one of three refuses, and all are back", f"{time.monotonic() - began:.0f} s, {told(loads)}")
    nothing_failed(loads)
    assert versions() == ["2", "2", "2"], done.output
    assert "The update to 3 failed on web2: app did not get healthy" in done.output, done.output
    assert "All 3 hosts are on version 2 again." in done.output, done.output
    assert re.search(r"web2 +2 +failed, and is back", done.output), done.output
    assert loads["web1"].versions == {"2", "3"}
    assert loads["web3"].versions == {"2"}


def test_a_host_that_stops_answering_is_named_and_the_others_go_back(host, inventory, tmp_path):
    process = playbook.start(
        *words("4"),
        inventory=inventory,
        playbook="playbooks/update.yml",
        # So that a dead connection is noticed in seconds.
        variables={
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s -o ServerAliveInterval=2",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": f"/tmp/fleet-{os.getpid()}",
        },
    )
    until("the second host is at work", 120, lambda: rolls_out("web2"))
    rule = "type filter hook input priority -500; tcp dport 22 reject with tcp reset;"
    in_host("web2", f"nft 'table inet cut {{ chain input {{ {rule} }}; }}'")
    try:
        output, _ = process.communicate(timeout=200)
    finally:
        in_host("web2", "nft delete table inet cut")
    assert process.returncode != 0
    assert (versions()[0], versions()[2]) == ("2", "2"), output
    assert "2 of 3 hosts are on version 2 again." in output, output
    assert "web2 could not go back to 2: it cannot be reached" in output, output
    command = re.search(
        r"ansible-playbook (playbooks/rollback\.yml) -i (\S+) (--limit web2 -e rollback_to=\S+ -e rollback_lock=\S+)"
        r" and on it: sudo (.+)",
        output,
    )
    assert command, output
    # The host had ended its rollout alone, and could not be told that the update is over. What was said brings it back.
    until("the host has ended its rollout", 30, lambda: not rolls_out("web2"))
    lease = "/var/lib/hypercode/fleet/lease.json"
    in_host("web2", f"cp {lease} /root/lease.json")
    back = playbook.play(*command[3].split(), inventory=command[2], playbook=command[1])
    assert back.code == 0, back.output
    in_host("web2", command[4])
    assert versions() == ["2", "2", "2"]
    assert not in_host("web2", f"ls {lease} 2> /dev/null || true")
    # Without that, what a refusal names frees the host.
    in_host("web2", f"mv /root/lease.json {lease}")
    free(inventory)
    assert not in_host("web2", f"ls {lease} 2> /dev/null || true")


def test_a_killed_controller_blocks_only_until_its_lock_ends(host, inventory, figure):
    process = begin(inventory, "5", "-e", "update_lock_seconds=20")
    until("the first host has it", 90, lambda: "5" in versions())
    for child in [process.pid, *playbook.descendants(process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    process.communicate()
    lease = "python3 -c \"import json, time; x = json.load(open('/var/lib/hypercode/fleet/lease.json'));"
    left = float(in_host("web3", f"{lease} print(x['renewed'] + x['seconds'] - time.time())\""))
    # That another update is kept out until then, the second test has shown.
    time.sleep(max(0.0, left))
    began = time.monotonic()
    done = update(inventory, "5")
    assert done.code == 0, done.output
    assert versions() == ["5", "5", "5"]
    figure("the same command finishes after its controller was killed", f"{time.monotonic() - began:.0f} s")
