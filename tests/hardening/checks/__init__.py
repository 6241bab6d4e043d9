"""All points, in the order of the page."""

from __future__ import annotations

from ..points import Point
from . import (
    accounts,
    containers,
    daemon,
    engine_files,
    files,
    firewall,
    images,
    kernel,
    machine,
    services,
    sshd,
    upkeep,
)

POINTS: tuple[Point, ...] = (
    *machine.POINTS,
    *kernel.POINTS,
    *upkeep.POINTS,
    *services.POINTS,
    *firewall.POINTS,
    *sshd.POINTS,
    *accounts.POINTS,
    *files.POINTS,
    *daemon.POINTS,
    *engine_files.POINTS,
    *images.POINTS,
    *containers.POINTS,
)
