# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What our own records tell: the board, releases and rollouts, metrics, certificates, backups, settings."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from ..backup.command import paths_of
from ..backup.config import read_config
from ..backup.restic import Restic
from ..backup.runs import read_runs
from ..edge import layout
from ..files import look
from ..watch.config import Paths as WatchPaths
from ..watch.journal import journal_files
from .bounded import MEBIBYTE, read_bounded
from .context import Context, as_json
from .entries import Absent, Entries, File, Problem
from .known_secrets import is_secret_file

_EVIDENCE_MOST = 60
_JOURNAL_MOST = 16 * MEBIBYTE
_LISTED_MOST = 2000


def board(context: Context) -> Entries:
    """The board, as data."""
    yield from context.own("board.json", ["status", "--json"])


def releases(context: Context) -> Entries:
    """Every release that is kept: what it is, its Compose file, and how its rollout went."""
    paths = context.host.store.paths
    with suppress(OSError):
        yield File("releases/current.txt", f"{os.readlink(paths.current)}\n")  # noqa: PTH115  Text, as it stands.
    folders = sorted(path for path in paths.releases.glob("*") if path.is_dir())
    if not folders:
        yield Absent("releases: nothing is deployed here")
    for folder in folders:
        for name in ("release.json", "compose.yaml"):
            yield from context.file(f"releases/{folder.name}/{name}", _below(context, folder / name))
        yield from context.file(
            f"releases/{folder.name}/rollout.jsonl", _below(context, paths.state / f"{folder.name}.jsonl")
        )


def evidence(context: Context) -> Entries:
    """What failed steps left behind, the newest first."""
    folder: Path = context.host.store.paths.evidence
    files = sorted((path for path in folder.glob("**/*") if path.is_file()), key=_written, reverse=True)
    for path in files[:_EVIDENCE_MOST]:
        yield from context.file(f"evidence/{path.relative_to(folder)}", _below(context, path), limit=512 * 1024)
    if len(files) > _EVIDENCE_MOST:
        yield Absent(f"evidence: {len(files) - _EVIDENCE_MOST} older files are left out")
    if not files:
        yield Absent("evidence: no step has failed")


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _below(context: Context, path: Path) -> str:
    return f"/{path.relative_to(context.root)}"


def metrics(context: Context) -> Entries:
    """The metrics that host programs write."""
    files = sorted(context.at("/var/lib/hypercode/metrics").glob("*.prom"))
    for path in files:
        yield from context.file(f"metrics/{path.name}", _below(context, path))
    if not files:
        yield Absent("metrics: none are written here")


def watch(context: Context) -> Entries:
    """The journal of `hypercode watch` since then, and how it stands."""
    folder = WatchPaths(context.root).folder
    day = time.strftime("%Y%m%d", time.gmtime(context.since))
    files = [path for path in journal_files(folder) if path.name[8:16] >= day]
    if not files:
        yield Absent("watch: there is no journal")
        return
    room, cut, parts = _JOURNAL_MOST, False, []
    for path in reversed(files):
        if room <= 0:
            cut = True
            break
        data, torn = read_bounded(path, limit=room)
        room, cut = room - len(data), cut or torn
        parts.append(
            "".join(
                line
                for line in data.decode(errors="replace").splitlines(keepends=True)
                if _is_later(line, context.since)
            )
        )
    yield File("watch/journal.jsonl", "".join(reversed(parts)), cut=cut)
    yield from context.own("watch/status.json", ["watch", "status", "--json"])


def _is_later(line: str, since: float) -> bool:
    try:
        return float(json.loads(line)["time"]) >= since
    except (ValueError, KeyError, TypeError, RecursionError):
        # One that was torn says something too.
        return True


def certificates(context: Context) -> Entries:
    """How the certificates stand. No key is read."""
    if not context.host.certificates.wanted.exists():
        yield Absent("certificates: no site is served here")
        return
    yield from context.own("certificates.json", ["certificates", "--json"])


def edge(context: Context) -> Entries:
    """The settings of Caddy. Not those of its users, which hold hashes of passwords."""
    yield from context.file("config/Caddyfile", layout.CADDYFILE)
    yield from context.file("config/edge.json", layout.MANIFEST)
    for path in sorted(context.at(layout.UPSTREAMS).glob("*"))[:100]:
        yield from context.file(f"config/upstreams/{path.name}", _below(context, path))


def backup(context: Context) -> Entries:
    """How the backups stand, as this host knows it."""
    if not paths_of(context.host).config.exists():
        yield Absent("backup: none is set up here")
        return
    yield from context.own("backup/status.json", ["backup", "status", "--json"])


def backup_runs(context: Context) -> Entries:
    """The runs in each repository. It is asked, and may be far away."""
    paths = paths_of(context.host)
    if not paths.config.exists():
        return
    config = read_config(paths.config)
    for repository in config.repositories:
        try:
            runs = read_runs(Restic(repository, paths.cache, patience=0), config.host)
        except Exception as error:  # Whatever it is, the next repository is asked too.
            yield Problem(f"the repository {repository.name} does not tell its runs: {error}")
            continue
        rows = [{"id": run.id, "time": run.time, "good": run.good, "items": sorted(run.snapshots)} for run in runs]
        yield as_json(f"backup/runs-{repository.name}.json", rows)


def settings(context: Context) -> Entries:
    """Names and hashes of the files below /etc/hypercode. From the hash of a secret one could guess it: no hash."""
    folder = context.at("/etc/hypercode")
    lines = []
    for path in sorted(folder.glob("**/*"))[:_LISTED_MOST]:
        found = look(path)
        what = {"folder": "-", "link": f"-> {found.target}"}.get(found.kind, "")
        if found.kind == "file":
            closed = is_secret_file(path, folder) or not found.mode & stat.S_IROTH
            what = "(closed)" if closed else _hash(path)
        lines.append(f"{found.attributes:24} {what:64} {path.relative_to(folder)}")
    if lines:
        yield File("config/files.txt", "\n".join(lines) + "\n")
    else:
        yield Absent("settings: /etc/hypercode is empty or not there")


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"({error.strerror})"
