# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts the work of dns_records in a process of its own, and reads its report."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import TIMED_OUT, run_command
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.redact import Redactor

from .wanted import Wanted, Zone

MODULE = "ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.work"
_PLANNING = 180.0  # seconds for each zone: a provider with thousands of records takes a while
_LINE = 200


class WorkError(Exception):
    """The work could not be done at all. The text says what, where and the fix."""


def job_of(wanted: Wanted, mode: str, *, limit: int, force: bool, timeout: int) -> dict[str, Any]:
    """The job as plain data."""
    return {
        "mode": mode,
        "zones": [_zone(zone) for zone in wanted.zones],
        "owner": wanted.owner,
        "adopt": sorted(wanted.adopt),
        "resolvers": [list(server) for server in wanted.resolvers],
        "limit": limit,
        "force": force,
        "timeout": timeout,
    }


def _zone(zone: Zone) -> dict[str, Any]:
    provider = zone.provider
    return {
        "name": zone.name,
        "class_name": provider.class_name,
        "package": provider.package,
        "where": provider.where,
        "arguments": dict(provider.arguments),
        "secrets": list(provider.secrets),
        "server": list(provider.server) if provider.server else None,
        "ttl": zone.ttl,
        "records": [record.as_dict() for record in zone.records],
        "nameservers": [list(server) for server in zone.nameservers],
    }


def do(job: Mapping[str, Any]) -> dict[str, Any]:
    """Do the job and return the report. Raises WorkError."""
    secrets = [secret for zone in job["zones"] for secret in zone["secrets"]]
    limit = len(job["zones"]) * (_PLANNING + 2 * float(job["timeout"]))
    done = run_command(
        [sys.executable, "-m", MODULE],
        timeout=limit,
        environment={"PYTHONPATH": str(_root()), "PYTHONDONTWRITEBYTECODE": "1"},
        text=json.dumps(job),
    )
    if done.code == TIMED_OUT:
        names = ", ".join(zone["name"] for zone in job["zones"])
        raise WorkError(
            f"The provider of {names} did not come to an end within {limit:.0f} s, and was stopped."
            " Fix: See that this machine reaches it, then run again; what was done already is seen then"
        )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        last = next(reversed(done.stderr.strip().splitlines()), "it said nothing")[:_LINE]
        raise WorkError(
            f"The program that works with DNS providers ended with exit code {done.code}: {Redactor(secrets)(last)}."
            " Fix: Install the packages of this project again: pip install --require-hashes -r requirements.lock"
        ) from None
    cleaned: dict[str, Any] = _clean(report, Redactor(secrets))
    return cleaned


def _clean(value: Any, redact: Redactor) -> Any:
    """A report in which no secret is, whatever a provider made of it."""
    if isinstance(value, dict):
        return {key: _clean(item, redact) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, redact) for item in value]
    return redact(value) if isinstance(value, str) else value


def _root() -> Path:
    """The folder that ansible_collections is in, for another Python that has no loader of collections."""
    parents: Iterable[Path] = Path(__file__).parents
    return next((path.parent for path in parents if path.name == "ansible_collections"), Path(__file__).parents[3])
