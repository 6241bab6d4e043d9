# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges wanted users against the host: what would take the operator's own way in, or sudo, away."""

from __future__ import annotations

from collections.abc import Sequence

from ..finding import ERROR, Finding
from ..ssh_session import Session
from .apply import Users
from .keys import keys_in
from .wanted import WantedUser

_SYSTEM = 1000  # Users below this number belong to the system.


def host_findings(
    wanted: Sequence[WantedUser], users: Users, session: Session | None, host: str, *, password_known: bool
) -> list[Finding]:
    """What keeps these users from being applied. ``password_known``: whether Ansible has a password for sudo."""
    found: list[Finding] = []
    for number, user in enumerate(wanted):
        where = f"base_users[{number}]"
        ours = session is not None and session.user == user.name
        found += _absent(user, where, users, ours, host) if user.absent else _no_password(user, where, users, host)
        if ours and not user.absent:
            found += _own_keys(user, where, users, host) + _own_sudo(user, where, users, host, password_known)
    return found


def _finding(rule: str, name: str, message: str, fix: str) -> list[Finding]:
    return [Finding(rule, ERROR, name, message, fix)]


def _absent(user: WantedUser, where: str, users: Users, ours: bool, host: str) -> list[Finding]:
    account = users.accounts.users.get(user.name)
    if ours:
        return _finding(
            "lockout",
            f"{where}.state",
            f"{user.name} is to be removed from {host}, but is whom this connection logged in as.",
            "Log in as another user with sudo (ansible_user), then run again.",
        )
    if account is not None and (account.uid < _SYSTEM or account.name == "nobody"):
        return _finding(
            "system-user",
            f"{where}.state",
            f"{user.name} is to be removed from {host}, but is a user of the system (number {account.uid}).",
            "Take this entry out.",
        )
    return []


def _no_password(user: WantedUser, where: str, users: Users, host: str) -> list[Finding]:
    there = user.name in users.accounts.users and users.accounts.has_password(user.name)
    if user.sudo != "password" or user.password_hash or there:
        return []
    return _finding(
        "lockout",
        f"{where}.sudo",
        f"{user.name} is to use sudo with a password, but has none on {host}: sudo could never be used.",
        f"Set {where}.password_hash (mkpasswd --method=yescrypt; keep it in the vault), or sudo: nopasswd.",
    )


def _own_keys(user: WantedUser, where: str, users: Users, host: str) -> list[Finding]:
    account = users.accounts.users.get(user.name)
    if account is None:
        return []
    there = {key.data for key in keys_in(users.key_file(account).read())}
    left = there - (users.brought(user.name) - {key.data for key in user.keys})
    if left or user.keys or not there:
        return []
    return _finding(
        "lockout",
        f"{where}.keys",
        f"The last key of {user.name} on {host} is to be taken away, but this connection logged in as {user.name}.",
        f"Write the key that is to stay in {where}.keys.",
    )


def _own_sudo(user: WantedUser, where: str, users: Users, host: str, password_known: bool) -> list[Finding]:
    now = users.sudoers.now(user.name)
    if user.sudo == "none" and now:
        return _finding(
            "lockout",
            f"{where}.sudo",
            f"{user.name} is to lose sudo on {host}, but this connection logged in as {user.name} and needs it.",
            f"Set {where}.sudo to password or nopasswd, or log in as another user with sudo (ansible_user).",
        )
    if user.sudo == "password" and not password_known:
        return _finding(
            "lockout",
            f"{where}.sudo",
            f"{user.name} is to use sudo with a password on {host}, but Ansible does not know it: the next step would"
            " fail.",
            "Put ansible_become_password into the vault, or run with --ask-become-pass, or set sudo: nopasswd.",
        )
    return []
