# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builds a stack's own images from a git repository at one commit. An image that exists already is not built again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .command import NOT_FOUND, CommandResult
from .engine import Engine, EngineError, run_docker
from .source_git import BuildError, Source

__all__ = ["BuildError", "Builder", "Result", "check_missing"]

SHORT = 12
BUILD_TIMEOUT = 3600.0
_WORK = "build-"


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
    def source(self) -> Source:
        return Source(self.repository, self.ref, self.cache, self.run)

    def resolve(self) -> str:
        """Return the commit that the ref means now, asked of the remote; nothing is fetched."""
        return self.source.resolve()

    def fetch(self, commit: str) -> None:
        """Have the commit in the local cache."""
        self.source.fetch(commit)

    def build(
        self,
        contexts: Mapping[str, str],
        registry: str,
        *,
        push: bool,
        arguments: Mapping[str, str],
        check: bool = False,
    ) -> Result:
        """Build `<registry>/<name>:<commit>` for each name -> context folder; push them where asked.

        With `check` nothing is written. Raises BuildError; EngineError when Docker does not answer.
        """
        commit = self.source.resolve()
        result = Result(commit[:SHORT], commit)
        tags = {name: f"{registry}/{name}:{result.version}" for name in sorted(contexts)}
        if check:
            for tag in tags.values():
                result.images[tag] = "would be built" if check_missing(self.engine, tag, check=True) else "present"
                if push and result.images[tag] == "present" and not self._is_pushed(tag):
                    result.pushed.append(tag)
            return result
        with self._alone():
            missing = {name for name, tag in tags.items() if check_missing(self.engine, tag, check=False)}
            result.images = {tag: "present" for name, tag in tags.items() if name not in missing}
            if missing:
                self._build_missing({name: tags[name] for name in sorted(missing)}, contexts, arguments, result)
            for tag in tags.values() if push else ():
                # An image that is here may have missed its push: the machine went down in between.
                if not self._is_pushed(tag):
                    self._push(tag)
                    result.pushed.append(tag)
        result.images = {tag: result.images[tag] for tag in tags.values()}
        return result

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other builds on this machine out: on a controller, the plays of several hosts build the same images."""
        try:
            self.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.cache / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BuildError(
                f"{self.cache} cannot be used to build in: {error.strerror}. "
                "Fix: run as root (become: true), or choose another folder with the option cache"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for leftover in self.cache.glob(f"{_WORK}*"):
                shutil.rmtree(leftover, ignore_errors=True)
            yield
        finally:
            os.close(descriptor)

    def _build_missing(
        self, tags: Mapping[str, str], contexts: Mapping[str, str], arguments: Mapping[str, str], result: Result
    ) -> None:
        self.source.fetch(result.commit)
        # Beside the repository and not in /tmp, which may be small and in memory.
        with tempfile.TemporaryDirectory(prefix=_WORK, dir=self.cache, ignore_cleanup_errors=True) as folder:
            tree = Path(folder) / "tree"
            self.source.unpack(result.commit, tree)
            places = {name: self._context(name, tree, contexts[name]) for name in tags}
            for name, tag in tags.items():
                self._build_one(name, tag, places[name], arguments, result.commit)
                result.images[tag] = "built"

    def _context(self, name: str, tree: Path, context: str) -> Path:
        where = (tree / context).resolve()
        dockerfile = (where / "Dockerfile").resolve()
        root = tree.resolve()
        if not (where.is_relative_to(root) and dockerfile.is_relative_to(root) and dockerfile.is_file()):
            raise BuildError(
                f"There is no Dockerfile for {name}: {self.source.shown} at {self.ref} has no {context}/Dockerfile. "
                f"Nothing was built. Fix: correct stack_build_contexts.{name}"
            )
        return where

    def _build_one(self, name: str, tag: str, where: Path, arguments: Mapping[str, str], commit: str) -> None:
        words = [word for key, value in sorted(arguments.items()) for word in ("--build-arg", f"{key}={value}")]
        label = f"org.opencontainers.image.revision={commit}"
        done = self.run(
            ["docker", "build", "--quiet", "--label", label, "--tag", tag, *words, str(where)], timeout=BUILD_TIMEOUT
        )
        if done.code != 0:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()[-12:] or [f"exit code {done.code}"]
            fix = _fix(done, "mend what it names in the repository, then run the same command again")
            reason, tail = lines[-1].strip().rstrip("."), "\n".join(lines)
            raise BuildError(f"The image of {name} cannot be built: {reason}. Fix: {fix}. The build ends with:\n{tail}")

    def _is_pushed(self, tag: str) -> bool:
        """True when Docker noted a digest in that registry for the image: it does so when a push is done."""
        repository = tag.rpartition(":")[0]
        found = self.engine.image(tag) or {}
        return any(str(listed).partition("@")[0] == repository for listed in found.get("RepoDigests") or [])

    def _push(self, tag: str) -> None:
        done = self.run(["docker", "push", "--quiet", tag], timeout=BUILD_TIMEOUT)
        if done.code != 0:
            reason = (done.stderr.strip().splitlines() or ["no answer"])[-1].rstrip(".")
            fix = _fix(done, "check stack_registry and the login in docker_registries")
            raise BuildError(f"The image {tag} cannot be pushed: {reason}. Fix: {fix}")


def _fix(done: CommandResult, otherwise: str) -> str:
    return "install the docker client (role docker)" if done.code == NOT_FOUND else otherwise


def check_missing(engine: Engine, tag: str, *, check: bool) -> bool:
    """True when an image is not on this machine. In check mode a machine without Docker has none."""
    try:
        return engine.image(tag) is None
    except EngineError:
        if check:
            return True
        raise
