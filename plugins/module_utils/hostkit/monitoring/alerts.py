# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The alerts that fire, as the stack's own Prometheus tells them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..board_text import one_line
from ..edge.upstreams import address_of
from ..stack_state import containers_by_service
from .check import MonitoringError

SERVICE, PORT = "prometheus", 9090
_TIMEOUT = 5.0  # seconds
# The worst first. Others, such as none, are for machines.
SEVERITIES = ("critical", "warning")


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


def firing(containers: Sequence[Mapping[str, Any]]) -> list[Alert] | None:
    """The alerts that fire, the worst first; None where the stack has no Prometheus that runs.

    MonitoringError when it does not answer, or with something else than alerts.
    """
    found = containers_by_service(containers).get(SERVICE, [])
    addresses = [address_of(container) for container in found if (container.get("State") or {}).get("Running")]
    address = next((address for address in addresses if address), "")
    if not address:
        return None
    connection = http.client.HTTPConnection(address, PORT, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/api/v1/alerts")
        answer = connection.getresponse()
        document = json.loads(answer.read())
        alerts = [_alert(entry) for entry in document["data"]["alerts"] if entry["state"] == "firing"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MonitoringError(
            f"Prometheus does not say which alerts fire ({type(error).__name__}: {error}). "
            "Fix: docker logs of its container says what it does"
        ) from error
    finally:
        connection.close()
    shown = [alert for alert in alerts if alert.severity in SEVERITIES]
    return sorted(shown, key=lambda alert: (SEVERITIES.index(alert.severity), alert.name, alert.about))


def _alert(entry: Mapping[str, Any]) -> Alert:
    labels, words = entry["labels"], entry.get("annotations") or {}
    about = next(
        (str(labels[name]) for name in ("service", "job", "file", "mountpoint", "name") if labels.get(name)), ""
    )
    return Alert(
        name=str(labels["alertname"]),
        severity=str(labels.get("severity", "")),
        about=about,
        summary=str(words.get("summary", "")),
        runbook=str(words.get("runbook_url", "")),
        since=str(entry.get("activeAt", "")),
    )
