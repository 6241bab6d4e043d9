# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Moves the host to a release: pull everything, start level by level, wait for healthy, switch; or back.

Runs on the host, in a process of its own, so that it ends well when the controller goes away. Each step is a line in the
journal `/var/lib/hypercode/rollout/<id>.jsonl`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import stack_state
from .command import CommandResult
from .compose.emit import emit
from .engine import Engine, run_docker
from .evidence import collect
from .release import Paths, Release, Store, lock
from .stack_state import Row

Runner = Callable[..., CommandResult]
# A service without a health check counts as ready when it has run for this long.
SETTLE_SECONDS = 3.0
# Docker restarts a failing container at once; that many restarts while we wait are a crash, not a hiccup.
CRASH_RESTARTS = 3


class RolloutError(Exception):
    """The release cannot be brought up. Carries what the user needs: what, where, fix, and the evidence folder."""

    def __init__(self, message: str, *, service: str = "", evidence: str = "") -> None:
        super().__init__(message)
        self.service = service
        self.evidence = evidence


@dataclass
class Journal:
    """Appends one JSON line an event, fsynced: it tells where a rollout stood when the power went."""

    paths: Paths
    release_id: str
    clock: Callable[[], float] = time.time
    echo: Callable[[str], None] | None = None

    def write(self, event: str, **details: Any) -> None:
        self.paths.state.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"time": round(self.clock(), 3), "event": event, **details}, sort_keys=True)
        with (self.paths.state / f"{self.release_id}.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        if self.echo:
            self.echo(event + " " + " ".join(f"{key}={value}" for key, value in details.items()))

    def read(self) -> list[dict[str, Any]]:
        path = self.paths.state / f"{self.release_id}.jsonl"
        if not path.exists():
            return []
        events = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                events.append(json.loads(line))
            except ValueError:
                continue  # A line torn by a power cut; the events before it are whole.
        return events


@dataclass
class Rollout:
    """One move to a release. Clock, sleep and command runner are injected."""

    store: Store
    release: Release
    engine: Engine
    run: Runner = run_docker
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    poll_seconds: float = 1.0
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self.store.paths, self.release.id)

    # ---- the whole move -------------------------------------------------------------------------------------------

    def apply(self) -> None:
        """Bring the release up and make it current; on failure put the previous one back and raise RolloutError."""
        previous = self.store.current()
        about = self.release.update(status="running", pid=os.getpid())
        self.journal.write("started", release=self.release.id, previous=previous.id if previous else None)
        try:
            self.pull(about)
            self.bring_up(self.release)
        except RolloutError as error:
            self.fail(error, previous)
            raise
        self.store.switch(self.release)
        self.release.update(status="done", finished=_now(), pid=None)
        self.journal.write("done")
        removed = self.store.prune(int(about.get("keep_releases", 5)))
        if removed:
            self.journal.write("pruned", releases=removed)

    def fail(self, error: RolloutError, previous: Release | None) -> None:
        """Write down why, then put the previous release back."""
        touched = any(event["event"] == "bringing up" for event in self.journal.read())
        status = "failed"
        failure = {"message": str(error), "service": error.service, "evidence": error.evidence}
        if previous and previous.id != self.release.id and touched:
            self.journal.write("reverting", to=previous.id)
            try:
                self.bring_up(previous)
                status = "reverted"
            except RolloutError as second:
                failure["revert"] = str(second)
        self.release.update(status=status, failure=failure, finished=_now(), pid=None)
        self.journal.write(status, **failure)

    # ---- images ---------------------------------------------------------------------------------------------------

    def pull(self, about: Mapping[str, Any]) -> None:
        """Pull every image before anything is stopped; write digests into compose.yaml and release.json."""
        model = self.release.read_model()
        services: dict[str, dict[str, Any]] = {name: dict(meta) for name, meta in about["services"].items()}
        local = set(about.get("local_images", []))
        wanted = {str(model["services"][name]["image"]) for name in services}
        self.journal.write("pulling", images=len(wanted))
        resolved = {image: self.pull_image(image, local=image in local) for image in sorted(wanted)}
        for name, meta in services.items():
            image = str(model["services"][name]["image"])
            reference, image_id = resolved[image]
            meta.update(image=image, digest=reference.partition("@")[2], image_id=image_id)
            model["services"][name]["image"] = reference
        self.release.write_compose(emit(model))
        self.release.update(services=services)
        self.journal.write("pulled", images=len(wanted))

    def pull_image(self, image: str, *, local: bool) -> tuple[str, str]:
        """Have one image on this host; return its reference with digest (where it has one) and its id."""
        found = self.engine.image(image) if local or "@sha256:" in image else None
        if found is None:
            if local:
                raise RolloutError(
                    f"The image {image} was to be built on this host, but it is not here. Fix: run site.yml again; it builds it"
                )
            done = self.run(["docker", "pull", "--quiet", image], timeout=1800)
            found = self.engine.image(image) if done.code == 0 else None
            if found is None:
                raise RolloutError(_pull_message(image, done))
        if "@sha256:" in image:
            return image, str(found["Id"])
        repository = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
        for digest in found.get("RepoDigests") or []:
            name, _, value = digest.partition("@")
            if _same_repository(name, repository) and not local:
                return f"{image}@{value}", str(found["Id"])
        return image, str(found["Id"])

    # ---- containers -----------------------------------------------------------------------------------------------

    def bring_up(self, release: Release) -> None:
        """Start the services of a release, level by level in dependency order, each level once the one before is ready."""
        about = release.read()
        project, services = str(about["project"]), about["services"]
        self.journal.write("bringing up", release=release.id)
        for level in about["order"]:
            names = [name for name in level if name in services]
            if names:
                self.compose_up(release, project, names)
                self.wait_ready(release, about, names)
        self.compose(
            release, project, "up", "--detach", "--no-recreate", "--no-build", "--pull", "never", "--remove-orphans"
        )
        rows = stack_state.containers_by_service(self.engine.containers(project))
        for name, meta in services.items():
            labels = rows[name][0]["Config"].get("Labels") or {} if rows.get(name) else {}
            meta["config_hash"] = labels.get(stack_state.HASH_LABEL, "")
        release.update(services=services)

    def compose(self, release: Release, project: str, *words: str) -> CommandResult:
        return self.run(
            [
                *("docker", "compose", "--project-name", project, "--file", str(release.compose_file)),
                *("--env-file", str(release.env_file), *words),
            ],
            timeout=900,
            environment={"COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain"},
            # A variable of this process would win over the release's env file.
            inherit=False,
        )

    def compose_up(self, release: Release, project: str, names: Sequence[str]) -> None:
        done = self.compose(release, project, "up", "--detach", "--no-deps", "--no-build", "--pull", "never", *names)
        if done.code != 0:
            tail = " ".join(done.stderr.strip().splitlines()[-2:]) or f"exit code {done.code}"
            evidence = self.collect(release, names)
            raise RolloutError(
                f"Docker could not start {', '.join(names)}: {tail}. Fix what it names, then run the same command again",
                service=names[0],
                evidence=evidence,
            )
        self.journal.write("up", services=list(names))

    def wait_ready(self, release: Release, about: Mapping[str, Any], names: Sequence[str]) -> None:
        """Wait until each of the services is ready; raise with evidence as soon as one cannot get there."""
        project, timeout = str(about["project"]), float(about.get("ready_timeout", 180))
        wanted = {name: about["services"][name] for name in names}
        start = self.clock()
        settled: dict[str, float] = {}
        before: dict[str, int] = {}
        while True:
            rows = stack_state.read_rows(self.engine, project, wanted)[: len(wanted)]
            now = self.clock()
            for row in rows:
                before.setdefault(row.service, row.restarts)
                self.give_up_if_crashing(release, row, before[row.service])
                if row.is_ready:
                    settled.setdefault(row.service, now)
                else:
                    settled.pop(row.service, None)
            waiting = [row for row in rows if not self.is_settled(row, settled, now)]
            if not waiting:
                self.journal.write("ready", services=list(names), seconds=round(now - start, 1))
                return
            if now - start > timeout:
                worst = waiting[0]
                evidence = self.collect(release, [row.service for row in waiting])
                raise RolloutError(
                    f"{worst.service} did not get healthy within {timeout:.0f} s (state {worst.state}, health "
                    f"{worst.health}). {self.last_probe(worst)}Fix: read its log in {evidence}, mend the service, then run "
                    "the same command again; or raise stack_ready_timeout if it only needs longer",
                    service=worst.service,
                    evidence=evidence,
                )
            self.sleep(self.poll_seconds)

    @staticmethod
    def is_settled(row: Row, settled: Mapping[str, float], now: float) -> bool:
        if row.service not in settled:
            return False
        return row.health == "healthy" or now - settled[row.service] >= SETTLE_SECONDS

    def give_up_if_crashing(self, release: Release, row: Row, restarts_before: int) -> None:
        crashed = row.state in ("exited", "dead") or row.restarts - restarts_before >= CRASH_RESTARTS
        if not crashed:
            return
        evidence = self.collect(release, [row.service])
        raise RolloutError(
            f"{row.service} stopped with exit code {row.exit_code} after {row.restarts} restarts. "
            f"Fix: read its log in {evidence}, mend the service, then run the same command again",
            service=row.service,
            evidence=evidence,
        )

    def last_probe(self, row: Row) -> str:
        """Return what the health check said last, one line; it often names the fault."""
        try:
            state = self.engine.get(f"/containers/{row.container_id}/json")["State"]
            log = (state.get("Health") or {}).get("Log") or []
            lines = str(log[-1].get("Output", "")).strip().splitlines() if log else []
        except (OSError, KeyError, LookupError, RuntimeError):
            return ""
        return f"Its health check says: {lines[-1][:200]}. " if lines else ""

    def collect(self, release: Release, names: Sequence[str]) -> str:
        folder = self.store.paths.state / "evidence" / self.release.id
        collect(self.engine, str(release.read()["project"]), names, folder)
        return str(folder)


def run_release(store: Store, release: Release, engine: Engine) -> int:
    """Run one rollout under the host's lock. Exit code: 0 done, 1 failed, 75 when another rollout is at work."""
    # Whoever waits for this rollout looks at the lock for a moment now and then; that is no reason to give up.
    with lock(store.paths, wait_seconds=5) as held:
        if not held:
            return 75
        try:
            Rollout(store, release, engine).apply()
        except RolloutError:
            return 1
        return 0


def _pull_message(image: str, done: CommandResult) -> str:
    words = (done.stderr.strip() or done.stdout.strip()).splitlines()
    reason = words[-1] if words else f"exit code {done.code}"
    if "manifest unknown" in reason or "not found" in reason:
        fix = "check its name and tag, or push it, then run the same command again"
    elif "denied" in reason or "unauthorized" in reason or "no basic auth" in reason:
        fix = "check the registry's user and password in docker_registries"
    elif "no space" in reason:
        fix = "make room on the disk of /var/lib/docker"
    else:
        fix = "check that the host reaches the registry, then run the same command again"
    return f"The image {image} cannot be pulled: {reason}. Fix: {fix}. Nothing was stopped"


def _same_repository(name: str, repository: str) -> bool:
    """Docker shortens names of its own hub in RepoDigests: docker.io/library/redis is listed as redis."""
    return name == repository or repository in (f"docker.io/{name}", f"docker.io/library/{name}")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
