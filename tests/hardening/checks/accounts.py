"""Accounts, passwords and who may act as root."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from ..facts import Facts, UnreadableError
from ..points import Point, Verdict, met_if, met_unless

GROUP = "Accounts and sudo"
_NO_SHELL = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")
_FIRST_USER = 1000
_NOBODY = 65534


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int
    home: str
    shell: str


def accounts(facts: Facts) -> list[Account]:
    rows = (line.split(":") for line in facts.lines("passwd", needed=True))
    return [Account(name, int(uid), int(gid), home, shell) for name, uid, gid, home, shell in rows]


def groups(facts: Facts) -> dict[str, tuple[int, list[str]]]:
    """Return number and members of each group."""
    rows = (line.split(":") for line in facts.lines("group", needed=True))
    return {row[0]: (int(row[2]), [name for name in row[3].split(",") if name]) for row in rows}


def passwords(facts: Facts) -> dict[str, list[str]]:
    """Return state (P set, L locked, NP none), longest age and days until a lock, by user."""
    return {row[0]: row[1:] for line in facts.lines("passwords", needed=True) if (row := line.split())}


def repeated(values: Iterable[object]) -> list[str]:
    return [str(value) for value, count in Counter(values).items() if count > 1]


def sudo_pty(facts: Facts) -> Verdict:
    # sudo 1.9.14 and newer do this without being told.
    line = next((row for row in facts.lines("packages") if row.split()[1] == "sudo"), "")
    version = tuple(map(int, re.findall(r"\d+", line.split()[-1])[:3])) if line else ()
    told = any(re.search(r"^Defaults.*\buse_pty", row) for row in facts.lines("sudoers"))
    return met_if(told or version >= (1, 9, 14), "not asked for")


def sudo_log(facts: Facts) -> Verdict:
    return met_if(any(re.search(r"^Defaults.*\blogfile=", row) for row in facts.lines("sudoers")), "no file of its own")


def sudo_without(word: str, facts: Facts) -> Verdict:
    """No rule of sudo has this word; named are the users or groups that have it."""
    return met_unless(dict.fromkeys(row.split()[0] for row in facts.lines("sudoers", needed=True) if word in row))


def sudo_timeout(facts: Facts) -> Verdict:
    found = [int(n) for row in facts.lines("sudoers") for n in re.findall(r"timestamp_timeout=(-?\d+)", row)]
    return met_unless(f"{minutes} minutes" for minutes in found if not 0 <= minutes <= 15)


def su_limited(facts: Facts) -> Verdict:
    rows = [line for line in facts.lines("pam") if "pam_wheel.so" in line]
    return met_if(any(re.match(r"auth\s+required", row) for row in rows), "everybody may use su")


def pam(module: str, facts: Facts) -> Verdict:
    return met_if(any(module in line for line in facts.lines("pam", needed=True)), f"{module} is not used")


def no_empty_password(facts: Facts) -> Verdict:
    return met_if(not any("nullok" in line for line in facts.lines("pam", needed=True)), "nullok")


def hashes(facts: Facts) -> Verdict:
    method = facts.setting("login-defs", "ENCRYPT_METHOD").upper()
    return met_if(method in {"YESCRYPT", "SHA512"}, method or "not set")


def login_defs(key: str, low: int, high: int, facts: Facts) -> Verdict:
    value = facts.setting("login-defs", key)
    return met_if(value.isdigit() and low <= int(value) <= high, f"{key} {value or 'is not set'}")


def inactive(facts: Facts) -> Verdict:
    value = facts.setting("useradd", "INACTIVE")
    return met_if(value.isdigit() and int(value) <= 45, f"INACTIVE={value}")


def umask(facts: Facts) -> Verdict:
    value = facts.setting("login-defs", "UMASK")
    return met_if(value in {"027", "0027", "077", "0077"}, f"UMASK {value or 'is not set'}")


def idle_shell(facts: Facts) -> Verdict:
    return met_if(any(re.search(r"\bTMOUT=\d+", line) for line in facts.lines("profile")), "TMOUT is not set")


def only_root(facts: Facts) -> Verdict:
    return met_unless(a.name for a in accounts(facts) if a.uid == 0 and a.name != "root")


def only_root_group(facts: Facts) -> Verdict:
    # sync and its like have had the group 0 on other systems; here nobody has.
    return met_unless(a.name for a in accounts(facts) if a.gid == 0 and a.name != "root")


def root_locked(facts: Facts) -> Verdict:
    """root has no password: nobody logs in as root but through sudo."""
    return met_if(passwords(facts)["root"][0] == "L", "root has a password")


def system_shells(facts: Facts) -> Verdict:
    wrong = [a for a in accounts(facts) if 0 < a.uid < _FIRST_USER and a.shell not in _NO_SHELL and a.name != "sync"]
    return met_unless(a.name for a in wrong)


def no_password_without_shell(facts: Facts) -> Verdict:
    states = passwords(facts)
    return met_unless(a.name for a in accounts(facts) if a.shell in _NO_SHELL and states[a.name][0] != "L")


def empty_passwords(facts: Facts) -> Verdict:
    return met_unless(name for name, row in passwords(facts).items() if row[0] == "NP")


def known_groups(facts: Facts) -> Verdict:
    numbers = {number for number, _members in groups(facts).values()}
    return met_unless(a.name for a in accounts(facts) if a.gid not in numbers)


def shadow_group(facts: Facts) -> Verdict:
    return met_unless(groups(facts)["shadow"][1])


def docker_group(facts: Facts) -> Verdict:
    """Nobody is in the group docker: that is the same as being root."""
    return met_unless(groups(facts).get("docker", (0, []))[1])


def once(what: str, facts: Facts) -> Verdict:
    """No number or name is given twice."""
    users, known = accounts(facts), facts.lines("group", needed=True)
    values: dict[str, list[object]] = {
        "uid": [a.uid for a in users],
        "gid": [line.split(":")[2] for line in known],
        "user": [a.name for a in users],
        "group": [line.split(":")[0] for line in known],
    }
    return met_unless(repeated(values[what]))


def homes(facts: Facts) -> Verdict:
    """Each user has a home of its own, that others do not write to or look into."""
    found = []
    for a in accounts(facts):
        if not _FIRST_USER <= a.uid < _NOBODY or a.shell in _NO_SHELL:
            continue
        home = facts.homes.get(a.home)
        if home is None:
            found.append(f"{a.name} has none")
        elif home.owner != a.name or home.mode & 0o027:
            found.append(f"{a.name}: {home.owner} {home.mode:04o}")
    return met_unless(found)


def dot_files(facts: Facts) -> Verdict:
    if not facts.homes:
        raise UnreadableError("the host has no home of a user")
    bad = [f for f in facts.homes.values() if f.path.endswith((".netrc", ".rhosts"))]
    open_ = [f for f in facts.homes.values() if "/.ssh" in f.path and f.mode & 0o022]
    return met_unless(f"{file.path} {file.mode:04o}" for file in (*bad, *open_))


POINTS = (
    Point("debian-5.2.2", GROUP, "sudo gives each command a terminal of its own", sudo_pty),
    Point("debian-5.2.3", GROUP, "sudo keeps a log file of its own", sudo_log),
    Point("debian-5.2.4", GROUP, "sudo asks for a password", partial(sudo_without, "NOPASSWD")),
    Point("debian-5.2.5", GROUP, "sudo never stops asking", partial(sudo_without, "!authenticate")),
    Point("debian-5.2.6", GROUP, "sudo asks again after a quarter of an hour", sudo_timeout),
    Point("debian-5.2.7", GROUP, "Only some users may use su", su_limited),
    Point("debian-5.3.2.2", GROUP, "Wrong passwords lock an account", partial(pam, "pam_faillock.so")),
    Point("debian-5.3.2.3", GROUP, "New passwords are judged", partial(pam, "pam_pwquality.so")),
    Point("debian-5.3.2.4", GROUP, "Old passwords are not used again", partial(pam, "pam_pwhistory.so")),
    Point("debian-5.3.3.4.1", GROUP, "An empty password opens nothing", no_empty_password),
    Point("debian-5.4.1.1", GROUP, "Passwords end after a year", partial(login_defs, "PASS_MAX_DAYS", 1, 365)),
    Point("debian-5.4.1.2", GROUP, "A new password stays for a day", partial(login_defs, "PASS_MIN_DAYS", 1, 365)),
    Point("debian-5.4.1.3", GROUP, "A warning comes a week before", partial(login_defs, "PASS_WARN_AGE", 7, 365)),
    Point("debian-5.4.1.4", GROUP, "Passwords are kept as strong hashes", hashes),
    Point("debian-5.4.1.5", GROUP, "An account that nobody uses is locked", inactive),
    Point("debian-5.4.2.1", GROUP, "Nobody but root has the number 0", only_root),
    Point("debian-5.4.2.2", GROUP, "Nobody but root has the group 0", only_root_group),
    Point("debian-5.4.2.4", GROUP, "root has no password of its own", root_locked),
    Point("debian-5.4.2.7", GROUP, "Accounts of services have no shell", system_shells),
    Point("debian-5.4.2.8", GROUP, "Accounts without a shell are locked", no_password_without_shell),
    Point("debian-5.4.3.2", GROUP, "A shell that nobody uses ends", idle_shell),
    Point("debian-5.4.3.3", GROUP, "New files are closed to others", umask),
    Point("debian-7.2.2", GROUP, "No account has an empty password", empty_passwords),
    Point("debian-7.2.3", GROUP, "Every account's group exists", known_groups),
    Point("debian-7.2.4", GROUP, "Nobody is in the group that reads the passwords", shadow_group),
    Point("debian-7.2.5", GROUP, "No user number is given twice", partial(once, "uid")),
    Point("debian-7.2.6", GROUP, "No group number is given twice", partial(once, "gid")),
    Point("debian-7.2.7", GROUP, "No user name is given twice", partial(once, "user")),
    Point("debian-7.2.8", GROUP, "No group name is given twice", partial(once, "group")),
    Point("debian-7.2.9", GROUP, "Homes belong to their users and are closed to others", homes),
    Point("debian-7.2.10", GROUP, "Nothing in a home opens the account to others", dot_files),
    Point("docker-1.1.2", GROUP, "Nobody but root commands the engine", docker_group),
)
