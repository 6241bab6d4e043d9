"""The firewall: our own table of nftables, and nobody else's."""

from __future__ import annotations

import re

from ..facts import Facts
from ..points import Point, Verdict, met_if, met_unless

GROUP = "Firewall"
UNIT = "hypercode-firewall.service"
_RIVALS = ("ufw.service", "firewalld.service", "nftables.service")


def chains(facts: Facts) -> dict[str, tuple[int, str]]:
    """Return priority and rules of the base chain of each hook of our table. Docker's rules have the priority 0."""
    found: dict[str, tuple[int, str]] = {}
    for block in re.split(r"^\tchain ", facts.text("nft", needed=False), flags=re.MULTILINE)[1:]:
        head = re.search(r"type filter hook (\w+) priority (\S+)(?: ([+-]) (\d+))?;", block)
        if head:
            base = {"filter": 0, "mangle": -150, "raw": -300}.get(head[2])
            number = int(head[2]) if base is None else base + int(f"{head[3] or '+'}{head[4] or 0}")
            found[head[1]] = (number, block)
    return found


def before_docker(facts: Facts) -> Verdict:
    """Both ways in are judged before Docker's own rules: to the host, and through it to containers."""
    loaded = chains(facts)
    found = [f"no chain on {hook}" for hook in ("input", "forward") if hook not in loaded]
    found += [
        f"{hook} comes at {loaded[hook][0]}" for hook in ("input", "forward") if hook in loaded and loaded[hook][0] >= 0
    ]
    return met_unless(found)


def closed(facts: Facts) -> Verdict:
    """What no rule lets in is dropped by the chain's own policy."""
    loaded = chains(facts)
    return met_unless(
        hook for hook in ("input", "forward") if hook not in loaded or "policy drop;" not in loaded[hook][1]
    )


def loopback(facts: Facts) -> Verdict:
    return met_if(re.search(r'iif(name)? "lo" accept', facts.text("nft", needed=False)) is not None, "no rule for lo")


def established(facts: Facts) -> Verdict:
    return met_if(
        re.search(r"ct state established.* accept", facts.text("nft", needed=False)) is not None, "no rule for them"
    )


def at_boot(facts: Facts) -> Verdict:
    state = facts.unit_files.get(UNIT, "missing")
    return met_if(state == "enabled", f"{UNIT} is {state}")


def alone(facts: Facts) -> Verdict:
    return met_unless(unit for unit in _RIVALS if facts.unit_files.get(unit) == "enabled")


def both_families(facts: Facts) -> Verdict:
    return met_if("table inet hypercode" in facts.text("nft-tables", needed=False), "no table inet hypercode")


POINTS = (
    Point("debian-4.1.1", GROUP, "No other firewall is switched on", alone),
    Point("debian-4.3.4", GROUP, "The table inet hypercode is loaded, for IPv4 and IPv6 alike", both_families),
    Point(
        "debian-4.3.5",
        GROUP,
        "It judges what comes in and what is passed on to containers, before Docker does",
        before_docker,
    ),
    Point("debian-4.3.6", GROUP, "The host reaches itself", loopback),
    Point("debian-4.3.7", GROUP, "Answers to known connections come in", established),
    Point("debian-4.3.8", GROUP, "What no rule lets in is dropped", closed),
    Point("debian-4.3.9", GROUP, "It is loaded at boot", at_boot),
)
