"""How the machine is divided and started: file systems, modules, boot, access control, auditing."""

from __future__ import annotations

from functools import partial

from ..facts import Facts
from ..points import MET, Point, Verdict, met_if, met_unless, not_applicable, not_met

GROUP = "The machine"
BELOW = "A test host is a container: this belongs to the machine below it."


def unloaded(name: str, facts: Facts) -> Verdict:
    """A module that nobody needs cannot be loaded, whether this kernel has it or not."""
    rows = [line.split() for line in facts.lines("modprobe", needed=False)]
    blocked = [row for row in rows if row[1].replace("-", "_") == name.replace("-", "_")]
    return met_if(any(row[2].endswith(("/true", "/false")) for row in blocked))


def partition(path: str, options: str, facts: Facts) -> Verdict:
    """A folder is a file system of its own, mounted with these options."""
    if path not in facts.mounts:
        return not_met("no file system of its own")
    if facts.is_container:
        return not_applicable("A test host is a container, and this mount is the test bed's.")
    return met_unless(f"without {option}" for option in options.split() if option not in facts.mounts[path])


def apparmor(facts: Facts) -> Verdict:
    if facts.is_container:
        return not_applicable(BELOW)
    return met_if(facts.text("apparmor", needed=False).strip() == "Y", "switched off")


def boot_loader_password(facts: Facts) -> Verdict:
    return not_applicable(BELOW) if facts.is_container else not_met("not looked into")


def boot_loader_file(facts: Facts) -> Verdict:
    if facts.is_container:
        return not_applicable(BELOW)
    file = facts.files.get("/boot/grub/grub.cfg")
    return MET if file is None else met_if(file.owner == "root" and file.mode & 0o077 == 0, f"mode {file.mode:04o}")


def installed(package: str, facts: Facts) -> Verdict:
    return met_if(package in facts.packages, f"{package} is not installed")


def absent(package: str, facts: Facts) -> Verdict:
    return met_if(package not in facts.packages, f"{package} is installed")


def audited(facts: Facts) -> Verdict:
    """Changes of the engine's files are recorded."""
    rules = facts.text("audit-rules", needed=False)
    paths = "/usr/bin/dockerd /var/lib/docker /etc/docker docker.service docker.socket".split()
    return met_unless(f"{path} is not watched" for path in paths if path not in rules)


_MODULES = (
    ("debian-1.1.1.1", "cramfs"),
    ("debian-1.1.1.2", "freevxfs"),
    ("debian-1.1.1.3", "hfs"),
    ("debian-1.1.1.4", "hfsplus"),
    ("debian-1.1.1.5", "jffs2"),
    ("debian-1.1.1.7", "squashfs"),
    ("debian-1.1.1.8", "udf"),
    ("debian-1.1.1.9", "usb-storage"),
    ("debian-3.2.1", "dccp"),
    ("debian-3.2.2", "tipc"),
    ("debian-3.2.3", "rds"),
    ("debian-3.2.4", "sctp"),
)
_PARTITIONS = (
    ("debian-1.1.2.1", "/tmp", "nodev nosuid noexec"),
    ("debian-1.1.2.2", "/dev/shm", "nodev nosuid noexec"),
    ("debian-1.1.2.3", "/home", "nodev nosuid"),
    ("debian-1.1.2.4", "/var", "nodev nosuid"),
    ("debian-1.1.2.5", "/var/tmp", "nodev nosuid noexec"),
    ("debian-1.1.2.6", "/var/log", "nodev nosuid noexec"),
    ("debian-1.1.2.7", "/var/log/audit", "nodev nosuid noexec"),
)

POINTS = (
    *(Point(id, GROUP, f"The kernel module {name} cannot be loaded", partial(unloaded, name)) for id, name in _MODULES),
    Point("debian-1.1.1.6", GROUP, "The kernel module overlay cannot be loaded", lambda _facts: not_met()),
    *(
        Point(id, GROUP, f"{path} is a file system of its own, with {options}", partial(partition, path, options))
        for id, path, options in _PARTITIONS
    ),
    Point(
        "docker-1.1.1", GROUP, "Docker's data is on a file system of its own", partial(partition, "/var/lib/docker", "")
    ),
    Point("debian-1.3.1", GROUP, "AppArmor is on", apparmor),
    Point("debian-1.4.1", GROUP, "The boot loader asks for a password", boot_loader_password),
    Point("debian-1.4.2", GROUP, "Only root reads the boot loader's settings", boot_loader_file),
    Point("debian-1.5.4", GROUP, "Programs are not linked beforehand", partial(absent, "prelink")),
    Point("debian-1.5.5", GROUP, "Crashes are reported to nobody", partial(absent, "apport")),
    Point("debian-6.2.1.1", GROUP, "The kernel's audit log is kept", partial(installed, "auditd")),
    Point("debian-6.3.1", GROUP, "Changes of files are noticed", partial(installed, "aide")),
    Point("docker-1.1.3", GROUP, "Changes of the engine's files are audited", audited),
)
