# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A way to a service that answers to no one outside: a port of this machine, carried by SSH to its container."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator

PATIENCE = 20.0
LOOPBACK = "127.0.0.1"


class TunnelError(Exception):
    """There is no way to the service. The text says why and the fix."""


@dataclasses.dataclass(frozen=True)
class Login:
    """How Ansible logs in to the host."""

    host: str
    user: str = ""
    port: int = 0
    key_file: str = ""
    arguments: str = ""
    program: str = "ssh"

    def words(self, local: int, target: str) -> list[str]:
        """The command line of the tunnel; it holds no secret."""
        return [
            self.program,
            # Of its own: through the connection that Ansible keeps open, the tunnel would outlive this program.
            *(
                "-o",
                "ControlMaster=no",
                "-o",
                "ControlPath=none",
                "-o",
                "BatchMode=yes",
                "-o",
                "ExitOnForwardFailure=yes",
            ),
            *shlex.split(self.arguments),
            *(("-i", self.key_file) if self.key_file else ()),
            *(("-p", str(self.port)) if self.port else ()),
            *(("-l", self.user) if self.user else ()),
            *("-N", "-L", f"{LOOPBACK}:{local}:{target}", self.host),
        ]


@contextlib.contextmanager
def tunnel(login: Login, target: str) -> Iterator[int]:
    """Give a port of this machine that leads to `target` (address:port, as the host reaches it). Raises TunnelError."""
    local = _free_port()
    try:
        process = subprocess.Popen(
            login.words(local, target), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise TunnelError(
            f"{login.program} cannot be started: {error.strerror}. Fix: install OpenSSH's client"
        ) from error
    with process:
        try:
            _wait(process, local, login.host)
            yield local
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], local: int, host: str) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            said = process.stderr.read().decode(errors="replace").splitlines() if process.stderr else []
            reason = (said[-1] if said else f"exit code {process.returncode}").strip().rstrip(".")
            raise TunnelError(
                f"ssh opens no tunnel to {host}: {reason}. Fix: log in with a key, and let sshd allow it "
                "(AllowTcpForwarding local); or give load_test_url"
            )
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, local), timeout=1):
            return
        time.sleep(0.1)
    raise TunnelError(f"ssh has opened no tunnel to {host} within {PATIENCE:.0f} s. Fix: give load_test_url")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        return int(listener.getsockname()[1])
