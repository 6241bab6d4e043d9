# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What somebody asks for when a soak is to start, and what becomes of what is left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..settings import Settings, SoakError, settings_from

_TIME = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?\s*")
_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
TIMES = ("duration", "warmup", "interval", "probe_interval")
FAULTS = ("kill", "reboot")
PREVIOUS = "previous"
DAY = 86400.0
# So many requests on each way make something that can be said of errors; a short soak asks more often to get there.
_REQUESTS, _OFTENEST = 1500, 0.4
# With fewer samples nothing is said of leaks.
_SAMPLES = 60


def seconds_of(value: object, name: str = "duration") -> float:
    """A time such as 24h, 10m, 90 (seconds). SoakError for what is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _TIME.fullmatch(str(value))
    if found is None:
        raise SoakError(f"{name} has to be a time such as 24h, 10m or 90 (seconds), not {value!r}. Fix: correct it")
    return float(found[1]) * _UNITS[found[2] or ""]


def document_from(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as they stand in a journal, checked, with those that fit the duration in place of what is missing.

    `asked` has the keys of Settings, times as text too, and `faults`. SoakError names what makes no sense.
    """
    given = {key: value for key, value in asked.items() if value is not None}
    given |= {key: seconds_of(given[key], key) for key in TIMES if key in given}
    given["expect"] = [_expected(entry) for entry in given.get("expect") or ()]
    duration = float(given.setdefault("duration", Settings.duration))
    given.setdefault("warmup", min(Settings.warmup, duration / 8))
    given.setdefault("interval", max(1.0, round(min(Settings.interval, duration / _SAMPLES), 3)))
    often = max(_OFTENEST, duration / _REQUESTS)
    given.setdefault("probe_interval", min(Settings.probe_interval, often, float(given["interval"])))
    if duration < DAY:
        # They are made once a day and once a week: a shorter soak is not to be judged by them.
        given["limits"] = {"backups": 0, "drills": 0, **(given.get("limits") or {})}
    faults = given.get("faults") or {}
    if not isinstance(faults, Mapping) or set(faults) - set(FAULTS):
        raise SoakError(f"faults may have {' and '.join(FAULTS)}, true or false, not {faults!r}. Fix: correct it")
    settings = settings_from(given).as_dict()
    return {**settings, "faults": {name: bool(faults.get(name)) for name in FAULTS}}


def _expected(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    times = {key: seconds_of(entry[key], f"expect: {key}") for key in ("begins", "ends") if key in entry}
    return {**entry, **times}
