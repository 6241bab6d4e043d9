"""Stand-in for celery-worker: takes jobs from a Redis list until SIGTERM; answers `celery inspect ping` by a file."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import common

# On the container's own tmpfs.
ALIVE = Path("/tmp/worker-alive")
running = True


def stop(_signal: int, _frame: object) -> None:
    global running  # noqa: PLW0603
    running = False


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    print("worker ready", flush=True)
    while running:
        try:
            common.redis_command(common.redis_url(), "LPOP", "celery")
            ALIVE.touch()
        except OSError as error:
            print(f"Redis does not answer: {error}", flush=True)
        time.sleep(1)
