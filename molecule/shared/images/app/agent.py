"""Stand-in for one of the eight specialist agents: same ports, endpoints and environment, no language model."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import common

NAME = os.environ.get("AGENT_NAME", "agent")
PORT = int(os.environ.get("AGENT_PORT", "8000"))
VERSION = os.environ.get("APP_VERSION", "unknown")


def announce() -> None:
    """Register with the core, then send heartbeats; errors are swallowed, as the real agents do."""
    core = os.environ.get("CORE_URL", "")
    body = {"name": NAME, "role": os.environ.get("AGENT_ROLE", ""), "url": os.environ.get("AGENT_HEALTH_URL", "")}
    registered = False
    while core:
        try:
            common.post(f"{core}/agents/{'heartbeat' if registered else 'register'}", body)
            registered = True
        except (OSError, ValueError):
            registered = False
        time.sleep(10 if registered else 2)


def route(method: str, path: str, body: dict[str, Any]) -> common.Answer:
    if path == "/health":
        if common.redis_is_connected():
            return 200, {"status": "healthy", "redis": "connected"}
        return 503, {"status": "unhealthy", "redis": "disconnected"}
    if path in {"/", "/status"}:
        answer = {"agent": NAME, "role": os.environ.get("AGENT_ROLE", ""), "version": VERSION, "status": "ready"}
        if "POSTGRES_URL" in os.environ:
            answer["postgres"] = "connected" if common.postgres_answers(os.environ["POSTGRES_URL"]) else "disconnected"
        return 200, answer
    if method == "POST" and path in {"/execute", "/plan"}:
        task = str(body.get("task_id", ""))
        try:
            common.redis_command(common.redis_url(), "SET", f"agent:{NAME}:current_task", task)
        except OSError:
            return 200, {"task_id": task, "agent": NAME, "status": "error", "error": "Redis does not answer"}
        return 200, {"task_id": task, "agent": NAME, "status": "completed", "result": f"stand-in of {NAME}"}
    return 404, {"detail": "Not Found"}


if __name__ == "__main__":
    threading.Thread(target=announce, daemon=True).start()
    common.serve(PORT, route)
