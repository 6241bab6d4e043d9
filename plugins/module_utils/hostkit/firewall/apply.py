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
from .beside import render_beside
from .nft import FirewallError, Nft, Run
from .render import removal, render, render_fallback
from .rivals import UNITS, active_rivals, switch_off
from .settings import HostView, Settings
from .trial import Trials
from .unit import BESIDE, BESIDE_UNIT, NAME, UNIT, Paths

OURS = (NAME, BESIDE)


@dataclass(frozen=True)
class Wanted:
    """The texts that belong on the host, and the interfaces that those of ``beside`` need."""

    rules: str
    fallback: str
    beside: str = ""
    interfaces: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings, host: HostView) -> Wanted:
        """What the settings make of a host."""
        interfaces = host.interfaces if settings.filter_macvlan else ()
        return cls(render(settings, host), render_fallback(host), render_beside(settings, host), interfaces)

    @property
    def all_rules(self) -> str:
        """Everything that is loaded, in one transaction."""
        return self.rules + self.beside


@dataclass
class Difference:
    """What is there and what has to change. ``loaded`` is None without a table, ``expected`` without nft."""

    loaded: str | None
    expected: str | None
    files: list[str] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    rivals: list[str] = field(default_factory=list)
    by_hand: bool = False

    @property
    def rules(self) -> bool:
        """Whether other rules are loaded than wanted."""
        return self.expected is None or self.loaded != self.expected

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.rules or self.files or self.units or self.rivals)

    def actions(self) -> list[str]:
        """What there is to do, in words."""
        return [
            *(["load the rules"] if self.rules else []),
            *(f"write {file}" for file in self.files),
            *(f"enable and start {name}" for name in self.units),
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
        """Our units and those of other firewalls, in one call."""
        return self._systemd.states([*OURS, *UNITS])

    def rivals(self, states: dict[str, UnitState]) -> list[str]:
        """Other firewalls in use."""
        return active_rivals(self._paths.root, states)

    def look(self, wanted: Wanted, states: dict[str, UnitState], scratch: Path) -> Difference:
        """Compare the host with what is wanted. ``scratch`` is a folder for temporary files."""
        texts = self._texts(wanted)
        files = [f"/{path.relative_to(self._paths.root)}" for path, text in texts.items() if _read(path) != text]
        units = [
            name
            for name in OURS
            if not (states[name].exists and states[name].running and states[name].file == "enabled")
        ]
        difference = Difference(None, None, files, units, self.rivals(states))
        if not self.nft.present():
            return difference
        candidate = scratch / "rules.nft"
        candidate.write_text(wanted.all_rules, encoding="utf-8")
        difference.loaded = self.nft.listing()
        try:
            difference.expected = self.nft.listing_of(candidate, wanted.interfaces)
        except FirewallError:
            self._check(candidate)
            raise
        # The file is what was loaded last: if it says what is wanted and the rules do not, someone else changed them.
        difference.by_hand = (
            difference.rules
            and difference.loaded is not None
            and (_read(self._paths.rules), _read(self._paths.interfaces)) == (wanted.rules, wanted.beside)
        )
        return difference

    def begin(self, wanted: Wanted, trial: Trial, loaded: str | None) -> None:
        """Load the rules on trial. The rules of the boot stay as they are until the trial is confirmed."""
        self._make_folder()
        for name, text in self._parts(wanted).items():
            write_file(self._paths.folder / name, text.encode(), mode=0o600)
        write_file(self._paths.candidate, wanted.all_rules.encode(), mode=0o600)
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
        parts = [self._paths.folder / name for name in self._parts(Wanted("", ""))]
        if not all(path.exists() for path in (self._paths.candidate, *parts)):
            return
        rules, fallback, beside = (_read(path) for path in parts)
        self.keep(Wanted(rules, fallback, beside))
        for path in (self._paths.candidate, *parts):
            path.unlink(missing_ok=True)

    def keep(self, wanted: Wanted) -> None:
        """Write the files and have the unit load them at boot."""
        self._make_folder()
        # The unit refers to the others: it comes last.
        for path, text in self._texts(wanted).items():
            if _read(path) != text:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
                write_file(path, text.encode(), mode=0o644 if path in self._unit_files() else 0o600)
        states = self.states()
        stale = any(states[name].stale or not states[name].exists for name in OURS)
        wanted_units = [WantedUnit(name, enabled=True, state="started") for name in OURS]
        apply_units(wanted_units, self._systemd, host=self._host, daemon_reload=stale)

    def replace(self, rivals: Sequence[str]) -> list[str]:
        """Switch off other firewalls, once our rules are proved."""
        return switch_off(rivals, self._run, self._systemd, self._paths.root)

    def traces(self, states: dict[str, UnitState]) -> list[str]:
        """What there is to remove."""
        found = [str(path) for path in (*self._unit_files(), self._paths.folder) if path.exists()]
        loaded = self.nft.present() and self.nft.listing() is not None
        ours = [name for name in OURS if states[name].exists]
        return [
            *(["the tables hypercode"] if loaded else []),
            *(name for name in ours if states[name].file == "enabled" or states[name].running),
            *found,
        ]

    def remove(self, states: dict[str, UnitState]) -> None:
        """Take away the tables, the units and the files. Other tables stay."""
        self.trials.forget()
        gone = [WantedUnit(name, enabled=False, state="stopped") for name in OURS if states[name].exists]
        apply_units(gone, self._systemd, host=self._host)
        if self.nft.present() and self.nft.listing() is not None:
            self._make_folder()
            write_file(self._paths.candidate, removal().encode(), mode=0o600)
            self.nft.load(self._paths.candidate)
        for folder in (self._paths.folder, self._paths.trial):
            shutil.rmtree(folder, ignore_errors=False) if folder.exists() else None
        files = [path for path in self._unit_files() if path.exists()]
        for path in files:
            path.unlink()
        if files:
            self._systemd.reload_files()

    def _texts(self, wanted: Wanted) -> dict[Path, str]:
        return {
            self._paths.fallback: wanted.fallback,
            self._paths.rules: wanted.rules,
            self._paths.interfaces: wanted.beside,
            self._paths.unit: UNIT,
            self._paths.beside_unit: BESIDE_UNIT,
        }

    def _unit_files(self) -> tuple[Path, Path]:
        return self._paths.unit, self._paths.beside_unit

    @staticmethod
    def _parts(wanted: Wanted) -> dict[str, str]:
        """What a trial puts down beside the rules, to be kept once they are confirmed. In the order of Wanted."""
        return {
            "rules.candidate.nft": wanted.rules,
            "fallback.candidate.nft": wanted.fallback,
            "interfaces.candidate.nft": wanted.beside,
        }

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
