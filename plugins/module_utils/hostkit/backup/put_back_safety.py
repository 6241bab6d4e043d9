# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run of what a restore is about to replace, so that the restore itself can be taken back. It is marked as such.

It is no backup of the night: "latest" is never it, nothing is compared with it, and it goes with age alone.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .. import __version__
from . import grafana, postgres, prometheus, redis
from .config import BackupError
from .put_back_files import FILES
from .put_back_hands import CERTIFICATES, Hands
from .put_back_plan import FOLDER, PATH, VOLUME, Plan
from .put_back_postgres import DATABASE, databases
from .put_back_record import Record
from .put_back_see import Resting, data_volumes, folder_of_source, look
from .restic import Restic
from .run import ask_back
from .runs import SAFETY, Run, keep_manifest, make_id, read_runs
from .saver import Saver
from .stack import GRAFANA, POSTGRES, PROMETHEUS, REDIS, Stack
from .streams import Deadline


def take(hands: Hands, plan: Plan, record: Record, deadline: Deadline) -> str:
    """Save all that is replaced; return the id of the run, "" where there is nothing yet. BackupError."""
    backup = hands.backup
    began = backup.clock()
    run_id = make_id(began, secrets.token_hex(2))
    saver = Saver(run_id, backup.config.host, [plan.restic], deadline, accept_loss=True, mark=SAFETY, tell=backup.tell)
    try:
        _save(hands, plan, saver)
        for reason in saver.failures:
            raise BackupError(reason)
        if not saver.items:
            return ""
        _complete(hands, (plan.restic, plan.run.id), saver, began, record)
    except BackupError as error:
        raise BackupError(
            f"What is to be replaced could not be saved first: {str(error).rstrip('.')}. Fix: mend that, or use "
            "another --repository"
        ) from error
    return run_id


def take_again(hands: Hands, record: Record, deadline: Deadline) -> str:
    """Save what a restore put in place, before it is taken back: services may have written since. BackupError."""
    backup, stack = hands.backup, hands.stack
    began, restic = backup.clock(), backup.repository()
    run_id = make_id(began, secrets.token_hex(2))
    saver = Saver(run_id, backup.config.host, [restic], deadline, accept_loss=True, mark=SAFETY, tell=backup.tell)
    deeds = record.of_kind(DATABASE)
    asked = sorted({str(deed["service"]) for deed in deeds})
    for service in asked:
        if not look(stack, service).well:
            hands.up([service])
        container = stack.container(service)
        postgres.end_sessions(stack, container)
        postgres.back_up_roles(stack, container, saver)
        for deed in deeds:
            if deed["service"] == service:
                postgres.back_up_database(stack, container, deed["database"], saver)
    for deed in record.of_kind(FILES):
        target = Path(deed["target"])
        if target.exists() and deed.get("whole") not in asked:
            hands.stop(deed["services"])
            item = deed["item"]
            is_tree = item == CERTIFICATES or item.startswith((f"{VOLUME}/", f"{PATH}/"))
            # What is streamed as a rule is saved as the files that it is now.
            saver.tree(item if is_tree else f"{PATH}{target}", [str(target)])
    if saver.items:
        _complete(hands, (restic, record.run), saver, began, record)
    return run_id if saver.items else ""


def _save(hands: Hands, plan: Plan, saver: Saver) -> None:
    stack = hands.stack
    resting = Resting(stack.engine, stack.config, stack.model, stack.docker)
    # Volumes and folders that are saved as they are.
    sources: set[str] = set()
    stopped: list[str] = []
    for service in sorted({*plan.services(POSTGRES), *plan.services(FOLDER)}):
        if service in plan.lost:
            sources.update(data_volumes(stack, service, POSTGRES))
        else:
            files = _or_files(hands, service, POSTGRES, saver, partial(_save_postgres, stack, service, plan, saver))
            stopped += [service] if files else []
            sources.update(files)
    for kind, back_up in ((REDIS, redis.back_up), (PROMETHEUS, prometheus.back_up)):
        for service in plan.services(kind):
            if look(stack, service).well:
                sources.update(_or_files(hands, service, kind, saver, partial(back_up, stack, service, saver)))
            else:
                sources.update(data_volumes(stack, service, kind))
    for service in plan.services(GRAFANA):
        if look(stack, service).container is not None:
            work = hands.backup.paths.work
            work.mkdir(parents=True, exist_ok=True, mode=0o700)
            save = partial(grafana.back_up, resting, service, saver, work)
            sources.update(_or_files(hands, service, GRAFANA, saver, save))
    sources.update(part.name for part in plan.of_kind(VOLUME))
    for source in sorted(sources):
        folder = folder_of_source(stack, source)
        if folder is not None and folder.exists():
            saver.tree(f"{PATH}{source}" if source.startswith("/") else f"{VOLUME}/{source}", [str(folder)])
    for part in plan.of_kind(PATH):
        if hands.backup.paths.at(part.name).exists():
            saver.tree(part.item, [str(hands.backup.paths.at(part.name))])
    for part in plan.of_kind(CERTIFICATES):
        paths = [path for path in plan.facts(part)["paths"] if Path(path).exists()]
        if paths:
            saver.tree(CERTIFICATES, paths)
    if stopped:
        # New databases are made in them next.
        hands.up(stopped)


def _or_files(hands: Hands, service: str, kind: str, saver: Saver, save: Callable[[], None]) -> list[str]:
    """Save a service. Where it cannot hand out its data, as when that is damaged: stop it, and return its volumes.

    A restore must not be refused just when it is needed.
    """
    try:
        save()
        return []
    except BackupError as error:
        files = data_volumes(hands.stack, service, kind)
        if saver.lost or saver.deadline.passed() or not files:
            raise
        hands.tell(f"{service} cannot be saved as usual. It is stopped, and its files are saved as they are: {error}")
        hands.stop([service])
        return files


def _save_postgres(stack: Stack, service: str, plan: Plan, saver: Saver) -> None:
    container = stack.container(service)
    postgres.end_sessions(stack, container)
    postgres.back_up_roles(stack, container, saver)
    named = {part.database for part in plan.of_kind(POSTGRES) if part.name == service}
    for name in databases(stack, container, connectable=True):
        if name in named or service in plan.services(FOLDER):
            postgres.back_up_database(stack, container, name, saver)


def _complete(hands: Hands, what: tuple[Restic, str], saver: Saver, began: float, record: Record) -> None:
    restic, replaced_by = what
    backup = hands.backup
    manifest: dict[str, Any] = {
        "schema": 1,
        "id": saver.run_id,
        "host": backup.config.host,
        "project": backup.config.project,
        "release": hands.release.release.id,
        "hostkit": __version__,
        "began": began,
        "seconds": round(backup.clock() - began, 1),
        "bytes": sum(int(facts["bytes"]) for facts in saver.items.values()),
        "items": saver.items,
        "before_restore_of": replaced_by,
    }
    runs = read_runs(restic, backup.config.host)
    ask_back(restic, next((run for run in runs if run.id == saver.run_id), Run(saver.run_id)), saver.items)
    record.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = record.staging / "manifest.json"
    text.write_text(json.dumps(manifest), encoding="utf-8")
    saver.save_manifest(restic, text)
    keep_manifest(backup.paths, manifest)
