# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The index of a bundle: what is in it, what is not, and why."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .. import __version__
from ..board_text import one_line

_FOLDERS = {
    "board.json": "each service, wanted and actual; certificates and backups",
    "versions.txt": "versions of what matters here",
    "releases": "each release that is kept: what it is, its Compose file, how its rollout went",
    "evidence": "what steps that failed left behind",
    "docker": "containers, images, networks, what containers take; of environments only the names",
    "logs": "the output of each container of the stack",
    "journal": "journals of our units, of Docker and of Caddy, and warnings of the kernel",
    "watch": "what the containers did (docs/watch.md)",
    "metrics": "the metrics that host programs write",
    "host": "disks, memory, load, processes, units, network, firewall",
    "config": "Caddy's settings; names and hashes of what is below /etc/hypercode",
    "certificates.json": "how the certificates stand",
    "backup": "how the backups stand",
}


@dataclass
class Report:
    """What became of a collection. Times in seconds since 1970, sizes in bytes."""

    name: str
    now: float
    since: float
    secrets: int = 0
    path: str = ""
    bytes: int = 0
    files: list[dict[str, object]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def add(self, name: str, size: int, *, cut: bool) -> None:
        """Note a file."""
        self.files.append({"name": name, "bytes": size, "cut": cut})

    def fail(self, step: str, reasons: Iterable[str], mask: Callable[[str], str]) -> None:
        """Note what could not be collected."""
        self.failed += [{"step": mask(step), "why": one_line(mask(reason))} for reason in reasons]


def readme(report: Report) -> str:
    """The index for a person."""
    lines = [
        f"# What {report.name} tells",
        "",
        f"Made {_moment(report.now)} by hypercode {__version__}. Logs begin at {_moment(report.since)}.",
        "",
        "**Look through it before you give it away.** Secrets that this host knows, and what looks like one, stand as",
        "`***`. Names, addresses and what your users wrote may be in the logs.",
        "",
        "## What could not be collected",
        "",
        *([f"- {entry['step']}: {entry['why']}" for entry in report.failed] or ["Nothing: it is whole."]),
        "",
        "## What is in it",
        "",
    ]
    names = {str(entry["name"]).partition("/")[0] for entry in report.files}
    lines += [f"- `{name}`: {text}" for name, text in _FOLDERS.items() if name in names]
    lines += ["", "## What this host does not have, or what is no text", ""]
    lines += [f"- {one_line(what)}" for what in report.absent] or ["Nothing."]
    lines += ["", "## Files", ""]
    lines += [
        f"- `{entry['name']}` {size_text(entry['bytes'])}{', a part only' if entry['cut'] else ''}"
        for entry in report.files
    ]
    return "\n".join(lines) + "\n"


def size_text(size: object) -> str:
    """Bytes as a person reads them; a small file is no 0.1 MiB."""
    number = size if isinstance(size, int) else 0
    for unit, one in (("MB", 10**6), ("kB", 1000)):
        if number >= one:
            return f"{number / one:.1f} {unit}"
    return f"{number} bytes"


def index_json(report: Report) -> str:
    """The index for a program."""
    document = {
        "schema": 1,
        "host": report.name,
        "hypercode": __version__,
        "time": round(report.now),
        "since": round(report.since),
        "failed": report.failed,
        "absent": report.absent,
        "files": report.files,
    }
    return json.dumps(document, indent=1) + "\n"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
