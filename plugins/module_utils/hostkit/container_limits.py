# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each container of a stack used of its limits, read from the engine and from the kernel's control groups.

The engine tells memory without its peak, and throttling only at the cost of a second. So the files of the control
groups are read, of version 1 and 2, below ``root`` (``/`` on a real host). Names and units: the kernel's
documentation, cgroup-v1/memory.rst, scheduler/sched-bwc.rst and cgroup-v2.rst.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .engine import Engine
from .stack_state import containers_by_service


@dataclass(frozen=True)
class Groups:
    """Where the kernel counts for a container: the folders of its control groups."""

    memory: Path
    cpu: Path
    version: int

    def used(self) -> int | None:
        """Bytes of memory in use, without the page cache, as `docker stats` shows it; None when it is gone."""
        usage = _number(self.memory / ("memory.current" if self.version == 2 else "memory.usage_in_bytes"))
        if usage is None:
            return None
        detail = _table(self.memory / "memory.stat")
        return max(0, usage - detail.get("inactive_file" if self.version == 2 else "total_inactive_file", 0))

    def oom_kills(self) -> int | None:
        """How many of its processes the kernel has killed for memory; None where that is not told."""
        file = "memory.events" if self.version == 2 else "memory.oom_control"
        return _table(self.memory / file).get("oom_kill")

    def throttling(self) -> tuple[int, int] | None:
        """In how many periods it wanted to run since its start, and in how many of these it was stopped."""
        counted = _table(self.cpu / "cpu.stat")
        if "nr_periods" not in counted or "nr_throttled" not in counted:
            return None
        return counted["nr_periods"], counted["nr_throttled"]


@dataclass(frozen=True)
class Reading:
    """One container at one moment. Counters go up from its start; None where they cannot be read."""

    service: str
    container: str
    running: bool
    restarts: int
    started: str
    oom_killed: bool
    memory_limit: int
    cpu_limit: float
    used: int | None = None
    oom_kills: int | None = None
    throttling: tuple[int, int] | None = None


def groups_of(pid: int, root: Path = Path("/")) -> Groups | None:
    """Return the control groups of a process; None when it is gone, or when they are not mounted where they belong."""
    paths, base = paths_of(pid, root), root / "sys/fs/cgroup"
    if "memory" in paths and "cpu" in paths:
        found = Groups(base / "memory" / paths["memory"], base / "cpu" / paths["cpu"], 1)
    elif "" in paths:
        found = Groups(base / paths[""], base / paths[""], 2)
    else:
        return None
    return found if found.memory.is_dir() else None


def paths_of(pid: int, root: Path = Path("/")) -> dict[str, str]:
    """Return the path of a process in each hierarchy, by controller; that of version 2 has the empty name.

    Empty when the process is gone.
    """
    if pid <= 0:
        return {}
    try:
        lines = (root / f"proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    paths = {}
    for line in lines:
        _number_of, _colon, rest = line.partition(":")
        names, _colon, path = rest.partition(":")
        paths.update(dict.fromkeys(names.split(","), path.lstrip("/")))
    return paths


def read_containers(engine: Engine, project: str, root: Path = Path("/")) -> list[tuple[Reading, Groups | None]]:
    """Read every container of a Compose project, with where to read on. Raises EngineError."""
    found = []
    for service, containers in sorted(containers_by_service(engine.containers(project)).items()):
        for container in containers:
            groups = groups_of(int(container["State"].get("Pid") or 0), root)
            found.append((_reading(service, container, groups), groups))
    return found


def _reading(service: str, container: Mapping[str, Any], groups: Groups | None) -> Reading:
    state, settings = container["State"], container["HostConfig"]
    return Reading(
        service=service,
        container=str(container["Id"]),
        running=str(state["Status"]) == "running",
        restarts=int(container.get("RestartCount") or 0),
        started=str(state.get("StartedAt") or ""),
        oom_killed=bool(state.get("OOMKilled")),
        memory_limit=int(settings.get("Memory") or 0),
        cpu_limit=int(settings.get("NanoCpus") or 0) / 1e9,
        used=groups.used() if groups else None,
        oom_kills=groups.oom_kills() if groups else None,
        throttling=groups.throttling() if groups else None,
    )


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _table(path: Path) -> dict[str, int]:
    """Return a file of lines with a name and a number each; empty when it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {words[0]: int(words[1]) for words in pairs if len(words) == 2 and words[1].isdigit()}
