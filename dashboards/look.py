"""How things look: colours, the words for values, and where a value stops being well.

The colours are those of Okabe and Ito, which people with any kind of colour blindness tell apart. A colour is never the
only sign: beside it stands a word, a mark or a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

BLUE, ORANGE, VERMILLION = "#0072B2", "#E69F00", "#D55E00"
SKY, PURPLE, GREEN, GREY = "#56B4E9", "#CC79A7", "#009E73", "#999999"
WELL, WARNING, BAD, UNKNOWN = BLUE, ORANGE, VERMILLION, GREY
# For lines that each have a meaning of their own, in this order.
LINES = (SKY, ORANGE, PURPLE, GREEN, VERMILLION)


@dataclass(frozen=True)
class Limits:
    """From where on a value is a warning, and from where on critical; `below`: it is low values that are bad.

    Each is that of an alert, as `limits.py` says, or None.
    """

    warning: float | None = None
    critical: float | None = None
    below: bool = False


NO_LIMITS = Limits()


def thresholds(limits: Limits) -> build.ThresholdsConfig:
    """The steps of colour for limits."""
    if limits.below:
        steps = [model.Threshold(None, BAD if limits.critical is not None else WARNING)]
        if limits.critical is not None:
            above = WARNING if limits.warning is not None else WELL
            steps.append(model.Threshold(limits.critical, above))
        if limits.warning is not None:
            steps.append(model.Threshold(limits.warning, WELL))
        if limits == Limits(below=True):
            steps = [model.Threshold(None, WELL)]
    else:
        steps = [model.Threshold(None, WELL)]
        if limits.warning is not None:
            steps.append(model.Threshold(limits.warning, WARNING))
        if limits.critical is not None:
            steps.append(model.Threshold(limits.critical, BAD))
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def in_words(limits: Limits, unit: str) -> str:
    """Up to where a value is well, such as ` (< 90 %)`: a number is judged without its colour too. "" without limits.

    Counts are whole: the limit 2.5 is 3 in words.
    """
    value = limits.critical if limits.warning is None else limits.warning
    if value is None:
        return ""
    texts = {
        units.PercentUnit: f"{value * 100:g} %",
        units.BytesIEC: f"{value / 2**30:g} GiB",
        units.Seconds: _time(value),
    }
    return f" ({'>' if limits.below else '<'} {texts.get(unit, f'{math.ceil(value)}')})"


def _time(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            # Grafana writes 26 hours as 1.08 days, too.
            return f"{seconds / size:.2g} {name}"
    return f"{seconds:g} s"


Words = Mapping[float, tuple[str, str]]

YES_NO: Words = {1: ("✔ yes", WELL), 0: ("✖ no", BAD)}
NONE_ELSE: Words = {0: ("✔ none", WELL)}
DONE: Words = {1: ("✔ well", WELL), 0: ("✖ failed", BAD)}
# What queries.state() gives.
STATES: Words = {
    3: ("✔ healthy", WELL),
    2: ("… starting", SKY),
    1: ("✔ runs, no check", GREY),
    0: ("✖ unhealthy", BAD),
    -1: ("✖ down", BAD),
}
NO_DATA = "? no data"


def mappings(words: Words) -> list[model.ValueMapping]:
    """The words for values, and those for a value that is not there."""
    options = {
        f"{value:g}": model.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(words.items())
    }
    nothing = model.DashboardSpecialValueMapOptions(
        match=model.SpecialValueMatch.NULL_AND_NAN,
        result=model.ValueMappingResult(text=NO_DATA, color=UNKNOWN, index=len(words)),
    )
    return [*([model.ValueMap(options)] if options else []), model.SpecialValueMap(nothing)]
