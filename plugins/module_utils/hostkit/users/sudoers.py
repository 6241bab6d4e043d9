# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A drop-in of sudo for each user, checked by visudo alone and with all the others, and taken back if sudo breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..command import NOT_FOUND, CommandResult
from ..files import write_file

Run = Callable[[Sequence[str]], CommandResult]


class SudoError(Exception):
    """What visudo says, and the fix."""


def rule(name: str, sudo: str) -> str:
    """The text of the drop-in; empty for a user without sudo."""
    if sudo == "none":
        return ""
    what = "NOPASSWD: ALL" if sudo == "nopasswd" else "ALL"
    return f"# What {name} may do. Written by the role base.\n{name} ALL=(ALL:ALL) {what}\n"


class Sudoers:
    """/etc/sudoers.d below a root."""

    def __init__(self, run: Run, root: Path, host: str) -> None:
        self._run, self._root, self._host = run, root, host

    def path(self, name: str) -> Path:
        """The drop-in of a user. sudo passes over names with a dot; ours sorts behind that of cloud-init."""
        return self._root / "etc/sudoers.d" / f"hypercode-{name}"

    def now(self, name: str) -> str:
        """The text that is there."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def write(self, name: str, text: str, scratch: Path) -> None:
        """Put the text in place, or nothing for an empty one. SudoError, and all as before, when sudo would break."""
        path = self.path(name)
        self._check("the rules of sudo, before any change of ours,", None)
        if text:
            candidate = scratch / path.name
            candidate.write_text(text, encoding="utf-8")
            candidate.chmod(0o440)
            self._check(f"the new rule of {name}", candidate)
        before = path.read_bytes() if path.exists() else None
        self._put(path, text.encode() if text else None)
        try:
            self._check(f"the rules of sudo with the new one of {name}", None)
        except SudoError:
            self._put(path, before)
            raise

    def _put(self, path: Path, data: bytes | None) -> None:
        if data is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        write_file(path, data, mode=0o440)

    def _check(self, what: str, file: Path | None) -> None:
        main = self._root / "etc/sudoers"
        answer = self._run(["visudo", "-c", "-f", str(file or main)])
        if answer.code == NOT_FOUND:
            raise SudoError(f"sudo is not installed on {self._host}. Fix: install the package sudo, then run again")
        if answer.code:
            lines = [line for line in f"{answer.stderr}\n{answer.stdout}".splitlines() if line.strip()]
            raise SudoError(
                f"visudo on {self._host} refuses {what}: {lines[0] if lines else 'it does not say why'}. sudo is as it"
                f" was before. Fix: see visudo -c, and mend the file that it names"
            )
