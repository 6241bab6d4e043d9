# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks sshd itself what a configuration means: `sshd -t` and `sshd -T`, on a copy with the new drop-in in its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ..command import NOT_FOUND, CommandResult
from .settings import DROP_IN

Run = Callable[[Sequence[str]], CommandResult]
SSHD = "/usr/sbin/sshd"
_INCLUDE = re.compile(r"^(\s*Include\s+)(.*)$", re.IGNORECASE)
_FOLDER = "/etc/ssh/sshd_config.d/"
_NO_FOLDER = re.compile(r"[Mm]issing privilege separation directory: (\S+)")

Effective = dict[str, list[str]]
"""What sshd says: setting in lower case -> its values."""


class SshdError(Exception):
    """What is wrong with sshd, and the fix."""


def copy_with(root: Path, scratch: Path, drop_in: str | None) -> Path:
    """Copy the configuration below ``root`` into a folder, with this drop-in or without ours. The main file's path."""
    folder = scratch / "sshd_config.d"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    ours = Path(DROP_IN).name
    for path in sorted((root / _FOLDER.lstrip("/")).glob("*.conf")):
        if path.name != ours:
            (folder / path.name).write_bytes(path.read_bytes())
    if drop_in is not None:
        (folder / ours).write_text(drop_in, encoding="utf-8")
    main = scratch / "sshd_config"
    lines = _read(root / "etc/ssh/sshd_config").splitlines()
    main.write_text("".join(f"{_pointed(line, folder)}\n" for line in lines), encoding="utf-8")
    return main


def _pointed(line: str, folder: Path) -> str:
    """An Include line with the copies in place of the drop-ins."""
    match = _INCLUDE.match(line)
    if not match:
        return line
    words = []
    for word in match[2].split():
        name = word.strip('"')
        full = name if name.startswith("/") else f"/etc/ssh/{name}"
        words.append(f"{folder}/{full.removeprefix(_FOLDER)}" if full.startswith(_FOLDER) else word)
    return match[1] + " ".join(words)


def includes_drop_ins(root: Path) -> bool:
    """Whether the main file reads the folder of drop-ins."""
    return any(
        "sshd_config.d/" in match[2]
        for match in map(_INCLUDE.match, _read(root / "etc/ssh/sshd_config").splitlines())
        if match
    )


def where_set(root: Path, name: str) -> str:
    """The first line of another file that names this setting: file:line, or nothing."""
    files = [*sorted((root / _FOLDER.lstrip("/")).glob("*.conf")), root / "etc/ssh/sshd_config"]
    for path in files:
        if path.name == Path(DROP_IN).name:
            continue
        for number, line in enumerate(_read(path).splitlines(), 1):
            words = re.split(r"[\s=]+", line.strip(), maxsplit=1)
            if words[0].lower() == name.lower():
                return f"/{path.relative_to(root)}:{number}"
    return ""


class Sshd:
    """sshd behind an injected runner. ``host`` names the machine in errors."""

    def __init__(self, run: Run, host: str) -> None:
        self._run, self._host = run, host

    def present(self) -> bool:
        """Whether there is one."""
        return self._call("-V").code != NOT_FOUND

    def problem(self, config: Path) -> str:
        """What `sshd -t` says against a configuration; empty when it takes it."""
        answer = self._call("-t", "-f", str(config))
        return "" if answer.code == 0 else self._said(answer)

    def effective(self, config: Path, user: str = "", address: str = "", port: int = 0) -> Effective:
        """What holds for a user who comes from an address. SshdError when sshd cannot say."""
        words = ["-T", "-f", str(config)]
        if user:
            address = address.partition("%")[0] or "192.0.2.1"
            words += ["-C", f"user={user},host={address},addr={address}" + (f",lport={port}" if port else "")]
        answer = self._call(*words)
        if answer.code:
            raise SshdError(
                f"sshd on {self._host} refuses its configuration: {self._said(answer)} Nothing was changed. Fix: mend"
                " the file that it names (sshd -t shows the same), then run again"
            )
        return parse(answer.stdout)

    def _call(self, *words: str) -> CommandResult:
        answer = self._run([SSHD, *words])
        missing = _NO_FOLDER.search(answer.stderr)
        if missing:
            # In memory, and not there while a socket waits in place of sshd.
            Path(missing[1]).mkdir(mode=0o755, parents=True, exist_ok=True)
            answer = self._run([SSHD, *words])
        return answer

    @staticmethod
    def _said(answer: CommandResult) -> str:
        lines = [line.strip() for line in (answer.stderr or answer.stdout).splitlines() if line.strip()]
        return f"{lines[0].rstrip('.')}." if lines else f"it ended with {answer.code}."


def parse(text: str) -> Effective:
    """Read what `sshd -T` prints: a setting and its value on each line; some stand there more than once."""
    found: Effective = {}
    for line in text.splitlines():
        name, _space, value = line.partition(" ")
        if name:
            found.setdefault(name.lower(), []).append(value.strip())
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
