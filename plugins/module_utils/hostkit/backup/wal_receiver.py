# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The containers beside a database that receive its WAL and copy it: of its image, in its network.

The official image lets replication in over 127.0.0.1; the password in its environment is given too, for those that ask.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ..command import run_command
from .config import BackupError
from .restic import start
from .stack import Container, Stack, call_docker
from .streams import end
from .wal import BASE, RECEIVER, SLOT

PURPOSE = "hypercode.purpose=wal"
MEMORY = "128m"
_FOLDER = "/hypercode-wal"


def name_of(project: str, service: str, what: str = "wal") -> str:
    """The name of a container of ours beside a service."""
    return f"hypercode-{what}-{project}-{service}"


def remove_container(stack: Stack, name: str) -> None:
    """Remove a container of ours where it is there. One that cannot be removed is in the way later, and says so."""
    run_command([*stack.docker, "rm", "--force", "--volumes", name], timeout=60)


def remove_all(stack: Stack, project: str) -> None:
    """Remove all receivers of a project, also those whose service is no more. Raises BackupError."""
    words = ("--filter", f"label={PURPOSE}", "--filter", f"label=hypercode.project={project}")
    ids = call_docker(stack.docker, "ps", "--all", "--quiet", *words).split()
    if ids:
        call_docker(stack.docker, "rm", "--force", "--volumes", *ids)


def login(stack: Stack, container: Container, name: str) -> dict[str, str]:
    """The environment in which Postgres's programs reach the server over loopback."""
    given = container.environment
    password = given.get("POSTGRES_PASSWORD", "")
    if given.get("POSTGRES_PASSWORD_FILE"):
        script = 'cat "$POSTGRES_PASSWORD_FILE"'
        password = run_command(stack.inside(container, script), timeout=30).stdout.rstrip("\n")
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": given.get("PGPORT", "5432"),
        "PGUSER": given.get("POSTGRES_USER") or "postgres",
        "PGPASSWORD": password,
        "PGAPPNAME": name,
        "PGCONNECT_TIMEOUT": "20",
    }


def beside(
    stack: Stack, container: Container, name: str, given: Mapping[str, str], *words: str, folder: Path | None = None
) -> list[str]:
    """The command that runs a program of the image in a container of its own, in the network of the database.

    Values go by our environment. What it prints comes to us alone: a base backup in Docker's log would fill the disk.
    """
    limits = ("--memory", MEMORY, "--cpus", "1", "--pids-limit", "64")
    rights = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    labels = ("--label", PURPOSE, "--label", f"hypercode.project={stack.config.project}")
    variables = [word for key in given for word in ("--env", key)]
    mount = ("--volume", f"{folder}:{_FOLDER}") if folder else ()
    return [
        *(*stack.docker, "run", "--rm", "--name", name, "--pull", "never", "--log-driver", "none", "--read-only"),
        *("--user", "0:0", "--network", f"container:{container.id}", *limits, *rights, *labels),
        *(*variables, *mount),
        *("--entrypoint", words[0], container.image_id or container.image, *words[1:]),
    ]


def base_command(stack: Stack, container: Container, environment: Mapping[str, str], *, fast: bool) -> list[str]:
    """The command that writes a base backup to its output, as one tar file."""
    words = ("pg_basebackup", "--pgdata=-", "--format=tar", "--wal-method=none", "--verbose", "--no-password")
    hurry = f"--checkpoint={'fast' if fast else 'spread'}"
    name = name_of(stack.config.project, container.service, "base")
    return beside(stack, container, name, environment, *words, hurry, f"--label={BASE}")


@dataclass
class Receiver:
    """Receives the WAL of a container into a folder, from `attach` until it ends: with its server, or by `stop`."""

    stack: Stack
    container: Container
    folder: Path
    clock: Callable[[], float] = time.time
    # When it ended, in seconds since 1970.
    ended: float = field(default=0.0, init=False)
    # Once it was seen to have all that there was.
    good: bool = False

    def attach(self) -> None:
        """Start it. Raises BackupError."""
        self.name = name_of(self.stack.config.project, self.container.service)
        remove_container(self.stack, self.name)
        environment = login(self.stack, self.container, RECEIVER)
        words = ("pg_receivewal", f"--directory={_FOLDER}", f"--slot={SLOT}", "--synchronous", "--no-loop")
        argv = beside(self.stack, self.container, self.name, environment, *words, "--no-password", folder=self.folder)
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  It lives as long as the receiver.
        self._process = start(argv, environment, stderr=self._said)
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        self._process.wait()
        self.ended = self.clock()

    def alive(self) -> bool:
        return self._process.poll() is None

    def reason(self) -> str:
        """Why it ended, in its own words."""
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        # Behind the reason it says that it is disconnected, and docker where its help is.
        lines = [line for line in lines if line.strip() and not re.search(r"\bdisconnected$|--help", line)]
        told = [line for line in lines if re.search(r"\b(ERROR|FATAL|error|Error)\b", line)] or lines
        return (told or ["it ended without a word"])[-1][:300].rstrip(".")

    def had_all(self) -> bool:
        """Whether it ended because its server shut down in good order: that hands out all there is before."""
        self._said.seek(0)
        return b"terminated before stop point" in self._said.read()

    def stop(self) -> None:
        """End it, for good. What it has is on disk."""
        if self.alive():
            # So it writes what it has and says goodbye; the client alone would leave it running.
            run_command([*self.stack.docker, "stop", "--time", "5", self.name], timeout=60)
        end(self._process)
        remove_container(self.stack, self.name)
        with contextlib.suppress(OSError):
            self._said.close()


def refused(service: str, reason: str) -> BackupError:
    """Why a program could not get at the WAL, with the fix."""
    if "pg_hba.conf" in reason or "authentication failed" in reason:
        fix = (
            "let the owner of the databases in for replication from 127.0.0.1, with this line in pg_hba.conf: "
            "host replication all 127.0.0.1/32 trust"
        )
    elif "Connection refused" in reason:
        fix = "it has to listen on 127.0.0.1 too (listen_addresses)"
    elif "executable file not found" in reason or "no such file or directory" in reason:
        fix = "take an image that has pg_receivewal and pg_basebackup, or set backup_point_in_time to false"
    elif "max_wal_senders" in reason or "replication slots are in use" in reason:
        fix = "raise max_wal_senders and max_replication_slots of Postgres"
    elif "single tablespace" in reason:
        fix = "tablespaces of its own cannot be copied here: set backup_point_in_time to false"
    else:
        fix = f"see docker logs of {service}"
    return BackupError(f"The WAL of Postgres in {service} cannot be had: {reason}. Fix: {fix}")
