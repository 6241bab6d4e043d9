"""What a host is made of, to be compared before and after: its files, processes, containers, images, firewall."""

from __future__ import annotations

from typing import Any

from .stack import root

# Written by every login, or by time passing; nothing of ours.
LOGINS = (
    "/var/log/wtmp /var/log/btmp /var/log/lastlog /var/log/wtmp.db /var/lib/wtmpdb /var/log/journal "
    "/var/lib/systemd/timers /var/lib/systemd/timesync /var/lib/systemd/linger /var/lib/docker "
    # fail2ban watches the logins that a look consists of, and notes how far it has read.
    "/var/lib/fail2ban /var/log/fail2ban.log"
).split()
FILES = (
    r"find / -xdev \( "
    + " -o ".join(f"-path {path}" for path in LOGINS)
    + r" \) -prune -o -not -path /run -not -path /tmp -printf '%p %y %m %U:%G %s %T@ %l\n'"
)
TEMPORARY = r"find /tmp /var/tmp -mindepth 1 -not -path '*/systemd-private-*' -printf '%p %y %m %U:%G %s\n'"
# Who looks, and how it got in.
OURS = ("sshd", "ps -eo", "(sd-pam)", "systemd --user", "sudo ", "/bin/sh -c", "sh -c ", "[")
UNITS = "systemctl list-unit-files --no-legend --plain"
DOCKER = (
    "docker images --all --digests --no-trunc --format '{{.ID}} {{.Repository}}:{{.Tag}} {{.Digest}}'",
    "docker ps --all --no-trunc --format '{{.ID}} {{.Status}}'",
    "docker volume ls --format '{{.Name}}'",
    "docker network ls --no-trunc --format '{{.ID}} {{.Name}}'",
)


def footprint(host: Any) -> dict[str, set[str]]:
    """Return sets of lines: the content of a file is told by its size and time of change."""
    processes = root(host, "ps -eo uid,args --no-headers").splitlines()
    return {
        "files": set(root(host, FILES).splitlines()),
        # A log of packages is a file above; these folders are in memory.
        "temporary files": set(root(host, TEMPORARY).splitlines()),
        "processes": {line for line in map(str.strip, processes) if not any(word in line for word in OURS)},
        "docker": {line for command in DOCKER for line in root(host, command).splitlines()},
        "firewall": set(root(host, "nft --stateless list ruleset").splitlines()),
        "packages": set(root(host, "dpkg-query --show").splitlines()),
        # A transient one is a login, or a job that the processes above tell of.
        "units": {line for line in root(host, UNITS).splitlines() if " transient " not in line},
    }


def difference(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, list[str]]:
    """Return what is on one side only, by kind; empty when nothing changed."""
    changed = {kind: sorted(before[kind] ^ after[kind]) for kind in before}
    return {kind: lines for kind, lines in changed.items() if lines}
