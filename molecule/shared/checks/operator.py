"""The operator's side of a test: commands typed from the project folder, with an inventory of one's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from . import stack
from .playbook import ROOT, environment


def run(*words: object, cwd: Path = ROOT, **variables: str) -> SimpleNamespace:
    """Run a command as an operator would; return its code and all that it printed."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**environment(), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=420,
        check=False,
    )
    return SimpleNamespace(code=done.returncode, output=done.stdout)


def secrets_of(world: SimpleNamespace) -> dict[str, str]:
    """Return the decrypted secrets by name."""
    vault = Path(sys.executable).parent / "ansible-vault"
    done = run(vault, "view", world.vault, **world.variables)
    assert done.code == 0, done.output
    secrets: dict[str, str] = yaml.safe_load(done.output)["stack_secrets"]
    return secrets


def command(world: SimpleNamespace, *words: object) -> SimpleNamespace:
    """Run scripts/secrets."""
    return run(ROOT / "scripts/secrets", *words, **world.variables)


def site(world: SimpleNamespace, *words: object, playbook: str = "site.yml") -> SimpleNamespace:
    """Run a playbook with the inventory of this test."""
    tool = Path(sys.executable).parent / "ansible-playbook"
    return run(tool, playbook, "-i", world.inventory, *words, **world.variables)


def ids(host: Any) -> dict[str, str]:
    """Return the container of each service."""
    return {service: item["Id"] for service, item in stack.containers(host).items()}
