"""The operator's side of a test: commands typed from the project folder, with an inventory of one's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import yaml

from .playbook import ROOT, Outcome, environment, play


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


def site(world: SimpleNamespace, *words: str) -> Outcome:
    """Run the deploy with the inventory of this test."""
    return play(*words, inventory=world.inventory, timeout=420, variables=world.variables)
