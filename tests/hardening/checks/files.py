"""Owners and modes of the system's files."""

from __future__ import annotations

import re
from functools import partial

from ..facts import Facts
from ..points import MET, Point, Verdict, met_unless

GROUP = "Files of the system"

# id, path, widest mode, groups beside root that may own it. A file that is not there is open to nobody.
_FILES = (
    ("debian-7.1.1", "/etc/passwd", 0o644, ""),
    ("debian-7.1.2", "/etc/passwd-", 0o644, ""),
    ("debian-7.1.3", "/etc/group", 0o644, ""),
    ("debian-7.1.4", "/etc/group-", 0o644, ""),
    ("debian-7.1.5", "/etc/shadow", 0o640, "shadow"),
    ("debian-7.1.6", "/etc/shadow-", 0o640, "shadow"),
    ("debian-7.1.7", "/etc/gshadow", 0o640, "shadow"),
    ("debian-7.1.8", "/etc/gshadow-", 0o640, "shadow"),
    ("debian-7.1.9", "/etc/shells", 0o644, ""),
    ("debian-7.1.10", "/etc/security/opasswd", 0o600, ""),
    ("debian-2.4.1.2", "/etc/crontab", 0o600, ""),
    ("debian-2.4.1.3", "/etc/cron.hourly", 0o700, ""),
    ("debian-2.4.1.4", "/etc/cron.daily", 0o700, ""),
    ("debian-2.4.1.5", "/etc/cron.weekly", 0o700, ""),
    ("debian-2.4.1.6", "/etc/cron.monthly", 0o700, ""),
    ("debian-2.4.1.7", "/etc/cron.d", 0o700, ""),
    ("debian-1.6.4", "/etc/motd", 0o644, ""),
    ("debian-1.6.5", "/etc/issue", 0o644, ""),
    ("debian-1.6.6", "/etc/issue.net", 0o644, ""),
    ("own-root-home", "/root", 0o700, ""),
)


def shown(path: str) -> str:
    """Return a path without what differs from host to host: a registry's address, a release's name."""
    path = re.sub(r"^/etc/docker/certs\.d/[^/]+", "/etc/docker/certs.d/<registry>", path)
    return re.sub(r"^/opt/hypercode/releases/[^/]+", "/opt/hypercode/releases/<id>", path)


def closed(path: str, mode: int, groups: str, facts: Facts, *, owner: str = "root") -> Verdict:
    """A file belongs to root and is open to nobody beyond a mode."""
    file = facts.files.get(path)
    if file is None:
        return MET
    found = []
    if file.owner != owner or file.group not in ("root", *groups.split()):
        found.append(f"{shown(path)} belongs to {file.owner}:{file.group}")
    if file.mode & ~mode & 0o7777 & ~0o2000:
        found.append(f"{shown(path)} has the mode {file.mode:04o}")
    return met_unless(found)


def cron_users(facts: Facts) -> Verdict:
    """Only those whom a list names use cron."""
    return (
        closed("/etc/cron.allow", 0o640, "crontab", facts)
        if "/etc/cron.allow" in facts.files
        else met_unless(["everybody"])
    )


def loose(part: str, facts: Facts) -> Verdict:
    """Nothing on the host is as the search looked for it."""
    return met_unless(shown(path) for path in facts.lines(part))


def silent(facts: Facts) -> Verdict:
    """What is shown before a login tells nothing of the system."""
    text = facts.text("issue", needed=False)
    return met_unless(sorted(set(re.findall(r"Debian|Ubuntu|\\[mrsv]", text))))


def sudoers(facts: Facts) -> Verdict:
    chosen = [path for path in facts.files if path.startswith("/etc/sudoers")]
    return met_unless(item for path in chosen for item in closed(path, 0o644, "", facts).where)


POINTS = (
    *(
        Point(id, GROUP, f"{path} is root's, with {mode:04o} or less", partial(closed, path, mode, groups))
        for id, path, mode, groups in _FILES
    ),
    Point("debian-2.4.1.8", GROUP, "Only named users use cron", cron_users),
    Point("debian-7.1.11", GROUP, "Nothing can be written by everybody", partial(loose, "world-writable")),
    Point("debian-7.1.12", GROUP, "Everything belongs to somebody", partial(loose, "unowned")),
    Point("debian-1.6.2", GROUP, "What is shown before a login does not name the system", silent),
    Point("own-sudoers-files", GROUP, "Only root writes the rules of sudo", sudoers),
)
