# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings a list of systemd units into a wanted state: reads all of them in one call and acts only where needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .command import NOT_FOUND, CommandResult

Run = Callable[[Sequence[str]], CommandResult]

STATES = ("started", "stopped", "restarted", "reloaded")
JOURNAL_LINES = 20
_TYPES = ("service", "socket", "timer", "target", "path", "mount", "automount", "swap", "slice", "scope", "device")
_PROPERTIES = ("Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload", "CanReload")
# Unit files that have nothing to enable: others start them, or a generator makes them anew at each boot.
_NOTHING_TO_ENABLE = ("static", "generated", "transient", "alias", "")


class UnitError(Exception):
    """What is wrong with which unit, and the fix. `done` are the steps that were taken before it."""

    def __init__(self, message: str, done: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.done = list(done)


@dataclass(frozen=True)
class WantedUnit:
    """One unit as it has to be; None leaves that side as it is."""

    name: str
    enabled: bool | None = None
    state: str | None = None
    masked: bool | None = None
    if_present: bool = False
    """Whether a unit that does not exist is left out, instead of masked or missed."""


@dataclass(frozen=True)
class UnitState:
    """A unit as systemd sees it; the words are systemd's own."""

    load: str = "not-found"
    active: str = "inactive"
    sub: str = "dead"
    file: str = ""
    stale: bool = False
    can_reload: bool = False

    @property
    def exists(self) -> bool:
        return self.load != "not-found"

    @property
    def masked(self) -> bool:
        return self.load == "masked" or self.file.startswith("masked")

    @property
    def running(self) -> bool:
        return self.active in ("active", "reloading", "refreshing") or (
            self.active == "activating" and not self.looping
        )

    @property
    def looping(self) -> bool:
        """Whether it died and waits to be started again."""
        return self.active == "activating" and self.sub.startswith("auto-restart")

    @property
    def text(self) -> str:
        file = "does not exist" if not self.exists and not self.file else self.file or "no unit file"
        return f"{file}, {self.active}"

    def as_dict(self) -> dict[str, str]:
        return {"load": self.load, "active": self.active, "sub": self.sub, "file": self.file}


@dataclass
class UnitPlan:
    """The steps for one unit (systemctl verbs, in order), its state now and as it will be."""

    wanted: WantedUnit
    before: UnitState
    steps: list[str] = field(default_factory=list)

    @property
    def after(self) -> UnitState:
        state = self.before
        for step in self.steps:
            state = _AFTER[step](state)
        return state


_AFTER: Mapping[str, Callable[[UnitState], UnitState]] = {
    "unmask": lambda state: replace(state, load="loaded", file="disabled"),
    "enable": lambda state: replace(state, load="loaded", file="enabled"),
    "disable": lambda state: replace(state, file="disabled"),
    "start": lambda state: replace(state, load="loaded", active="active", sub="running"),
    "restart": lambda state: replace(state, load="loaded", active="active", sub="running"),
    "reload": lambda state: state,
    "stop": lambda state: replace(state, active="inactive", sub="dead"),
    "mask": lambda state: replace(state, load="masked", file="masked"),
}


# --- what was asked for -------------------------------------------------------------------------------------------


def unit_name(name: str) -> str:
    """Return the full name of a unit: `cron` is `cron.service`. UnitError when it cannot be one."""
    full = name if name.rpartition(".")[2] in _TYPES and "." in name else f"{name}.service"
    if not re.fullmatch(r"[A-Za-z0-9:_.\\@-]{1,255}", full) or full.startswith(("-", ".", "@")):
        raise UnitError(f"{name!r} is not the name of a unit: give one unit, like cron.service, without * or spaces")
    if "@." in full:
        raise UnitError(f"{name} is a template: name an instance of it, like {full.replace('@.', '@NAME.')}")
    return full


def parse_wanted(items: Iterable[Mapping[str, Any]]) -> list[WantedUnit]:
    """Check the list of units; UnitError names the entry that contradicts itself or stands there twice."""
    units: list[WantedUnit] = []
    for item in items:
        unit = WantedUnit(
            unit_name(str(item["name"])),
            item.get("enabled"),
            item.get("state"),
            item.get("masked"),
            bool(item.get("if_present")),
        )
        if unit.state is not None and unit.state not in STATES:
            raise UnitError(f"{unit.name}: state {unit.state!r} is unknown: use one of {', '.join(STATES)}")
        if unit.masked and (unit.enabled or unit.state not in (None, "stopped")):
            raise UnitError(f"{unit.name}: a masked unit can be neither enabled nor started: drop masked or the rest")
        if unit.name in {other.name for other in units}:
            raise UnitError(f"{unit.name} is listed twice: keep one entry")
        units.append(unit)
    return units


# --- what is there ------------------------------------------------------------------------------------------------


class Systemd:
    """systemctl and journalctl behind an injected runner. `host` names the machine in errors."""

    def __init__(self, run: Run, host: str) -> None:
        self._run, self._host = run, host

    def call(self, *arguments: str) -> CommandResult:
        """Run systemctl. UnitError when it is missing or systemd is not what runs this host."""
        result = self._run(["systemctl", *arguments])
        text = f"{result.stderr}\n{result.stdout}"
        offline = ("not been booted with systemd", "connect to bus", "connect to system scope bus", "Running in chroot")
        if result.code == NOT_FOUND or (result.code != 0 and any(words in text for words in offline)):
            raise UnitError(
                f"systemd is not running on {self._host}, so no unit can be looked at or changed there. Fix: deploy to"
                f" a host that booted with systemd, not to a plain container. systemctl said: {_first_line(text)}"
            )
        return result

    def reload_files(self) -> None:
        """Make systemd read the unit files again."""
        result = self.call("daemon-reload")
        if result.code:
            raise UnitError(f"systemctl daemon-reload failed on {self._host}: {_first_line(result.stderr)}")

    def states(self, names: Sequence[str]) -> dict[str, UnitState]:
        """The state of every unit, read in one call. A unit that does not exist is `not-found`."""
        if not names:
            return {}
        result = self.call("show", "-p", ",".join(_PROPERTIES), "--no-pager", "--", *names)
        if result.code:
            raise UnitError(f"systemctl show failed on {self._host}: {_first_line(result.stderr)}")
        return parse_show(result.stdout, names)

    def journal(self, name: str) -> str:
        """The last lines that a unit logged."""
        result = self._run(["journalctl", "-u", name, "-n", str(JOURNAL_LINES), "--no-pager", "-o", "cat"])
        lines = result.stdout.strip() or "(nothing)"
        return (
            f"Last lines of its journal:\n{lines}"
            if result.code == 0
            else f"Its journal cannot be read: journalctl -u {name}"
        )


def parse_show(text: str, names: Sequence[str]) -> dict[str, UnitState]:
    """Read what `systemctl show` says: a block of KEY=VALUE lines for each name, in order, blank lines between."""
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in text.split("\n\n")]
    blocks = [block for block in blocks if block]
    if len(blocks) != len(names):
        raise UnitError(f"systemctl show answered for {len(blocks)} units instead of {len(names)}: {' '.join(names)}")
    return {
        name: UnitState(
            load=block.get("LoadState", "not-found"),
            active=block.get("ActiveState", "inactive"),
            sub=block.get("SubState", ""),
            file=block.get("UnitFileState", ""),
            stale=block.get("NeedDaemonReload") == "yes",
            can_reload=block.get("CanReload") == "yes",
        )
        for name, block in zip(names, blocks, strict=True)
    }


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "(no message)")


# --- what has to change -------------------------------------------------------------------------------------------


def plan_unit(wanted: WantedUnit, state: UnitState, *, check_mode: bool, host: str) -> UnitPlan:
    """The steps that bring one unit to what is wanted. UnitError when that cannot be.

    In check mode a unit that does not exist yet counts as one that would be enabled and started: what brings it has
    only been predicted so far, too.
    """
    plan = UnitPlan(wanted, state)
    wants_life = bool(wanted.enabled) or wanted.state in ("started", "restarted", "reloaded")
    if wants_life and not state.exists and not check_mode:
        raise UnitError(
            f"{wanted.name} does not exist on {host}. Fix: install the package or write the unit file that brings it"
            " before this task (then set daemon_reload: true), or correct the name"
        )
    if wants_life and state.masked and wanted.masked is None:
        raise UnitError(
            f"{wanted.name} is masked on {host}, so it cannot be enabled or started. Fix: set masked: false"
        )
    if wants_life and state.load in ("bad-setting", "error"):
        raise UnitError(
            f"systemd on {host} refuses the file of {wanted.name}. Fix: see systemd-analyze verify {wanted.name}"
        )
    if wanted.masked is False and state.masked:
        plan.steps.append("unmask")
    if wanted.enabled and (not state.exists or plan.after.file not in ("enabled", *_NOTHING_TO_ENABLE)):
        plan.steps.append("enable")
    if wanted.enabled is False and plan.after.file in ("enabled", "enabled-runtime"):
        plan.steps.append("disable")
    plan.steps.extend(_run_steps(wanted, state, host))
    if wanted.masked and (not state.masked or state.file == "masked-runtime"):
        plan.steps.append("mask")
    return plan


def _run_steps(wanted: WantedUnit, state: UnitState, host: str) -> list[str]:
    if wanted.state == "started":
        return [] if state.running else ["start"]
    if wanted.state == "stopped":
        return [] if state.active in ("inactive", "failed") else ["stop"]
    if wanted.state == "restarted":
        return ["restart"]
    if wanted.state == "reloaded":
        if not state.running:
            return ["start"]
        if not state.can_reload:
            raise UnitError(f"{wanted.name} on {host} cannot be reloaded, it has no ExecReload. Fix: use restarted")
        return ["reload"]
    return []


def warnings_for(plans: Iterable[UnitPlan]) -> list[str]:
    """What the user may have meant differently: enabling or disabling a unit file that has nothing to enable."""
    return [
        f"{plan.wanted.name} is {plan.before.file}: it has no [Install] section, so enabled has no effect on it"
        for plan in plans
        if plan.wanted.enabled is not None and plan.before.file == "static"
    ]


# --- acting -------------------------------------------------------------------------------------------------------


def apply_units(
    wanted: Sequence[WantedUnit], systemd: Systemd, *, host: str, daemon_reload: bool = False, check_mode: bool = False
) -> list[UnitPlan]:
    """Bring all units to what is wanted, in their order; in check mode only say what would be done.

    Everything that can be judged beforehand is judged for all units before the first is touched. UnitError otherwise;
    after a failed start it holds the end of the unit's journal.
    """
    names = [unit.name for unit in wanted]
    if daemon_reload and not check_mode:
        systemd.reload_files()
    states = systemd.states(names)
    if not check_mode and not daemon_reload and any(state.stale for state in states.values()):
        systemd.reload_files()  # Files changed on disk: otherwise the old definition would be started.
        states = systemd.states(names)
    plans, problems = [], []
    for unit in wanted:
        if unit.if_present and not states[unit.name].exists:
            continue
        try:
            plans.append(plan_unit(unit, states[unit.name], check_mode=check_mode, host=host))
        except UnitError as error:
            problems.append(str(error))
    if problems:
        raise UnitError("\n".join([*problems, "No unit was changed."]))
    if not check_mode:
        _act(plans, systemd, host)
    return plans


def _act(plans: Sequence[UnitPlan], systemd: Systemd, host: str) -> None:
    """Unit files first, all in one call each (every call makes systemd read all files again); then states in order."""
    done: list[str] = []
    for step in ("unmask", "enable", "disable"):
        _change_files(step, [plan.wanted.name for plan in plans if step in plan.steps], systemd, host, done)
    for plan in plans:
        for step in plan.steps:
            if step in ("start", "stop", "restart", "reload"):
                _change_state(step, plan.wanted.name, systemd, host, done)
    _change_files("mask", [plan.wanted.name for plan in plans if "mask" in plan.steps], systemd, host, done)
    _check_alive(plans, systemd, host, done)


def _change_files(step: str, names: Sequence[str], systemd: Systemd, host: str, done: list[str]) -> None:
    if not names:
        return
    result = systemd.call(step, "--", *names)
    if result.code:
        raise UnitError(f"systemctl {step} {' '.join(names)} failed on {host}: {_first_line(result.stderr)}", done)
    done.extend(f"{step} {name}" for name in names)


def _change_state(step: str, name: str, systemd: Systemd, host: str, done: list[str]) -> None:
    result = systemd.call(step, "--", name)
    if result.code:
        raise UnitError(f"{name} did not {step} on {host}: {_first_line(result.stderr)}\n{systemd.journal(name)}", done)
    done.append(f"{step} {name}")


def _check_alive(plans: Sequence[UnitPlan], systemd: Systemd, host: str, done: list[str]) -> None:
    """systemctl is content with a process that was started; notice one that died right after."""
    names = [plan.wanted.name for plan in plans if {"start", "restart", "reload"} & set(plan.steps)]
    for name, state in systemd.states(names).items():
        if state.active == "failed" or state.looping:
            raise UnitError(f"{name} was started on {host}, but died at once\n{systemd.journal(name)}", done)
