# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the steps work with, and the small tools that they share."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..command import NOT_FOUND
from .bounded import MEBIBYTE, Output, is_binary, read_bounded, run_bounded, text_of
from .entries import Absent, Entries, File, Problem

Run = Callable[..., Output]


@dataclass(frozen=True)
class Container:
    """A container of the stack."""

    id: str
    name: str


@dataclass(frozen=True)
class Context:
    """The host, the moment, and how far to look back (seconds since 1970)."""

    host: Any
    now: float
    since: float
    run: Run = run_bounded
    # Why Docker tells nothing; empty where it answers.
    docker: str = ""
    containers: Sequence[Container] = field(default_factory=tuple)

    @property
    def root(self) -> Path:
        """/ except in tests."""
        root: Path = self.host.store.paths.root
        return root

    def at(self, path: str) -> Path:
        """An absolute path of the host."""
        return self.root / path.lstrip("/")

    def output(self, name: str, argv: Sequence[str], *, timeout: float = 15, limit: int = 2 * MEBIBYTE) -> Entries:
        """What a program prints, as a file; a failure too. One that is not installed is no fault."""
        done = self.run(argv, timeout=timeout, limit=limit)
        if done.code == NOT_FOUND:
            yield Absent(f"{argv[0]}: not installed")
            return
        if done.stdout:
            yield File(name, done.stdout, cut=done.cut)
        if done.code:
            yield Problem(f"{' '.join(argv[:3])} ended with code {done.code}: {_last(done.stderr or done.stdout)}")

    def file(self, name: str, path: str, *, limit: int = MEBIBYTE) -> Entries:
        """A file of the host, the end of it when it is large. One that is not there is no fault."""
        try:
            data, cut = read_bounded(self.at(path), limit=limit)
        except (FileNotFoundError, NotADirectoryError):
            yield Absent(f"{path}: not there")
            return
        except OSError as error:
            yield Problem(f"{path} cannot be read: {error.strerror or error}")
            return
        if is_binary(data):
            yield Absent(f"{path}: left out, it is no text")
        else:
            yield File(name, text_of(data), cut=cut)

    def own(self, name: str, words: Sequence[str]) -> Entries:
        """What another command of `hypercode` prints. Its exit code says how the host is, not whether it worked."""
        from ..cli import main  # noqa: PLC0415  It has this command in it.

        out, errors = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
                main(words, self.host)
        except SystemExit as stop:
            errors.write(f"hypercode {' '.join(words)} ended with {stop.code}")
        if out.getvalue():
            yield File(name, out.getvalue())
        if errors.getvalue():
            yield Problem(_last(errors.getvalue()))


def as_json(name: str, document: Any) -> File:
    """A document as a file."""
    return File(name, json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n")


def rows_of(text: str) -> list[Mapping[str, Any]]:
    """The rows that Docker prints, a JSON object in each line. One that cannot be read is left out."""
    rows: list[Mapping[str, Any]] = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict):
                rows.append(row)
    return rows


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:1000] if lines else "it says nothing"
