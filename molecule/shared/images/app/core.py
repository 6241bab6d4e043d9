"""Stand-in for hypercode-core: agent registry, readiness that asks Redis and Postgres, metrics."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from typing import Any

import common

AGENTS: dict[str, float] = {}
COUNTS: Counter[tuple[str, str, int]] = Counter()
EVENTS: Counter[str] = Counter()
LOCK = threading.Lock()


def check_environment() -> None:
    """Refuse to start in production without the secrets that the real service insists on."""
    if os.environ.get("ENVIRONMENT") != "production":
        return
    if not os.environ.get("API_KEY"):
        sys.exit("API_KEY is missing")
    if len(os.environ.get("HYPERCODE_JWT_SECRET", "")) < 32:
        sys.exit("HYPERCODE_JWT_SECRET is missing or shorter than 32 characters")


def metrics() -> str:
    lines = ["# TYPE http_requests_total counter"]
    with LOCK:
        for (method, path, status), count in sorted(COUNTS.items()):
            lines.append(f'http_requests_total{{method="{method}",path="{path}",status="{status}"}} {count}')
        for name in ("agent_registered_total", "agent_heartbeat_total"):
            lines += [f"# TYPE {name} counter", f"{name} {EVENTS[name]}"]
    return "\n".join(lines) + "\n"


def answer(method: str, path: str, body: dict[str, Any]) -> common.Answer:
    if path in {"/", "/health"}:
        return 200, {"status": "healthy"}
    if path == "/ready":
        parts = {
            "redis": common.redis_is_connected(),
            "postgres": common.postgres_answers(os.environ.get("HYPERCODE_DB_URL", "")),
        }
        return (200 if all(parts.values()) else 503), parts
    if path == "/metrics":
        return 200, metrics()
    if path in {"/agents/register", "/agents/heartbeat"} and method == "POST":
        with LOCK:
            AGENTS[str(body.get("name"))] = time.time()
            EVENTS["agent_registered_total" if path.endswith("register") else "agent_heartbeat_total"] += 1
        return 200, {"status": "ok"}
    if path in {"/agents", "/agents/"}:
        with LOCK:
            return 200, {"agents": sorted(AGENTS)}
    return 404, {"detail": "Not Found"}


def route(method: str, path: str, body: dict[str, Any]) -> common.Answer:
    status, content = answer(method, path, body)
    with LOCK:
        COUNTS[method, path if status != 404 else "other", status] += 1
    return status, content


if __name__ == "__main__":
    check_environment()
    common.serve(8000, route)
