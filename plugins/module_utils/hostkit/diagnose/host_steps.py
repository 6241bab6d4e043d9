# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the host itself tells: versions, disks, memory, processes, units and their journals, the firewall."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable

from .. import __version__
from ..command import NOT_FOUND
from .bounded import MEBIBYTE
from .context import Context
from .entries import Absent, Entries, File, Problem

_VERSIONS = (
    ("docker", "version", "--format", "client {{.Client.Version}}, engine {{.Server.Version}}"),
    ("docker", "compose", "version", "--short"),
    ("containerd", "--version"),
    ("caddy", "version"),
    ("restic", "version"),
    ("nft", "--version"),
    ("systemctl", "--version"),
)
# Journals of what the roles set up; not that of sshd, which tells who logs in from where.
_JOURNALS = (
    ("hypercode", ("--unit", "hypercode-*")),
    ("docker", ("--unit", "docker.service", "--unit", "containerd.service")),
    ("caddy", ("--unit", "caddy.service")),
    ("kernel", ("--dmesg", "--priority", "warning")),
)
_JOURNAL_LINES = 20_000
# journald cuts a message that is longer than this; what it cut begins the next line.
_JOURNAL_LINE_MAX = 47 * 1024
_KEPT_OF_LONG = 4096
# Without the words that processes were started with: those may hold secrets.
_COLUMNS = "pid,ppid,user,stat,pcpu,pmem,rss,nlwp,etimes,comm"


def versions(context: Context) -> Entries:
    """The versions of all that matters here."""
    lines = [f"hypercode {__version__}", f"Python {platform.python_version()}"]
    # One that hangs need not be waited for again.
    for argv in (("docker", "--version"), *_VERSIONS[2:]) if context.docker else _VERSIONS:
        done = context.run(argv, timeout=10)
        name = " ".join(word for word in argv[:2] if not word.startswith("-") and word != "version")
        said = (done.stdout or done.stderr).strip().splitlines()
        if done.code == NOT_FOUND:
            lines.append(f"{name}: not installed")
        elif done.code:
            yield Problem(f"{name} does not tell its version: {said[-1] if said else f'code {done.code}'}")
        else:
            lines.append(f"{name}: {said[0] if said else 'says nothing'}")
    yield File("versions.txt", "\n".join(lines) + "\n")
    yield from context.output("host/kernel.txt", ["uname", "-srvm"])
    yield from context.file("host/os-release.txt", "/etc/os-release")


def disks(context: Context) -> Entries:
    """How full the disks are."""
    yield from context.output("host/disks.txt", ["df", "--human-readable", "--print-type"])
    yield from context.output("host/inodes.txt", ["df", "--inodes"])
    yield from context.output("host/block-devices.txt", ["lsblk", "--output", "NAME,SIZE,TYPE,FSTYPE,RO,MOUNTPOINT"])


def memory(context: Context) -> Entries:
    """Memory, load and pressure."""
    yield from context.output("host/memory.txt", ["free", "--mega", "--wide"])
    for name in ("meminfo", "loadavg", "uptime", "pressure/cpu", "pressure/io", "pressure/memory"):
        yield from context.file(f"host/proc/{name.replace('/', '-')}.txt", f"/proc/{name}")


def processes(context: Context) -> Entries:
    """The processes that take most, by name."""
    for order, key in (("memory", "-rss"), ("cpu", "-pcpu")):
        done = context.run(["ps", "-eo", _COLUMNS, f"--sort={key}"], timeout=10)
        if done.code:
            yield Problem(f"ps: {done.stderr.strip() or f'code {done.code}'}")
            return
        yield File(f"host/processes-by-{order}.txt", "\n".join(done.stdout.splitlines()[:61]) + "\n", cut=True)


def units(context: Context) -> Entries:
    """The units of systemd: what has failed, ours, and timers."""
    words = ("--no-pager", "--plain", "--full")
    yield from context.output("host/failed-units.txt", ["systemctl", "--failed", *words])
    ours = ("hypercode-*", "docker.service", "containerd.service", "caddy.service", "ssh.service", "nftables.service")
    yield from context.output("host/units.txt", ["systemctl", "list-units", "--all", *words, *ours])
    yield from context.output("host/timers.txt", ["systemctl", "list-timers", "--all", *words])


def clock(context: Context) -> Entries:
    """The clock: certificates and backups depend on it."""
    yield from context.output("host/clock.txt", ["timedatectl", "show"])


def network(context: Context) -> Entries:
    """Addresses, routes, and what listens."""
    yield from context.output("host/addresses.txt", ["ip", "-brief", "address"])
    yield from context.output("host/routes.txt", ["ip", "route"])
    yield from context.output("host/listens.txt", ["ss", "--listening", "--tcp", "--udp", "--numeric"])


def firewall(context: Context) -> Entries:
    """All rules in force, ours and those of others."""
    yield from context.output("host/firewall.txt", ["nft", "list", "ruleset"], limit=4 * MEBIBYTE)


def journals(context: Context) -> Entries:
    """The journals of our units, and what the kernel warns of."""
    for name, words in _JOURNALS:
        argv = ["journalctl", "--no-pager", "--output", "short-iso", "--since", f"@{int(context.since)}"]
        argv += ["--lines", str(_JOURNAL_LINES), *words]
        for entry in context.output(f"journal/{name}.log", argv, timeout=30, limit=4 * MEBIBYTE):
            if isinstance(entry, File):
                yield File(entry.name, "".join(without_long_lines(entry.text.splitlines(keepends=True))), entry.cut)
            elif isinstance(entry, Absent) or not _is_empty(entry):
                yield entry


def _is_empty(entry: Problem) -> bool:
    # What journalctl ends with where nothing fits, or where no unit of that name has ever said anything.
    said = r"it says nothing|-- No entries --|Failed to add filter for units: No data available"
    return re.search(rf"ended with code 1: (?:{said})$", entry.why) is not None


def without_long_lines(lines: Iterable[str]) -> Iterable[str]:
    """Lines of a journal. Of one that may have been cut by journald, only the beginning; what follows it goes.

    Half a secret would stand at its end, and the other half at the begin of the next.
    """
    after_long = False
    for line in lines:
        long = len(line.encode(errors="replace")) > _JOURNAL_LINE_MAX
        if after_long:
            yield "[the rest of a long line is left out]\n"
        elif long:
            # Not in the middle of a word.
            yield line[:_KEPT_OF_LONG].rpartition(" ")[0] + f" [a line of {len(line)} characters is cut here]\n"
        else:
            yield line
        after_long = long
