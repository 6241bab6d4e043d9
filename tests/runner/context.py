"""What every part of the test suite is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .console import Console
from .process import Children


@dataclass(frozen=True)
class Context:
    """The checkout, where logs go, and how children are run and shown."""

    root: Path
    console: Console
    children: Children
    scenarios: Sequence[str] = ()
    keep: bool = False

    @property
    def output(self) -> Path:
        return self.root / "tests" / "output"

    def tool(self, name: str) -> Path:
        """Return the path of a command of the virtual environment."""
        return self.root / ".venv" / "bin" / name

    def run(
        self,
        argv: Sequence[str | Path],
        log: Path,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 1800,
    ) -> int:
        """Run a command, its output appended to the log, the progress shown; return its exit code."""
        return self.children.run(argv, log=log, cwd=cwd or self.root, env=env, tick=self.console.tick, timeout=timeout)


def begin_log(path: Path) -> Path:
    """Return the path of an empty log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="utf-8")
    return path
