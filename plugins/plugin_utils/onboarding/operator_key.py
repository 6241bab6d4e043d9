# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The operator's own key: is it there, may nobody else read it, can it be used without a question?"""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import refuse

USUAL = ("id_ed25519", "id_ecdsa", "id_rsa")


@dataclasses.dataclass(frozen=True)
class OperatorKey:
    """``path`` is the private key, ``public`` the line for authorized_keys. ``typed`` is what the operator wrote."""

    path: Path
    public: str
    typed: str


def usual(home: Path) -> str:
    """The key that the operator most likely means, as one types it."""
    found = [name for name in USUAL if (home / ".ssh" / name).is_file()]
    return f"~/.ssh/{(found or USUAL)[0]}"


def read(typed: str) -> OperatorKey:
    """The key behind a path. Raises StoreError with the command that makes it right."""
    path = Path(typed).expanduser().absolute()
    quoted = shlex.quote(typed) if not typed.startswith("~") else typed
    if path.suffix == ".pub":
        fix = f"name the private one, without .pub: --key {quoted.removesuffix('.pub')}"
        raise refuse("key-public", f"{typed} is the public half of a key.", fix)
    if not path.is_file():
        fix = f"make one: ssh-keygen -t ed25519 -f {quoted}\nor name yours: --key FILE"
        raise refuse("key-missing", f"There is no key {typed}.", fix)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        message = f"Others can read the private key {typed} (its mode is {mode:04o}); ssh does not use such a key."
        raise refuse("key-permissions", message, f"chmod 600 {quoted}")
    return OperatorKey(path, _public(path, typed, quoted), typed)


def _public(path: Path, typed: str, quoted: str) -> str:
    try:
        # An empty passphrase: a key that has one is refused here instead of asking.
        done = subprocess.run(
            ["ssh-keygen", "-y", "-P", "", "-f", str(path)], capture_output=True, text=True, timeout=20, check=False
        )
    except FileNotFoundError:
        raise refuse("ssh-missing", "ssh-keygen is not installed here.", "apt install openssh-client") from None
    if done.returncode == 0:
        return " ".join(done.stdout.split()[:2])
    half = path.with_name(f"{path.name}.pub")
    public = " ".join(half.read_text(encoding="utf-8").split()[:2]) if half.is_file() else ""
    if "passphrase" in done.stderr:
        if public and public in _agent():
            return public
        message = f"The key {typed} has a passphrase, and no agent holds it."
        raise refuse("key-locked", message, f'eval "$(ssh-agent)"; ssh-add {quoted}\nthen run this again.')
    message = f"{typed} is no private key that ssh can read."
    raise refuse("key-unreadable", message, "name the file of a private key, such as --key ~/.ssh/id_ed25519")


def _agent() -> list[str]:
    """The public keys that the agent holds; none without an agent."""
    done = subprocess.run(["ssh-add", "-L"], capture_output=True, text=True, timeout=20, check=False)
    return [" ".join(line.split()[:2]) for line in done.stdout.splitlines()] if done.returncode == 0 else []
