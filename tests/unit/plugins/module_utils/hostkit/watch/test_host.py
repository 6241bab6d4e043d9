# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the daemon says of the host's network and of the release in use."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.exposition import samples_in
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths, Release, Store
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.host import (
    Mount,
    ReleaseReader,
    filesystem_lines,
    mounts_in,
    network_lines,
)

HEADINGS = "Inter-|   Receive                                                |  Transmit\n face |bytes ...\n"
NAMES = ("size_bytes", "avail_bytes", "files", "files_free", "readonly")
OLD, NEW, NEWER = (f"20261130T0{hour}0000Z-0123456{hour}" for hour in (1, 2, 3))


def test_the_network_is_that_of_the_host_and_not_of_containers(tmp_path: Path) -> None:
    place = tmp_path / "proc/1/net/dev"
    place.parent.mkdir(parents=True)
    place.write_text(
        HEADINGS
        + "    lo: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n"
        + "  eth0: 9007199254740992 2 0 0 0 0 0 0 34 2 0 0 0 0 0 0\n"
        + "vethab12:9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n"
        + "br-1:12:5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n"
        + "torn"
    )
    found = {(name, labels["device"]): value for name, labels, value in samples_in("\n".join(network_lines(tmp_path)))}
    assert found == {
        ("hypercode_host_network_receive_bytes_total", "eth0"): 9007199254740992,
        ("hypercode_host_network_transmit_bytes_total", "eth0"): 34,
        ("hypercode_host_network_receive_bytes_total", "br-1:12"): 5,
        ("hypercode_host_network_transmit_bytes_total", "br-1:12"): 6,
    }


@pytest.mark.parametrize("text", [None, "", HEADINGS])
def test_a_network_of_which_nothing_is_known_has_no_metrics(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "proc/1/net").mkdir(parents=True)
        (tmp_path / "proc/1/net/dev").write_text(text)
    assert network_lines(tmp_path) == []


def test_of_this_machine_it_tells_what_the_kernel_counts() -> None:
    devices = {labels["device"] for _name, labels, _value in samples_in("\n".join(network_lines()))}
    there = [
        path for path in Path("/sys/class/net").iterdir() if path.name != "lo" and not path.name.startswith("veth")
    ]
    # Process 1 may have another network than this test, in a container that shares processes.
    assert devices or not there


MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda1 rw,discard
28 27 254:0 /x /srv/again ro,relatime - ext4 /dev/vda1 rw,discard
29 27 254:16 / /srv/my\\040data rw,relatime shared:1 master:2 - xfs /dev/vdb ro
30 27 0:21 / /proc rw - proc proc rw
31 27 0:40 / /mnt/far rw - nfs4 far:/export rw
32 27 7:0 / /snap/core ro - squashfs /dev/loop0 ro
33 27 0:50 / /tank rw - zfs tank rw
34 27 254:32 /hosts /etc/hosts rw - ext4 /dev/vdc rw
35 27 254:32 /very/long /var/lib/docker rw - ext4 /dev/vdc rw
torn line
36 27 0:1 / /x rw - ext4
"""


def test_the_disks_of_the_host_each_once_and_nothing_that_may_hang() -> None:
    assert mounts_in(MOUNTS, lambda place: place != "/etc/hosts") == [
        Mount("/dev/vda1", "ext4", "/", False, "254:0"),
        Mount("/dev/vdb", "xfs", "/srv/my data", True, "254:16"),
        Mount("tank", "zfs", "/tank", False, "0:50"),
        Mount("/dev/vdc", "ext4", "/var/lib/docker", False, "254:32"),
    ]


def test_how_full_they_are_is_what_the_kernel_says(tmp_path: Path) -> None:
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "srv/my data").mkdir(parents=True)
    here = tmp_path.stat().st_dev
    number = f"{os.major(here)}:{os.minor(here)}"
    (tmp_path / "proc/1/mountinfo").write_text(MOUNTS.replace("254:16", number).replace("254:0", number))
    found = list(samples_in("\n".join(filesystem_lines(tmp_path))))
    labels = {"device": "/dev/vdb", "fstype": "xfs", "mountpoint": "/srv/my data"}
    mine = {name: value for name, own, value in found if own == labels}
    state = os.statvfs(tmp_path)
    assert mine["hypercode_host_filesystem_size_bytes"] == state.f_blocks * state.f_frsize
    assert 0 < mine["hypercode_host_filesystem_avail_bytes"] <= mine["hypercode_host_filesystem_size_bytes"]
    assert mine["hypercode_host_filesystem_files"] == state.f_files
    assert mine["hypercode_host_filesystem_readonly"] == 1
    assert mine.keys() == {f"hypercode_host_filesystem_{name}" for name in NAMES}
    # Those that cannot be looked at are left out.
    assert {own["mountpoint"] for _name, own, _value in found} == {"/", "/srv/my data"}


def test_a_disk_that_is_hidden_from_the_service_is_left_out_and_not_told_as_another_one(tmp_path: Path) -> None:
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "mnt/late").mkdir(parents=True)
    (tmp_path / "proc/1/mountinfo").write_text("40 27 7:99 / /mnt/late rw - ext4 /dev/loop99 rw\n")
    assert filesystem_lines(tmp_path) == []


def test_disks_of_which_nothing_is_known_have_no_metrics(tmp_path: Path) -> None:
    assert filesystem_lines(tmp_path) == []
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "proc/1/mountinfo").write_text("torn")
    assert filesystem_lines(tmp_path) == []


def made(store: Store, release_id: str, **about: Any) -> Release:
    folder = store.paths.releases / release_id
    folder.mkdir(parents=True, exist_ok=True)
    document = {"id": release_id, "project": "shop", "version": "1.0", "status": "done", "services": {}, "order": []}
    (folder / "release.json").write_text(json.dumps(document | about))
    return Release(folder)


def how(reader: ReleaseReader) -> tuple[str, str]:
    found = reader.read()
    assert found is not None
    return found.release, found.how


def test_the_release_in_use_and_how_it_came(tmp_path: Path) -> None:
    store = Store(Paths(tmp_path))
    reader = ReleaseReader(store)
    assert reader.lines() == []
    old = made(store, OLD, in_use_since="then", version='1.0 "final"\n')
    store.switch(old)
    os.utime(store.paths.current, (1700000000.25, 1700000000.25), follow_symlinks=False)
    name = {"project": "shop", "release": OLD, "how": "rollout"}
    assert list(samples_in("\n".join(reader.lines()))) == [
        ("hypercode_stack_release_info", name | {"version": '1.0 "final"\n'}, 1.0),
        ("hypercode_stack_release_timestamp_seconds", name, 1700000000.25),
    ]
    # The next one is written long before it is in use.
    new = made(store, NEW, status="prepared")
    assert how(reader) == (OLD, "rollout")
    store.switch(new)
    made(store, NEW, in_use_since="now", status="running")
    assert how(reader) == (NEW, "rollout")


@pytest.mark.parametrize("later", [{"status": "reverted"}, {"status": "done", "in_use_since": "now"}])
def test_an_older_release_that_came_back_is_a_rollback(tmp_path: Path, later: dict[str, str]) -> None:
    store = Store(Paths(tmp_path))
    reader = ReleaseReader(store)
    store.switch(made(store, OLD))
    # One that was refused before it was in use changes nothing.
    made(store, NEW, status="failed")
    assert how(reader) == (OLD, "rollout")
    made(store, NEWER, **later)
    assert how(reader) == (OLD, "rollback")


def test_one_that_cannot_be_read_now_is_what_it_was(tmp_path: Path) -> None:
    store = Store(Paths(tmp_path))
    reader = ReleaseReader(store)
    release = made(store, OLD)
    store.switch(release)
    assert how(reader) == (OLD, "rollout")
    (release.folder / "release.json").write_text("{")
    assert how(reader) == (OLD, "rollout")
    assert ReleaseReader(store).read() is None
