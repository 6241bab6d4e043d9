# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order in which services start: levels of a dependency graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping

Graph = Mapping[str, Collection[str]]


class CycleError(ValueError):
    """Services wait for each other. ``cycle`` names them in order, the first one again at the end."""

    def __init__(self, cycle: list[str]) -> None:
        super().__init__(" -> ".join(cycle))
        self.cycle = cycle


def levels(graph: Graph) -> list[list[str]]:
    """Levels in start order: each service stands in a later level than all it depends on; sorted inside a level.

    ``graph`` maps a service to what it depends on; names that are no key of it are left out. Raises CycleError.
    """
    waiting = {name: {d for d in dependencies if d in graph} for name, dependencies in graph.items()}
    result: list[list[str]] = []
    while waiting:
        ready = sorted(name for name, dependencies in waiting.items() if not dependencies)
        if not ready:
            raise CycleError(_cycle(waiting))
        for name in ready:
            del waiting[name]
        for dependencies in waiting.values():
            dependencies.difference_update(ready)
        result.append(ready)
    return result


def reverse(order: list[list[str]]) -> list[list[str]]:
    """The stop order for a start order."""
    return [list(reversed(level)) for level in reversed(order)]


def cycles(graph: Graph) -> list[list[str]]:
    """Every separate loop, each once, as ``[a, b, a]``; empty when there is none."""
    remaining = {name: {d for d in dependencies if d in graph} for name, dependencies in graph.items()}
    found = []
    while True:
        try:
            levels(remaining)
        except CycleError as exc:
            found.append(exc.cycle)
            # One link less opens this loop; what still hangs after that is another one.
            remaining[exc.cycle[0]].discard(exc.cycle[1])
        else:
            return found


def _cycle(waiting: Graph) -> list[str]:
    # Every service left waits for another one left, so walking on must come back.
    name = min(waiting)
    seen: list[str] = []
    while name not in seen:
        seen.append(name)
        name = min(waiting[name])
    loop = seen[seen.index(name) :]
    start = loop.index(min(loop))
    loop = loop[start:] + loop[:start]
    return [*loop, loop[0]]
