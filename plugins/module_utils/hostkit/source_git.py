# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A git repository to build from: a ref becomes a commit, the commit is fetched into a cache and unpacked.

An address with a login in it (https://user:token@…) never gets on a command line or into a message: git is told by its
environment to put the login in.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .command import NOT_FOUND, CommandResult
from .redact import Redactor

COMMIT = re.compile(r"[0-9a-fA-F]{40}")
_USERINFO = re.compile(r"^(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^/@]*)@", re.IGNORECASE)


class BuildError(Exception):
    """Nothing was deployed; the text says what failed, where, and the fix."""


@dataclass(frozen=True)
class Source:
    """One ref of a repository. `run` runs git; the settings are what messages call the repository and the ref."""

    repository: str
    ref: str
    cache: Path
    run: Callable[..., CommandResult]
    repository_setting: str = "stack_build.repository"
    ref_setting: str = "stack_build.ref"

    @property
    def shown(self) -> str:
        """The address without a login."""
        return _USERINFO.sub(r"\g<scheme>", self.repository) if self._password else self.repository

    @property
    def _password(self) -> str:
        """What of the address is secret: not a bare user name, as in ssh://git@host, but a lone token of HTTP is."""
        match = _USERINFO.match(self.repository)
        if not match:
            return ""
        user, colon, password = match["user"].partition(":")
        return password if colon else user if match["scheme"].lower().startswith("http") else ""

    @property
    def secrets(self) -> list[str]:
        """What must not be shown, as it stands and decoded."""
        return [value for value in (self._password, urllib.parse.unquote(self._password)) if value]

    @property
    def folder(self) -> Path:
        return self.cache / (hashlib.sha256(self.repository.encode()).hexdigest()[:16] + ".git")

    # ---- git ------------------------------------------------------------------------------------------------------

    def _git(self, *words: str, timeout: float = 600, environment: dict[str, str] | None = None) -> CommandResult:
        # A repository that asks for a password would wait for ever: there is nobody at the keyboard.
        settings = {"GIT_TERMINAL_PROMPT": "0", **(environment or {})}
        if self._password:
            login = _USERINFO.match(self.repository)
            prefix = login.group() if login else ""
            settings |= {
                "GIT_CONFIG_COUNT": "1",
                "GIT_CONFIG_KEY_0": f"url.{prefix}.insteadOf",
                "GIT_CONFIG_VALUE_0": _USERINFO.sub(r"\g<scheme>", prefix),
            }
        done = self.run(["git", *words], timeout=timeout, environment=settings)
        redact = Redactor(self.secrets)
        return CommandResult(done.code, done.stdout, redact(done.stderr))

    def _git_in(self, *words: str, timeout: float = 600, environment: dict[str, str] | None = None) -> CommandResult:
        return self._git("--git-dir", str(self.folder), *words, timeout=timeout, environment=environment)

    def _has(self, commit: str) -> bool:
        return self._git_in("cat-file", "-e", f"{commit}^{{commit}}").code == 0

    def _cannot_be_read(self, done: CommandResult) -> BuildError:
        if done.code == NOT_FOUND:
            return BuildError("git is not installed on this machine. Fix: apt-get install git")
        said = [line for line in done.stderr.strip().splitlines() if line.startswith(("fatal:", "error:", "remote:"))]
        reason = (said or done.stderr.strip().splitlines() or ["no answer"])[-1].rstrip(".")
        return BuildError(
            f"The repository {self.shown} cannot be read: {reason}. "
            f"Fix: check {self.repository_setting}, and that this machine may read it"
        )

    # ---- the steps ------------------------------------------------------------------------------------------------

    def resolve(self) -> str:
        """Return the commit that the ref means now, asked of the remote; nothing is fetched."""
        for name, value in ((self.repository_setting, self.repository), (self.ref_setting, self.ref)):
            if not value.strip() or value.startswith("-") or any(char.isspace() or char == "\0" for char in value):
                raise BuildError(f"{name} is {value!r}, which is none. Fix: correct {name}")
        if COMMIT.fullmatch(self.ref):
            return self.ref.lower()
        done = self._git("ls-remote", "--", self.shown, self.ref, f"{self.ref}^{{}}", timeout=60)
        if done.code != 0:
            raise self._cannot_be_read(done)
        found: dict[str, str] = {}
        for line in done.stdout.splitlines():
            commit, tab, name = line.partition("\t")
            if tab:
                found[name] = commit
        short = f"refs/tags/{self.ref}"
        for name in (f"refs/heads/{self.ref}", f"{short}^{{}}", short, f"{self.ref}^{{}}", self.ref):
            if name in found:
                return found[name]
        raise BuildError(
            f"The repository {self.shown} has no branch or tag '{self.ref}'. Fix: correct {self.ref_setting} "
            "(a commit must be given with all its 40 digits)"
        )

    def fetch(self, commit: str) -> None:
        """Have the commit in the cache. A cache that a crash left unusable is made anew."""
        if self.folder.exists() and self._has(commit):
            return
        first = self._try_fetch(commit)
        if first is None:
            return
        if self.folder.is_dir():
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            self.folder.unlink(missing_ok=True)
        second = self._try_fetch(commit)
        if second is not None:
            raise second

    def _try_fetch(self, commit: str) -> BuildError | None:
        self.folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        done = self._git("init", "--quiet", "--bare", str(self.folder))
        if done.code != 0:
            return self._cannot_be_read(done)
        for target in dict.fromkeys([self.ref, commit]):
            done = self._git_in("fetch", "--quiet", "--depth", "1", "--", self.shown, target)
            if done.code == 0 and self._has(commit):
                return None
        # A server that hands out no single commits: take all of it.
        full = ["--unshallow"] if (self.folder / "shallow").exists() else []
        done = self._git_in("fetch", "--quiet", "--tags", *full, "--", self.shown, "+refs/*:refs/remote/*")
        if done.code != 0:
            return self._cannot_be_read(done)
        if self._has(commit):
            return None
        return BuildError(f"The repository {self.shown} has no commit {commit}. Fix: correct {self.ref_setting}")

    def unpack(self, commit: str, tree: Path) -> None:
        """Write the files of a commit into a new folder. Links stay links, wherever they lead."""
        tree.mkdir(mode=0o755)
        index = {"GIT_INDEX_FILE": str(tree.with_name("index"))}
        words = ("--work-tree", str(tree), "checkout", "--quiet", "--force", commit, "--", ":/")
        done = self._git_in(*words, environment=index)
        if done.code != 0:
            raise BuildError(f"The source of {commit} cannot be unpacked: {done.stderr.strip()}")
