# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks whether what a role brought is in force: kernel settings as loaded, units as they run, jails of fail2ban,
commands that work."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .command import CommandResult
from .finding import ERROR, Finding
from .host_reader import detect_virtualization
from .units import Systemd, UnitError, WantedUnit, apply_units

Run = Callable[[Sequence[str]], CommandResult]
_AGAIN = "Apply the role base again; if it comes back, something else on the host sets it."


def sysctl_findings(root: Path, wanted: Mapping[str, object], host: str) -> list[Finding]:
    """Kernel settings that are not loaded. In a container only those of its network, as far as it has them."""
    found = []
    container = detect_virtualization(root) == "container"
    for key, value in wanted.items():
        if container and not key.startswith("net."):
            continue
        path = root / "proc/sys" / _path(key)
        try:
            loaded = " ".join(path.read_text(errors="replace").split())
        except OSError:
            # IPv6 may be off altogether.
            if not container and not key.startswith("net.ipv6."):
                text = f"{key} does not exist on {host}."
                found.append(Finding("sysctl", ERROR, key, text, "Correct the name, or take it out of base_sysctl."))
            continue
        if loaded != " ".join(str(value).split()):
            found.append(Finding("sysctl", ERROR, key, f"{key} is {loaded} on {host} instead of {value}.", _AGAIN))
    return found


def _path(key: str) -> str:
    """Where a setting lies. With a slash in it, a dot is a part of a name, as in net/ipv4/conf/eth0.1/rp_filter."""
    return key if "/" in key else key.replace(".", "/")


def unit_findings(wanted: Sequence[WantedUnit], systemd: Systemd, host: str) -> list[Finding]:
    """Units that are not as wanted."""
    try:
        # All in one question; only where one of them cannot be judged, each is asked for itself.
        return _unit_findings(wanted, systemd, host)
    except UnitError:
        found = []
        for unit in wanted:
            try:
                found += _unit_findings([unit], systemd, host)
            except UnitError as error:
                found.append(Finding("unit", ERROR, unit.name, str(error), _AGAIN))
        return found


def _unit_findings(wanted: Sequence[WantedUnit], systemd: Systemd, host: str) -> list[Finding]:
    found = []
    for plan in apply_units(wanted, systemd, host=host, check_mode=True):
        if plan.steps:
            text = f"{plan.wanted.name} on {host} is {plan.before.text}. To do: {', '.join(plan.steps)}."
            fix = f"Apply the role base again; see systemctl status {plan.wanted.name}"
            found.append(Finding("unit", ERROR, plan.wanted.name, text, fix))
    return found


def command_findings(commands: Sequence[str], run: Run, host: str) -> list[Finding]:
    """Commands that do not work."""
    found = []
    for command in commands:
        answer = run(shlex.split(command))
        if answer.code:
            lines = (answer.stderr or answer.stdout).strip().splitlines()
            text = f"'{command}' does not work on {host}: {lines[-1] if lines else f'exit code {answer.code}'}."
            found.append(Finding("command", ERROR, command, text, "Apply the role base again."))
    return found


def jail_findings(names: Sequence[str], run: Run, host: str) -> list[Finding]:
    """Jails of fail2ban that are not up."""
    found = []
    for name in names:
        answer = run(["fail2ban-client", "status", name])
        if answer.code:
            lines = (answer.stderr or answer.stdout).strip().splitlines()
            text = f"The jail {name} of fail2ban is not up on {host}: {lines[-1] if lines else 'no reason given'}."
            found.append(
                Finding("jail", ERROR, name, text, "See journalctl -u fail2ban, and apply the role base again.")
            )
    return found
