"""sshd: the settings that it would use (sshd -T), its keys, and who is shut out after wrong passwords."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..facts import Facts, UnreadableError
from ..points import Point, Verdict, met_if, met_unless

GROUP = "SSH"
# Broken or outdated, by a part of the name.
_WEAK_CIPHERS = ("3des", "-cbc", "arcfour", "blowfish", "cast128")
_WEAK_KEX = ("sha1", "group1-")
_WEAK_MACS = ("md5", "sha1", "-96", "umac-64", "ripemd")
# Nothing but these counts as modern.
_MODERN_KEX = ("mlkem768x25519", "sntrup761x25519", "curve25519", "group16-sha512", "group18-sha512")
_MODERN_MACS = ("-etm@openssh.com",)
_MODERN_KEYS = ("ed25519", "rsa-sha2-256", "rsa-sha2-512")
_MODERN_CIPHERS = ("chacha20-poly1305@openssh.com", "-gcm@openssh.com", "-ctr")


def value(key: str, facts: Facts) -> str:
    if key not in facts.sshd:
        raise UnreadableError(f"sshd names no {key}")
    return facts.sshd[key][0]


def setting(key: str, right: Callable[[str], bool], facts: Facts) -> Verdict:
    actual = value(key, facts)
    return met_if(right(actual), f"{key} {actual}")


def one_of(*values: str) -> Callable[[str], bool]:
    return lambda actual: actual in values


def between(low: int, high: int) -> Callable[[str], bool]:
    return lambda actual: low <= int(actual) <= high


def without(key: str, weak: tuple[str, ...], facts: Facts) -> Verdict:
    """None of the algorithms is weak."""
    return met_unless(name for name in value(key, facts).split(",") if any(part in name for part in weak))


def modern(facts: Facts) -> Verdict:
    """Nothing is offered but what is modern."""
    allowed = {
        "kexalgorithms": _MODERN_KEX,
        "macs": _MODERN_MACS,
        "ciphers": _MODERN_CIPHERS,
        "hostkeyalgorithms": _MODERN_KEYS,
    }
    return met_unless(
        f"{key} {name}"
        for key, parts in allowed.items()
        for name in value(key, facts).split(",")
        if not any(part in name for part in parts)
    )


def who(facts: Facts) -> Verdict:
    return met_if(bool({"allowusers", "allowgroups"} & facts.sshd.keys()), "everybody")


def start_ups(actual: str) -> bool:
    begin, rate, full = map(int, actual.split(":"))
    return begin <= 10 and rate >= 30 and full <= 60


def idle(facts: Facts) -> Verdict:
    keys = ("clientaliveinterval", "clientalivecountmax")
    return met_unless(f"{key} {value(key, facts)}" for key in keys if int(value(key, facts)) == 0)


def keys_only(facts: Facts) -> Verdict:
    keys = ("passwordauthentication", "kbdinteractiveauthentication")
    return met_unless(f"{key} {value(key, facts)}" for key in keys if value(key, facts) != "no")


def files(prefix: str, suffix: str, mode: int, facts: Facts) -> Verdict:
    """Files belong to root and are open to nobody beyond a mode."""
    chosen = [f for f in facts.files.values() if f.path.startswith(prefix) and f.path.endswith(suffix)]
    if not chosen:
        raise UnreadableError(f"the host has no {prefix}*{suffix}")
    return met_unless(
        f"{file.path} {file.owner} {file.mode:04o}" for file in chosen if file.owner != "root" or file.mode & ~mode
    )


def guarded(facts: Facts) -> Verdict:
    return met_if("Currently banned" in facts.text("fail2ban", needed=False), "fail2ban does not watch sshd")


_SETTINGS: tuple[tuple[str, str, str, Callable[[str], bool]], ...] = (
    ("debian-5.1.5", "A notice is shown before the login", "banner", lambda actual: actual != "none"),
    ("debian-5.1.8", "Nothing is forwarded through a login", "disableforwarding", one_of("yes")),
    ("debian-5.1.9", "No login by GSSAPI", "gssapiauthentication", one_of("no")),
    ("debian-5.1.10", "No login by the name of another host", "hostbasedauthentication", one_of("no")),
    ("debian-5.1.11", "Lists of trusted hosts in homes do not count", "ignorerhosts", one_of("yes")),
    ("debian-5.1.13", "A login must be done within a minute", "logingracetime", between(1, 60)),
    ("debian-5.1.14", "Logins are logged", "loglevel", one_of("INFO", "VERBOSE")),
    ("debian-5.1.16", "Four tries in a connection at most", "maxauthtries", between(1, 4)),
    ("debian-5.1.17", "Ten sessions in a connection at most", "maxsessions", between(1, 10)),
    ("debian-5.1.18", "Connections that do not log in are limited", "maxstartups", start_ups),
    ("debian-5.1.19", "No login with an empty password", "permitemptypasswords", one_of("no")),
    ("debian-5.1.20", "root does not log in", "permitrootlogin", one_of("no")),
    ("debian-5.1.21", "Users bring no settings of their own", "permituserenvironment", one_of("no")),
    ("debian-5.1.22", "Logins go through PAM", "usepam", one_of("yes")),
    ("own-ssh-x11", "No windows through a login", "x11forwarding", one_of("no")),
    ("own-ssh-agent", "No agent through a login", "allowagentforwarding", one_of("no")),
)

POINTS = (
    Point("debian-5.1.1", GROUP, "Only root reads sshd's settings", partial(files, "/etc/ssh/sshd_config", "", 0o600)),
    Point(
        "debian-5.1.2",
        GROUP,
        "Only root reads the host's private keys",
        partial(files, "/etc/ssh/ssh_host_", "_key", 0o600),
    ),
    Point(
        "debian-5.1.3",
        GROUP,
        "Only root writes the host's public keys",
        partial(files, "/etc/ssh/ssh_host_", ".pub", 0o644),
    ),
    Point("debian-5.1.4", GROUP, "Only named users or groups log in", who),
    Point("debian-5.1.6", GROUP, "No weak cipher", partial(without, "ciphers", _WEAK_CIPHERS)),
    Point("debian-5.1.7", GROUP, "A connection that is dead is closed", idle),
    Point("debian-5.1.12", GROUP, "No weak key exchange", partial(without, "kexalgorithms", _WEAK_KEX)),
    Point("debian-5.1.15", GROUP, "No weak checksum", partial(without, "macs", _WEAK_MACS)),
    *(Point(id, GROUP, title, partial(setting, key, right)) for id, title, key, right in _SETTINGS),
    Point("own-ssh-keys-only", GROUP, "Login by key only", keys_only),
    Point("own-ssh-modern", GROUP, "Modern algorithms only", modern),
    Point("own-ssh-guarded", GROUP, "Who guesses is shut out", guarded),
)
