# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The states in the text format of Prometheus, for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..exposition import escaped, head
from ..files import explain, write_file
from .state import STATES, State

_PREFIX = "hypercode_certificate"
_HELP = {
    f"{_PREFIX}_lifetime_left_ratio": "Part of the lifetime of the certificate that is left: 1 when new, 0 at its end.",
    f"{_PREFIX}_not_before_timestamp_seconds": "Since when the certificate is valid.",
    f"{_PREFIX}_not_after_timestamp_seconds": "Until when the certificate is valid.",
    f"{_PREFIX}_state": "1 for the state in which the certificate is.",
    f"{_PREFIX}s_checked_timestamp_seconds": "When the certificates were looked at.",
}


def exposition(states: Sequence[State], now: float) -> str:
    """The text of the file; times in seconds since 1970."""
    lines: list[str] = []
    for metric, text in _HELP.items():
        lines += head(metric, text)
        lines += _samples(metric, states, now)
    return "\n".join(lines) + "\n"


def _samples(metric: str, states: Iterable[State], now: float) -> Iterator[str]:
    if metric.endswith("_checked_timestamp_seconds"):
        yield f"{metric} {now:.0f}"
        return
    for state in states:
        labels = f'name="{escaped(state.name)}",mode="{state.mode}"'
        certificate = state.certificate
        if metric.endswith("_state"):
            yield from (f'{metric}{{{labels},state="{word}"}} {int(word == state.state)}' for word in STATES)
        elif certificate is None:
            continue
        elif metric.endswith("_ratio"):
            yield f"{metric}{{{labels}}} {certificate.lifetime_left(now):.6f}"
        else:
            moment = certificate.not_before if "not_before" in metric else certificate.not_after
            yield f"{metric}{{{labels}}} {moment}"


def write_metrics(path: Path, states: Sequence[State], now: float) -> None:
    """Write the file whole: a scrape sees the old one or the new one. FileError says what hinders it."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise explain(str(path.parent), "made", error) from error
    write_file(path, exposition(states, now).encode())
