"""Images with files in them, for a made-up Docker host: what `docker create`, `docker export` and `docker rm` do."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.image_content_docker import LABEL
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Release, Store
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout import Rollout

from fakes.docker_host import DockerHost
from fakes.docker_parts import without_tag
from fakes.small_stack import SmallStack

SITE = "usr/lib/python3.11/site-packages"


def make_tar(files: Mapping[str, bytes | str | None]) -> bytes:
    """Return a tar as Docker writes it. Text is a file, None a folder, and text that begins with -> a hard link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if content is None:
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            elif isinstance(content, str) and content.startswith("->"):
                member.type, member.linkname = tarfile.LNKTYPE, content[2:]
                tar.addfile(member)
            else:
                data = content.encode() if isinstance(content, str) else content
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def installed(name: str, version: str, folder: str = SITE) -> dict[str, bytes | str | None]:
    """Return the files of an installed package."""
    stem = f"{folder}/{name.replace('-', '_')}-{version}.dist-info"
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not-this-one\n"
    return {stem: None, f"{stem}/METADATA": text, f"{stem}/RECORD": "x\n", f"{folder}/{name}/__init__.py": "x = 1\n"}


class ImageHost:
    """Answers docker create, export and rm. `contents` is reference -> tar; an image without one is empty."""

    def __init__(self, docker: DockerHost) -> None:
        self.docker = docker
        self.contents: dict[str, bytes] = {}
        self.made: dict[str, str] = {}
        self.looks: list[str] = []
        self.refuses = ""
        docker.before = self.before

    def before(self, words: list[str]) -> CommandResult | None:
        if words[:2] == ["docker", "create"] and LABEL in words:
            if self.refuses:
                return CommandResult(1, "", f"Error response from daemon: {self.refuses}\n")
            name = words[words.index("--name") + 1]
            assert name not in self.made
            self.made[name] = words[-2]
            return CommandResult(0, "0" * 64 + "\n")
        if words[:2] == ["docker", "rm"] and words[-1] in self.made:
            assert "--volumes" in words
            del self.made[words[-1]]
            return CommandResult(0)
        return None

    @contextlib.contextmanager
    def stream(self, argv: Sequence[str], _timeout: float) -> Iterator[IO[bytes]]:
        assert argv[:2] == ["docker", "export"]
        image_id = self.made[argv[2]]
        names = {name for name, document in self.docker.images.items() if document["Id"] == image_id}
        self.looks.append(image_id)
        found = [tar for reference, tar in self.contents.items() if without_tag(reference) in names]
        yield io.BytesIO(found[0] if found else make_tar({}))


class LookedIntoStack(SmallStack):
    """A small stack with something in its images."""

    def __init__(self, root: Path, **options: Any) -> None:
        super().__init__(root, **options)
        self.host = ImageHost(self.docker)

    def rollout(self, store: Store, release: Release, engine: Engine, **options: Any) -> Rollout:
        return super().rollout(store, release, engine, **{"stream": self.host.stream, **options})
