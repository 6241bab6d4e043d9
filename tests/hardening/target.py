"""A host of an inventory, reached as Ansible would reach it, by plain ssh."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.shell import TestbedError, run

OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR")

# root may have no sudo, and nobody is there to type a password.
AS_ROOT = '[ "$(id -u)" = 0 ] && exec sh -s; exec sudo -n sh -s'
SSH_FAILED = 255


@dataclass(frozen=True)
class Target:
    """A host and the words of the ssh command that reaches it."""

    name: str
    ssh: tuple[str, ...]

    def script(self, text: str, timeout: float = 120) -> str:
        """Run a shell script as root and return what it printed. Raises TestbedError when it fails."""
        words = [*self.ssh, AS_ROOT]
        try:
            done = subprocess.run(words, input=text.encode(), capture_output=True, check=False, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise TestbedError(f"{self.name} did not answer within {timeout:.0f} s.") from error
        # Whatever a file on the host holds must not end the run here.
        out, wrong = (data.decode("utf-8", errors="replace") for data in (done.stdout, done.stderr))
        if done.returncode != 0:
            tail = "\n".join((wrong.strip() or out.strip()).splitlines()[-10:])
            raise TestbedError(
                f"{self.name}: {failure(done.returncode, wrong)}\n{tail}\nBy hand: {shlex.join(self.ssh)}"
            )
        return out


def failure(code: int, wrong: str) -> str:
    """Return what went wrong, and the fix, by ssh's exit code and what was said."""
    if code == SSH_FAILED:
        return "ssh does not get in. Fix: look at the address, the key and known_hosts."
    if "password is required" in wrong:
        return "sudo asks for a password. Fix: take a user whose sudo asks for none."
    return f"what was run there ended with {code}. Fix: what it said stands below."


def find(root: Path, inventory: Path, host: str) -> Target:
    """Return a host of an inventory. Raises TestbedError when the inventory does not know it."""
    if not inventory.exists():
        raise TestbedError(f"There is no inventory {inventory}. Fix: name one with -i, such as inventories/sandbox.")
    tool = root / ".venv" / "bin" / "ansible-inventory"
    done = run([tool, "-i", inventory, "--list"], cwd=root, env={"ANSIBLE_CONFIG": str(root / "ansible.cfg")})
    known: dict[str, dict[str, Any]] = json.loads(done.stdout)["_meta"]["hostvars"]
    if host not in known:
        names = ", ".join(sorted(known)) or "no host at all"
        raise TestbedError(f"{inventory} has no host {host}. It has: {names}. Fix: name one with --host.")
    return Target(host, tuple(words(host, known[host])))


def words(host: str, variables: dict[str, Any]) -> Sequence[str]:
    """Return the ssh command for a host with these variables. Raises TestbedError for what only Ansible can do."""
    if variables.get("ansible_connection", "ssh") not in {"ssh", "smart"}:
        raise TestbedError(
            f"{host} is reached by '{variables['ansible_connection']}'. Only hosts behind ssh can be read."
        )
    found = ["ssh", *OPTIONS]
    if key := variables.get("ansible_ssh_private_key_file") or variables.get("ansible_private_key_file"):
        found += ["-i", str(Path(str(key)).expanduser())]
    if port := variables.get("ansible_port") or variables.get("ansible_ssh_port"):
        found += ["-p", str(port)]
    for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
        found += shlex.split(str(variables.get(name, "")))
    user = variables.get("ansible_user") or variables.get("ansible_ssh_user")
    address = str(variables.get("ansible_host") or host)
    return [*found, f"{user}@{address}" if user else address]
