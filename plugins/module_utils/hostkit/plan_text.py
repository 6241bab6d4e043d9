# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a rollout for a person: what is done to which service, in which order, and how long it will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .plan_changes import STARTS_FIRST

# What a container takes from its start until Docker calls it healthy, as a rule; and what replacing one adds to that.
START_SECONDS, REPLACE_SECONDS = 5.0, 5.0


def plan_text(
    actions: Mapping[str, str],
    reason: str,
    order: Sequence[Sequence[str]],
    about: Mapping[str, Any],
    first: Sequence[str] = (),
    last: Sequence[str] = (),
) -> str:
    """Return the plan as a text, with why it is done in its first line; the rest is as in plan_lines."""
    lines = [f"plan ({reason}):", *plan_lines(actions, order, about, first, last)]
    return "".join(f"{line}\n" for line in lines)


def plan_lines(
    actions: Mapping[str, str],
    order: Sequence[Sequence[str]],
    about: Mapping[str, Any],
    first: Sequence[str] = (),
    last: Sequence[str] = (),
) -> list[str]:
    """Return lines, in the order of the work. ``about`` has its settings; ``first`` and ``last`` say what hooks do."""
    lines = [*first]
    named = [name for level in order for name in level]
    for number, level in enumerate((level for level in order if any(name in actions for name in level)), 1):
        lines += [f"{number}. {name}: {actions[name]}" for name in level if name in actions]
    lines += [f"{name}: {action}" for name, action in actions.items() if name not in named]
    took = expected(actions, order, about)
    return [*lines, *last, *([took] if took else [])]


def expected(actions: Mapping[str, str], order: Sequence[Sequence[str]], about: Mapping[str, Any]) -> str:
    """How long it will take, as a line; empty where no container is touched."""
    least = most = 0.0
    for level in order:
        todo = [actions[name] for name in level if actions.get(name, "").startswith(("replace", "start", "repair"))]
        if not todo:
            continue
        first = any(action.endswith(STARTS_FIRST) for action in todo)
        begin = START_SECONDS + (float(about.get("min_healthy") or 0) if first else REPLACE_SECONDS)
        least += begin
        most += begin + (float(about.get("drain_timeout") or 0) if first else 0.0)
    if not least:
        return ""
    replaces = any(action.startswith("replace") for action in actions.values())
    watched = float(about.get("bake") or 0) if replaces else 0.0
    span = f"{_time(least)}" if most == least else f"{_time(least)} to {_time(most)}"
    return f"expected: {span}" + (f", then it is watched for {_time(watched)}" if watched else "")


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
