# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether there is memory for second containers, and for how many at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

# A program that starts may need more than it does later, and the host some for itself.
FACTOR = 1.5
SPARE_BYTES = 64 * 2**20

_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that new programs can have without swapping, as the kernel reckons; None where it does not say."""
    try:
        found = _AVAILABLE.search((root / "proc/meminfo").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return int(found[1]) * 1024 if found else None


def groups_that_fit(use: Sequence[int], free: int | None) -> list[list[int]]:
    """Places in ``use`` (bytes that each takes now) in groups that fit beside what runs, in their order.

    One that fits not even alone is in no group. Where nobody knows what is free, all are in one.
    """
    if free is None:
        return [list(range(len(use)))] if use else []
    groups: list[list[int]] = []
    room = 0.0
    for place, taken in enumerate(use):
        need = taken * FACTOR
        if need > free - SPARE_BYTES:
            continue
        if not groups or need > room:
            groups.append([])
            room = float(free - SPARE_BYTES)
        groups[-1].append(place)
        room -= need
    return groups
