# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads repositories through, a thirtieth a time: what has not been read for longest. Daily, that is all in 30 days."""

from __future__ import annotations

from typing import Any

from ..journal import Journal
from .config import BackupError
from .facts import read_facts, write_facts
from .restic import Locked
from .run import Backup

PARTS = 30


def verify(backup: Backup, *, everything: bool = False) -> dict[str, str]:
    """Check each repository; return what is wrong with each, "" for nothing. The lock is the caller's."""
    journal = Journal(backup.paths, "journal", backup.clock)
    found = {}
    for restic in backup.repositories:
        facts = read_facts(backup.paths)
        known = facts.setdefault("repositories", {}).setdefault(restic.name, {})
        read: dict[str, float] = dict((known.get("verify") or {}).get("parts") or {})
        part = min(range(1, PARTS + 1), key=lambda number: (read.get(str(number), 0.0), number))
        failure = ""
        try:
            restic.check("100%" if everything else f"{part}/{PARTS}")
        except Locked as error:
            # Nothing was looked at, so what is known of it stays as it is.
            found[restic.name] = str(error)
            journal.write("not verified", repository=restic.name, failure=str(error))
            continue
        except BackupError as error:
            failure = str(error)
        else:
            numbers = range(1, PARTS + 1) if everything else [part]
            read.update({str(number): backup.clock() for number in numbers})
        known["verify"] = {"ended": backup.clock(), "failure": failure, "parts": read, "all_read_since": _oldest(read)}
        write_facts(backup.paths, facts)
        journal.write("verified", repository=restic.name, part="all" if everything else part, failure=failure)
        found[restic.name] = failure
    return found


def _oldest(read: dict[str, Any]) -> float:
    return float(min(read.values())) if len(read) == PARTS else 0.0
