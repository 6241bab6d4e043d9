# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings the firewall of a host to what is wanted: looks at the loaded rules, and acts only where they differ."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..files import write_file
from ..trial import Trial
from ..units import Systemd, UnitState, WantedUnit, apply_units
from .nft import FirewallError, Nft, Run
from .render import removal
from .rivals import UNITS, active_rivals, switch_off
from .trial import Trials
from .unit import NAME, UNIT, Paths


@dataclass(frozen=True)
class Wanted:
    """The texts that belong on the host."""

    rules: str
    fallback: str


@dataclass
class Difference:
    """What is there and what has to change. ``loaded`` is None without a table, ``expected`` without nft."""

    loaded: str | None
    expected: str | None
    files: list[str] = field(default_factory=list)
    unit: bool = False
    rivals: list[str] = field(default_factory=list)
    by_hand: bool = False

    @property
    def rules(self) -> bool:
        """Whether other rules are loaded than wanted."""
        return self.expected is None or self.loaded != self.expected

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.rules or self.files or self.unit or self.rivals)

    def actions(self) -> list[str]:
        """What there is to do, in words."""
        return [
            *(["load the rules"] if self.rules else []),
            *(f"write {file}" for file in self.files),
            *([f"enable and start {NAME}"] if self.unit else []),
            *(f"switch off {name}" for name in self.rivals),
        ]


class Firewall:
    """The firewall of one host. ``host`` names it in errors."""

    def __init__(self, run: Run, host: str, paths: Paths) -> None:
        self._run, self._host, self._paths = run, host, paths
        self.nft = Nft(run, host)
        self._systemd = Systemd(run, host)
        self.trials = Trials(self.nft, self._systemd, run, paths, host)

    def states(self) -> dict[str, UnitState]:
        """Our unit and those of other firewalls, in one call."""
        return self._systemd.states([NAME, *UNITS])

    def rivals(self, states: dict[str, UnitState]) -> list[str]:
        """Other firewalls in use."""
        return active_rivals(self._paths.root, states)

    def look(self, wanted: Wanted, states: dict[str, UnitState], scratch: Path) -> Difference:
        """Compare the host with what is wanted. ``scratch`` is a folder for temporary files."""
        texts = self._texts(wanted)
        files = [f"/{path.relative_to(self._paths.root)}" for path, text in texts.items() if _read(path) != text]
        unit = states[NAME]
        difference = Difference(
            None, None, files, not (unit.exists and unit.running and unit.file == "enabled"), self.rivals(states)
        )
        if not self.nft.present():
            return difference
        candidate = scratch / "rules.nft"
        candidate.write_text(wanted.rules, encoding="utf-8")
        difference.loaded = self.nft.listing()
        try:
            difference.expected = self.nft.listing_of(candidate)
        except FirewallError:
            self._check(candidate)
            raise
        # The file is what was loaded last: if it says what is wanted and the rules do not, someone else changed them.
        difference.by_hand = (
            difference.rules and difference.loaded is not None and _read(self._paths.rules) == wanted.rules
        )
        return difference

    def begin(self, wanted: Wanted, trial: Trial, loaded: str | None) -> None:
        """Load the rules on trial. The rules of the boot stay as they are until the trial is confirmed."""
        self._make_folder()
        write_file(self._paths.candidate, wanted.rules.encode(), mode=0o600)
        write_file(self._paths.folder / "fallback.candidate.nft", wanted.fallback.encode(), mode=0o600)
        # The trial load was in an empty network; here the kernel has all that there is on the host.
        self._check(self._paths.candidate)
        self.trials.start(trial, self._paths.candidate, loaded)

    def confirm(self, trial: Trial) -> bool:
        """Keep the rules that are on trial: for good, and for the boot. False when they have been undone meanwhile."""
        if not self.trials.confirm(trial):
            return False
        self.finish()
        return True

    def finish(self) -> None:
        """Write down what was confirmed. Does nothing when that is done."""
        fallback = self._paths.folder / "fallback.candidate.nft"
        if not self._paths.candidate.exists() or not fallback.exists():
            return
        self.keep(Wanted(_read(self._paths.candidate), _read(fallback)))
        for path in (self._paths.candidate, fallback):
            path.unlink(missing_ok=True)

    def keep(self, wanted: Wanted) -> None:
        """Write the files and have the unit load them at boot."""
        self._make_folder()
        # The unit refers to the others: it comes last.
        for path, text in self._texts(wanted).items():
            if _read(path) != text:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
                write_file(path, text.encode(), mode=0o644 if path == self._paths.unit else 0o600)
        states = self.states()
        stale = states[NAME].stale or not states[NAME].exists
        apply_units(
            [WantedUnit(NAME, enabled=True, state="started")], self._systemd, host=self._host, daemon_reload=stale
        )

    def replace(self, rivals: Sequence[str]) -> list[str]:
        """Switch off other firewalls, once our rules are proved."""
        return switch_off(rivals, self._run, self._systemd)

    def traces(self, states: dict[str, UnitState]) -> list[str]:
        """What there is to remove."""
        found = [str(path) for path in (self._paths.unit, self._paths.folder) if path.exists()]
        loaded = self.nft.present() and self.nft.listing() is not None
        enabled = states[NAME].exists and states[NAME].file == "enabled"
        return [
            *(["the table inet hypercode"] if loaded else []),
            *([NAME] if enabled or (states[NAME].exists and states[NAME].running) else []),
            *found,
        ]

    def remove(self, states: dict[str, UnitState]) -> None:
        """Take away the table, the unit and the files. Other tables stay."""
        self.trials.forget()
        if states[NAME].exists:
            apply_units([WantedUnit(NAME, enabled=False, state="stopped")], self._systemd, host=self._host)
        if self.nft.present() and self.nft.listing() is not None:
            self._make_folder()
            write_file(self._paths.candidate, removal().encode(), mode=0o600)
            self.nft.load(self._paths.candidate)
        for folder in (self._paths.folder, self._paths.trial):
            shutil.rmtree(folder, ignore_errors=False) if folder.exists() else None
        if self._paths.unit.exists():
            self._paths.unit.unlink()
            self._systemd.reload_files()

    def _texts(self, wanted: Wanted) -> dict[Path, str]:
        return {self._paths.fallback: wanted.fallback, self._paths.rules: wanted.rules, self._paths.unit: UNIT}

    def _check(self, file: Path) -> None:
        problem = self.nft.problem(file)
        if problem:
            raise FirewallError(
                f"nft on {self._host} refuses the rules: {problem} Nothing was changed. Fix: this is a fault of ours;"
                " report it with your firewall_ variables and the version of nft"
            )

    def _make_folder(self) -> None:
        self._paths.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        self._paths.folder.mkdir(exist_ok=True, mode=0o700)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
