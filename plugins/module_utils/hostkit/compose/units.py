# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Durations, sizes and processor counts as Compose writes them."""

from __future__ import annotations

import math
import re
from typing import Any

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_duration(value: Any) -> float:
    """Seconds of a duration such as ``1m30s``; a bare number is refused. Raises ValueError."""
    if isinstance(value, str):
        text = value.strip()
        if text == "0":
            return 0.0
        position, seconds = 0, 0.0
        for part in _DURATION_PART.finditer(text):
            if part.start() != position:
                break
            seconds += float(part[1]) * _SECONDS[part[2]]
            position = part.end()
        if text and position == len(text):
            return round(seconds, 9)
    raise ValueError(f"{value!r} is not a duration")


def duration_text(value: Any) -> str:
    """A duration as Compose wants it: a number is taken as seconds. Raises ValueError."""
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a duration")
    if isinstance(value, int | float):
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{value!r} is not a duration")
        return f"{value:g}s" if value == int(value) else f"{round(value * 1000)}ms"
    parse_duration(value)
    return str(value).strip()


def seconds(value: float) -> float | int:
    """Seconds as an integer when they are whole, so that they read well in JSON."""
    return int(value) if value == int(value) else value


def parse_size(value: Any) -> int:
    """Bytes of a size such as ``1G``, ``1.5g``, ``512MiB`` or 1073741824 (units count in 1024s). Raises ValueError."""
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a size")
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f"{value!r} is not a size")
        return value
    match = _SIZE.fullmatch(str(value).strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a size")
    return int(float(match[1]) * 1024 ** _POWER[match[2].lower()])


def size_text(value: Any) -> str:
    """A size as text: what was written when it was text, else the largest whole unit. Raises ValueError."""
    count = parse_size(value)
    if isinstance(value, str) and not value.strip().isdigit():
        return value.strip()
    for unit, power in (("G", 3), ("M", 2), ("K", 1)):
        if count and count % 1024**power == 0:
            return f"{count // 1024**power}{unit}"
    return f"{count}B"


def parse_cpus(value: Any) -> float:
    """A number of processors, 0 for no limit. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not a number of processors")
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a number of processors") from None
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{value!r} is not a number of processors")
    return number


def cpus_text(value: Any) -> str:
    """A number of processors as Compose's ``deploy.resources.limits.cpus`` wants it. Raises ValueError."""
    return f"{parse_cpus(value):g}"
