# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Other programs that rule the same packets: two firewalls that know nothing of each other confuse whoever looks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..command import CommandResult
from ..finding import ERROR, Finding
from ..units import Systemd, UnitState
from .nft import FirewallError, Run

UNITS = ("ufw.service", "firewalld.service", "nftables.service")
_UFW_ON = re.compile(r"^\s*ENABLED\s*=\s*[\"']?yes", re.MULTILINE | re.IGNORECASE)
_FLUSH = re.compile(r"^\s*flush\s+ruleset", re.MULTILINE)
# What filters nothing. Applied until nothing goes away any more, since a table is empty once its chains are gone.
_EMPTY = re.compile(
    r"^\s*flush\s+ruleset\s*;?\s*$|\btype\s+filter\s+hook\s+\w+\s+priority\s+[\w -]+;(?:\s*policy\s+accept\s*;)?"
    r"|\bchain\s+[\w.-]+\s*\{\s*\}|\btable\s+\w+\s+[\w.-]+\s*\{\s*\}",
    re.MULTILINE,
)
_WHAT = {
    "ufw": "ufw is switched on",
    "firewalld": "firewalld runs, or starts at boot",
    "nftables": "nftables.service is switched on. At the latest at shutdown it flushes all rules, ours too",
}
_OFF = {
    "ufw": "ufw disable",
    "firewalld": "systemctl disable --now firewalld",
    "nftables": "systemctl disable nftables, then restart the host (stopping it now would flush every rule)",
}


def active_rivals(root: Path, states: Mapping[str, UnitState]) -> list[str]:
    """Which of ufw, firewalld and nftables.service are in use. ``states`` are those of UNITS."""
    found = []
    # ufw's unit is enabled from the start; whether ufw itself is on stands in its file.
    if states["ufw.service"].exists and _UFW_ON.search(_text(root / "etc/ufw/ufw.conf")):
        found.append("ufw")
    if _in_use(states["firewalld.service"]):
        found.append("firewalld")
    # It flushes every rule when it is stopped, and with that at each shutdown, while containers still run.
    nftables = states["nftables.service"]
    if _in_use(nftables) and (nftables.running or _FLUSH.search(_text(root / "etc/nftables.conf"))):
        found.append("nftables")
    return found


def replaceable(root: Path, replace: Sequence[str]) -> tuple[str, ...]:
    """Which may be switched off: those that the operator names, and nftables.service where its file holds no rule at
    all, as distributions ship it."""
    return (*replace, *(("nftables",) if holds_no_rule(_text(root / "etc/nftables.conf")) else ()))


def holds_no_rule(text: str) -> bool:
    """Whether a file for nft has tables with empty chains that accept everything, and nothing else."""
    code = re.sub(r"#.*", "", text)
    while code != (code := _EMPTY.sub("", code)):
        pass
    return not code.strip()


def _in_use(state: UnitState) -> bool:
    return state.exists and not state.masked and (state.running or _at_boot(state))


def _at_boot(state: UnitState) -> bool:
    return state.exists and not state.masked and state.file in ("enabled", "enabled-runtime")


def rival_findings(active: Sequence[str], replace: Sequence[str], host: str) -> list[Finding]:
    """An error for each that nobody said may be replaced."""
    return [
        Finding(
            "other-firewall",
            ERROR,
            name,
            f"{_WHAT[name]} on {host}. Two firewalls would get into each other's way.",
            f"Take over its open ports into firewall_open_ports, then either set firewall_replace: [{name}], which"
            f" switches it off once our rules are proved, or switch it off yourself: {_OFF[name]}",
        )
        for name in active
        if name not in replace
    ]


def switch_off(names: Sequence[str], run: Run, systemd: Systemd, root: Path) -> list[str]:
    """Switch these off for good; return what was done. FirewallError when one cannot be."""
    done = []
    for name in names:
        if name == "ufw":
            answer = run(["ufw", "--force", "disable"])
        elif name == "firewalld":
            answer = systemd.call("disable", "--now", "firewalld.service")
        else:
            answer = _stop_without_flush(systemd, root / "run/systemd/system/nftables.service.d")
        if answer.code:
            reason = (answer.stderr or answer.stdout).strip().splitlines()
            raise FirewallError(
                f"{name} could not be switched off: {reason[0] if reason else 'it did not say why'}. Our rules are in"
                f" place. Fix: {_OFF[name]}"
            )
        done.append(f"switch off {name}")
    return done


def _stop_without_flush(systemd: Systemd, folder: Path) -> CommandResult:
    """Stopped as it is, it would flush Docker's rules and ours. Its own stay loaded until the next boot."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    try:
        (folder / "hypercode.conf").write_text("[Service]\nExecStop=\n", encoding="utf-8")
        systemd.reload_files()
        return systemd.call("disable", "--now", "nftables.service")
    finally:
        shutil.rmtree(folder)
        systemd.reload_files()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
