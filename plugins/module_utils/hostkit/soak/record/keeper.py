# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps the canary: has it written, read and taken away, and remembers where it is."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from ...backup.stack import POSTGRES, REDIS, kind_of
from ...watch.roster import Facts
from .child import Children

WRITE, CHECK, REMOVE = "write", "check", "remove"
OK, UNREACHABLE = "ok", "unreachable"
_TIMEOUT = 180.0


class Keeper:
    """Of one run. `state` is kept between runs of the daemon."""

    def __init__(self, run: str, state: dict[str, Any], children: Children) -> None:
        self._run, self._children = run, children
        self._state = state.setdefault("canary", {"value": secrets.token_hex(16), "written": []})
        self._said: dict[str, str] | None = None

    def take(self) -> dict[str, str] | None:
        """How it stands in each store, where that was looked at since the last time."""
        said, self._said = self._said, None
        return said

    def ask(self, verb: str, running: Iterable[Facts]) -> None:
        """Check it, or remove it. Where it is not yet, a check writes it."""
        servers = {
            f"{kind_of(facts.image)}/{facts.service}": f"{kind_of(facts.image)}={facts.id}"
            for facts in running
            if kind_of(facts.image) in (POSTGRES, REDIS)
        }
        written = self._state["written"]
        fresh = [name for name in servers if name not in written] if verb == CHECK else []
        for what, names in ((verb, [name for name in written if name in servers]), (WRITE, fresh)):
            if names:
                words = [f"{name}={servers[name]}" for name in names]
                done = self._written if what == WRITE else self._read
                argv = ["canary", what, self._run, self._state["value"], *words]
                self._children.add(argv, done, _TIMEOUT, f"canary {what}")
        if verb == CHECK:
            self._hear({name: UNREACHABLE for name in written if name not in servers})

    def _written(self, found: dict[str, Any] | None) -> None:
        good = {name: how for name, how in (found or {}).items() if how == OK}
        self._state["written"] = sorted({*self._state["written"], *good})
        self._hear(good)

    def _read(self, found: dict[str, Any] | None) -> None:
        self._hear(found or {})

    def _hear(self, found: dict[str, str]) -> None:
        if found:
            self._said = {**(self._said or {}), **found}
