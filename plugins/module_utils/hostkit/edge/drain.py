# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Has a load balancer send requests elsewhere: by a file that Caddy looks for each time it is asked.

The file says who wants it so. An update lifts its own drain, and leaves an operator's alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..files import FileError, explain, write_file
from ..journal import Journal
from .layout import DRAINED, Paths

FOR_UPDATE = b"update\n"


def is_drained(paths: Paths, *, for_update: bool = False) -> bool:
    """Whether this host is drained; with `for_update`, whether an update did it. Raises FileError."""
    try:
        return paths.at(DRAINED).read_bytes() == FOR_UPDATE or not for_update
    except FileNotFoundError:
        return False
    except OSError as error:
        raise explain(DRAINED, "read", error) from error


def drain(paths: Paths, *, for_update: bool = False) -> bool:
    """Drain this host. False where an operator has done so and an update would. Raises FileError."""
    if for_update and is_drained(paths) and not is_drained(paths, for_update=True):
        return False
    write_file(paths.at(DRAINED), FOR_UPDATE if for_update else b"", mode=0o644)
    return True


def undrain(paths: Paths, *, for_update: bool = False) -> bool:
    """Undrain this host; with `for_update`, where an update has drained it. True where it did. Raises FileError."""
    if for_update and not is_drained(paths, for_update=True):
        return False
    try:
        paths.at(DRAINED).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise explain(DRAINED, "removed", error) from error
    return True


@dataclass
class UpdateDrain:
    """The drain of an update, as the rollout lifts it that it was made for. What goes wrong is in the journal."""

    paths: Paths
    journal: Journal
    _was_lifted: bool = field(init=False, default=False)

    def lift(self) -> None:
        """This host serves: have requests sent here again."""
        try:
            if undrain(self.paths, for_update=True):
                self._was_lifted = True
                self.journal.write("undrained")
        except FileError as error:
            self.journal.write("edge not undrained", reason=str(error))

    def put_back(self) -> None:
        """What came up is bad after all: no more requests here, until what was before is up."""
        try:
            if self._was_lifted and drain(self.paths, for_update=True):
                self.journal.write("drained again")
        except FileError as error:
            self.journal.write("edge not drained", reason=str(error))
