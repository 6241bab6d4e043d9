# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How people are to log in: the settings, judged without a host, and the drop-in that they make."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..finding import ERROR, Finding

DROP_IN = "/etc/ssh/sshd_config.d/00-hypercode.conf"
ROOT_LOGIN = ("no", "prohibit-password")
# Of these the drop-in names what the sshd of the host knows by default: OpenSSH 9.2 has no ML-KEM, and 10 does without
# finite-field groups by itself.
KEX = (
    "mlkem768x25519-sha256",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
)
CIPHERS = (
    *("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com"),
    *("aes256-ctr", "aes192-ctr", "aes128-ctr"),
)
MACS = ("hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "umac-128-etm@openssh.com")
HOST_KEYS = (
    *("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com", "sk-ssh-ed25519@openssh.com"),
    *("sk-ssh-ed25519-cert-v01@openssh.com", "rsa-sha2-512", "rsa-sha2-512-cert-v01@openssh.com"),
    *("rsa-sha2-256", "rsa-sha2-256-cert-v01@openssh.com"),
)
USER_KEYS = (
    *HOST_KEYS,
    *("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ecdsa-sha2-nistp256@openssh.com"),
    *("ecdsa-sha2-nistp256-cert-v01@openssh.com", "ecdsa-sha2-nistp384-cert-v01@openssh.com"),
    *("ecdsa-sha2-nistp521-cert-v01@openssh.com", "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com"),
)
# setting of sshd -> what of it is modern
ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "KexAlgorithms": KEX,
    "Ciphers": CIPHERS,
    "MACs": MACS,
    "HostKeyAlgorithms": HOST_KEYS,
    "PubkeyAcceptedAlgorithms": USER_KEYS,
}
_FIXED = {
    "PubkeyAuthentication": "yes",
    "KbdInteractiveAuthentication": "no",
    "HostbasedAuthentication": "no",
    "PermitEmptyPasswords": "no",
    "PermitUserEnvironment": "no",
    "UsePAM": "yes",
    "StrictModes": "yes",
    "RequiredRSASize": "2048",
    "LoginGraceTime": "30",
    "MaxAuthTries": "4",
    "MaxSessions": "10",
    "MaxStartups": "10:30:60",
    "X11Forwarding": "no",
    "AllowAgentForwarding": "no",
    # An operator's `ssh -L` reaches what is not published; nobody opens a port on the host.
    "AllowTcpForwarding": "local",
    "AllowStreamLocalForwarding": "no",
    "GatewayPorts": "no",
    "PermitTunnel": "no",
    "ClientAliveInterval": "60",
    "ClientAliveCountMax": "5",
    "LogLevel": "VERBOSE",
}
# A user's name, or user@address; * and ? stand for any signs.
_ALLOWED = re.compile(r"[A-Za-z0-9_*?][A-Za-z0-9_.*?-]*(?:@[A-Za-z0-9_.:*?/\[\]-]+)?")


@dataclass(frozen=True)
class Settings:
    """How people log in."""

    allow_users: tuple[str, ...] = ()
    password_login: bool = False
    root_login: str = "no"

    def words(self) -> dict[str, str]:
        """What the drop-in says, without the algorithms."""
        return {
            "PasswordAuthentication": "yes" if self.password_login else "no",
            "PermitRootLogin": self.root_login,
            **_FIXED,
        }


def read_settings(options: Mapping[str, Any]) -> tuple[Settings, list[Finding]]:
    """The settings, and everything that is wrong with them."""
    found: list[Finding] = []

    def wrong(name: str, message: str, fix: str) -> None:
        found.append(Finding("sshd-setting", ERROR, f"base_sshd_{name}", f"base_sshd_{name} {message}", fix))

    users = options["allow_users"]
    if isinstance(users, str) or not isinstance(users, Sequence):
        wrong("allow_users", "is no list.", "Write a list of names, or [] for all.")
        users = []
    for user in users:
        if not _ALLOWED.fullmatch(str(user)):
            wrong("allow_users", f"has '{user}'.", "Write names of users, such as deploy, or deploy@198.51.100.0/24.")
    password, root = options["password_login"], options["root_login"]
    if not isinstance(password, bool):
        wrong("password_login", f"is '{password}'.", "Write true or false.")
    if root is False:
        # A bare no of YAML.
        root = "no"
    if root not in ROOT_LOGIN:
        wrong(
            "root_login",
            f"is '{root}'.",
            'Write "no", or "prohibit-password" for keys only. With its password root cannot log in.',
        )
        root = "no"
    seconds = options["confirm_timeout"]
    if not isinstance(seconds, int) or not 5 <= seconds <= 600:
        wrong("confirm_timeout", f"is {seconds}.", "Write seconds from 5 to 600.")
    return Settings(tuple(str(user) for user in users), password is True, str(root)), found


def render(settings: Settings, known: Mapping[str, Sequence[str]]) -> str:
    """The drop-in. ``known`` is what the sshd of the host offers by itself, by setting in lower case; may be empty."""
    lines = [
        "# How people log in. Written by the role base. Of all files the first one to name a setting counts.",
        *(f"{name} {value}" for name, value in settings.words().items()),
    ]
    if settings.allow_users:
        lines.append(f"AllowUsers {' '.join(settings.allow_users)}")
    lines += [f"{name} {','.join(chosen)}" for name, chosen in algorithms(known).items()]
    return "\n".join(lines) + "\n"


def algorithms(known: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The modern ones, by setting; only those that the sshd of the host knows, where that is known."""
    chosen = {}
    for name, modern in ALGORITHMS.items():
        offered = known.get(name.lower(), ())
        chosen[name] = [one for one in modern if one in offered] or list(modern)
    return chosen
