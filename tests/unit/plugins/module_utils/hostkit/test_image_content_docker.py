"""The container through which an image is looked into; and what was found, on the disk."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.image_content import (
    ContentError,
    Package,
    packages_in,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.image_content_cache import ContentCache
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.image_content_docker import (
    LABEL,
    Looker,
    stream_command,
)
from fakes.docker_host import DockerHost, KilledError, NearEngine
from fakes.image_contents import ImageHost, installed, make_tar

ID = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
NAME = "hypercode-image-content-abababababab"
SIX = Package("six", "1.0", "/a/six-1.0.dist-info")


# ---- a command whose output is read while it comes --------------------------------------------------------------


def look(*words: str, timeout: float = 30) -> list[Package]:
    with stream_command(words, timeout) as files:
        return packages_in(files)


def test_a_real_command(tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    file.write_bytes(make_tar(installed("six", "1.0")))
    assert [package.name for package in look("cat", str(file))] == ["six"]


def test_a_command_that_fails_says_why_itself(tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    file.write_bytes(make_tar({**installed("six", "1.0"), "big": b"x" * 100_000}))
    half = f"import sys; sys.stdout.buffer.write(open({str(file)!r}, 'rb').read(4096)); sys.exit('disk on fire.')"
    with pytest.raises(ContentError, match=r"^disk on fire$"):
        look(sys.executable, "-c", half)
    # It wrote all of it, and failed then.
    with pytest.raises(ContentError, match=r"^exit code 3$"):
        look("sh", "-c", f"cat {file}; exit 3")
    with pytest.raises(ContentError, match=r"ends too early|cut off"):
        look("head", "-c", "4096", str(file))
    with pytest.raises(ContentError, match="/no/such cannot be run"):
        look("/no/such", "export")


def test_a_command_that_goes_on_is_ended() -> None:
    with pytest.raises(ContentError, match="damaged or cut off"):
        look("yes")
    with pytest.raises(ContentError, match="sleep 60 did not end within 0 s"):
        look("sleep", "60", timeout=0.1)


# ---- Docker -----------------------------------------------------------------------------------------------------


class LeftEngine(Engine):
    """An engine that lists these containers."""

    def __init__(self, *found: dict[str, Any]) -> None:
        super().__init__()
        self.found = found
        self.asked: list[object] = []

    def get(self, path: str, **query: object) -> Any:
        self.asked.append((path, query))
        return list(self.found)


def test_the_container_is_made_and_removed_and_never_run() -> None:
    docker = DockerHost()
    docker.keep_image("web:1")
    host = ImageHost(docker)
    image_id = docker.images["web:1"]["Id"]
    host.contents["web:1"] = make_tar(installed("six", "1.0"))
    found = Looker(NearEngine(docker), docker, host.stream).look(image_id)
    assert [package.name for package in found] == ["six"]
    name = "hypercode-image-content-" + image_id[7:19]
    assert docker.commands == [
        [
            *("docker", "create", "--pull", "never", "--name", name, "--label", LABEL, "--network", "none"),
            *("--entrypoint", "", image_id, "/never-run"),
        ],
        ["docker", "rm", "--force", "--volumes", name],
    ]
    assert host.made == {}
    docker.remove()


@pytest.mark.parametrize("error", [ContentError("x"), KeyError("x"), KilledError()])
def test_it_is_removed_whatever_happens(error: BaseException) -> None:
    commands: list[list[str]] = []

    def run(argv: Any, **_options: Any) -> CommandResult:
        commands.append(list(argv))
        return CommandResult(0)

    def stream(_argv: Any, _timeout: float) -> Any:
        raise error

    with pytest.raises(type(error)):
        Looker(LeftEngine(), run, stream).look(ID)
    assert commands[-1] == ["docker", "rm", "--force", "--volumes", NAME]


def test_leftovers_of_ours_are_removed_and_only_those() -> None:
    engine = LeftEngine(
        {"Id": "1", "Names": [f"/{NAME}"], "State": "created"},
        {"Id": "2", "Names": ["/somebodys"], "State": "created"},
        {"Id": "3", "Names": [f"/{NAME}-x"], "State": "running"},
        {"Id": "4", "Names": None, "State": "created"},
    )
    removed: list[str] = []

    def run(argv: Any, **_options: Any) -> CommandResult:
        removed.extend([argv[-1]] if "rm" in argv else [])
        return CommandResult(0)

    Looker(engine, run, lambda _argv, _timeout: io.BytesIO(make_tar({}))).look(ID)
    assert removed == ["1", NAME]
    assert engine.asked == [("/containers/json", {"all": "1", "filters": {"label": [LABEL]}})]


def test_docker_that_makes_no_container() -> None:
    def run(argv: Any, **_options: Any) -> CommandResult:
        return CommandResult(1, "", "Error response from daemon: no space left on device.\n")

    with pytest.raises(ContentError, match=r"no space left on device$"):
        Looker(LeftEngine(), run).look(ID)


# ---- kept on the disk -------------------------------------------------------------------------------------------


def test_what_was_found_is_kept(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path / "images")
    assert cache.read(ID) is None
    cache.write(ID, [SIX])
    cache.write(OTHER, [])
    assert (cache.read(ID), cache.read(OTHER)) == ([SIX], [])
    path = tmp_path / "images" / f"{'ab' * 32}.json"
    assert path.stat().st_mode & 0o777 == 0o644
    assert json.loads(path.read_text())["packages"] == [{"name": "six", "version": "1.0", "path": SIX.path}]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"schema": 2, "image_id": "ID", "packages": []}',
        '{"schema": 1, "image_id": "OTHER", "packages": []}',
        '{"schema": 1, "image_id": "ID", "packages": [{"name": "x"}]}',
        '{"schema": 1, "image_id": "ID", "packages": [{"name": 1, "version": "", "path": ""}]}',
        '{"schema": 1, "image_id": "ID", "packages": {"a": 1}}',
        '{"schema": 1, "image_id": "ID"}',
        "\xff",
    ],
)
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    cache = ContentCache(tmp_path)
    text = text.replace('"ID', f'"{ID}').replace('"OTHER', f'"{OTHER}')
    (tmp_path / f"{'ab' * 32}.json").write_bytes(text.encode("latin-1"))
    assert cache.read(ID) is None
    cache.write(ID, [SIX])
    assert cache.read(ID) == [SIX]


@pytest.mark.parametrize("image_id", ["", "web:1", "sha256:../../etc/passwd", "sha256:" + "AB" * 32])
def test_what_is_no_image_id_is_not_kept(tmp_path: Path, image_id: str) -> None:
    cache = ContentCache(tmp_path / "images")
    cache.write(image_id, [SIX])
    assert cache.read(image_id) is None
    assert list(tmp_path.iterdir()) == []


def test_pruning(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path)
    cache.write(ID, [SIX])
    cache.write(OTHER, [SIX])
    (tmp_path / "README").write_text("of somebody else")
    cache.prune({OTHER, "odd"})
    assert {path.name for path in tmp_path.iterdir()} == {f"{'cd' * 32}.json", "README"}
    ContentCache(tmp_path / "none").prune(set())


def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("in the way")
    with pytest.raises(ContentError, match="images"):
        ContentCache(tmp_path / "images").write(ID, [])
    ContentCache(tmp_path / "images").prune(set())
