# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges a configuration of sshd against the people of the host: who could not come in any more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from pathlib import Path

from ..finding import ERROR, Finding
from ..ssh_session import Session
from ..users.accounts import Account, Accounts
from ..users.keys import PublicKey, keys_in
from ..users.wanted import WantedUser
from .config import Effective


@dataclass(frozen=True)
class Person:
    """Someone whose way in is judged. ``address`` is empty where it is not known."""

    name: str
    account: Account | None
    address: str = ""
    keys_to_come: tuple[PublicKey, ...] = ()


class Lockout:
    """Collects what would keep people out."""

    def __init__(self, root: Path, accounts: Accounts, effective: Callable[[str, str], Effective], host: str) -> None:
        self._root, self._accounts, self._effective, self._host = root, accounts, effective, host
        self.findings: list[Finding] = []

    def session(self, session: Session, keys: Sequence[PublicKey] = ()) -> None:
        """Judge the user by whom we came, from where we came."""
        person = Person(session.user, self._accounts.find(session.user), session.client, tuple(keys))
        effective = self._effective(person.name, person.address)
        who = f"This connection logged in to {self._host} as {person.name}"
        if person.name == "root" and _first(effective, "permitrootlogin") in ("no", "forced-commands-only"):
            self._add(
                "base_sshd_root_login",
                f"{who}, and root could not log in any more.",
                'Log in as a user with sudo: "scripts/onboard HOST" makes one on a fresh server and proves it; or name'
                " an existing one as ansible_user. To keep root's login with a key: base_sshd_root_login:"
                " prohibit-password.",
            )
            return
        self._allowed(person, effective, f"{who}, but {{why}}.")
        self._key(
            person, effective, f"{who}, and password login is to be closed, but {{why}}.", "base_sshd_password_login"
        )

    def wanted(self, user: WantedUser, where: str, *, keys_to_come: bool) -> None:
        """Judge a user of the inventory who is to have sudo. ``keys_to_come``: the keys are not on the host yet."""
        person = Person(user.name, self._accounts.find(user.name), keys_to_come=user.keys if keys_to_come else ())
        effective = self._effective(person.name, "")
        self._key(person, effective, f"{user.name} could not log in to {self._host}: {{why}}.", f"{where}.keys")
        # An address behind the name is judged when somebody comes.
        reason = _not_allowed(person, self._groups(person), effective, any_address=True)
        if reason:
            self._add("base_sshd_allow_users", f"{user.name} could not log in to {self._host}: {reason[0]}.", reason[1])
        there = user.name in self._accounts.users and self._accounts.has_password(user.name)
        if user.sudo == "password" and not user.password_hash and not there:
            self._add(
                f"{where}.sudo",
                f"{user.name} is to use sudo with a password on {self._host}, but has none.",
                f"Set {where}.password_hash (mkpasswd --method=yescrypt; keep it in the vault), or sudo: nopasswd.",
            )

    def _add(self, name: str, message: str, fix: str) -> None:
        finding = Finding("lockout", ERROR, name, message, fix)
        if finding not in self.findings:
            self.findings.append(finding)

    # --- allowed at all -------------------------------------------------------------------------------------------

    def _groups(self, person: Person) -> list[str]:
        return self._accounts.groups_of(person.account) if person.account else []

    def _allowed(self, person: Person, effective: Effective, text: str) -> None:
        reason = _not_allowed(person, self._groups(person), effective)
        if reason:
            self._add("base_sshd_allow_users", text.format(why=reason[0]), reason[1])

    # --- a key ----------------------------------------------------------------------------------------------------

    def _key(self, person: Person, effective: Effective, text: str, name: str) -> None:
        if _first(effective, "passwordauthentication") == "yes" and person.name != "root":
            return
        if _set(effective, "authorizedkeyscommand") or _set(effective, "trustedusercakeys"):
            return  # Who has a key is known elsewhere.
        if any(_accepted(key, effective) for key in person.keys_to_come):
            return
        why, fix = self._no_key(person, effective)
        if why:
            self._add(name, text.format(why=why), fix)

    def _no_key(self, person: Person, effective: Effective) -> tuple[str, str]:
        """Why no key of this user opens the door, and what to do; empty when one does."""
        entry = "Add the public key to the user's entry in base_users (keys), or on the host with ssh-copy-id."
        if person.account is None:
            return f"the user does not exist on {self._host}", "Let the role base make the user first (base_users)."
        reasons: list[tuple[str, str]] = []
        for path in _key_files(effective, person.account):
            shown = str(path)
            real = self._root / shown.lstrip("/")
            try:
                text = real.read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            keys = keys_in(text)
            good = [key for key in keys if _accepted(key, effective)]
            loose = _loose(self._root, path, person.account) if _first(effective, "strictmodes") == "yes" else ""
            if good and not loose:
                return "", ""
            if good:
                reasons.append((f"sshd passes over {shown}, since others may write to {loose}", f"chmod go-w {loose}"))
            elif keys:
                types = ", ".join(sorted({_described(key) for key in keys}))
                reasons.append((f"sshd would accept no key in {shown} ({types})", entry))
        if reasons:
            return reasons[0]
        return f"there is no public key for {person.name}", entry


def _described(key: PublicKey) -> str:
    return f"{key.kind} of {key.bits} bits" if key.bits else key.kind


def _first(effective: Effective, name: str) -> str:
    return (effective.get(name) or [""])[0].lower()


def _set(effective: Effective, name: str) -> bool:
    return _first(effective, name) not in ("", "none")


def _accepted(key: PublicKey, effective: Effective) -> bool:
    """Whether sshd takes a key of this type and size."""
    if "cert-authority" in key.options.split(","):
        return True
    names = {"rsa-sha2-256", "rsa-sha2-512"} if key.kind == "ssh-rsa" else {key.kind}
    accepted = _first(effective, "pubkeyacceptedalgorithms").split(",")
    smallest = _first(effective, "requiredrsasize")
    if key.bits and smallest.isdecimal() and key.bits < int(smallest):
        return False
    return any(fnmatchcase(name, pattern) for name in names for pattern in accepted)


def _key_files(effective: Effective, account: Account) -> list[Path]:
    """The files in which sshd looks for the keys of a user."""
    found = []
    for word in " ".join(effective.get("authorizedkeysfile", [".ssh/authorized_keys"])).split():
        if word == "none":
            continue
        text = word.replace("%%", "\0").replace("%h", account.home).replace("%u", account.name)
        text = text.replace("%U", str(account.uid)).replace("\0", "%")
        found.append(Path(text) if text.startswith("/") else Path(account.home) / text)
    return found


def _loose(root: Path, file: Path, account: Account) -> str:
    """What on the way to the file others may write to, up to the home, as sshd judges it; empty when nothing."""
    home = Path(account.home)
    path = file
    while True:
        try:
            state = (root / str(path).lstrip("/")).stat()
        except OSError:
            return str(path)
        if state.st_uid not in (0, account.uid) or state.st_mode & 0o022:
            return str(path)
        if path in (home, path.parent):
            return ""
        path = path.parent


def _not_allowed(
    person: Person, groups: Sequence[str], effective: Effective, *, any_address: bool = False
) -> tuple[str, str] | None:
    """Why the lists of sshd keep someone out, and the fix."""
    lists = {name: _words(effective, name) for name in ("denyusers", "allowusers", "denygroups", "allowgroups")}
    if any(_fits(person, entry, any_address=False) for entry in lists["denyusers"]):
        return f"DenyUsers names {person.name}", f"Take {person.name} out of DenyUsers (grep -ri DenyUsers /etc/ssh)."
    if lists["allowusers"] and not any(_fits(person, entry, any_address=any_address) for entry in lists["allowusers"]):
        entries = ", ".join(lists["allowusers"])
        return f"AllowUsers has only {entries}", f"Add {person.name} to base_sshd_allow_users, or leave that empty."
    if any(fnmatchcase(group, entry) for entry in lists["denygroups"] for group in groups):
        return (
            f"DenyGroups names a group of {person.name}",
            f"Take it out of DenyGroups (grep -ri DenyGroups /etc/ssh), or {person.name} out of the group.",
        )
    if lists["allowgroups"] and not any(fnmatchcase(group, one) for one in lists["allowgroups"] for group in groups):
        entries = ", ".join(lists["allowgroups"])
        return (
            f"AllowGroups has only {entries}, and {person.name} is in none of them",
            f"Add {person.name} to one of these groups (base_users, groups), or take AllowGroups out"
            " (grep -ri AllowGroups /etc/ssh).",
        )
    return None


def _words(effective: Effective, name: str) -> list[str]:
    return [word for value in effective.get(name, []) for word in value.split()]


def _fits(person: Person, entry: str, *, any_address: bool) -> bool:
    """Whether an entry such as alice or alice@198.51.100.0/24 means this person."""
    name, at, place = entry.rpartition("@")
    name, place = (name, place) if at else (entry, "")
    if not fnmatchcase(person.name, name):
        return False
    if not place or any_address:
        return True
    return _any(place, person.address)


def _any(place: str, address: str) -> bool:
    text = address.partition("%")[0]
    if fnmatchcase(text, place):
        return True
    try:
        return ip_address(text) in ip_network(place, strict=False)
    except ValueError:
        return False
