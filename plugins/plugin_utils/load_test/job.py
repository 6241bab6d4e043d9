# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be done: who is asked, how often, and what is still good."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from pathlib import Path
from typing import Any

MISSIONS, HTTP = "missions", "http"
PROFILES = (MISSIONS, HTTP)
# So much of a rate must be reached: each user waits for its answer, then for its next turn, and a little is lost.
RATE_SHARE = 0.9


class JobError(Exception):
    """Something was typed that cannot be used. The text says what, and the fix."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One load test. Times in seconds, bounds in milliseconds; see docs/load_test.md."""

    profile: str
    url: str
    path: str = "/health"
    address: str = ""
    ca_file: str = ""
    user: str = ""
    password: str = dataclasses.field(default="", repr=False)
    timeout: float = 30.0
    missions: int = 10
    time_limit: float = 60.0
    poll: float = 0.5
    task: str = "Load test: say in one sentence what you would do first."
    context: dict[str, Any] = dataclasses.field(default_factory=dict)
    priority: str = "normal"
    files: tuple[str, ...] = ()
    shared_ids: bool = False
    users: int = 10
    rate: float = 0.0
    duration: float = 30.0
    p95_ms: float = 500.0
    errors: int = 0

    def check(self) -> None:
        """Raise JobError for the first thing that cannot be used."""
        if self.profile not in PROFILES:
            raise JobError(f"There is no profile '{self.profile}'. Fix: {' or '.join(PROFILES)}")
        parts = urllib.parse.urlsplit(self.url)
        try:
            named = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            named = False
        if not named:
            raise JobError(f"'{self.url}' is no address. Fix: write it like https://app.example.com")
        if parts.username or parts.password:
            raise JobError("A login in the address would be seen by others. Fix: give the user and password apart")
        if not self.path.startswith("/"):
            raise JobError(f"The path '{self.path}' does not begin with /. Fix: write it like /health")
        if self.address and not re.fullmatch(r"[0-9A-Za-z.:_-]+", self.address):
            raise JobError(f"'{self.address}' is no address of a host. Fix: write it like 198.51.100.11")
        if self.ca_file and not Path(self.ca_file).is_file():
            raise JobError(f"The certificate file {self.ca_file} is not there. Fix: correct its path")
        for name, text in (("missions", "missions"), ("users", "users"), ("timeout", "seconds for an answer")):
            if getattr(self, name) <= 0:
                raise JobError(f"The number of {text} is {getattr(self, name):g}. Fix: give one above 0")
        for name in ("time_limit", "duration", "p95_ms", "poll"):
            if getattr(self, name) <= 0:
                raise JobError(f"{name} is {getattr(self, name):g}. Fix: give a number above 0")
        for name in ("rate", "errors"):
            if getattr(self, name) < 0:
                raise JobError(f"{name} is {getattr(self, name):g}. Fix: give 0 or more")

    @property
    def seconds_at_most(self) -> float:
        """After so long it has come to an end in any case."""
        work = self.time_limit if self.profile == MISSIONS else self.duration
        return work + 2 * self.timeout + 60

    def as_input(self) -> dict[str, Any]:
        """What the process that makes the load reads, secrets included."""
        return {**dataclasses.asdict(self), "host": urllib.parse.urlsplit(self.url).hostname}
