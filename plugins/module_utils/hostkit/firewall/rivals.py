# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Other programs that rule the same packets: two firewalls that know nothing of each other confuse whoever looks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..finding import ERROR, Finding
from ..units import Systemd, UnitState
from .nft import FirewallError, Run

UNITS = ("ufw.service", "firewalld.service", "nftables.service")
_UFW_ON = re.compile(r"^\s*ENABLED\s*=\s*[\"']?yes", re.MULTILINE | re.IGNORECASE)
_FLUSH = re.compile(r"^\s*flush\s+ruleset", re.MULTILINE)
_WHAT = {
    "ufw": "ufw is switched on",
    "firewalld": "firewalld runs, or starts at boot",
    "nftables": "nftables.service is switched on, and its /etc/nftables.conf flushes the rules of everyone, ours too",
}
_OFF = {
    "ufw": "ufw disable",
    "firewalld": "systemctl disable --now firewalld",
    "nftables": "systemctl disable nftables (do not stop it: that flushes every rule)",
}


def active_rivals(root: Path, states: Mapping[str, UnitState]) -> list[str]:
    """Which of ufw, firewalld and nftables.service are in use. ``states`` are those of UNITS."""
    found = []
    # ufw's unit is enabled from the start; whether ufw itself is on stands in its file.
    if states["ufw.service"].exists and _UFW_ON.search(_text(root / "etc/ufw/ufw.conf")):
        found.append("ufw")
    if _in_use(states["firewalld.service"]):
        found.append("firewalld")
    if _in_use(states["nftables.service"]) and _FLUSH.search(_text(root / "etc/nftables.conf")):
        found.append("nftables")
    return found


def _in_use(state: UnitState) -> bool:
    return state.exists and not state.masked and (state.running or state.file in ("enabled", "enabled-runtime"))


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


def switch_off(names: Sequence[str], run: Run, systemd: Systemd) -> list[str]:
    """Switch these off for good; return what was done. FirewallError when one cannot be."""
    done = []
    for name in names:
        if name == "ufw":
            answer = run(["ufw", "--force", "disable"])
        elif name == "firewalld":
            answer = systemd.call("disable", "--now", "firewalld.service")
        else:
            # Stopping it would flush Docker's rules and ours.
            answer = systemd.call("disable", "nftables.service")
        if answer.code:
            reason = (answer.stderr or answer.stdout).strip().splitlines()
            raise FirewallError(
                f"{name} could not be switched off: {reason[0] if reason else 'it did not say why'}. Our rules are in"
                f" place. Fix: {_OFF[name]}"
            )
        done.append(f"switch off {name}")
    return done


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
