# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is looked at in each service beside what the watch counts: open files, sockets, and lines of its log."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...engine import Engine, EngineError
from ...watch.roster import Facts

# Of a container that has more processes, the first count.
PROCESSES = 64
# Of each container, between two samples: so many lines, and bytes, are looked at.
LINES, BYTES = 2000, 512 * 1024
# A line says how bad it is at its beginning. Further on, the words may be anything.
HEAD = 200
_LEVEL = re.compile(rb'"(?:level|severity|lvl|levelname|log\.level)"\s*:\s*"?(\w+)', re.IGNORECASE)
_BAD = (b"error", b"exception", b"critical", b"fatal", b"traceback", b"panic", b"alert", b"emerg")
# "error=0" and "error: none" say that there is none.
_WORDS = re.compile(
    rb"\b(?:error|exception|critical|fatal|traceback|panic)\b(?!\"?\s*[=:]\s*\"?(?:0|none|null|nil|false)\b)",
    re.IGNORECASE,
)


def open_files(facts: Facts, root: Path = Path("/")) -> dict[str, int]:
    """How many descriptors the processes of a container have, and how many sockets its network. Unknown is left out."""
    if facts.places is None or not facts.pid:
        return {}
    folder = facts.places.folders.get("") or facts.places.folders.get("pids") or facts.places.folders.get("memory", "")
    total, known = 0, False
    for pid in _processes(folder):
        number = _descriptors(root / f"proc/{pid}/fd")
        if number is not None:
            total, known = total + number, True
    found = {"descriptors": total} if known else {}
    sockets = _sockets(root / f"proc/{facts.pid}/net/sockstat") if facts.places.network else None
    return found | ({} if sockets is None else {"sockets": sockets})


def _processes(folder: str) -> list[str]:
    with suppress(OSError):
        return Path(folder, "cgroup.procs").read_text(encoding="ascii").split()[:PROCESSES]
    return []


def _descriptors(folder: Path) -> int | None:
    with suppress(OSError):
        # Since Linux 6.2 its size is their number.
        return folder.stat().st_size or len(os.listdir(folder))  # noqa: PTH208  As little as can be.
    return None


def _sockets(path: Path) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        return int(path.read_text(encoding="ascii").split()[2])
    return None


def count_lines(engine: Engine, containers: Iterable[Facts], since: float) -> list[dict[str, Any]]:
    """The key `logs` of a sample: of each service its lines since a moment (seconds since 1970), and the errors."""
    found: dict[str, list[int]] = {}
    for facts in containers:
        try:
            data = engine.lines_since(facts.id, since, LINES, BYTES)
        except EngineError:
            continue
        both = found.setdefault(facts.service, [0, 0])
        for line in data.splitlines():
            both[0] += 1
            both[1] += is_error(line)
    return [{"service": name, "lines": lines, "errors": errors} for name, (lines, errors) in sorted(found.items())]


def is_error(line: bytes) -> bool:
    """Whether a line of a log tells of an error. Its content goes nowhere."""
    if line.lstrip()[:1] == b"{":
        level = _LEVEL.search(line[:4096])
        if level is not None:
            return level[1].lower().startswith(_BAD)
    return _WORDS.search(line[:HEAD]) is not None
