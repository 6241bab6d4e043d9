# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which login is tried, in which order, and what the operator is asked for when no key gets in."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Protocol

from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding import login
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.asking import Asker
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.home import Home
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.login import Door, Found
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.operator_key import OperatorKey
from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach import Target
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import load_role
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store import files
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError, refuse

_TRIES = 3
_OS = "preflight_os_supported"


class Known(Protocol):
    """What is read of the server (onboard._Known fits)."""

    name: str
    managed: bool
    banner: str


def find_login(
    arguments: argparse.Namespace,
    asker: Asker,
    home: Home,
    door: Door,
    key: OperatorKey,
    known: Known,
    private: Path,
) -> Found:
    """A login that works and may become root: ours, then a key, then a password. Raises StoreError."""
    # Nobody but us makes that user: on a new server the try would only count as a refused login.
    ours = _managed(arguments, home, door, key, known, private) if known.managed else None
    if ours:
        return ours
    users = [arguments.user] if arguments.user else login.usual_users(known.banner)

    def sudo_password(user: str) -> Path | None:
        if arguments.sudo_password_file:
            return _given(arguments.sudo_password_file, private / "sudo", "--sudo-password-file")
        if not asker.terminal:
            return None
        return _kept(asker.hidden(f"Password that sudo asks {user} for", "--sudo-password-file FILE"), private / "sudo")

    found, last = (None, None) if arguments.password_file else login.by_key(door, users, key.path)
    if found is None:
        if last and not login.takes_passwords(last.methods):
            raise login.no_password_login(door.target, " or ".join(users), last.methods)
        found = _by_password(arguments, asker, door, private)
    return login.with_sudo(door, found, sudo_password)


def _managed(
    arguments: argparse.Namespace, home: Home, door: Door, key: OperatorKey, known: Known, private: Path
) -> Found | None:
    """The login of a server that is in the inventory already; None where it does not work (yet)."""
    found, _last = login.by_key(door, [arguments.deploy_user], key.path)
    if found is None:
        return None
    value = home.session().inventory.value("ansible_become_password", known.name, "")
    try:
        return login.with_sudo(door, found, lambda _user: _kept(str(value), private / "deploy") if value else None)
    except StoreError:
        # The user is there without its sudo: the old login has to finish what was begun.
        return None


def _by_password(arguments: argparse.Namespace, asker: Asker, door: Door, private: Path) -> Found:
    file = private / "login"
    if arguments.password_file:
        user = arguments.user or "root"
        return login.by_password(door, user, _given(arguments.password_file, file, "--password-file"))
    if not asker.terminal:
        message = f"No key login works on {door.target.shown}, and there is no terminal to ask for a password at."
        fix = "add --password-file FILE (with --user NAME, if it is not root's), or a key that it knows: --key FILE"
        raise refuse("flag-missing", message, fix)
    print("The server does not know your key yet.")
    user = asker.text("Who can log in with a password", "root", "--user NAME", arguments.user)
    for attempt in range(_TRIES):
        try:
            password = asker.hidden(f"Password of {user}", "--password-file FILE")
            return login.by_password(door, user, _kept(password, file))
        except StoreError as error:
            if error.problems[0].rule != "password-wrong" or attempt == _TRIES - 1:
                raise
            print("That password was refused.")
    raise AssertionError("unreachable")


def _given(typed: str, private: Path, flag: str) -> Path:
    """A password from the operator's file. Raises StoreError when others can read that too."""
    path = Path(typed).expanduser()
    data = files.read(path)
    if data is None:
        fix = f"name the file that holds the password: {flag} FILE"
        raise refuse("password-file", f"There is no file {typed}.", fix)
    mode = path.stat().st_mode & 0o777
    if path.is_file() and mode & 0o077:
        raise refuse("password-file", f"Others can read {typed} (its mode is {mode:04o}).", f"chmod 600 {typed}")
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise refuse("password-file", f"{typed} holds no text.", "write the password into it, as UTF-8.") from None
    if not text or "\n" in text:
        message = f"{typed} holds {'more than one line' if text else 'nothing'}."
        raise refuse("password-file", message, "write the password into it, and nothing else.")
    return _kept(text, private)


def _kept(password: str, path: Path) -> Path:
    files.write(path, password.encode())
    return path


def refuse_system(found: Found, home: Home, target: Target) -> None:
    """Raises StoreError for an operating system that is not supported."""
    role = load_role(home.root / "roles" / "preflight")
    supported = role.defaults[_OS] if role else []
    if home.members:
        supported = home.session().inventory.value(_OS, default=supported)
    names = [f"{system['distribution']} {system['version']}" for system in supported]
    if found.system in names:
        return
    message = f"{target.shown} runs {found.system_name}, which is not supported. Nothing was changed."
    raise refuse("os-unsupported", message, f"set it up anew with one of these: {', '.join(names)}.")
