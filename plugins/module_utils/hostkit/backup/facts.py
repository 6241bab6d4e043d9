# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is remembered between runs: /var/lib/hypercode/backup/state.json, for the board and for Prometheus."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..exposition import escaped, head
from ..files import explain, write_file
from .config import Busy, Paths

_POLL = 0.5
# A daily backup that is older than that was missed.
AGE_MAX = 26 * 3600.0


def read_facts(paths: Paths) -> dict[str, Any]:
    """What is remembered; nothing where the file is missing or damaged: a run writes it anew."""
    try:
        found = json.loads(paths.facts.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(found) if isinstance(found, dict) else {}


def write_facts(paths: Paths, facts: Mapping[str, Any]) -> None:
    """Remember this, and write the metrics."""
    try:
        paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        paths.metrics.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    except OSError as error:
        raise explain(str(paths.state), "made", error) from error
    write_file(paths.facts, json.dumps(facts, indent=2).encode(), mode=0o600)
    write_file(paths.metrics, exposition(facts).encode())


@contextlib.contextmanager
def alone(paths: Paths, what: str, file: str = "lock", *, wait: float = 0) -> Iterator[None]:
    """Keep other backups, checks and restores of this host away while inside. Busy says who is at work.

    Before that it waits for so many seconds.
    The kernel frees the lock when its holder dies.
    """
    path = paths.state / file
    try:
        paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise explain(str(path), "opened", error) from error
    try:
        until = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    holder = os.pread(handle, 200, 0).decode(errors="replace") or "another one"
                    raise Busy(f"'hypercode backup {holder}' is at work on this host. Fix: wait for its end") from error
            time.sleep(_POLL)
        os.truncate(handle, 0)
        os.pwrite(handle, f"{what} (process {os.getpid()})".encode(), 0)
        yield
    finally:
        os.close(handle)


def is_at_work(paths: Paths) -> bool:
    """Whether somebody holds the lock now. It is in nobody's way but for a moment."""
    try:
        handle = os.open(paths.state / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


# --- metrics ----------------------------------------------------------------------------------------------------------

_PREFIX = "hypercode_backup"
_HELP = {
    "configured_timestamp_seconds": "Since when this repository is backed up to.",
    "last_run_success": "1 when the last run came to its end in this repository, 0 when it failed.",
    "last_run_timestamp_seconds": "When the last run ended, well or not.",
    "last_success_timestamp_seconds": "When the last good run in this repository began: what is newer is not in it.",
    "last_success_duration_seconds": "How long the last good run took.",
    "last_success_bytes": "How much data the last good run saved, before deduplication.",
    "item_bytes": "How much of each item the last good run saved.",
    "verify_success": "1 when the last check of this repository found it sound.",
    "verify_timestamp_seconds": "When this repository was last checked.",
    "verify_oldest_timestamp_seconds": "Since when all data of this repository has been read once; 0 when it has not.",
    "drill_success": "1 when the last drill brought everything back as it was saved.",
    "drill_timestamp_seconds": "When the last drill ended.",
    "drill_rto_seconds": "How long the last drill took to bring everything back.",
    "drill_rpo_seconds": "How old the restored run was when the last drill began.",
    "unplanned_volumes": "Volumes of the stack that no backup holds.",
}


def exposition(facts: Mapping[str, Any]) -> str:
    """The facts in the text format of Prometheus; times in seconds since 1970."""
    lines = []
    for name, text in _HELP.items():
        samples = list(_samples(name, facts))
        if samples:
            lines += head(f"{_PREFIX}_{name}", text)
            lines += [f"{_PREFIX}_{name}{labels} {value}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _samples(name: str, facts: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    last = facts.get("last") or {}
    if name == "unplanned_volumes":
        if "unplanned" in facts:
            yield "", len(facts["unplanned"])
        return
    if name.startswith("drill_"):
        drill = facts.get("drill")
        if drill:
            told = {**drill, "success": int(not drill["failures"]), "timestamp_seconds": round(drill["ended"])}
            value = told[name.removeprefix("drill_")]
            if value is not None:
                yield "", value
        return
    if name == "last_run_timestamp_seconds":
        if last:
            yield "", round(last["ended"])
        return
    if name == "item_bytes":
        for item, entry in ((facts.get("good") or {}).get("items") or {}).items():
            yield f'{{item="{escaped(item)}"}}', entry["bytes"]
        return
    for repository, found in (facts.get("repositories") or {}).items():
        value = _of_repository(name, found)
        if value is not None:
            yield f'{{repository="{escaped(repository)}"}}', value


def _of_repository(name: str, found: Mapping[str, Any]) -> object:
    good, checked = found.get("good") or {}, found.get("verify") or {}
    values = {
        "configured_timestamp_seconds": found.get("configured"),
        "last_run_success": None if "failure" not in found else int(not found["failure"]),
        "last_success_timestamp_seconds": good.get("began"),
        "last_success_duration_seconds": good.get("seconds"),
        "last_success_bytes": good.get("bytes"),
        "verify_success": None if not checked else int(not checked["failure"]),
        "verify_timestamp_seconds": checked.get("ended"),
        "verify_oldest_timestamp_seconds": None if not checked else checked["all_read_since"],
    }
    value = values[name]
    return round(value) if isinstance(value, float) else value
