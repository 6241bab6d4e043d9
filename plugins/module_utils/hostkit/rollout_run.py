# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a rollout under the lock of the host, patient with an engine that is started again meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from .backup import config as backup_config
from .backup.put_back_record import cut_off
from .engine import Engine, patient_runner, run_docker
from .release import Release, ReleaseError, Store, lock, lock_holder
from .release_images import Runner
from .rollout import Rollout, say
from .rollout_error import RolloutError

# Who holds the lock while the stack is started at boot; a rollout waits for that.
STARTING = "the start of the stack"
START_TIMEOUT = 1200.0
LOCK_WAIT = 5.0
BUSY = 75
ENGINE_PATIENCE = 60.0


def run_release(
    store: Store,
    release: Release,
    engine: Engine,
    *,
    run: Runner = run_docker,
    echo: Callable[[str], None] | None = None,
    rollout: Callable[..., Rollout] = Rollout,
    lock_wait: float = LOCK_WAIT,
) -> int:
    """Run one rollout under the host's lock. Exit code: 0 done, 1 failed, 75 when another rollout is at work."""
    move = rollout(store, release, engine, run=patient_runner(run, engine), echo=echo)
    # Whoever prepares a release holds the lock for a moment too; that is no reason to give up.
    with lock(store.paths, wait_seconds=lock_wait, holder=release.id) as held:
        if held:
            return _run_locked(move)
    if lock_holder(store.paths) == STARTING:
        with lock(store.paths, wait_seconds=START_TIMEOUT, holder=release.id) as held:
            if held:
                return _run_locked(move)
    say("another rollout is at work on this host. Next: hypercode rollout status")
    return BUSY


def _run_locked(rollout: Rollout) -> int:
    # The engine may be started again, for an upgrade of it, while this is at work.
    with rollout.engine.patient(ENGINE_PATIENCE):
        said = cut_off(backup_config.Paths(rollout.store.paths.root))
        if said:
            say(said)
            return 1
        if rollout.release.status == "abandoned":
            say(f"release {rollout.release.id} was abandoned: a newer one took its place. Next: run site.yml again")
            return 1
        try:
            rollout.apply()
        except (RolloutError, ReleaseError) as error:
            say(str(error))
            return 1
        return 0
