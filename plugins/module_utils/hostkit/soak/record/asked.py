# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What others know already: Prometheus, with its exporters, and the files that other parts of this host write."""

from __future__ import annotations

import http.client
import json
import math
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...backup.config import Paths as BackupPaths
from ...backup.facts import read_facts
from ...exposition import samples_in

PORT, TIMEOUT, MOST = 9090, 5.0, 8 * 2**20
# Of each metric, how it is put together of several servers: counters and sizes are added up, states are as the worst.
_SUMS = (
    "pg_stat_activity_count",
    "pg_settings_max_connections",
    "pg_stat_archiver_archived_count",
    "pg_stat_archiver_failed_count",
    "pg_stat_user_tables_n_dead_tup",
    "pg_stat_user_tables_n_live_tup",
    "pg_stat_database_deadlocks",
    "redis_memory_used_bytes",
    "redis_memory_max_bytes",
    "redis_evicted_keys_total",
    "redis_rejected_connections_total",
)
_WORST = ("redis_rdb_last_bgsave_status", "redis_aof_last_write_status", "pg_up", "redis_up")
_QUERY = (
    f'sum by (__name__) ({{__name__=~"{"|".join(_SUMS)}"}}) or min by (__name__) ({{__name__=~"{"|".join(_WORST)}"}})'
)
_POSTGRES = {
    "connections": "pg_stat_activity_count",
    "connections_max": "pg_settings_max_connections",
    "archived": "pg_stat_archiver_archived_count",
    "archive_failed": "pg_stat_archiver_failed_count",
    "dead_rows": "pg_stat_user_tables_n_dead_tup",
    "live_rows": "pg_stat_user_tables_n_live_tup",
    "deadlocks": "pg_stat_database_deadlocks",
}
_REDIS = {
    "memory": "redis_memory_used_bytes",
    "memory_max": "redis_memory_max_bytes",
    "evicted": "redis_evicted_keys_total",
    "rejected": "redis_rejected_connections_total",
    "save_ok": "redis_rdb_last_bgsave_status",
    "append_ok": "redis_aof_last_write_status",
}


def ask_prometheus(address: str, port: int = PORT) -> dict[str, Any]:
    """The keys `targets`, `alerts`, `postgres` and `redis` of a sample; those that are not known are left out."""
    found: dict[str, Any] = {}
    connection = http.client.HTTPConnection(address.strip("[]"), port, timeout=TIMEOUT)
    try:
        found["targets"] = _targets(_data(connection, "/api/v1/targets?state=active"))
        found["alerts"] = _alerts(_data(connection, "/api/v1/alerts"))
        values = _values(_data(connection, f"/api/v1/query?{urllib.parse.urlencode({'query': _QUERY})}"))
        for key, names in (("postgres", _POSTGRES), ("redis", _REDIS)):
            of_it = {name: _typed(name, values[metric]) for name, metric in names.items() if metric in values}
            if of_it:
                found[key] = of_it
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        # What is known so far is worth something; that it does not answer is seen by its own probe.
        pass
    finally:
        connection.close()
    return found


def _data(connection: http.client.HTTPConnection, path: str) -> Any:
    connection.request("GET", path)
    answer = connection.getresponse()
    document = json.loads(answer.read(MOST))
    if answer.status != 200 or document["status"] != "success":
        raise ValueError(f"status {answer.status}")
    return document["data"]


def _targets(data: Mapping[str, Any]) -> dict[str, Any]:
    active = data["activeTargets"]
    down = sorted(
        f"{target['labels'].get('job', '')}/{target['labels'].get('instance', '')}"
        for target in active
        if target["health"] == "down"
    )
    return {"up": sum(target["health"] == "up" for target in active), "down": down[:100]}


def _alerts(data: Mapping[str, Any]) -> list[dict[str, str]]:
    found = []
    for alert in data["alerts"]:
        labels = alert["labels"]
        # Those without a severity that is for people are for machines, such as the one that fires always.
        if alert["state"] == "firing" and labels.get("severity") not in (None, "", "none"):
            about = next((labels[name] for name in ("service", "job", "name") if labels.get(name)), "")
            found.append({"name": labels["alertname"], "severity": labels["severity"], "service": about})
    return found[:200]


def _values(data: Mapping[str, Any]) -> dict[str, float]:
    return {entry["metric"]["__name__"]: float(entry["value"][1]) for entry in data["result"]}


def _typed(name: str, value: float) -> Any:
    return bool(value) if name.endswith("_ok") else 0 if math.isnan(value) else int(value)


# --- files ------------------------------------------------------------------------------------------------------------


def read_edge(root: Path) -> dict[str, int] | None:
    """The key `edge`: what Caddy has counted; None where there is none."""
    requests = errors = 0
    there = False
    for name, labels, value in _samples(root / "var/lib/hypercode/metrics/edge.prom"):
        # Of each request once: the handlers of a route are nested, and the outermost is the one that is no other's.
        if name == "caddy_http_request_duration_seconds_count" and labels.get("handler") == "subroute":
            there = True
            requests += int(value)
            errors += int(value) if labels.get("code", "").startswith("5") else 0
    return {"requests": requests, "errors": errors} if there else None


_CERTIFICATE: Mapping[str, str] = {
    "hypercode_certificate_not_before_timestamp_seconds": "begins",
    "hypercode_certificate_not_after_timestamp_seconds": "expires",
}


def read_certificates(root: Path) -> list[dict[str, Any]]:
    """The key `certificates`."""
    found: dict[str, dict[str, int]] = {}
    for name, labels, value in _samples(root / "var/lib/hypercode/metrics/certificates.prom"):
        key = _CERTIFICATE.get(name)
        if key:
            one = found.setdefault(labels.get("name", ""), {})
            one[key] = min(int(value), one.get(key, int(value)))
    return [{"name": name, **one} for name, one in sorted(found.items()) if "expires" in one]


def _samples(path: Path) -> list[tuple[str, dict[str, str], float]]:
    try:
        return list(samples_in(path.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return []


def read_backup(root: Path) -> dict[str, Any] | None:
    """The key `backup`, and of the last drill `drill_failed` too; None where there are no backups."""
    facts = read_facts(BackupPaths(root))
    try:
        repositories = list((facts.get("repositories") or {}).values())
        if not repositories:
            return None
        good = [float((found.get("good") or {}).get("began") or 0) for found in repositories]
        failed = any(bool(found.get("failure")) for found in repositories)
        drill = facts.get("drill") or {}
        return {
            "last_success": max(good),
            "last_run": float((facts.get("last") or {}).get("ended") or 0),
            "failed": failed,
            "last_drill": float(drill.get("ended") or 0) if drill and not drill.get("failures") else 0,
            "last_drill_run": float(drill.get("ended") or 0),
        }
    except (AttributeError, TypeError, ValueError):
        return None
