# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings the users of a host to what is wanted: one look, a list of steps, then the steps.

Keys, groups and rights that somebody gave by hand stay. Of keys, those are taken away that an earlier run brought and
that are no longer wanted: which these are is written down on the host.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..command import CommandResult
from ..files import write_file
from .accounts import Account, Accounts, read_accounts
from .key_file import KeyFile, with_keys
from .keys import keys_in
from .sudoers import Sudoers, rule
from .wanted import WantedUser

_PATIENCE = 15  # seconds for the sessions of a user who is removed to end
RECORD = "var/lib/hypercode/users.json"


class UserError(Exception):
    """What went wrong with which user, and the fix."""


class Run(Protocol):
    """Runs a program; ``text`` goes to its standard input."""

    def __call__(self, argv: Sequence[str], text: str | None = None) -> CommandResult: ...


@dataclass
class Step:
    """One thing to do. ``words`` says it; no secret is in it."""

    words: str
    do: Callable[[], None] = field(repr=False)


class Users:
    """The users of one host. ``scratch`` is a folder for temporary files."""

    def __init__(self, run: Run, root: Path, host: str, scratch: Path) -> None:
        self._run, self._root, self._host, self._scratch = run, root, host, scratch
        self.accounts: Accounts = read_accounts(root)
        self.sudoers = Sudoers(run, root, host)
        self._record = _read_record(root / RECORD)

    def key_file(self, account: Account) -> KeyFile:
        """The authorized_keys of a user."""
        return KeyFile(self._root / account.home.lstrip("/"), account.home, account.uid, account.gid)

    def brought(self, name: str) -> set[str]:
        """The data of the keys that earlier runs brought to a user."""
        return set(self._record.get(name, ()))

    def plan(self, wanted: Sequence[WantedUser]) -> list[Step]:
        """What there is to do, in order."""
        steps: list[Step] = []
        for user in wanted:
            steps += self._absent(user) if user.absent else self._present(user)
        return steps

    def act(self, steps: Sequence[Step]) -> None:
        """Do it."""
        for step in steps:
            step.do()

    # --- one user -------------------------------------------------------------------------------------------------

    def _present(self, user: WantedUser) -> list[Step]:
        account = self.accounts.users.get(user.name)
        steps = self._groups(user)
        steps += self._account(user, account)
        if user.password_hash and self.accounts.hashes.get(user.name) != user.password_hash:
            steps.append(Step(f"{user.name}: set the password", lambda: self._set_password(user)))
        steps += self._keys(user, account)
        text = rule(user.name, user.sudo)
        if self.sudoers.now(user.name) != text:
            words = {"none": "take sudo away", "password": "give sudo, with the password"}.get(
                user.sudo, "give sudo, without a password"
            )
            steps.append(Step(f"{user.name}: {words}", lambda: self.sudoers.write(user.name, text, self._scratch)))
        return steps

    def _groups(self, user: WantedUser) -> list[Step]:
        missing = [name for name in user.groups if name not in self.accounts.groups]
        return [
            Step(f"make the group {name}", lambda name=name: self._program("groupadd", "--system", name))  # type: ignore[misc]
            for name in missing
        ]

    def _account(self, user: WantedUser, account: Account | None) -> list[Step]:
        if account is None:
            words = ["useradd", "--create-home", "--shell", user.shell]
            words += ["--comment", user.comment or "", "--groups", ",".join(user.groups), user.name]
            # A group of the same name that is there already becomes the user's own.
            words += ["--gid", user.name] if user.name in self.accounts.groups else ["--user-group"]
            return [Step(f"{user.name}: make the user", lambda: self._program(*words))]
        changes: dict[str, list[str]] = {}
        if account.shell != user.shell:
            changes[f"shell {account.shell} -> {user.shell}"] = ["--shell", user.shell]
        if user.comment is not None and account.comment != user.comment:
            changes[f"comment '{account.comment}' -> '{user.comment}'"] = ["--comment", user.comment]
        new = [name for name in user.groups if name not in self.accounts.groups_of(account)]
        if new:
            changes[f"add to {', '.join(new)}"] = ["--append", "--groups", ",".join(new)]
        options = [word for words in changes.values() for word in words]
        return (
            [Step(f"{user.name}: {', '.join(changes)}", lambda: self._program("usermod", *options, user.name))]
            if changes
            else []
        )

    def _keys(self, user: WantedUser, account: Account | None) -> list[Step]:
        text = self.key_file(account).read() if account else ""
        there = {key.data for key in keys_in(text)}
        add = [key for key in user.keys if key.data not in there]
        wanted = {key.data for key in user.keys}
        gone = [key for key in keys_in(text) if key.data in self.brought(user.name) - wanted]
        steps = [f"{user.name}: add the key {key.label}" for key in add]
        steps += [f"{user.name}: take away the key {key.label}" for key in gone]
        if not steps:
            # Keys that are wanted and were there before us stay theirs who brought them.
            return []
        drop = {key.data for key in gone}
        lines = [key.line for key in add]
        kept = (self.brought(user.name) & wanted) | {key.data for key in add}

        def write() -> None:
            file = self.key_file(self._account_of(user.name))
            # Written down first: a run that is cut off in between must not make a key of ours one of theirs.
            self._note(user.name, kept | drop)
            file.write(with_keys(file.read(), lines, drop))
            self._note(user.name, kept)

        return [Step(steps[0], write), *(Step(words, lambda: None) for words in steps[1:])]

    def _absent(self, user: WantedUser) -> list[Step]:
        steps = []
        if self.sudoers.now(user.name):
            steps.append(Step(f"{user.name}: take sudo away", lambda: self.sudoers.write(user.name, "", self._scratch)))
        if user.name in self.accounts.users:
            steps.append(Step(f"{user.name}: remove the user (the home stays)", lambda: self._remove(user.name)))
        if user.name in self._record:
            steps.append(Step(f"{user.name}: forget the keys", lambda: self._note(user.name, set())))
        return steps

    def _remove(self, name: str) -> None:
        if self._root == Path("/"):
            # userdel refuses as long as anything of the user runs. Without a session there is nothing to end.
            self._run(["loginctl", "terminate-user", name])
            self._run(
                ["timeout", str(_PATIENCE), "sh", "-c", f"while pgrep -u {shlex.quote(name)}; do sleep 0.2; done"]
            )
        self._program("userdel", name)

    # --- doing ----------------------------------------------------------------------------------------------------

    def _set_password(self, user: WantedUser) -> None:
        # On standard input: a command line can be read by everybody on the host.
        answer = self._run(["chpasswd", "--encrypted", *self._where()], text=f"{user.name}:{user.password_hash}\n")
        if answer.code:
            raise UserError(
                f"The password of {user.name} could not be set on {self._host}: chpasswd ended with {answer.code}. Fix:"
                " see that base_users[].password_hash is a hash that this host knows"
            )

    def _program(self, program: str, *words: str) -> None:
        answer = self._run([program, *self._where(), *words])
        if answer.code:
            reason = [line for line in (answer.stderr or answer.stdout).splitlines() if line.strip()]
            said = reason[0].rstrip(".") if reason else f"it ended with {answer.code}"
            by_hand = " ".join(shlex.quote(word) for word in (program, *words))
            raise UserError(
                f"{program} failed on {self._host}: {said}. Fix: mend what it says, then run again (by hand: {by_hand})"
            )

    def _where(self) -> list[str]:
        return [] if self._root == Path("/") else ["--root", str(self._root)]

    def _account_of(self, name: str) -> Account:
        account = read_accounts(self._root).users.get(name)
        if account is None:
            raise UserError(
                f"{name} was made on {self._host}, but is not in /etc/passwd. Fix: see getent passwd {name}"
            )
        return account

    def _note(self, name: str, data: set[str]) -> None:
        path = self._root / RECORD
        record = {**_read_record(path), name: sorted(data)}
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        text = json.dumps({key: value for key, value in sorted(record.items()) if value}, indent=1) + "\n"
        write_file(path, text.encode(), mode=0o600)


def _read_record(path: Path) -> Mapping[str, Sequence[str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): [str(item) for item in items] for name, items in found.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read: {error}. It says which keys this role brought. Fix: remove it; all keys then count"
            " as brought by hand"
        ) from error
