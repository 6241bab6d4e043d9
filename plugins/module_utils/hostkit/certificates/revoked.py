# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Caddy has learnt by OCSP: that a CA has revoked a certificate. It says so in its log, and nowhere else.

It then replaces the certificate by itself, and tries again and again where that fails. Whoever has a new one since is
told so by the time at which its file was written. A CA without OCSP, as Let's Encrypt, tells Caddy nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..command import CommandResult, run_command
from .caddy import UNIT

Run = Callable[..., CommandResult]
# Caddy tries again after 6 hours at most, and says each time that it is forced to.
_WITHIN = 7 * 3600
_SAID = "is REVOKED|renewal is being forced"
_TIMEOUT = 20.0


def told_revoked(now: float, run: Run = run_command) -> dict[str, float]:
    """When Caddy last said of a name that its certificate is revoked, in seconds since 1970. Nothing without a log."""
    words = ["journalctl", "--unit", UNIT, "--since", f"@{int(now - _WITHIN)}", "--grep", _SAID]
    done = run([*words, "--output", "cat", "--quiet", "--no-pager"], timeout=_TIMEOUT)
    found: dict[str, float] = {}
    for name, moment in _entries(done.stdout.splitlines()):
        found[name] = max(moment, found.get(name, 0.0))
    return found


def _entries(lines: Iterable[str]) -> Iterator[tuple[str, float]]:
    for line in lines:
        try:
            entry: Any = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("ts"), int | float):
            for name in (entry.get("identifier"), *(entry.get("identifiers") or ())):
                if isinstance(name, str):
                    yield name, float(entry["ts"])
