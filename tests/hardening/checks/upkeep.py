"""What keeps a host well: packages, security upgrades, time, journal, core services."""

from __future__ import annotations

import re
from functools import partial

from ..facts import Facts
from ..points import Point, Verdict, met_if, met_unless, not_applicable

GROUP = "Upgrades, time and journal"
_TIME = ("systemd-timesyncd.service", "chrony.service", "ntpsec.service")


def apt(key: str, facts: Facts) -> str:
    """Return a setting of apt."""
    found = re.findall(rf'^{re.escape(key)} "(.*)";$', facts.text("apt-config"), re.MULTILINE)
    return found[-1] if found else ""


def upgrades(facts: Facts) -> Verdict:
    """Security upgrades are installed every day."""
    found = []
    if "unattended-upgrades" not in facts.packages:
        found.append("unattended-upgrades is not installed")
    for key in ("APT::Periodic::Update-Package-Lists", "APT::Periodic::Unattended-Upgrade"):
        if apt(key, facts) in {"", "0"}:
            found.append(f"{key} is off")
    if facts.unit_files.get("apt-daily-upgrade.timer", "") not in {"enabled", "static"}:
        found.append("apt-daily-upgrade.timer is off")
    return met_unless(found)


def signed(facts: Facts) -> Verdict:
    """Every source of packages is checked by signature."""
    wrong = [
        line
        for line in facts.lines("apt-sources")
        if re.search(r"trusted[=:]\s*yes|allow-insecure[=:]\s*yes", line, re.I)
    ]
    insecure = apt("APT::Get::AllowUnauthenticated", facts) in {"1", "true", "yes"}
    return met_unless(
        [
            *(["a source that is trusted without a signature"] if wrong else []),
            *(["apt asks for none"] if insecure else []),
        ]
    )


def clock(facts: Facts) -> Verdict:
    """One program sets the clock."""
    if facts.is_container:
        wanted = [unit for unit in _TIME if facts.unit_files.get(unit) == "enabled"]
        if len(wanted) == 1:
            return not_applicable("A test host is a container and has its machine's clock; the service is switched on.")
        return met_unless([f"{len(wanted)} services are switched on"])
    running = [unit for unit in _TIME if unit in facts.active_units]
    return met_if(len(running) == 1, f"{len(running)} services run")


def journal(key: str, right: str, facts: Facts) -> Verdict:
    value = facts.setting("journald", key)
    return met_if(re.fullmatch(right, value) is not None, f"{key} = {value or 'not set'}")


def persistent(facts: Facts) -> Verdict:
    """The journal outlives a boot: by its setting, or by the folder with the setting that comes with it."""
    storage = facts.setting("journald", "Storage") or "auto"
    return met_if(
        storage == "persistent" or (storage == "auto" and "/var/log/journal" in facts.files), f"Storage = {storage}"
    )


def active(unit: str, facts: Facts) -> Verdict:
    return met_if(unit in facts.active_units, f"{unit} is not running")


def enabled(unit: str, facts: Facts) -> Verdict:
    state = facts.unit_files.get(unit, "missing")
    return met_unless([*([] if state == "enabled" else [f"{unit} is {state}"]), *active(unit, facts).where])


def failed(facts: Facts) -> Verdict:
    return met_unless(line.split()[0] for line in facts.lines("failed"))


POINTS = (
    Point("debian-1.2.1", GROUP, "Packages are only taken with a valid signature", signed),
    Point("debian-1.2.2", GROUP, "Security upgrades are installed by themselves", upgrades),
    Point("debian-2.3.1.1", GROUP, "Exactly one program sets the clock", clock),
    Point("debian-2.4.1.1", GROUP, "cron runs", partial(enabled, "cron.service")),
    Point("debian-6.1.1.1", GROUP, "The journal runs", partial(active, "systemd-journald.service")),
    Point("debian-6.1.1.3", GROUP, "The journal has a limit of size", partial(journal, "SystemMaxUse", r"\d+[KMGT]?")),
    Point("debian-6.1.2.3", GROUP, "The journal is compressed", partial(journal, "Compress", "yes|")),
    Point("debian-6.1.2.4", GROUP, "The journal outlives a boot", persistent),
    Point(
        "debian-6.1.2.2",
        GROUP,
        "The journal is not handed on to a second log",
        partial(journal, "ForwardToSyslog", "no|"),
    ),
    Point(
        "debian-6.1.2.1",
        GROUP,
        "The journal is sent to another machine",
        partial(active, "systemd-journal-upload.service"),
    ),
    Point("own-units-failed", GROUP, "No unit of systemd has failed", failed),
)
