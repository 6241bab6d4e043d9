"""The usual way of writing the deploy: its tasks for hostkit, and whether it covers all that our roles manage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

BASE_VARS = Path(__file__).resolve().parents[2] / "roles" / "base" / "vars" / "main.yml"
HOSTKIT_ON_HOST = "/usr/local/lib/hypercode/hostkit"
_BLOCKS = ("block", "rescue", "always")
_JINJA = re.compile(r"\{\{.*?\}\}")


def hostkit_files(folder: Path) -> list[str]:
    """Return the files of hostkit that the host gets, relative to the folder."""
    left_out = yaml.safe_load(BASE_VARS.read_text(encoding="utf-8"))["__base_hostkit_left_out"]
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        str(path) for path in found if not any(fnmatch(step, glob) for step in path.parts for glob in left_out)
    )


def hostkit_tasks(folder: Path) -> list[dict[str, Any]]:
    """Return the usual tasks that bring hostkit onto a host: one for each folder and one for each file."""
    files = hostkit_files(folder)
    below = sorted({str(Path(name).parent) for name in files} | {"."})
    rights = {"owner": "root", "group": "root"}
    folders = [
        {"path": HOSTKIT_ON_HOST if name == "." else f"{HOSTKIT_ON_HOST}/{name}", "state": "directory", "mode": "0755"}
        for name in below
    ]
    copies = [
        {"src": str(folder / name), "dest": f"{HOSTKIT_ON_HOST}/{name}", "mode": "0644", **rights} for name in files
    ]
    return [
        *({"name": f"Make {item['path']}", "ansible.builtin.file": {**item, **rights}} for item in folders),
        *({"name": f"Copy {item['dest']}", "ansible.builtin.copy": item} for item in copies),
    ]


def tasks_below(folder: Path) -> list[dict[str, Any]]:
    """Return all tasks of the roles below a folder, those inside blocks too."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("roles/*/tasks/*.yml")):
        found += _flat(yaml.safe_load(path.read_text(encoding="utf-8")) or [])
    return found


def _flat(tasks: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        yield task
        for block in _BLOCKS:
            yield from _flat(task.get(block, []))


def managed_patterns(tasks: Iterable[dict[str, Any]]) -> list[str]:
    """Return regular expressions of the paths that these tasks manage; what Jinja fills in is one step of a path."""
    patterns = []
    for task in tasks:
        for module in ("copy", "template", "file"):
            options = task.get(f"ansible.builtin.{module}", {})
            path = options.get("path") if module == "file" else None
            path = path or options.get("dest")
            if path:
                patterns.append("[^/]+".join(map(re.escape, _JINJA.split(str(path)))))
        unit = task.get("ansible.builtin.systemd_service", {})
        if unit.get("enabled"):
            # Enabling a unit makes the link, and the folder it lies in.
            patterns.append(rf"/etc/systemd/system/[^/]+\.wants(/{re.escape(str(unit['name']))})?")
    return patterns


def not_covered(paths: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return the paths that no pattern matches as a whole."""
    return [path for path in paths if not any(re.fullmatch(pattern, path) for pattern in patterns)]
