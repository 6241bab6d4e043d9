"""The files of the repository, as git sees them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .outcome import PartError


def tracked(root: Path) -> list[str]:
    """Return the paths of all files that are, or would be, under version control; links to folders are left out."""
    done = subprocess.run(
        # The checkout may belong to someone else than to the one who runs the tests, as in CI.
        ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise PartError(f"git cannot list the files of {root}: {done.stderr.strip()} Fix: run this in a git clone.")
    return sorted(name for name in set(done.stdout.split("\0")) if name and (root / name).is_file())


def first_line(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.readline(200).decode("utf-8", errors="replace")


def is_python(root: Path, name: str) -> bool:
    """Say whether a file is Python, by its name or, without an extension, by its first line."""
    if "." in Path(name).name:
        return name.endswith(".py")
    line = first_line(root / name)
    return line.startswith("#!") and "python" in line
