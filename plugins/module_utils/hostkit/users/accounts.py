# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The accounts of a host, read from its files below a root."""

from __future__ import annotations

import grp
import pwd
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Account:
    """A user of the host. ``home`` is a path on the host."""

    name: str
    uid: int
    gid: int
    comment: str
    home: str
    shell: str


@dataclass
class Accounts:
    """Users, who has a password, and groups with their members."""

    users: dict[str, Account] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    groups: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    real: bool = True

    def __repr__(self) -> str:
        return f"Accounts({', '.join(self.users)})"

    def find(self, name: str) -> Account | None:
        """A user of the host's files, or of a directory that it asks."""
        if name in self.users or not self.real:
            return self.users.get(name)
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        return Account(name, entry.pw_uid, entry.pw_gid, entry.pw_gecos, entry.pw_dir, entry.pw_shell)

    def has_password(self, name: str) -> bool:
        """Whether a password could be right. Without a line in shadow, a directory may know one."""
        stored = self.hashes.get(name)
        return stored is None or (stored.startswith("$") and len(stored) > 3)

    def groups_of(self, account: Account) -> list[str]:
        """The names of all groups of a user."""
        names = [name for name, (gid, members) in self.groups.items() if gid == account.gid or account.name in members]
        if self.real and account.name not in self.users:
            names += [group.gr_name for group in grp.getgrall() if account.name in group.gr_mem]
        return sorted(set(names))


def read_accounts(root: Path) -> Accounts:
    """Read passwd, shadow and group below ``root``."""
    found = Accounts(real=root == Path("/"))
    for words in _rows(root / "etc/passwd", 7):
        if words[2].isdecimal() and words[3].isdecimal():
            found.users[words[0]] = Account(words[0], int(words[2]), int(words[3]), words[4], words[5], words[6])
    for words in _rows(root / "etc/shadow", 2):
        found.hashes[words[0]] = words[1]
    for words in _rows(root / "etc/group", 4):
        if words[2].isdecimal():
            found.groups[words[0]] = (int(words[2]), tuple(name for name in words[3].split(",") if name))
    return found


def _rows(path: Path, fields: int) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [words for words in (line.split(":") for line in text.splitlines()) if len(words) >= fields and words[0]]
