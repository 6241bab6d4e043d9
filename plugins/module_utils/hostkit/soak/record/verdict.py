# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the journal to the verdict, and where the verdict goes: files, a metric, the release."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...exposition import head, labels_of
from ...files import FileError, write_file
from ...release import ReleaseError, Store, lock
from .journal import RunJournal
from .paths import JOURNAL, REPORT, Paths, read_json

PASS, FAIL, INCONCLUSIVE = "PASS", "FAIL", "INCONCLUSIVE"
VERDICTS = (PASS, FAIL, INCONCLUSIVE)
_METRIC = "hypercode_soak"
# How long one waits for whoever is at work on the stack before the verdict is written into its release, in seconds.
_LOCK_WAIT = 30.0


def judge(folder: Path, *, running: bool, baseline: Path | None = None) -> dict[str, Any]:
    """The report on the journal in a folder."""
    from ..judge.evaluate import evaluate  # noqa: PLC0415  Nobody else needs what it takes to judge.

    return dict(evaluate(folder / JOURNAL, running=running, baseline=baseline or baseline_of(folder)))


def baseline_of(folder: Path) -> Path | None:
    """The journal of the earlier run that a run is compared with, where it is still beside it."""
    named = str((RunJournal(folder, "").first().get("settings") or {}).get("baseline") or "")
    path = folder.parent / named / JOURNAL
    return path if named and "/" not in named and path.is_file() else None


def write(folder: Path, report: Mapping[str, Any], *, full: bool) -> list[Path]:
    """Write report.json; with `full` the pages for people and for CI too."""
    if full:
        from ..report import write as write_pages  # noqa: PLC0415  Only at the end.

        return write_pages(folder, report)
    path = folder / REPORT
    write_file(path, json.dumps(report, indent=1).encode() + b"\n", mode=0o640)
    return [path]


# --- where it goes ----------------------------------------------------------------------------------------------------


def tell(paths: Paths, run: str) -> None:
    """Write the metric of a run, which goes on or has ended. What hinders it is no reason to stop."""
    report = read_json(paths.run(run) / REPORT)
    first = RunJournal(paths.run(run), "").first()
    name = str((first.get("settings") or {}).get("name") or "")
    running = bool(report.get("running", True))
    verdict = str(report.get("verdict") or ("running" if running else INCONCLUSIVE))
    labels = labels_of({"run": run, "name": name})
    samples = {
        "running": ("1 while a soak is under way.", int(running)),
        "began_timestamp_seconds": ("When it began.", first.get("time") or 0),
        "ended_timestamp_seconds": ("When it ended, 0 while it is under way.", 0 if running else report.get("ended")),
        "coverage": ("The share of its time that samples cover.", report.get("coverage") or 0),
    }
    lines = head(f"{_METRIC}_verdict", "1 for the verdict on the last soak, or while there is none for running.")
    for word in (*VERDICTS, "running"):
        with_verdict = labels_of({"run": run, "name": name, "verdict": word})
        lines.append(f"{_METRIC}_verdict{{{with_verdict}}} {int(word == verdict)}")
    for key, (text, value) in samples.items():
        lines += [*head(f"{_METRIC}_{key}", text), f"{_METRIC}_{key}{{{labels}}} {value or 0}"]
    with suppress(FileError, OSError):
        paths.metrics.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_file(paths.metrics, ("\n".join(lines) + "\n").encode())


def remember(store: Store, release_id: str, report: Mapping[str, Any]) -> bool:
    """Write the verdict into the release.json of the release that was judged. False where that was not possible."""
    about = {"run": report.get("run"), "verdict": report.get("verdict"), "ended": report.get("ended")}
    with suppress(ReleaseError, OSError), lock(store.paths, wait_seconds=_LOCK_WAIT, holder="the soak check") as held:
        if held:
            store.get(release_id).update(soak=about)
            return True
    return False
