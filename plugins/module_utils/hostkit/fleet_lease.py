# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps two updates of a fleet apart: a lease on each host, that ends by itself when its holder is gone.

A lease is a small file. It holds for a number of seconds by the clock of the host, from when it was renewed last. The
kernel lock in release.py goes on keeping two rollouts on one host apart; this one spans the pauses between them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .files import FileError, explain, read_file, write_file

FOLDER = Path("/var/lib/hypercode/fleet")
FREE = "ansible hypercode --become -m hypercode.deploy.fleet_lock -a 'state=absent force=true'"


@dataclass(frozen=True)
class Lease:
    """Who holds the fleet. Times are seconds since 1970 by the clock of this host.

    `owner` tells one run from another, `who` is for people.
    """

    owner: str
    who: str
    since: float
    renewed: float
    seconds: int

    def left(self, now: float) -> float:
        """Seconds until it ends; 0 when it has."""
        return max(0.0, self.renewed + self.seconds - now)


class LeaseHeldError(Exception):
    """Another run holds the fleet; the text says who, since when, until when, and how to free it."""

    def __init__(self, lease: Lease, now: float, host: str) -> None:
        self.lease = lease
        super().__init__(
            f"{host} is locked by another update: {lease.who}, since {_clock(lease.since)}. Its lock ends at "
            f"{_clock(now + lease.left(now))} ({lease.left(now):.0f} s) unless it goes on. "
            f"Fix: wait for it; or, when it is dead, free the fleet now, with your -i: {FREE}"
        )


class LeaseLostError(Exception):
    """The lease of this run is over, and perhaps somebody else's; the text says so."""


@dataclass
class Leases:
    """The lease of this host. `now` is the clock, `host` its name in messages."""

    folder: Path = FOLDER
    now: Callable[[], float] = time.time
    host: str = "this host"

    @property
    def path(self) -> Path:
        return self.folder / "lease.json"

    def take(self, owner: str, who: str, seconds: int) -> Lease:
        """Take the lease, or renew it where it is ours. Raises LeaseHeldError when it is somebody else's and holds."""
        with self._alone():
            found, now = self._held(write=True), self.now()
            if found and found.owner != owner:
                raise LeaseHeldError(found, now, self.host)
            lease = Lease(owner, who, found.since if found else now, now, seconds)
            self._write(lease)
            return lease

    def renew(self, owner: str, seconds: int) -> Lease:
        """Renew our lease. Raises LeaseHeldError when another run has it, LeaseLostError when nobody has.

        One that ended and that nobody took meanwhile is renewed: nothing happened in between.
        """
        with self._alone():
            found, now = self._read(), self.now()
            if found is None:
                raise LeaseLostError(
                    f"The lock of this update on {self.host} is gone: somebody freed it. Fix: see that no other update "
                    "is at work, then run the same command again"
                )
            if found.owner != owner:
                raise LeaseHeldError(found, now, self.host)
            lease = replace(found, renewed=now, seconds=seconds)
            self._write(lease)
            return lease

    def look(self, owner: str) -> None:
        """Raise LeaseHeldError where `take` would. Writes nothing."""
        found = self._held(write=False)
        if found and found.owner != owner:
            raise LeaseHeldError(found, self.now(), self.host)

    def free(self, owner: str, *, force: bool = False) -> bool:
        """Give the lease back; True when there was one. Another run's stays, but with `force`."""
        if not self.path.exists():
            return False
        with self._alone():
            found = self._read()
            if found and found.owner != owner and not force:
                return False
            return self._remove()

    def holder(self) -> Lease | None:
        """Return the lease that holds; None when the host is free. Writes nothing."""
        return self._held(write=False)

    def _held(self, *, write: bool) -> Lease | None:
        """Return the lease in the file while it holds.

        A lease from the future means that the clock was set back. It must not hold for as long as the clock was wrong:
        from now on it has its length once more.
        """
        found, now = self._read(), self.now()
        if found is None:
            return None
        if found.renewed > now:
            found = replace(found, since=min(found.since, now), renewed=now)
            if write:
                self._write(found)
        return found if found.left(now) > 0 else None

    def _read(self) -> Lease | None:
        """Return what the file says; nothing where there is none, or it is damaged: that must block nobody."""
        try:
            document: dict[str, Any] = json.loads(read_file(self.path))
            return Lease(
                owner=str(document["owner"]),
                who=str(document["who"]),
                since=float(document["since"]),
                renewed=float(document["renewed"]),
                seconds=int(document["seconds"]),
            )
        except FileError:
            if self.path.exists():
                raise
            return None
        except (ValueError, TypeError, KeyError, OverflowError):
            return None

    def _write(self, lease: Lease) -> None:
        write_file(self.path, (json.dumps(asdict(lease), sort_keys=True) + "\n").encode(), mode=0o644)

    def _remove(self) -> bool:
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise explain(str(self.path), "removed", error) from error
        return True

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Between looking and writing, no other process of this host does the same. The kernel frees it at a crash."""
        path = self.folder / "guard"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise explain(str(path), "opened", error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))
