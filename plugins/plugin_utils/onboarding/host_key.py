# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Host keys: read from the server, compared by the operator once, kept beside the inventory, and never replaced."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import subprocess
from collections.abc import Iterable
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach import Target
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.layout import shown
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError, refuse

_ORDER = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


@dataclasses.dataclass(frozen=True)
class HostKey:
    """A public key: its type and its Base64 text."""

    kind: str
    text: str

    @property
    def fingerprint(self) -> str:
        """As ssh-keygen -l shows it."""
        digest = hashlib.sha256(base64.b64decode(self.text)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    @property
    def shown(self) -> str:
        name = self.kind.removeprefix("ssh-").removeprefix("ecdsa-sha2-").upper().replace("NISTP", "ECDSA P-")
        return f"{self.fingerprint} ({name})"


def parse(lines: Iterable[str]) -> list[tuple[str, HostKey]]:
    """The (names, key) of each line of a file of host keys; comments and what is no key are left out."""
    found = []
    for line in lines:
        words = line.split()
        if len(words) < 3 or words[0].startswith(("#", "@")):
            continue
        try:
            base64.b64decode(words[2], validate=True)
        except (binascii.Error, ValueError):
            continue
        found.append((words[0], HostKey(words[1], words[2])))
    return found


def read_server(target: Target, timeout: int = 10) -> list[HostKey]:
    """The keys that the server shows, the strongest first. Raises StoreError."""
    command = ["ssh-keyscan", "-T", str(timeout), "-p", str(target.port), "--", target.host]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=6 * timeout, check=False)
    except FileNotFoundError:
        raise refuse("ssh-missing", "ssh-keyscan is not installed here.", "apt install openssh-client") from None
    except subprocess.TimeoutExpired:
        raise _no_key(target) from None
    keys = {key for _names, key in parse(done.stdout.splitlines())}
    if not keys:
        raise _no_key(target)
    return sorted(keys, key=lambda key: (_ORDER.index(key.kind) if key.kind in _ORDER else len(_ORDER), key.text))


def _no_key(target: Target) -> StoreError:
    message = f"The SSH server of {target.shown} does not show its host key."
    return refuse("host-key-none", message, "wait a moment and run this again; if it stays so, look at its sshd.")


def known(path: Path) -> list[tuple[str, HostKey]]:
    """The (name, key) pairs that an environment keeps."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [(name, key) for names, key in parse(lines) for name in names.split(",")]


def check_known(target: Target, path: Path, offered: list[HostKey]) -> list[HostKey]:
    """The keys that the environment knows of this server, [] when it knows none. Raises StoreError for others."""
    ours = [key for name, key in known(path) if name == target.key_name]
    same_kind = [key for key in offered if any(key.kind == one.kind for one in ours)]
    if not ours:
        return []
    if any(key in ours for key in same_kind) and all(key in ours for key in same_kind):
        return ours
    message = (
        f"The host key of {target.shown} is not the one that this environment knows. Either the server was set up anew,"
        f" or somebody is between you and it.\nKnown:   {_listed(ours)}\nOffered: {_listed(offered)}"
    )
    fix = (
        "look at the key through the provider's console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub). Only if it"
        f" is the offered one: ssh-keygen -R '{target.key_name}' -f {shown(path)}, then run this again."
    )
    raise refuse("host-key-changed", message, fix)


def matching(target: Target, offered: list[HostKey], wanted: str) -> list[HostKey]:
    """The offered keys with the fingerprint that the operator gave. Raises StoreError when there is none."""
    fingerprint = wanted.strip().rstrip("=")
    if not fingerprint.startswith("SHA256:"):
        fingerprint = f"SHA256:{fingerprint}"
    chosen = [key for key in offered if key.fingerprint == fingerprint]
    if chosen:
        return chosen
    message = (
        f"{target.shown} shows another host key than --host-key says.\n"
        f"Given:   {fingerprint}\nOffered: {_listed(offered)}"
    )
    fix = (
        "compare with the provider's console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub). If they differ there"
        " too, somebody is between you and the server: do not go on."
    )
    raise refuse("host-key-wrong", message, fix)


def _listed(keys: Iterable[HostKey]) -> str:
    return "\n         ".join(key.shown for key in keys)


def lines_for(target: Target, keys: Iterable[HostKey]) -> str:
    """What is written for a server."""
    return "".join(f"{target.key_name} {key.kind} {key.text}\n" for key in keys)
