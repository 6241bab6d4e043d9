# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The load itself, made by Locust, in a process of its own.

A process of its own, since Locust replaces Python's sockets, threads and locks with those of gevent as soon as it is
imported: nothing that Ansible does may see that. The job comes as JSON on standard input, so that a password is on no
command line. What happens goes to standard output, a JSON document a line: ``{"progress": ...}`` each second, at the
end ``{"result": ...}``.
"""

from __future__ import annotations

import importlib
import json
import logging
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

PLAN = "POST /plan"
TASK = "GET /task/{id}"
COMPLETED, FAILED, TIMED_OUT, REFUSED = "completed", "failed", "timed out", "refused"
PERCENTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
TICK = 1.0
LOOK = 0.05
# After the time of a mission is over, a request that is under way may take that long.
GRACE = 5.0


def say(**document: Any) -> None:
    print(json.dumps(document), flush=True)


def what_was_wrong(response: Any) -> str:
    """Return why an answer is no good, in words; empty when it is good. A redirect is no answer of the service."""
    if not response.status_code:
        error = response.error
        return f"no answer: {error or type(error).__name__}"
    if response.status_code >= 300:
        return f"status {response.status_code}"
    return ""


class Load:
    """One run of Locust: the users are `user_class`, `job` is what they do."""

    def __init__(self, job: Mapping[str, Any], make_user: Callable[[Load], type]) -> None:
        from gevent.event import Event  # noqa: PLC0415  They change Python itself; see above.
        from locust.env import Environment  # noqa: PLC0415

        self.job = job
        self.all_there = Event()
        self.missions: list[dict[str, Any]] = []
        self.environment = Environment(user_classes=[make_user(self)], stop_timeout=float(job["timeout"]) + GRACE)
        self.runner = self.environment.create_local_runner()
        self.began = time.monotonic()
        self.seconds = 0.0

    def run(self, users: int, seconds: float, ended: Callable[[], bool]) -> dict[str, Any]:
        """Let so many users work at once, until all have ended or the time is over; return the result."""
        import gevent  # noqa: PLC0415

        events: Any = self.environment.events
        events.spawning_complete.add_listener(self._begin)
        self.runner.start(users, spawn_rate=users)
        told = time.monotonic()
        while time.monotonic() - self.began < seconds and not ended():
            gevent.sleep(LOOK)
            if time.monotonic() - told >= TICK:
                told = time.monotonic()
                self.tell()
        self.seconds = time.monotonic() - self.began
        self.runner.stop()
        self.runner.quit()
        return self.result()

    def _begin(self, **_details: Any) -> None:
        self.began = time.monotonic()
        self.all_there.set()

    def tell(self) -> None:
        total = self.environment.stats.total
        say(
            progress={
                "seconds": round(time.monotonic() - self.began, 1),
                "requests": total.num_requests,
                "errors": total.num_failures,
                "p95_ms": total.get_response_time_percentile(0.95) or 0,
                "ended": self.ended(),
            }
        )

    def ended(self) -> int:
        """How many missions have come to an end, good or not."""
        return sum(1 for mission in self.missions if mission["status"])

    def result(self) -> dict[str, Any]:
        stats = self.environment.stats
        entries = sorted(stats.entries.values(), key=lambda entry: str(entry.name))
        return {
            "seconds": round(self.seconds, 2),
            "requests": [_row(entry, self.seconds) for entry in entries],
            "errors": [
                {"name": str(error.name), "what": str(error.error), "count": int(error.occurrences)}
                for error in stats.errors.values()
            ],
            "missions": self.missions,
        }


def _row(entry: Any, seconds: float) -> dict[str, Any]:
    return {
        "name": str(entry.name),
        "count": int(entry.num_requests),
        "errors": int(entry.num_failures),
        "per_second": round(entry.num_requests / seconds, 2) if seconds else 0.0,
        "mean_ms": round(float(entry.avg_response_time), 1),
        **{name: float(entry.get_response_time_percentile(share) or 0) for name, share in PERCENTILES.items()},
        "max_ms": round(float(entry.max_response_time or 0), 1),
    }


def _user(job: Mapping[str, Any]) -> dict[str, Any]:
    """What every user has: where it goes, whom it trusts, how long it waits."""
    login = (job["user"], job["password"]) if job["user"] else None
    return {
        "abstract": True,
        "host": str(job["url"]).rstrip("/"),
        "insecure": False,
        "ssl_context_factory": staticmethod(lambda: ssl.create_default_context(cafile=job["ca_file"] or None)),
        "network_timeout": float(job["timeout"]),
        "connection_timeout": float(job["timeout"]),
        # What fails once has failed: a second try would hide it.
        "max_retries": 0,
        "login": login,
    }


# --- profiles ---------------------------------------------------------------------------------------------------------


def http_user(load: Load) -> type:
    """Users who get one path again and again, at a rate in all or as fast as they are answered."""
    from locust import FastHttpUser, constant, constant_throughput, task  # noqa: PLC0415

    job = load.job
    rate, users, path = float(job["rate"]), int(job["users"]), str(job["path"])
    base = type("Base", (FastHttpUser,), _user(job))

    class HttpUser(base):  # type: ignore[misc,valid-type]
        abstract = False
        wait_time = constant_throughput(rate / users) if rate else constant(0)

        @task
        def get(self) -> None:
            with self.client.get(
                path, name=f"GET {path}", auth=self.login, allow_redirects=False, catch_response=True
            ) as answer:
                wrong = what_was_wrong(answer)
                if wrong:
                    answer.failure(wrong)

    return HttpUser


def mission_user(load: Load) -> type:
    """Users who each have one mission: ask for a plan, then look at the task until it has ended."""
    import gevent  # noqa: PLC0415
    from locust import FastHttpUser, task  # noqa: PLC0415
    from locust.exception import StopUser  # noqa: PLC0415

    job = load.job
    base = type("Base", (FastHttpUser,), _user(job))
    body = {name: job[name] for name in ("task", "context", "priority", "files")}

    class MissionUser(base):  # type: ignore[misc,valid-type]
        abstract = False

        @task
        def mission(self) -> None:
            # Concurrent means at the same moment: nobody begins before all are there.
            load.all_there.wait()
            about: dict[str, Any] = {"number": len(load.missions) + 1, "task_id": "", "status": "", "seconds": 0.0}
            load.missions.append(about)
            began = time.monotonic()
            about["task_id"] = self.plan()
            status = self.follow(about["task_id"], began) if about["task_id"] else REFUSED
            about.update(status=status, seconds=round(time.monotonic() - began, 2))
            raise StopUser

        def plan(self) -> str:
            """Ask for the mission; its id, or nothing where there is none."""
            with self.client.post(
                "/plan", json=body, name=PLAN, auth=self.login, allow_redirects=False, catch_response=True
            ) as answer:
                found = _field(answer, "task_id")
                if not found:
                    answer.failure(what_was_wrong(answer) or "an answer without a task_id")
            return found

        def follow(self, task_id: str, began: float) -> str:
            """Look until the task has ended, or its time is over."""
            while time.monotonic() - began < float(job["time_limit"]):
                with self.client.get(
                    f"/task/{task_id}", name=TASK, auth=self.login, allow_redirects=False, catch_response=True
                ) as answer:
                    status = _field(answer, "status")
                    if not status:
                        answer.failure(what_was_wrong(answer) or "an answer without a status")
                if status in (COMPLETED, FAILED):
                    return status
                gevent.sleep(float(job["poll"]))
            return TIMED_OUT

    return MissionUser


def _field(answer: Any, name: str) -> str:
    """Return a text in a JSON answer; nothing where the answer is no good or has none."""
    if what_was_wrong(answer):
        return ""
    try:
        found = answer.json()
    except (ValueError, TypeError):
        return ""
    return str(found.get(name) or "") if isinstance(found, dict) else ""


# --- the process ------------------------------------------------------------------------------------------------------


def go_to(name: str, address: str) -> None:
    """Have the name lead to this address, whatever name servers say, as `curl --resolve` does."""
    import gevent.socket  # noqa: PLC0415

    ask = gevent.socket.getaddrinfo

    def answer(host: Any, *others: Any, **more: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        return ask(address if text == name else host, *others, **more)

    gevent.socket.getaddrinfo = answer


def main() -> int:
    job = json.load(sys.stdin)
    # Locust tells of each start and stop of a user; what counts is in the result.
    logging.getLogger("locust").setLevel(logging.ERROR)
    if job["address"]:
        go_to(str(job["host"]), str(job["address"]))
    if job["profile"] == "missions":
        load = Load(job, mission_user)
        count, limit = int(job["missions"]), float(job["time_limit"])
        say(result=load.run(count, limit + GRACE, lambda: load.ended() >= count))
    else:
        load = Load(job, http_user)
        say(result=load.run(int(job["users"]), float(job["duration"]), lambda: False))
    return 0


if __name__ == "__main__":
    # First of all, so that nothing has been imported which it cannot change any more.
    importlib.import_module("locust")

    sys.exit(main())
