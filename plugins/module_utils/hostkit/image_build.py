# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builds a stack's own images from a git repository at one commit. An image that exists already is not built again."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .command import CommandResult
from .engine import Engine, run_docker

SHORT = 12
COMMIT = re.compile(r"^[0-9a-f]{40}$")


class BuildError(Exception):
    """Nothing was deployed; the text says what failed, where, and the fix."""


@dataclass
class Result:
    """`version` is the short commit; `images` maps image reference -> 'built', 'present' or 'would be built'."""

    version: str
    commit: str
    images: dict[str, str] = field(default_factory=dict)
    pushed: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return any(state != "present" for state in self.images.values()) or bool(self.pushed)


@dataclass
class Builder:
    """Fetches one ref and builds its images. `cache` holds a bare repository for each address."""

    repository: str
    ref: str
    cache: Path
    engine: Engine
    run: Callable[..., CommandResult] = run_docker

    @property
    def _git_folder(self) -> Path:
        return self.cache / (hashlib.sha256(self.repository.encode()).hexdigest()[:16] + ".git")

    def resolve(self) -> str:
        """Return the commit that the ref means now, asked of the remote; nothing is fetched."""
        if COMMIT.match(self.ref):
            return self.ref
        done = self._git("ls-remote", self.repository, self.ref, f"{self.ref}^{{}}", timeout=60)
        if done.code != 0:
            raise BuildError(self._remote_message(done))
        found = dict(reversed(line.split("\t")) for line in done.stdout.splitlines() if "\t" in line)
        for name in (f"refs/heads/{self.ref}", f"refs/tags/{self.ref}^{{}}", f"refs/tags/{self.ref}", self.ref):
            if name in found:
                return found[name]
        raise BuildError(
            f"The repository {self.repository} has no branch or tag '{self.ref}'. Fix: correct stack_build.ref "
            "(a commit must be given with all its 40 digits)"
        )

    def _git(self, *words: str, timeout: float = 600) -> CommandResult:
        # A repository that asks for a password would wait for ever: there is nobody at the keyboard.
        return self.run(["git", *words], timeout=timeout, environment={"GIT_TERMINAL_PROMPT": "0"})

    def _remote_message(self, done: CommandResult) -> str:
        if done.code == 127:
            return "git is not installed on this machine. Fix: apt-get install git"
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return (
            f"The repository {self.repository} cannot be read: {reason}. Fix: check stack_build.repository, and that this "
            "machine may read it"
        )

    def fetch(self, commit: str) -> None:
        """Have the commit in the local cache."""
        folder = self._git_folder
        if self._git("--git-dir", str(folder), "cat-file", "-e", f"{commit}^{{commit}}").code == 0:
            return
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not folder.exists():
            self._git("init", "--quiet", "--bare", str(folder))
        wanted = [self.ref, commit] if self.ref != commit else [commit]
        for target in wanted:
            done = self._git("--git-dir", str(folder), "fetch", "--quiet", "--depth", "1", self.repository, target)
            if done.code == 0 and self._git("--git-dir", str(folder), "cat-file", "-e", commit).code == 0:
                return
        # A server that hands out no single commits: take all of it.
        done = self._git(
            "--git-dir", str(folder), "fetch", "--quiet", "--tags", self.repository, "+refs/*:refs/remote/*"
        )
        if done.code != 0:
            raise BuildError(self._remote_message(done))
        if self._git("--git-dir", str(folder), "cat-file", "-e", commit).code != 0:
            raise BuildError(f"The repository {self.repository} has no commit {commit}. Fix: correct stack_build.ref")

    def build(
        self,
        contexts: Mapping[str, str],
        registry: str,
        *,
        push: bool,
        arguments: Mapping[str, str],
        check: bool = False,
    ) -> Result:
        """Build `<registry>/<name>:<commit>` for each name -> context folder; push them where asked."""
        commit = self.resolve()
        result = Result(commit[:SHORT], commit)
        tags = {name: f"{registry}/{name}:{result.version}" for name in sorted(contexts)}
        missing = {name: tag for name, tag in tags.items() if check_missing(self.engine, tag, check=check)}
        result.images = {tag: "would be built" if name in missing else "present" for name, tag in tags.items()}
        if check or not missing:
            return result
        self.fetch(commit)
        with tempfile.TemporaryDirectory(prefix="hypercode-build-") as folder:
            self._unpack(commit, Path(folder))
            for name, tag in missing.items():
                self._build_one(name, tag, Path(folder), contexts[name], arguments, commit)
                result.images[tag] = "built"
                if push:
                    self._push(tag)
                    result.pushed.append(tag)
        return result

    def _unpack(self, commit: str, folder: Path) -> None:
        archive = folder / ".source.tar"
        done = self._git("--git-dir", str(self._git_folder), "archive", "--output", str(archive), commit)
        if done.code != 0:
            raise BuildError(f"The source of {commit} cannot be unpacked: {done.stderr.strip()}")
        shutil.unpack_archive(str(archive), str(folder), format="tar", filter="data")
        archive.unlink()

    def _build_one(
        self, name: str, tag: str, folder: Path, context: str, arguments: Mapping[str, str], commit: str
    ) -> None:
        where = (folder / context).resolve()
        if not where.is_relative_to(folder.resolve()) or not (where / "Dockerfile").is_file():
            raise BuildError(
                f"There is no Dockerfile for {name}: {self.repository} at {self.ref} has no {context}/Dockerfile. Fix: correct "
                f"stack_build_contexts.{name}"
            )
        words = [word for key, value in sorted(arguments.items()) for word in ("--build-arg", f"{key}={value}")]
        label = f"org.opencontainers.image.revision={commit}"
        done = self.run(
            ["docker", "build", "--quiet", "--label", label, "--tag", tag, *words, str(where)], timeout=3600
        )
        if done.code != 0:
            tail = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-12:])
            raise BuildError(f"The image of {name} ({context}) cannot be built. The build ends with:\n{tail}")

    def _push(self, tag: str) -> None:
        done = self.run(["docker", "push", "--quiet", tag], timeout=3600)
        if done.code != 0:
            reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            raise BuildError(
                f"The image {tag} cannot be pushed: {reason}. Fix: check stack_registry and the login in docker_registries"
            )


def check_missing(engine: Engine, tag: str, *, check: bool) -> bool:
    """True when an image is not on this machine. In check mode a machine without Docker has none."""
    try:
        return engine.image(tag) is None
    except Exception:
        if check:
            return True
        raise
