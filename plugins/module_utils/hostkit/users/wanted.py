# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wanted of the people of a host, read and judged without looking at any host."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..finding import ERROR, Finding
from .keys import KeyProblem, PublicKey, judge_key, parse_key

SUDO = ("none", "password", "nopasswd")
# As useradd of Debian wants them by default.
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
# yescrypt, gost-yescrypt, scrypt, bcrypt, SHA-512, SHA-256
_HASH = re.compile(r"\$(?:y|gy|7|2[aby]|6|5)\$[A-Za-z0-9./$,=]{16,300}")
_PLAIN = re.compile(r"[^:\n\x00-\x1f\x7f]*")
_NAMES = ("name", "keys", "password_hash", "sudo", "groups", "shell", "comment", "state")


@dataclass(frozen=True)
class WantedUser:
    """One person. The hash is in no text that is made from this."""

    name: str
    keys: tuple[PublicKey, ...] = ()
    password_hash: str = ""
    sudo: str = "none"
    groups: tuple[str, ...] = ()
    shell: str = "/bin/bash"
    comment: str | None = None
    absent: bool = False

    def __repr__(self) -> str:
        return f"WantedUser({self.name})"


def read_users(items: Any, setting: str = "base_users") -> tuple[list[WantedUser], list[Finding]]:
    """The users, and everything that is wrong with them. ``setting`` is how messages call the list."""
    reader = _Reader(setting)
    users = reader.read(items)
    return users, reader.findings


def secrets_in(users: Any) -> set[str]:
    """What must not be in any result: the hashes."""
    items = users if isinstance(users, list) else []
    return {str(item["password_hash"]) for item in items if isinstance(item, dict) and item.get("password_hash")}


class _Reader:
    """Collects what is wrong."""

    def __init__(self, setting: str) -> None:
        self._setting = setting
        self.findings: list[Finding] = []

    def _wrong(self, name: str, message: str, fix: str) -> None:
        self.findings.append(Finding("user-setting", ERROR, name, message, fix[:1].upper() + fix[1:]))

    def read(self, items: Any) -> list[WantedUser]:
        if not isinstance(items, Sequence) or isinstance(items, str):
            self._wrong(self._setting, f"{self._setting} is no list.", "write a list of users, each with a name.")
            return []
        users: list[WantedUser] = []
        for number, item in enumerate(items):
            where = f"{self._setting}[{number}]"
            if not isinstance(item, Mapping) or not item.get("name"):
                self._wrong(where, f"{where} has no name.", "write {name: ..., keys: [...]}.")
                continue
            user = self._user(item, f"{where} ({item['name']})", where)
            if user.name in {other.name for other in users}:
                self._wrong(where, f"{where} ({user.name}) stands there twice.", "keep one entry.")
                continue
            users.append(user)
        return users

    def _user(self, item: Mapping[str, Any], who: str, where: str) -> WantedUser:
        name = str(item["name"])
        if not _NAME.fullmatch(name):
            self._wrong(
                f"{where}.name",
                f"{who}: that is no name for a user.",
                "write up to 31 of a-z, 0-9, _ and -, the first one a letter.",
            )
        if name == "root":
            self._wrong(f"{where}.name", f"{who}: root is not managed here.", "give each person an own name, and sudo.")
        for key in sorted(set(map(str, item)) - set(_NAMES)):
            self._wrong(f"{where}.{key}", f"{who} has {key}.", f"a user may have {', '.join(_NAMES)}.")
        state = item.get("state") or "present"
        if state not in ("present", "absent"):
            self._wrong(f"{where}.state", f"{who}: state is '{state}'.", "write present or absent.")
        sudo = item.get("sudo") or "none"
        if sudo not in SUDO:
            self._wrong(f"{where}.sudo", f"{who}: sudo is '{sudo}'.", f"write one of {', '.join(SUDO)}.")
        shell = str(item.get("shell") or "/bin/bash")
        if not re.fullmatch(r"/[A-Za-z0-9._/+-]+", shell):
            self._wrong(f"{where}.shell", f"{who}: shell is '{shell}'.", "write a path, such as /bin/bash.")
        comment = item.get("comment")
        if comment is not None and not _PLAIN.fullmatch(str(comment)):
            self._wrong(f"{where}.comment", f"{who}: comment holds a colon or a control sign.", "leave it out.")
        return WantedUser(
            name=name,
            keys=self._keys(item.get("keys"), who, where),
            password_hash=self._hash(item.get("password_hash"), who, where),
            sudo=str(sudo),
            groups=self._groups(item.get("groups"), who, where),
            shell=shell,
            comment=None if comment is None else str(comment),
            absent=state == "absent",
        )

    def _keys(self, given: Any, who: str, where: str) -> tuple[PublicKey, ...]:
        keys: list[PublicKey] = []
        if isinstance(given, str) or not isinstance(given or [], Sequence):
            self._wrong(f"{where}.keys", f"{who}: keys is no list.", "write a list of public keys, each on a line.")
            return ()
        for number, text in enumerate(given or []):
            name = f"{where}.keys[{number}]"
            try:
                key = parse_key(str(text))
            except KeyProblem as problem:
                # The text itself is never shown: it may be a private key.
                self._wrong(name, f"{who}: keys[{number}] {problem}.", f"{problem.fix}.")
                continue
            weak = judge_key(key)
            if weak:
                self._wrong(name, f"{who}: keys[{number}] {weak}.", f"{weak.fix}.")
            elif key.data not in {other.data for other in keys}:
                keys.append(key)
        return tuple(keys)

    def _hash(self, given: Any, who: str, where: str) -> str:
        text = "" if given is None else str(given)
        if text and not _HASH.fullmatch(text):
            self._wrong(
                f"{where}.password_hash",
                f"{who}: password_hash is no hash of a password (a plain password, or a form that is too weak).",
                "make one with: mkpasswd --method=yescrypt, and keep it in the vault.",
            )
            return ""
        return text

    def _groups(self, given: Any, who: str, where: str) -> tuple[str, ...]:
        if isinstance(given, str) or not isinstance(given or [], Sequence):
            self._wrong(f"{where}.groups", f"{who}: groups is no list.", "write a list of names of groups.")
            return ()
        wrong = [str(name) for name in given or [] if not _NAME.fullmatch(str(name))]
        if wrong:
            text = f"{who}: {', '.join(wrong)} is no name of a group."
            self._wrong(f"{where}.groups", text, "write up to 31 of a-z, 0-9, _ and -.")
        return tuple(dict.fromkeys(str(name) for name in given or []))
