# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What counts as planned: what the settings expect, what was broken on purpose, and rollouts."""

from __future__ import annotations

from dataclasses import dataclass

from ..numbers import number
from ..settings import Settings
from .recording import Event, Recording

# What was broken has so long to be well again when nobody says how long it took. What follows a bit later counts too.
_FAULT = 900.0
_AFTER = 60.0
# Until all is up after a start of the host, in a soak that is not shorter than eight times as long.
_BOOT = 300.0
# A rollout is told when it is over.
_ROLLOUT_BEFORE = 1800.0
_ROLLOUT_AFTER = 300.0


@dataclass(frozen=True)
class Span:
    """Planned from `begins` to `ends`; `service` empty for all of the host."""

    begins: float
    ends: float
    what: str
    service: str = ""


class Plan:
    """The spans in which something is planned."""

    def __init__(self, recording: Recording, settings: Settings) -> None:
        # A sample sees a little later what happened.
        slack = 2 * settings.interval
        self.spans = [Span(one.begins, one.ends + slack, one.what, one.service) for one in settings.expect]
        short = max(120.0, settings.duration / 48)
        for event in recording.events:
            if event.kind == "rollout":
                begins, ends = event.at - min(_ROLLOUT_BEFORE, short), event.at + min(_ROLLOUT_AFTER, short)
                self.spans.append(Span(begins, ends + slack, "rollout"))
        self.faults = _faults(recording.events)
        for fault, recovered in self.faults:
            took = number(recovered.details.get("recovered")) if recovered is not None else None
            ends = fault.at + min(_FAULT, settings.duration / 4)
            if took is not None and recovered is not None:
                ends = max(fault.at + took, recovered.at)
            what = str(fault.details.get("fault") or "fault")
            service = "" if what == "reboot" else fault.service
            self.spans.append(Span(fault.at - slack, ends + slack + _AFTER, what, service))
        # After a start of the host all is down for a while. That it was not planned is told by the check of reboots.
        up = min(_BOOT, settings.duration / 8)
        self.spans += [Span(at - slack, at + up, "boot") for at, _boot in recording.boots[1:]]

    def planned(self, at: float, service: str = "") -> bool:
        """Whether somebody planned it: a start of the host alone is no plan."""
        span = self.covers(at, service)
        return span is not None and span.what != "boot"

    def covers(self, at: float, service: str = "") -> Span | None:
        """The span that something belongs to that happened then; None when it is not planned."""
        # What was planned comes first: a start of the host stands after it.
        for span in self.spans:
            if span.begins <= at <= span.ends and (not span.service or span.service == service):
                return span
        return None

    def host(self, begins: float, ends: float) -> Span | None:
        """The span in which the host, or Docker, may have been away."""
        for span in self.spans:
            away = span.what in ("reboot", "outage", "dockerd") and not span.service
            if away and span.begins <= ends and begins <= span.ends:
                return span
        return None

    def reboot(self, at: float) -> Span | None:
        """The span in which the host may have been started anew."""
        return next((s for s in self.spans if s.what == "reboot" and s.begins <= at <= s.ends), None)


def _faults(events: list[Event]) -> list[tuple[Event, Event | None]]:
    """Each fault with the line that says when it was over, if there is one."""
    found: list[tuple[Event, Event | None]] = []
    for event in events:
        if event.kind != "fault":
            continue
        what = (event.details.get("fault"), event.service)
        if "recovered" in event.details:
            for index, (begun, over) in enumerate(found):
                if over is None and (begun.details.get("fault"), begun.service) == what:
                    found[index] = (begun, event)
                    break
            else:
                found.append((event, event))
        else:
            found.append((event, None))
    return found
