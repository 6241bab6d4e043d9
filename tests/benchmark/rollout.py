"""scripts/bench rollout: updates under load; ours, `docker compose up` and docker-rollout's method, one after another.

A host is made for it (molecule's scenario rolling_update) and removed at the end. All ways make the same change, behind
the same edge. The load: kept connections, fresh ones, requests that take some seconds, and an open WebSocket.

What is written as JSON, `schema` 1:

    schema    1
    verb      "rollout"
    created   when, UTC, ISO 8601
    machine   {"cpus", "load"}: processors, and their load average before
    rate      requests a second on kept connections
    slow      seconds that a slow request takes; one begins each second
    ways      by name: {"seconds": how long the change took, "requests", "failed", "again": closed unanswered and asked
              once more, "kinds": {kind of failure: number}, "longest_seconds", "websocket_close": code of its close
              frame, 0 without one}
    long      the same of the long run, and "steps": [{"step", "seconds", "requests", "failed", "again"}]; on demand
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from checks.web import Load, Site, WebSocket
from testbed.hosts import Bed
from testbed.shell import TestbedError, docker, say, step

SCENARIO, HOST = "rolling_update", "web1"
# The host's side of the two other ways: what stands for the new version is the same Compose file with another VERSION.
NEXT = r"""
set -eu
cd /opt/hypercode/current
sed 's/VERSION: .*/VERSION: "{version}"/' compose.yaml > /root/next.yaml
compose() {{ docker compose --project-name small --file /root/next.yaml --env-file env "$@"; }}
old=$(docker ps --quiet --no-trunc --filter label=com.docker.compose.service=app)
"""
COMPOSE_UP = NEXT + "compose up --detach --no-deps app"
# https://github.com/wowu/docker-rollout: twice as many, wait for healthy, then stop and remove the old ones.
DOCKER_ROLLOUT = (
    NEXT
    + r"""
compose up --detach --no-deps --scale app=2 --no-recreate app
for look in $(seq 60); do
  healthy=$(docker ps --quiet --filter label=com.docker.compose.service=app --filter health=healthy | wc -l)
  [ "$healthy" -ge 2 ] && break
  sleep 1
done
docker stop $old
docker rm $old
"""
)


@dataclass
class Figures:
    """What came of the requests of one way."""

    seconds: float
    loads: dict[str, Load]
    websocket: int

    def as_json(self) -> dict[str, Any]:
        kinds: Counter[str] = Counter()
        for load in self.loads.values():
            kinds.update(load.kinds)
        return {
            "seconds": round(self.seconds, 1),
            "requests": sum(load.sent for load in self.loads.values()),
            "failed": sum(len(load.failures) for load in self.loads.values()),
            "again": sum(load.again for load in self.loads.values()),
            "kinds": dict(kinds),
            "longest_seconds": round(max(load.longest for load in self.loads.values()), 2),
            "websocket_close": self.websocket,
        }


@dataclass
class Bench:
    """The host under test, and what is done to it. ``requests`` is for the long run; 0 leaves it out."""

    root: Path
    log: Path
    json: Path
    requests: int
    rate: int
    slow: int = 6
    version: int = 1
    _logs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bed = Bed(
            f"molecule-{SCENARIO}", self.root / ".cache/testbed" / f"molecule-{SCENARIO}", "molecule", "docker"
        )
        self.site = Site(self.bed.address(0), "app.test")

    def run(self) -> None:
        found: dict[str, Any] = {
            "schema": 1,
            "verb": "rollout",
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 2)},
            "rate": self.rate,
            "slow": self.slow,
        }
        self.json.unlink(missing_ok=True)
        try:
            with step("Make a host and deploy to it"):
                self._molecule("create")
                self._molecule("converge")
                self._play("site.yml", "--tags", "edge,stack", "--extra-vars", json.dumps(self._patience()))
            found["ways"] = {name: self._way(name, change) for name, change in self._ways().items()}
            if self.requests:
                found["long"] = self._long()
        finally:
            with step("Remove the host"):
                self._molecule("destroy")
        self.json.parent.mkdir(parents=True, exist_ok=True)
        self.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        report(found)
        say(f"As JSON: {self.json}")

    # ---- the ways -------------------------------------------------------------------------------------------------

    def _ways(self) -> dict[str, Callable[[], None]]:
        return {
            "site.yml": self._update,
            "docker compose up": lambda: self._on_host(COMPOSE_UP),
            "docker-rollout's method": lambda: self._on_host(DOCKER_ROLLOUT),
        }

    def _way(self, name: str, change: Callable[[], None]) -> dict[str, Any]:
        self.version += 1
        with self._asked() as loads, step(f"Version {self.version} by {name}"):
            socket = WebSocket(self.site).open()
            began = time.monotonic()
            change()
            seconds = time.monotonic() - began
            self._wait_for(str(self.version))
            time.sleep(2)
        figures = Figures(seconds, loads, socket.code).as_json()
        # As the record says again, for the next one.
        self.version += 1
        self._update()
        return figures

    def _update(self, environment: Mapping[str, str] | None = None, *, ok: bool = True) -> None:
        mirror = f"{self.bed.registry}/sandbox"
        wanted = {"MIRROR": mirror, "CALLS": "app:8000", "VERSION": str(self.version), **(environment or {})}
        settings = {**self._patience(), "stack_environment": wanted}
        words = ["--tags", "stack", "--extra-vars", json.dumps(settings)]
        self._play("site.yml", *words, ok=ok)

    def _patience(self) -> dict[str, int]:
        """Time for what is under way, as a team whose requests take so long would set it."""
        return dict.fromkeys(("stack_drain_timeout", "edge_drain_timeout"), self.slow + 3)

    def _on_host(self, script: str) -> None:
        docker("exec", "--interactive", self.bed.container(HOST), "sh", "-s", stdin=script.format(version=self.version))

    def _wait_for(self, version: str) -> None:
        until = time.monotonic() + 30
        while self.site.get("/").headers.get("x-version") != version:
            if time.monotonic() > until:
                raise TestbedError(f"Version {version} does not answer. All that was done is in {self.log}")
            time.sleep(0.2)

    # ---- the long run ---------------------------------------------------------------------------------------------

    def _long(self) -> dict[str, Any]:
        """Updates, bad releases, a rollback, a reload of the edge, over and over until there are enough requests."""
        steps: list[dict[str, Any]] = []
        began = time.monotonic()
        with self._asked() as loads:
            while True:
                for name, change in self._steps().items():
                    before, at = Figures(0, loads, 0).as_json(), time.monotonic()
                    socket = WebSocket(self.site).open()
                    change()
                    after = Figures(time.monotonic() - at, loads, 0).as_json()
                    done = {key: after[key] - before[key] for key in ("requests", "failed", "again")}
                    steps.append({"step": name, "seconds": after["seconds"], **done, "websocket_close": socket.code})
                    say(f"  {name}: {done['requests']} requests, {done['failed']} failed, {done['again']} asked again")
                    if after["requests"] >= self.requests:
                        break
                else:
                    continue
                break
        return {**Figures(time.monotonic() - began, loads, 0).as_json(), "steps": steps}

    def _steps(self) -> dict[str, Callable[[], None]]:
        def update(**environment: str) -> None:
            self.version += 1
            self._update(environment)

        def bad(how: str) -> Callable[[], None]:
            def release() -> None:
                self.version += 1
                self._update({"BROKEN": how}, ok=False)
                self.version -= 1

            return release

        return {
            **{f"update {number} of 10 in a row": update for number in range(1, 11)},
            "every service behind the edge": lambda: update(BOARD=str(self.version)),
            # After a release that was refused, the host is back already.
            "rollback": self._rollback,
            "never healthy": bad("never"),
            "healthy, then falls": bad("soon"),
            "healthy, but answers 500": bad("errors"),
            "reload of the edge": lambda: self._on_host("systemctl reload caddy\nsleep 5\n"),
        }

    def _rollback(self) -> None:
        self._play("playbooks/rollback.yml")

    # ---- tools ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _asked(self) -> Iterator[dict[str, Load]]:
        loads = {
            "kept": Load(self.site, rate=self.rate, keep=True),
            "fresh": Load(self.site, rate=30, workers=4),
            "slow": Load(
                replace(self.site, timeout=self.slow + 10),
                rate=1,
                workers=self.slow + 4,
                path=f"/slow={self.slow}",
            ),
        }
        with loads["kept"].running(), loads["fresh"].running(), loads["slow"].running():
            time.sleep(1)
            yield loads

    def _play(self, playbook: str, *words: str, ok: bool = True) -> None:
        inventory = self.root / "molecule" / SCENARIO / "inventory"
        self._tool("ansible-playbook", playbook, "-i", str(inventory), *words, ok=ok)

    def _molecule(self, verb: str) -> None:
        self._tool("molecule", verb, "--no-command-borders", "--scenario-name", SCENARIO)

    def _tool(self, name: str, *words: str, ok: bool = True) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            command = [str(self.root / ".venv" / "bin" / name), *words]
            done = subprocess.run(
                command, cwd=self.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False, timeout=900
            )
        if (done.returncode == 0) is not ok:
            raise TestbedError(f"{name} {words[0]} ended with {done.returncode}. All that it said is in {self.log}")


def report(found: dict[str, Any]) -> None:
    """Print a table of the ways, and the long run in one line."""
    say("")
    say(f"{'way':26}{'took':>8}{'requests':>10}{'failed':>8}{'again':>7}{'longest':>9}  WebSocket")
    for name, way in found["ways"].items():
        closed = f"closed with {way['websocket_close']}" if way["websocket_close"] else "cut"
        say(
            f"{name:26}{way['seconds']:>6.0f} s{way['requests']:>10}{way['failed']:>8}{way['again']:>7}"
            f"{way['longest_seconds']:>7.1f} s  {closed}"
        )
        if way["kinds"]:
            say(f"  {', '.join(f'{number} times {kind}' for kind, number in way['kinds'].items())}")
    if "long" in found:
        long = found["long"]
        say(
            f"\n{len(long['steps'])} changes in {long['seconds']:.0f} s: {long['requests']} requests,"
            f" {long['failed']} failed, {long['again']} asked again."
        )
