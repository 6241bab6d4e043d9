"""Machines around the hosts of a bed: a private network beside the public one, and a prober on each.

The prober `outsider` is on the public network, `neighbour` on the private one. They run nothing until they are told to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from . import hosts, images
from .hosts import LABEL, Bed
from .shell import docker, step

PRIVATE = ("198.51.100.192/27", "2001:db8:53::/64")
_PRIVATE_PREFIX = "198.51.100."
_HOST_OFFSET = 203  # web1 has .203 on the private network
_NEIGHBOUR, _OUTSIDER_OFFSET = "198.51.100.196", 4


def private_network(bed: Bed) -> str:
    return f"{bed.network}-private"


def private_address(index: int) -> str:
    return f"{_PRIVATE_PREFIX}{_HOST_OFFSET + index}"


def up(bed: Bed, names: list[str]) -> None:
    """Put the hosts on the private network as well, and start the probers. What is there already stays."""
    image = images.prober_image()
    with step("Adding a private network, and probers on both"):
        private = private_network(bed)
        if not docker("network", "ls", "--quiet", "--filter", f"name=^{private}$"):
            # Its name comes after that of the public one, which so keeps the hosts' default route. Not `--internal`:
            # the outer engine would drop what the neighbour sends to other addresses of the hosts.
            label = ("--label", f"{LABEL}={bed.name}")
            subnets = [word for subnet in PRIVATE for word in ("--subnet", subnet)]
            docker("network", "create", *label, "--ipv6", *subnets, private)
        for index, name in enumerate(names):
            container = bed.container(name)
            if private not in docker("inspect", "--format", "{{json .NetworkSettings.Networks}}", container):
                docker("network", "connect", "--ip", private_address(index), private, container)
        for name, network in (("outsider", bed.network), ("neighbour", private)):
            if hosts.state_of(bed.container(name)) != "running":
                _start(bed, name, network, image)


@contextlib.contextmanager
def prober(bed: Bed) -> Iterator[str]:
    """Have the outsider look at a bed that was made without it; the name of its container."""
    _start(bed, "outsider", bed.network, images.prober_image())
    try:
        yield bed.container("outsider")
    finally:
        docker("rm", "--force", bed.container("outsider"))


def _start(bed: Bed, name: str, network: str, image: str) -> None:
    docker("rm", "--force", bed.container(name), check=False)
    address = bed.at(_OUTSIDER_OFFSET) if network == bed.network else _NEIGHBOUR
    docker(
        *f"run --detach --init --name {bed.container(name)} --hostname {name}".split(),
        *f"--network {network} --ip {address} --label {LABEL}={bed.name}".split(),
        *"--cap-add NET_ADMIN --cap-add NET_RAW".split(),
        *(image, "sleep", "infinity"),
    )
