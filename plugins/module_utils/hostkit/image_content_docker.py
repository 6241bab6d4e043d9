# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks into an image by way of a container that is made, exported and removed, and is never started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO, cast

from .command import PATH
from .engine import Engine
from .image_content import CHUNK, ContentError, Package, packages_in
from .release_images import Runner

# All three have to fit before a container is removed that is not of this moment: label, name, and never started.
LABEL = "hypercode.purpose=image-content"
NAME_PREFIX = "hypercode-image-content-"
# It is never run; without one Docker makes no container of an image that names no command.
NO_COMMAND = "/never-run"
CREATE_TIMEOUT = 300.0
EXPORT_TIMEOUT = 900.0
REMOVE_TIMEOUT = 120.0
# Seconds that a command has to end once it has written everything.
GRACE = 30.0
# Seconds that one has to end which was cut off.
LAST_WORDS = 0.5

Stream = Callable[[Sequence[str], float], AbstractContextManager[IO[bytes]]]


@contextlib.contextmanager
def stream_command(argv: Sequence[str], timeout: float = EXPORT_TIMEOUT) -> Iterator[IO[bytes]]:
    """Run `argv` and yield its output while it comes. ContentError at the end when it failed or took too long."""
    late = threading.Event()
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                bufsize=CHUNK,
                env={**os.environ, "LC_ALL": "C.UTF-8", "PATH": PATH},
                start_new_session=True,
            )
        except OSError as error:
            raise ContentError(f"{argv[0]} cannot be run ({error.strerror})") from error

        def end() -> None:
            late.set()
            process.kill()

        watchdog = threading.Timer(timeout, end)
        watchdog.daemon = True
        watchdog.start()
        problem: ContentError | None = None
        ended = False
        try:
            with cast(IO[bytes], process.stdout) as output:
                try:
                    yield output
                except ContentError as error:
                    problem = error
                # One that has more to write waits for a reader; one that failed has ended, and says better why.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=GRACE if problem is None else LAST_WORDS)
                    ended = True
        finally:
            watchdog.cancel()
            if process.poll() is None:
                process.kill()
                process.wait()
        if late.is_set() or (problem is None and not ended):
            raise ContentError(f"{' '.join(argv[:2])} did not end within {timeout:.0f} s")
        if ended and process.returncode != 0:
            said.seek(0)
            words = said.read(2000).decode(errors="replace").strip().splitlines()
            raise ContentError(words[-1].rstrip(".") if words else f"exit code {process.returncode}") from problem
        if problem is not None:
            raise problem


@dataclass(frozen=True)
class Looker:
    """Looks into images on this host. One at a time: whoever looks holds the host's rollout lock."""

    engine: Engine
    run: Runner
    stream: Stream = stream_command

    def look(self, image_id: str) -> list[Package]:
        """Return the Python packages of an image. Raises ContentError; the container is removed in all cases."""
        self._remove_leftovers()
        name = NAME_PREFIX + image_id.rpartition(":")[2][:12]
        done = self.run(
            [
                *("docker", "create", "--pull", "never", "--name", name, "--label", LABEL, "--network", "none"),
                *("--entrypoint", "", image_id, NO_COMMAND),
            ],
            timeout=CREATE_TIMEOUT,
        )
        if done.code != 0:
            words = done.stderr.strip().splitlines()
            # Docker may have made it before something went wrong.
            self._remove_leftovers()
            raise ContentError(words[-1].rstrip(".") if words else f"docker create ended with exit code {done.code}")
        try:
            with self.stream(["docker", "export", name], EXPORT_TIMEOUT) as files:
                return packages_in(files)
        finally:
            self._remove(name)

    def _remove(self, container: str) -> None:
        # With the volumes that the image declares: Docker made them with the container.
        self.run(["docker", "rm", "--force", "--volumes", container], timeout=REMOVE_TIMEOUT)

    def _remove_leftovers(self) -> None:
        """Remove what an attempt left that was killed."""
        for found in self.engine.get("/containers/json", all="1", filters={"label": [LABEL]}):
            names = [str(name).removeprefix("/") for name in found.get("Names") or []]
            is_ours = any(name.startswith(NAME_PREFIX) for name in names)
            if is_ours and found.get("State") == "created":
                self._remove(str(found["Id"]))
