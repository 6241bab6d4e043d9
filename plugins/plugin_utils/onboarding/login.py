# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Finds out which login of a server works, and what is on it. Nothing on the server is changed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import reach, ssh
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.host_key import HostKey, parse
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach import Target
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.ssh import Answer, Way
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError, refuse

# Whom providers make for their customers.
USUAL_USERS = ("root", "debian", "ubuntu", "admin", "ec2-user")
# Each refused login counts against us: where sshd says what it runs on, only those are tried that exist there.
_USERS_OF = {"debian": ("root", "debian", "admin"), "ubuntu": ("root", "ubuntu")}
_BEGIN, _KEYS, _END = "hypercode-onboard-begin", "hypercode-onboard-keys", "hypercode-onboard-end"
# Plain sh, for a server may have nothing else. With a sudo that asks, "sudo -n" fails at once.
LOOK = "\n".join(
    (
        "LC_ALL=C; export LC_ALL",
        f"echo {_BEGIN}",
        'echo "uid=$(id -u)"',
        'echo "python=$(command -v python3 || true)"',
        "if ! command -v sudo > /dev/null 2>&1; then echo sudo=missing",
        "elif sudo -n true < /dev/null > /dev/null 2>&1; then echo sudo=free; else echo sudo=asks; fi",
        r"sed -n 's/^\(ID\|VERSION_ID\|PRETTY_NAME\)=/os_&/p' /etc/os-release",
        f"echo {_KEYS}",
        "cat /etc/ssh/ssh_host_*_key.pub 2> /dev/null",
        f"echo {_END}",
        "",
    )
)
# What ssh says when sshd drops a connection before any login.
_CLOSED = ("kex_exchange_identification", "Connection closed by remote host", "Connection reset by")
_EXPIRED = ("password has expired", "change your password", "Password change required")
_SUDO = "sudo -S -k -p '' true"


@dataclasses.dataclass(frozen=True)
class Found:
    """A login that works. ``sudo_password_file`` is set where sudo asks for a password."""

    way: Way
    root: bool
    sudo: str
    python: str
    system: str
    system_name: str
    host_keys: tuple[HostKey, ...] = ()
    sudo_password_file: Path | None = None

    @property
    def shown(self) -> str:
        return f"{self.way.user} by {'password' if self.way.password_file else 'key'}"


@dataclasses.dataclass(frozen=True)
class Door:
    """All that a try needs: the server, the file with its host key, and this project's folder."""

    target: Target
    known_hosts: Path
    root: Path
    wait: Callable[[float], None] = time.sleep

    def run(self, way: Way, command: str, said: str = "") -> Answer:
        """One command over one connection. Raises StoreError when there is none."""

        def attempt() -> Answer:
            answer = ssh.run(self.target, way, self.known_hosts, command, root=self.root, said=said)
            if answer.code == 255 and any(word in answer.errors for word in _CLOSED):
                raise _lost(self.target, answer)
            return answer

        return reach.patiently(attempt, lambda _error: True, self.wait)

    def try_way(self, way: Way) -> Found | Answer:
        """What is on the server, or the answer that refused this way. Raises StoreError for what no other way helps."""
        answer = self.run(way, "sh -s", LOOK)
        lines = answer.output.splitlines()
        if _BEGIN in lines and _END in lines:
            return _read(way, lines[lines.index(_BEGIN) + 1 : lines.index(_END)])
        if "Host key verification failed" in answer.errors:
            message = f"The host key of {self.target.shown} changed between two connections."
            raise refuse("host-key-changed", message, "somebody may be between you and the server: do not go on.")
        if any(word in answer.errors + answer.output for word in _EXPIRED):
            message = f"{self.target.shown} wants a new password for {way.user} before it lets anybody in."
            raise refuse("password-expired", message, f"log in once and change it: ssh {way.user}@{self.target.host}")
        return answer


def _read(way: Way, lines: list[str]) -> Found:
    head, keys = lines[: lines.index(_KEYS)], lines[lines.index(_KEYS) + 1 :]
    facts = dict(line.split("=", 1) for line in head if "=" in line)
    values = {name: value.strip().strip('"') for name, value in facts.items()}
    return Found(
        way,
        root=values.get("uid") == "0",
        sudo=values.get("sudo", "missing"),
        python=values.get("python", ""),
        system=f"{values.get('os_ID', 'unknown')} {values.get('os_VERSION_ID', '')}".strip(),
        system_name=values.get("os_PRETTY_NAME", "") or values.get("os_ID", "an unknown system"),
        host_keys=tuple(key for _name, key in parse(f"- {line}" for line in keys)),
    )


def usual_users(banner: str) -> tuple[str, ...]:
    """Whom to try on a server whose sshd calls itself so."""
    for system, users in _USERS_OF.items():
        if system in banner.lower():
            return users
    return USUAL_USERS


def by_key(door: Door, users: Iterable[str], key: Path) -> tuple[Found | None, Answer | None]:
    """The first user who gets in by the key, and what the last refusal said."""
    last: Answer | None = None
    for user in dict.fromkeys(users):
        outcome = door.try_way(Way(user, key))
        if isinstance(outcome, Found):
            return outcome, None
        last = outcome
        if not outcome.refused and outcome.code == 255:
            raise _lost(door.target, outcome)
    return None, last


def by_password(door: Door, user: str, password_file: Path) -> Found:
    """The login by password. Raises StoreError when it is refused."""
    outcome = door.try_way(Way(user, password_file=password_file))
    if isinstance(outcome, Found):
        return outcome
    if outcome.code == 255 and not outcome.refused:
        raise _lost(door.target, outcome)
    if not takes_passwords(outcome.methods):
        raise no_password_login(door.target, user, outcome.methods)
    message = f"{door.target.shown} refused the password of {user}."
    fix = "check both at the provider; another user is given with --user NAME, another file with --password-file FILE."
    raise refuse("password-wrong", message, fix)


def takes_passwords(methods: Sequence[str]) -> bool:
    return not methods or bool({"password", "keyboard-interactive"} & set(methods))


def no_password_login(target: Target, user: str, methods: Sequence[str]) -> StoreError:
    """The server takes keys only, and none of ours."""
    message = f"{target.shown} takes no password from {user} ({', '.join(methods)} only), and does not know your key."
    fix = (
        "put the public half of your key on the server (at most providers: their page for SSH keys, or the console),"
        " or name the key and user that it knows: --key FILE --user NAME"
    )
    return refuse("login-none", message, fix)


def _lost(target: Target, answer: Answer) -> StoreError:
    said = (answer.errors.strip().splitlines() or ["the connection ended"])[-1]
    message = f"The SSH connection to {target.shown} was lost while trying a login: {said}"
    fix = "wait a minute (fail2ban or a limit of the provider may be at work), then run this again."
    return refuse("ssh-lost", message, fix)


def with_sudo(door: Door, found: Found, ask: Callable[[str], Path | None]) -> Found:
    """The same login with what its sudo needs. ``ask`` gets a file with the password of sudo, None for none.

    Raises StoreError when this user may not become root.
    """
    user, target = found.way.user, door.target
    if found.root or found.sudo == "free":
        return found
    if found.sudo == "missing":
        message = f"{user} can log in to {target.shown}, but there is no sudo on it."
        raise refuse("sudo-missing", message, "give the login of root, or install sudo through the provider's console.")
    password = found.way.password_file or ask(user)
    if password is None:
        message = f"sudo on {target.shown} asks {user} for a password, and none was given."
        raise refuse("sudo-password", message, "add --sudo-password-file FILE, which only you can read.")
    done = door.run(found.way, _SUDO, said=password.read_text(encoding="utf-8") + "\n")
    if done.code == 0:
        return dataclasses.replace(found, sudo_password_file=password)
    if "not in the sudoers" in done.errors or "may not run" in done.errors:
        message = f"{user} may not use sudo on {target.shown}."
        raise refuse("sudo-refused", message, "give another user (--user NAME), or root.")
    message = f"sudo on {target.shown} refused the password of {user}."
    raise refuse("sudo-password", message, "check it; the file is given with --sudo-password-file FILE.")
