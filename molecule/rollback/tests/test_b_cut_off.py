"""An update is cut off while the old and the new container run, by what no rollout outlives. Goes on with the story."""

from __future__ import annotations

from typing import Any

import pytest
from checks import playbook, stack
from checks.updated import Updated, nothing_failed, told
from checks.web import until
from testbed import hosts
from testbed.hosts import Bed
from testbed.shell import docker

BED = Bed("molecule-rollback", playbook.ROOT / ".cache" / "testbed" / "molecule-rollback", "molecule", "docker")
APP = Updated(BED)
# What the rollout and the edge write to, on a disk of 40 MB.
SMALL_DISK = """
set -eu
mkdir -p /mnt/small
mount -t tmpfs -o size=40m small /mnt/small
for folder in /opt/hypercode /var/lib/hypercode; do
  mkdir -p "/mnt/small$folder"
  cp -a "$folder/." "/mnt/small$folder/"
  mount --bind "/mnt/small$folder" "$folder"
done
"""


@pytest.fixture(autouse=True)
def story(host: Any) -> None:
    """Every test has to do with the host: testinfra then leaves them in their order."""


def test_a_power_cut(host, inventory, figure):
    with APP.in_the_middle(host, inventory, VERSION="8") as cut:
        # Every process at once, the rollout and Docker among them.
        docker("kill", BED.container("web1"))
        docker("start", BED.container("web1"))
        hosts.wait_booted(BED, "web1")
    assert cut.done.code != 0
    until("it serves again", 60, lambda: APP.version() in ("5", "8"))
    figure("after a power cut in the middle it serves", f"version {APP.version()}")
    with APP.asked() as loads:
        done = APP.update(inventory, VERSION="8")
    figure("the same command after the power cut", told(loads))
    assert done.code == 0, done.output
    nothing_failed(loads)
    assert (APP.version(), len(APP.containers(host))) == ("8", 1)
    assert APP.update(inventory, VERSION="8").changed("web1") == 0


def test_a_full_disk(host, inventory, figure):
    docker("exec", "--interactive", BED.container("web1"), "sh", "-s", stdin=SMALL_DISK)
    before = APP.version()
    # It is looked at before anything begins; it is to get full after that.
    small = ("--extra-vars", "preflight_disk_min_gb=0")
    with APP.asked() as loads, APP.in_the_middle(host, inventory, *small, VERSION="9") as cut:
        stack.root(host, "cat /dev/zero > /mnt/small/filler; test -s /mnt/small/filler")
    figure("the disk gets full while two of them run", f"exit code {cut.done.code}; {told(loads)}")
    assert cut.done.code != 0
    assert "o space left" in cut.done.output, cut.done.output
    nothing_failed(loads)
    # What it had begun is undone, as far as that takes no disk.
    assert APP.version() == before
    stack.root(host, "rm /mnt/small/filler")
    with APP.asked() as loads:
        done = APP.update(inventory, *small, VERSION="9")
    figure("the same command when there is room again", told(loads))
    assert done.code == 0, done.output
    nothing_failed(loads)
    assert (APP.version(), len(APP.containers(host))) == ("9", 1)
