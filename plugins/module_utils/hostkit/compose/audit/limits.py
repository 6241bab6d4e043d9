# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules about what every service of a long-running host needs: limits, a restart policy, bounded logs, a free name."""

from __future__ import annotations

from collections.abc import Iterator

from .rule import WARNING, AuditRule, Example, Hit
from .view import View

_UNBOUNDED_DRIVERS = ("", "json-file")


def _limits(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        limits = ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}
        missing = [
            word
            for word, values in (
                ("memory", (limits.get("memory"), service.get("mem_limit"))),
                ("processors", (limits.get("cpus"), service.get("cpus"), service.get("cpu_quota"))),
            )
            if not any(values)
        ]
        if missing:
            message = f"{name} has no limit for {' and '.join(missing)}: one fault in it can take the whole host down."
            yield Hit(name, message, f"services.{name}")


def _restart(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        policy = (service.get("deploy") or {}).get("restart_policy") or {}
        stated = service.get("restart") or (policy.get("condition") or "any" if policy else "")
        if name not in view.jobs and stated in ("", "no", "none"):
            message = f"{name} has no restart policy: it stays down after a crash, and after the host starts again."
            yield Hit(name, message, f"services.{name}.restart")


def _logs(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        logging = service.get("logging") or {}
        unbounded = str(logging.get("driver") or "") in _UNBOUNDED_DRIVERS
        if unbounded and not (logging.get("options") or {}).get("max-size"):
            message = f"{name}: its log is never rotated, so it grows until the disk is full."
            yield Hit(name, message, f"services.{name}.logging")


def _container_name(view: View) -> Iterator[Hit]:
    for name, service in view.services.items():
        if service.get("container_name"):
            message = f"{name} has a container_name: no second copy can start beside it, so an update means an outage."
            yield Hit(name, message, f"services.{name}.container_name")


RULES = (
    AuditRule(
        "limits-missing",
        WARNING,
        "A service has no limit for memory or processors.",
        "A leak or a loop in one container takes memory and processors from all others, and from SSH.",
        "add deploy: {resources: {limits: {memory: 512M, cpus: '0.5'}}}, or give the limits to its class.",
        bad=Example('services: {web: {image: "web:1"}}'),
        good=Example('services: {web: {image: "web:1", mem_limit: 512m, cpus: 0.5}}'),
        check=_limits,
    ),
    AuditRule(
        "restart-missing",
        WARNING,
        "A service has no restart policy.",
        "After a crash or a restart of the host it stays down until somebody notices.",
        "add restart: unless-stopped; or, for a job, wait for it with service_completed_successfully.",
        bad=Example('services: {web: {image: "web:1"}}'),
        good=Example('services: {web: {image: "web:1", restart: unless-stopped}}'),
        check=_restart,
    ),
    AuditRule(
        "log-rotation-missing",
        WARNING,
        "The log of a service is never rotated.",
        "Docker's usual log driver keeps everything that a container ever wrote, until the disk is full.",
        "add logging: {driver: json-file, options: {max-size: 10m, max-file: '3'}}.",
        bad=Example('services: {web: {image: "web:1"}}'),
        good=Example('services: {web: {image: "web:1", logging: {driver: json-file, options: {max-size: 10m}}}}'),
        check=_logs,
    ),
    AuditRule(
        "container-name",
        WARNING,
        "A service has a container_name.",
        "No second copy can start beside the first, so nothing can be replaced without an outage.",
        "remove it; other services reach it by the service's name.",
        bad=Example('services: {web: {image: "web:1", container_name: my-web}}'),
        good=Example('services: {web: {image: "web:1"}}'),
        check=_container_name,
    ),
)
