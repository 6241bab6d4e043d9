"""Reads what really runs on a host, through testinfra's connection."""

from __future__ import annotations

import json
from typing import Any

SPECIALISTS = {
    "project-strategist": 8001,
    "frontend-specialist": 8002,
    "backend-specialist": 8003,
    "database-architect": 8004,
    "qa-engineer": 8005,
    "devops-engineer": 8006,
    "security-engineer": 8007,
    "system-architect": 8008,
}
AGENTS = (*SPECIALISTS, "crew-orchestrator", "hypercode-core")
INFRASTRUCTURE = ("redis", "postgres", "celery-worker", "prometheus", "grafana", "jaeger", "ollama")
SERVICES = (*AGENTS, *INFRASTRUCTURE)


def root(host: Any, command: str, *, ok: bool = True) -> str:
    """Run a command as root on the host; return what it printed."""
    with host.sudo():
        done = host.run(command)
    assert not ok or done.rc == 0, f"{command!r} failed with {done.rc}: {done.stderr or done.stdout}"
    return str(done.stdout)


def board(host: Any) -> dict[str, dict[str, Any]]:
    """Return the board by service; the command's exit code is not judged here."""
    document = json.loads(root(host, "hypercode status --json", ok=False))
    return {row["service"]: row for row in document["board"]}


def containers(host: Any, project: str = "hypercode") -> dict[str, dict[str, Any]]:
    """Return `docker inspect` of every container of the project, by service."""
    ids = root(host, f"docker ps --all --quiet --filter label=com.docker.compose.project={project}").split()
    found = json.loads(root(host, f"docker inspect {' '.join(ids)}")) if ids else []
    return {item["Config"]["Labels"]["com.docker.compose.service"]: item for item in found}


def ids(host: Any) -> dict[str, str]:
    """Return the container of each service."""
    return {service: str(item["Id"]) for service, item in containers(host).items()}


def release(host: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(root(host, "cat /opt/hypercode/current/release.json"))
    return document


def all_healthy(host: Any) -> bool:
    rows = board(host)
    return set(rows) == set(SERVICES) and all(
        row["state"] == "running" and row["health"] == "healthy" and not row["note"] for row in rows.values()
    )


def python_in(host: Any, service: str, code: str) -> str:
    """Run Python in a service's container."""
    container = containers(host)[service]["Id"]
    return root(host, f'docker exec {container} python -c "{code}"')
