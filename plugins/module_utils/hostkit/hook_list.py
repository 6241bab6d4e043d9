# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What hooks a release states: read from its release.json, and judged before it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BEFORE, AFTER, BACK = "before_rollout", "after_rollout", "before_rollback"
POINTS = (BEFORE, AFTER, BACK)
KEYS = {"service", "command", "timeout"}
DEFAULT_TIMEOUT = 300


@dataclass(frozen=True)
class Hook:
    """One command. `timeout` in seconds."""

    service: str
    command: Sequence[str]
    timeout: float = DEFAULT_TIMEOUT


def hooks_of(about: Mapping[str, Any], point: str) -> list[Hook]:
    """Return the hooks of a release for one point, given its release.json."""
    found = (about.get("hooks") or {}).get(point) or []
    return [
        Hook(
            str(entry["service"]),
            [str(word) for word in entry["command"]],
            float(entry.get("timeout") or DEFAULT_TIMEOUT),
        )
        for entry in found
    ]


def hook_lines(about: Mapping[str, Any], point: str) -> list[str]:
    """Say for a plan what runs at a point. The service is told, the command is not: it may hold anything."""
    return [f"{point} hook: a command in a container of {hook.service}" for hook in hooks_of(about, point)]


def hook_problem(hooks: Any, services: Mapping[str, Any]) -> str:
    """What is wrong with hooks as they were handed over; empty when nothing is. No value of a command is told."""
    if not isinstance(hooks, Mapping):
        return "The hooks are no mapping"
    unknown = sorted(str(point) for point in set(hooks) - set(POINTS))
    if unknown:
        return f"There is no hook '{unknown[0]}', only {', '.join(POINTS)}"
    for point, entries in hooks.items():
        if not isinstance(entries or [], list):
            return f"The hook {point} is no list"
        for number, entry in enumerate(entries or [], start=1):
            problem = _entry_problem(entry, services)
            if problem:
                return f"The hook {point}, number {number}, {problem}"
    return ""


def _entry_problem(entry: Any, services: Mapping[str, Any]) -> str:
    if not isinstance(entry, Mapping) or not {"service", "command"} <= set(entry) <= KEYS:
        return "is no mapping of service, command and timeout"
    if entry["service"] not in services:
        return f"names the service {entry['service']}, which this stack does not have"
    command = entry["command"]
    if not isinstance(command, list) or not command or not all(isinstance(word, str | int) for word in command):
        return "has a command that is no list of words"
    timeout = entry.get("timeout", DEFAULT_TIMEOUT)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
        return "has a timeout that is no number above 0"
    return ""
