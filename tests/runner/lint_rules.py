"""Rules of this repository that no linter knows. Each returns what is wrong, one line a finding."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .files import first_line, is_python, tracked

PYTHON_LINES = 400
ROLE_LINES = 250

# Addresses of package indexes: they stand in the settings of the machine, never in the repository.
INDEXES = re.compile(
    r"(?:deb|security|snapshot)\.debian\.(?:org|net)|pypi\.(?:org|python)|pythonhosted\.org|npmjs\.(?:org|com)",
    re.IGNORECASE,
)
# A collection without these is not ours.
NEEDED = {
    *("README.md", "LICENSE", "playbooks/site.yml", "plugins/action/template_tree.py", "roles/stack/tasks/main.yml"),
    "roles/monitoring/files/grafana/dashboards/fleet.json",
}
# Without their mode bit they could not be typed as they stand in the documentation.
COMMANDS = ("scripts", ".ci")


def file_length(root: Path, names: Iterable[str] | None = None) -> list[str]:
    """Python files and the tasks of a role stay short enough to be read."""
    found = []
    roles: dict[str, int] = {}
    for name in tracked(root) if names is None else names:
        parts = Path(name).parts
        if is_python(root, name):
            lines = count_lines(root / name)
            if lines > PYTHON_LINES:
                found.append(f"{name}: {lines} lines, the limit is {PYTHON_LINES}. Fix: split it by what it is about.")
        elif parts[0] == "roles" and len(parts) > 3 and parts[2] == "tasks":
            roles[parts[1]] = roles.get(parts[1], 0) + count_lines(root / name)
    found += [
        f"roles/{role}/tasks: {lines} lines in all, the limit is {ROLE_LINES}. Fix: make two roles of it."
        for role, lines in roles.items()
        if lines > ROLE_LINES
    ]
    return found


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def addresses(root: Path, names: Iterable[str] | None = None) -> list[str]:
    """No address of a package index and no path of this machine in any file."""
    # A checkout in a folder like /app would make a finding of every path in there.
    checkout = re.compile(re.escape(str(root)) + r"(?![\w.-])") if len(root.parts) > 2 else None
    found = []
    for name in tracked(root) if names is None else names:
        text = (root / name).read_bytes().decode("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            if match := INDEXES.search(line):
                found.append(
                    f"{name}:{number}: '{match[0]}' is a package index. Fix: leave it to the machine's settings."
                )
            if checkout and checkout.search(line):
                found.append(f"{name}:{number}: the path of this checkout. Fix: write it relative to the repository.")
    return found


def lock(root: Path) -> list[str]:
    """requirements.lock holds each dependency of pyproject.toml, in a version that fits, with hashes."""
    fix = "Fix: scripts/test lock"
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    locked, found = read_lock((root / "requirements.lock").read_text(encoding="utf-8"))
    wanted = list(project["project"]["dependencies"])
    for group in project.get("dependency-groups", {}).values():
        wanted += [entry for entry in group if isinstance(entry, str)]
    for requirement in map(Requirement, wanted):
        versions = locked.get(canonicalize_name(requirement.name))
        if not versions:
            found.append(f"requirements.lock: {requirement.name} is missing. {fix}")
        found += [
            f"requirements.lock: {requirement.name} {version} does not fit '{requirement}'. {fix}"
            for version in versions or []
            if not requirement.specifier.contains(version, prereleases=True)
        ]
    return found


def read_lock(text: str) -> tuple[dict[str, list[str]], list[str]]:
    """Return name -> locked versions, and what is wrong with the file itself."""
    locked: dict[str, list[str]] = {}
    found = []
    for entry in re.sub(r"\\\n", " ", text).splitlines():
        words = entry.partition(" #")[0].strip()
        if not words or words.startswith("#"):
            continue
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", words)
        if match is None:
            found.append(f"requirements.lock: '{words[:60]}' is no pinned requirement. Fix: scripts/test lock")
            continue
        if "--hash=sha256:" not in words:
            found.append(f"requirements.lock: {match[1]} has no hash. Fix: scripts/test lock")
        locked.setdefault(canonicalize_name(match[1]), []).append(match[2])
    return locked, found


def commands(root: Path) -> list[str]:
    """Everything in scripts/ and .ci/ can be executed, and each script explains itself."""
    found = []
    for name in tracked(root):
        if Path(name).parts[0] not in COMMANDS:
            continue
        path = root / name
        if not first_line(path).startswith("#!"):
            found.append(f"{name}: it does not say what runs it. Fix: begin it with #!/usr/bin/env python3")
        elif not os.access(path, os.X_OK):
            found.append(f"{name}: it is not executable. Fix: chmod +x {name}")
        elif name.startswith("scripts/"):
            done = subprocess.run([path, "--help"], check=False, capture_output=True, text=True, cwd=root, timeout=60)
            if done.returncode != 0 or not done.stdout.strip():
                why = done.stderr.strip()[-300:]
                found.append(f"{name}: --help shows no help and ends with {done.returncode}. {why}".strip())
    return found


def tarball(root: Path, archive: Path) -> list[str]:
    """The collection holds nothing but files that are under version control."""
    known = {*tracked(root), "MANIFEST.json", "FILES.json"}
    with tarfile.open(archive) as tar:
        members = {member.name for member in tar.getmembers() if not member.isdir()}
    extra, missing = sorted(members - known), sorted(NEEDED - members)
    fix = "Fix: build_ignore in galaxy.yml"
    found = [f"{name} is in the collection, but not under version control. {fix}" for name in extra[:20]]
    return found + [f"{name} is missing in the collection. {fix}" for name in missing]
