# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Runs one command on a server over a new SSH connection. A password goes through a private file only."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.onboarding.reach import Target
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import refuse

# scripts/onboard answers ssh's question for a password from the file that this names.
ASKPASS = "HYPERCODE_ONBOARD_ANSWER"
_METHODS = re.compile(r"Permission denied \(([^)]*)\)")


@dataclasses.dataclass(frozen=True)
class Way:
    """How to log in: as whom, and with which key or which file that holds the password."""

    user: str
    key: Path | None = None
    password_file: Path | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of a command. ``methods`` are the ways that the server offers when it refused this one."""

    code: int
    output: str
    errors: str

    @property
    def refused(self) -> bool:
        return self.code == 255 and "Permission denied" in self.errors

    @property
    def methods(self) -> tuple[str, ...]:
        found = _METHODS.search(self.errors)
        return tuple(found[1].split(",")) if found else ()


def words(target: Target, way: Way, known_hosts: Path) -> list[str]:
    """The command line of ssh; it holds no secret."""
    options = {
        "UserKnownHostsFile": f'"{known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        # Nothing that is open already counts: each connection proves that the login works now.
        "ControlMaster": "no",
        "ControlPath": "none",
        "ConnectTimeout": "15",
        "NumberOfPasswordPrompts": "1",
        "IdentitiesOnly": "yes",
        "ForwardAgent": "no",
        "LogLevel": "ERROR",
    }
    if way.password_file:
        options |= {
            "PubkeyAuthentication": "no",
            "PreferredAuthentications": "password,keyboard-interactive",
        }
    else:
        options |= {"BatchMode": "yes", "PreferredAuthentications": "publickey", "PasswordAuthentication": "no"}
    found = ["ssh", "-T", "-p", str(target.port), *(["-i", str(way.key)] if way.key else [])]
    for name, value in options.items():
        found += ["-o", f"{name}={value}"]
    return [*found, "-l", way.user, "--", target.host]


def run(
    target: Target, way: Way, known_hosts: Path, command: str, *, root: Path, said: str = "", timeout: float = 60
) -> Answer:
    """Run a command of the remote shell; ``said`` is its standard input. Raises StoreError when ssh cannot be run."""
    environment = dict(os.environ)
    if way.password_file:
        environment |= {
            "SSH_ASKPASS": str(root / "scripts" / "onboard"),
            "SSH_ASKPASS_REQUIRE": "force",
            "DISPLAY": environment.get("DISPLAY", "-"),
            ASKPASS: str(way.password_file),
        }
    try:
        done = subprocess.run(
            [*words(target, way, known_hosts), command],
            input=said,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=timeout,
            check=False,
            # Without a terminal of its own ssh has nothing but the file to ask.
            start_new_session=True,
        )
    except FileNotFoundError:
        raise refuse("ssh-missing", "ssh is not installed here.", "apt install openssh-client") from None
    except subprocess.TimeoutExpired:
        message = f"{target.shown} lets {way.user} in, but does not answer a command within {timeout:.0f} s."
        raise refuse("ssh-slow", message, "look at the server through the provider's console.") from None
    return Answer(done.returncode, done.stdout, done.stderr)
