"""Stand-in for crew-orchestrator: takes a mission, asks the strategist, hands the task on, keeps its state."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.request
from typing import Any

import common

TASKS: dict[str, dict[str, Any]] = {}
LOCK = threading.Lock()
STRATEGIST = os.environ.get("STRATEGIST_URL", "http://project-strategist:8001")


def work(task_id: str, task: str) -> None:
    state = "completed"
    try:
        common.post(f"{STRATEGIST}/plan", {"task_id": task_id, "task": task}, timeout=10)
    except (OSError, ValueError):
        state = "failed"
    with LOCK:
        TASKS[task_id]["status"] = state


def route(method: str, path: str, body: dict[str, Any]) -> common.Answer:
    if path == "/health":
        return 200, {"status": "healthy"}
    if path == "/agents/status":
        try:
            with urllib.request.urlopen(f"{os.environ['CORE_URL']}/agents/", timeout=3) as reply:
                return 200, json.load(reply)
        except (OSError, KeyError, ValueError):
            return 200, {"agents": []}
    if method == "POST" and path == "/plan":
        # One-second resolution, as the real one: ten missions at once share an id.
        task_id = f"task_{int(time.time())}"
        with LOCK:
            TASKS[task_id] = {"task_id": task_id, "status": "planning", "task": body.get("task", "")}
        threading.Thread(target=work, args=(task_id, str(body.get("task", ""))), daemon=True).start()
        return 200, {"task_id": task_id, "status": "planning", "assigned_agents": ["project-strategist"]}
    if path.startswith("/task/"):
        with LOCK:
            found = TASKS.get(path.removeprefix("/task/"))
        return (200, dict(found)) if found else (404, {"detail": "Task not found"})
    return 404, {"detail": "Not Found"}


if __name__ == "__main__":
    common.serve(8080, route)
