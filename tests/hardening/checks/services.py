"""Services and clients that a container host does not need."""

from __future__ import annotations

from functools import partial

from ..facts import Facts
from ..points import Point, Verdict, met_unless

GROUP = "Services"
# Addresses that only the host itself reaches.
_LOOPBACK = ("127.", "[::1]", "::1")
_OPEN = frozenset({"22", "80", "443"})

_PACKAGES = (
    ("debian-2.1.1", "Nothing mounts file systems by itself", "autofs"),
    ("debian-2.1.2", "Nothing announces the host to its neighbours", "avahi-daemon"),
    ("debian-2.1.3", "No DHCP server", "isc-dhcp-server kea-dhcp4-server"),
    ("debian-2.1.4", "No DNS server", "bind9"),
    ("debian-2.1.5", "No dnsmasq", "dnsmasq"),
    ("debian-2.1.6", "No FTP server", "vsftpd proftpd-core"),
    ("debian-2.1.7", "No LDAP server", "slapd"),
    ("debian-2.1.8", "No mail boxes", "dovecot-imapd dovecot-pop3d"),
    ("debian-2.1.9", "No NFS server", "nfs-kernel-server"),
    ("debian-2.1.10", "No NIS server", "ypserv"),
    ("debian-2.1.11", "No print server", "cups"),
    ("debian-2.1.12", "No rpcbind", "rpcbind"),
    ("debian-2.1.13", "No rsync service", "rsync"),
    ("debian-2.1.14", "No Samba", "samba"),
    ("debian-2.1.15", "No SNMP service", "snmpd"),
    ("debian-2.1.16", "No TFTP server", "tftpd-hpa atftpd"),
    ("debian-2.1.17", "No web proxy", "squid"),
    ("debian-2.1.18", "No web server beside the edge", "apache2 nginx"),
    ("debian-2.1.19", "No xinetd", "xinetd"),
    ("debian-2.1.20", "No desktop", "xserver-common"),
    ("debian-2.2.1", "No NIS client", "nis"),
    ("debian-2.2.2", "No rsh client", "rsh-client rsh-redone-client"),
    ("debian-2.2.3", "No talk client", "talk"),
    ("debian-2.2.4", "No telnet client", "telnet inetutils-telnet"),
    ("debian-2.2.5", "No LDAP client", "ldap-utils"),
    ("debian-2.2.6", "No FTP client", "ftp tnftp"),
)


def none_of(packages: str, facts: Facts) -> Verdict:
    return met_unless(package for package in packages.split() if package in facts.packages)


def listening(facts: Facts) -> list[tuple[str, str, str]]:
    """Return protocol, address and port of what listens."""
    found = []
    for line in facts.lines("listening", needed=True):
        protocol, _state, _received, _sent, local, *_rest = line.split()
        address, _colon, port = local.rpartition(":")
        found.append((protocol, address, port))
    return found


def mail(facts: Facts) -> Verdict:
    return met_unless(
        f"{protocol} {port} at {address}"
        for protocol, address, port in listening(facts)
        if port in {"25", "465", "587"} and not address.startswith(_LOOPBACK)
    )


def reachable(facts: Facts) -> Verdict:
    """Nothing beside sshd and the edge listens on an address that others reach."""
    found = {
        f"{protocol} {port}"
        for protocol, address, port in listening(facts)
        if port not in _OPEN and not address.startswith(_LOOPBACK)
    }
    return met_unless(sorted(found))


POINTS = (
    *(Point(id, GROUP, title, partial(none_of, packages)) for id, title, packages in _PACKAGES),
    Point("debian-2.1.21", GROUP, "Mail is only taken from the host itself", mail),
    Point("debian-2.1.22", GROUP, "Nothing but sshd and the edge listens to the outside", reachable),
)
