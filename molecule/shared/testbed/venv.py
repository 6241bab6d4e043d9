"""The project's virtual environment, installed from requirements.lock."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from .shell import TestbedError, run, step

OLDEST, NEWEST = (3, 11), (3, 13)


def python_of(root: Path) -> Path:
    return root / ".venv" / "bin" / "python"


def ensure(root: Path) -> Path:
    """Make the virtual environment where it is missing or older than the lock; return its Python."""
    lock = (root / "requirements.lock").read_bytes()
    stamp = root / ".venv" / "requirements.sha256"
    wanted = hashlib.sha256(lock + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted and python_of(root).exists():
        return python_of(root)
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise TestbedError(
            f"This is Python {sys.version_info[0]}.{sys.version_info[1]}; 3.11 to 3.13 is needed. "
            "Fix: run it with another one, such as: python3.11 scripts/sandbox up"
        )
    if (root / ".venv").is_symlink():
        raise TestbedError(f"{root}/.venv is a link; making it anew would empty the folder behind it. Fix: rm .venv")
    with step("Installing Ansible and the test tools into .venv (once)"):
        if run([sys.executable, "-c", "import ensurepip, venv"], check=False).returncode != 0:
            if os.geteuid() != 0 or not shutil.which("apt-get"):
                raise TestbedError("Python's venv module is missing. Fix: apt-get install python3-venv")
            run(["apt-get", "update", "-qq"])
            run(["apt-get", "install", "-y", "-qq", "python3-venv"])
        run([sys.executable, "-m", "venv", "--clear", root / ".venv"])
        pip = [str(python_of(root)), "-m", "pip"]
        options = ["--quiet", "--disable-pip-version-check", "--require-hashes"]
        run([*pip, "install", *options, "--requirement", str(root / "requirements.lock")])
        stamp.write_text(wanted, encoding="utf-8")
    return python_of(root)


def activate(root: Path) -> None:
    """Put the environment's commands first on the PATH of what is started from here."""
    os.environ["PATH"] = f"{root / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    os.environ["VIRTUAL_ENV"] = str(root / ".venv")


def reexec_inside(root: Path) -> None:
    """Go on in the environment's Python, so that its packages can be imported."""
    python = python_of(root)
    if Path(sys.prefix).resolve() != (root / ".venv").resolve():
        os.execv(python, [str(python), *sys.argv])  # noqa: S606  No shell is wanted.
