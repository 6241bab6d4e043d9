# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tries rules out: a timer on the host puts the old ones back, unless someone confirms over a new connection."""

from __future__ import annotations

from pathlib import Path

from .. import trial
from ..files import write_file
from ..trial import Trial
from ..units import Systemd
from .nft import FirewallError, Nft, Run
from .render import removal
from .unit import Paths


class Trials(trial.Trials):
    """The trial of rules on a host."""

    tried = "rules"
    error = FirewallError

    def __init__(self, nft: Nft, systemd: Systemd, run: Run, paths: Paths, host: str) -> None:
        super().__init__(systemd, run, paths.trial, host)
        self._nft, self._rules = nft, paths.rules

    def undo_lines(self) -> str:
        return "nft -f undo.nft"

    def undo_now(self) -> None:
        self._nft.load(self._folder / "undo.nft")

    def start(self, trial: Trial, candidate: Path, before: str | None) -> None:
        """Load the candidate. ``before`` is the listing of the rules that are loaded now, to go back to."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write_undo(before)
        self.begin(trial, lambda: self._nft.load(candidate))

    def _write_undo(self, before: str | None) -> None:
        """What is loaded now is what to go back to; where nft cannot read its own listing, the rules of the boot."""
        undo = self._folder / "undo.nft"
        write_file(undo, (removal() + (before or "")).encode(), mode=0o600)
        problem = self._nft.problem(undo)
        if not problem:
            return
        if self._rules.exists() and not self._nft.problem(self._rules):
            write_file(undo, self._rules.read_bytes(), mode=0o600)
            return
        raise FirewallError(
            f"There would be no way back on {self._host}: nft cannot load the rules that it listed ({problem}). Nothing"
            f" was changed. Fix: see {undo}; 'nft delete table inet hypercode' clears the way"
        )
