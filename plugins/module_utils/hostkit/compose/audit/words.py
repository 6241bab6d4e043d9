# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Words that a reader of Compose files knows: names that sound like secrets, values that hold one."""

from __future__ import annotations

import re

# The end of the name counts: TOKEN_LIFETIME, PASSWORD_FILE and KEY_ID are no secrets.
_SECRET_NAME = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|API_?KEY|(PRIVATE|ACCESS|SECRET|ENCRYPTION|SIGNING|MASTER"
    r"|FERNET|MEMORY|JWT|APP)_?KEY|SECRET_KEY_BASE|_PASS|_PWD|_PW)$|^(PASS|PW)$",
    re.IGNORECASE,
)
# MYSQL_ALLOW_EMPTY_PASSWORD=yes is a switch, not a password; so is what these values stand for elsewhere.
_SWITCH = frozenset({"", "true", "false", "yes", "no", "on", "off", "0", "1", "none", "null"})
_URLENCODED = "_URLENCODED"
_CREDENTIALS = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/:@?#]*:(?P<password>[^\s/@]+)@")
_FILE = re.compile(r"/run/[\w./-]+|/[\w./-]*\.[A-Za-z]+")
# ${NAME} is filled in by Compose, $$NAME by the shell in the container.
_REFERENCE = re.compile(r"\$\{|\$\$\{?[A-Za-z_]")


def sounds_secret(name: str) -> bool:
    """Whether a variable's name sounds like one that holds a secret."""
    return bool(_SECRET_NAME.search(name.upper().removesuffix(_URLENCODED)))


def is_switch(value: str) -> bool:
    """Whether a text is empty or only switches something on or off."""
    return value.strip().lower() in _SWITCH


def is_literal(value: str) -> bool:
    """Whether a text is a value of its own: no switch, no path of a file, no reference to a variable."""
    return not is_switch(value) and not _FILE.fullmatch(value) and "${" not in value.replace("$$", "")


def has_credentials(value: str) -> bool:
    """Whether a text holds a URL with a literal password in it."""
    return any(not _REFERENCE.search(match["password"]) for match in _CREDENTIALS.finditer(value))


def holds_secret(name: str, value: str) -> bool:
    """Whether a variable of an env file is a secret, by its name or by credentials in its value."""
    return (sounds_secret(name) and not is_switch(value)) or has_credentials(value)
