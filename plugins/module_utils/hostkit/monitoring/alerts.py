# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The alerts that fire, as the stack's own Prometheus tells them."""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..board_text import one_line
from ..stack_state import address_of, containers_by_service
from .check import MonitoringError

SERVICE, PORT = "prometheus", 9090
_TIMEOUT = 5.0  # seconds
# The worst first. Others, such as none, are for machines.
SEVERITIES = ("critical", "warning")
# How finely one looks back, in seconds: as often as rules are evaluated.
_STEP = 15
# When each began to fire, and how often it did since then. Whichever labels it has, these are what it is about.
_FIRED = 'ALERTS{alertstate="firing"}'
_ABOUT = ("service", "job", "file", "mountpoint", "name")


@dataclass(frozen=True)
class Alert:
    """One alert that fires. ``about`` is the service, job or file that it is about, ``since`` in RFC 3339."""

    name: str
    severity: str
    about: str
    summary: str
    runbook: str
    since: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)

    def line(self) -> str:
        """For the board."""
        return (
            f"alert: {self.severity}: {one_line(self.summary) or self.name} ({self.name}). See {one_line(self.runbook)}"
        )


@dataclass(frozen=True)
class Fired:
    """An alert that fired at some time. ``first`` in seconds since 1970, ``seconds`` for how long in all."""

    name: str
    severity: str
    about: str
    first: float
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def line(self) -> str:
        """For a person."""
        about = f" {one_line(self.about)}" if self.about else ""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.first))
        return f"{when} UTC  {self.severity}: {self.name}{about}, for {self.seconds:.0f} s"


def firing(containers: Sequence[Mapping[str, Any]]) -> list[Alert] | None:
    """The alerts that fire, the worst first; None where the stack has no Prometheus that runs.

    MonitoringError when it does not answer, or with something else than alerts.
    """
    address = _address(containers)
    if not address:
        return None
    try:
        found = [_alert(entry) for entry in _ask(address, "alerts")["alerts"] if entry["state"] == "firing"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _silent(error) from error
    shown = [alert for alert in found if alert.severity in SEVERITIES]
    return sorted(shown, key=lambda alert: (SEVERITIES.index(alert.severity), alert.name, alert.about))


def fired(containers: Sequence[Mapping[str, Any]], seconds: float) -> list[Fired] | None:
    """The alerts that fired within the last `seconds`, the first one first; None and MonitoringError as above."""
    address = _address(containers)
    if not address:
        return None
    span = f"{max(_STEP, round(seconds))}s:{_STEP}s"
    began = urllib.parse.urlencode({"query": f"min_over_time(timestamp({_FIRED})[{span}])"})
    lasted = urllib.parse.urlencode({"query": f"{_STEP} * count_over_time({_FIRED}[{span}])"})
    try:
        length = _by_labels(_ask(address, f"query?{lasted}"))
        first = _by_labels(_ask(address, f"query?{began}"))
        rows = [_fired(dict(labels), when, length.get(labels, float(_STEP))) for labels, when in first.items()]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _silent(error) from error
    return sorted((row for row in rows if row.severity in SEVERITIES), key=lambda row: (row.first, row.name, row.about))


def _address(containers: Sequence[Mapping[str, Any]]) -> str:
    found = containers_by_service(containers).get(SERVICE, [])
    addresses = [address_of(container) for container in found if (container.get("State") or {}).get("Running")]
    return next((address for address in addresses if address), "")


def _ask(address: str, what: str) -> Any:
    """Ask the Prometheus at an address; return its data."""
    connection = http.client.HTTPConnection(address, PORT, timeout=_TIMEOUT)
    try:
        connection.request("GET", f"/api/v1/{what}")
        return json.loads(connection.getresponse().read())["data"]
    finally:
        connection.close()


def _silent(error: Exception) -> MonitoringError:
    return MonitoringError(
        f"Prometheus does not say which alerts fire ({type(error).__name__}: {error}). "
        "Fix: docker logs of its container says what it does"
    )


def _by_labels(data: Mapping[str, Any]) -> dict[frozenset[tuple[str, str]], float]:
    return {frozenset(row["metric"].items()): float(row["value"][1]) for row in data["result"]}


def _fired(labels: Mapping[str, str], first: float, seconds: float) -> Fired:
    return Fired(str(labels["alertname"]), str(labels.get("severity", "")), _about(labels), first, seconds)


def _about(labels: Mapping[str, Any]) -> str:
    return next((str(labels[name]) for name in _ABOUT if labels.get(name)), "")


def _alert(entry: Mapping[str, Any]) -> Alert:
    labels, words = entry["labels"], entry.get("annotations") or {}
    return Alert(
        name=str(labels["alertname"]),
        severity=str(labels.get("severity", "")),
        about=_about(labels),
        summary=str(words.get("summary", "")),
        runbook=str(words.get("runbook_url", "")),
        since=str(entry.get("activeAt", "")),
    )
