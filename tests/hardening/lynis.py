"""Runs Lynis on a host and reads its report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testbed.shell import TestbedError

from .points import MET, Judged, not_met
from .target import Target

GROUP = "Lynis"
# What these say changes from day to day, and not by what the toolkit does. They run all the same: others build on them.
PASSING: Mapping[str, str] = {
    "LYNIS": "how old Lynis itself is",
    "PKGS-7392": "which packages have an upgrade today",
}
# These take half of the time, and say little of a test host.
SLOW: Mapping[str, str] = {
    "PKGS-7410": "how many kernels are installed",
    "DBS-1882": "where a Redis on the host itself has its settings",
    "NETW-2600": "whether there is IPv6",
    "CRYP-7902": "when the distribution's own certificates end",
}


@dataclass(frozen=True)
class Report:
    """Lynis's report: tests that ran, and per test what it found in Lynis's words, with the settings it named."""

    version: str
    index: int
    executed: tuple[str, ...]
    said: Mapping[str, tuple[str, ...]]
    named: Mapping[str, tuple[str, ...]]
    # Settings of the kernel that KRNL-6000 named, with the values that Lynis would have.
    preferred: Mapping[str, tuple[str, ...]]


def run(target: Target) -> Report:
    """Run Lynis on a host. Raises TestbedError when it cannot."""
    script = (Path(__file__).parent / "lynis.sh").read_text(encoding="utf-8")
    try:
        return read(target.script(f"SKIP='{' '.join(SLOW)}'\n{script}", timeout=300))
    except TestbedError as error:
        if "Lynis is not installed" not in str(error):
            raise
        raise TestbedError(
            f"{target.name} has no Lynis, and it is no test host. Fix: install it there (apt-get install lynis), "
            "or take a host of the sandbox."
        ) from error


def read(text: str) -> Report:
    """Return what a report says."""
    lists: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    for line in text.splitlines():
        if match := re.match(r"(\w+)\[\]=(.*)", line):
            lists.setdefault(match[1], []).append(match[2])
        elif match := re.match(r"(\w+)=(.*)", line):
            values[match[1]] = match[2]
    said: dict[str, list[str]] = {}
    named: dict[str, list[str]] = {}
    preferred: dict[str, tuple[str, ...]] = {}
    for entry in [*lists.get("warning", []), *lists.get("suggestion", [])]:
        test, words, details = [*entry.split("|"), "", ""][:3]
        said.setdefault(test, []).append(words)
        if test == "SSH-7408":
            named.setdefault(test, []).append(details.split(" ")[0])
    for entry in lists.get("details", []):
        test, kind, fields = [*entry.split("|"), "", ""][:3]
        if test == "KRNL-6000" and kind == "sysctl":
            facts = dict(field.partition(":")[::2] for field in fields.split(";"))
            named.setdefault(test, []).append(facts["field"])
            preferred[facts["field"]] = tuple(re.split(r"[| ]", facts["prefval"]))
    executed = tuple(name for name in values.get("tests_executed", "").split("|") if name)
    if not executed or "hardening_index" not in values:
        raise TestbedError(
            "Lynis's report has no list of the tests that ran. Fix: look at it on the host: lynis audit system"
        )
    return Report(
        values.get("lynis_version", ""),
        int(values["hardening_index"]),
        executed,
        {test: tuple(dict.fromkeys(words)) for test, words in said.items()},
        {test: tuple(sorted(set(names))) for test, names in named.items()},
        preferred,
    )


def judge(report: Report, titles: Mapping[str, str], *, atboot: Mapping[str, str] | None = None) -> list[Judged]:
    """Return a point for each test, with the title that we give it; Lynis's own words stand in where there is none.

    `atboot` is for a host that shares its kernel: what a server would set at boot. Shared settings are judged by that.
    """
    judged = []
    for test in sorted({*report.executed, *report.said} - PASSING.keys() - SLOW.keys()):
        where = report.named.get(test, ())
        found = test in report.said
        if test == "KRNL-6000" and atboot is not None:
            right = {key for key, values in report.preferred.items() if atboot.get(key) in values}
            where = tuple(key for key in where if key.startswith("net.") or key not in right)
            found = bool(where)
        title = titles.get(test) or "; ".join(report.said.get(test, ())) or test
        judged.append(Judged(f"lynis-{test}", GROUP, title, not_met(*where) if found else MET))
    return judged
