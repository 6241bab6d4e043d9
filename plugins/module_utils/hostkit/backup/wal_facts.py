# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the logs of changes stand: for the board, and for Prometheus in /var/lib/hypercode/metrics/backup_wal.prom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..board_text import clean_text
from ..exposition import escaped, head
from ..files import write_file
from .config import Config, Paths
from .points import stamp
from .text import age
from .wal_chain import Chain, Folder
from .wal_stream import BASE_LATE

LAG_MAX = 300.0
# Nobody has looked for so long: the service that looks is not there.
ASLEEP = 180.0
# Until the first base it takes a while, the longer the more data there is.
FIRST_BASE = 6 * 3600.0


def read_chains(paths: Paths) -> list[Chain]:
    """What is remembered of each service whose WAL is kept."""
    root = paths.state / "wal"
    return [Folder(path.parent).read(path.parent.name) for path in sorted(root.glob("*/chain.json"))]


def judge(config: Config, chains: Sequence[Chain], now: float) -> list[dict[str, Any]]:
    """How each service stands in each repository, as rows."""
    return [_row(chain, entry.name, now) for chain in chains for entry in config.repositories]


def _row(chain: Chain, repository: str, now: float) -> dict[str, Any]:
    shipped = chain.of(repository)
    base = chain.bases.get(shipped.base)
    # While the first log of a base waits for another process, there is no such moment.
    lag = now - shipped.until if base and shipped.until else None
    problem = shipped.failure or shipped.base_failure
    if not base and now - chain.began > LAG_MAX:
        problem = problem or chain.failure
    if not base and now - chain.began > FIRST_BASE:
        problem = problem or "There is no base yet. Fix: journalctl -u hypercode-backup-wal says why"
    elif base and now - base["ended"] > BASE_LATE + 4 * 3600:
        problem = problem or "The base is too old. Fix: journalctl -u hypercode-backup-wal says why"
    elif lag is not None and lag > LAG_MAX:
        asleep = now - chain.seen > ASLEEP and not chain.failure
        fix = "systemctl start hypercode-backup-wal" if asleep else "journalctl -u hypercode-backup-wal says why"
        problem = problem or chain.failure or f"What was written since is not in it. Fix: {fix}"
    return {
        "repository": repository,
        "service": chain.service,
        "lag_seconds": None if lag is None else round(max(0.0, lag)),
        "base": shipped.base if base else None,
        "base_age_seconds": round(now - base["ended"]) if base else None,
        "newest": shipped.until or None if base else None,
        "good": not problem,
        "message": problem,
    }


def board(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows as lines."""
    lines = []
    for row in rows:
        name = f"point in time {row['service']} in {row['repository']}"
        if row["base"] is None:
            lines.append(f"{name}: {'the first base is being made' if row['good'] else 'FAILED, no base yet'}")
        else:
            failed, base = "" if row["good"] else "FAILED, ", age(row["base_age_seconds"])
            if row["newest"] is None:
                lines.append(f"{name}: {failed}base {base} old, its log is on the way")
            else:
                newest = f"up to {stamp(row['newest'])} ({age(row['lag_seconds'])} ago)"
                lines.append(f"{name}: {failed}{newest}, base {base} old")
        if row["message"]:
            lines.append(f"  {row['message']}")
    return [clean_text(line) for line in lines]


# --- metrics ----------------------------------------------------------------------------------------------------------

_PREFIX = "hypercode_backup_wal"
_HELP = {
    "started_timestamp_seconds": "Since when the log of this service is kept without a gap.",
    "gap_timestamp_seconds": "When the log began anew after a gap, or with other data. Points in between are missing.",
    "attached": "1 while the log is received, 0 while it is not.",
    "slot_retained_bytes": "How much of the log the database keeps for the backups.",
    "lag_seconds": "How long ago the moment was up to which all is in this repository, when it was last looked at.",
    "newest_point_timestamp_seconds": "Up to when this service can be restored from this repository.",
    "oldest_point_timestamp_seconds": "From when on this service can be restored from this repository.",
    "base_timestamp_seconds": "When the newest base in this repository was done.",
    "base_bytes": "How large the newest base in this repository is.",
    "failed": "1 when the last shipment to this repository failed, or the last base, or nothing is received.",
}
_OF_SERVICE = ("started_timestamp_seconds", "gap_timestamp_seconds", "attached", "slot_retained_bytes")


def exposition(chains: Sequence[Chain], oldest: Mapping[tuple[str, str], float], now: float) -> str:
    """The state in the text format of Prometheus. `oldest` is by service and repository."""
    lines = []
    for name, text in _HELP.items():
        samples = [sample for chain in chains for sample in _samples(name, chain, oldest, now)]
        if samples:
            lines += head(f"{_PREFIX}_{name}", text)
            lines += [f"{_PREFIX}_{name}{{{labels}}} {value}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _samples(
    name: str, chain: Chain, oldest: Mapping[tuple[str, str], float], now: float
) -> Iterator[tuple[str, object]]:
    service = f'service="{escaped(chain.service)}"'
    if name in _OF_SERVICE:
        began = round(chain.began)
        value = (began, began if chain.reason else None, int(chain.attached), chain.retained)[_OF_SERVICE.index(name)]
        if value is not None:
            yield service, value
        return
    for repository, shipped in chain.repositories.items():
        base = chain.bases.get(shipped.base)
        first = oldest.get((chain.service, repository))
        # Without any base nothing else here would tell that none comes.
        without = base is None and now - chain.began > FIRST_BASE
        failed = bool(shipped.failure or shipped.base_failure or chain.failure or without)
        found: dict[str, object] = {"failed": int(failed)}
        if base and shipped.until:
            found["lag_seconds"] = round(max(0.0, now - shipped.until))
            found["newest_point_timestamp_seconds"] = int(shipped.until)
        if base:
            found["base_timestamp_seconds"] = round(base["ended"])
            found["base_bytes"] = base["bytes"]
            found["oldest_point_timestamp_seconds"] = int(first if first is not None else base["ended"] + 1)
        if name in found:
            yield f'{service},repository="{escaped(repository)}"', found[name]


def write_metrics(paths: Paths, chains: Sequence[Chain], oldest: Mapping[tuple[str, str], float], now: float) -> None:
    """Write the file, or take it away where no log is kept."""
    if not chains:
        metrics_of(paths).unlink(missing_ok=True)
        return
    metrics_of(paths).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    write_file(metrics_of(paths), exposition(chains, oldest, now).encode())


def metrics_of(paths: Paths) -> Path:
    """Where the metrics are."""
    return paths.metrics.with_name("backup_wal.prom")
