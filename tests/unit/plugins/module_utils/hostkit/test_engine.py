"""The engine's client against a server on a real Unix socket."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import engine as module
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine, EngineError, NotFound
from fakes.docker_host import Behaviour
from fakes.small_stack import SmallStack


class Canned:
    """Answers every connection with the same bytes."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._answer = answer
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                connection.sendall(self._answer)

    def close(self) -> None:
        # Closing alone leaves the thread in accept(), on a number that is given to the next socket.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        assert not self._thread.is_alive()
        self._socket.close()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[SmallStack]:
    """A host whose engine answers on a real socket."""
    made = SmallStack(tmp_path / "root", served=True)
    yield made
    made.close()


@pytest.fixture
def canned(tmp_path: Path) -> Iterator[object]:
    servers: list[Canned] = []

    def make(answer: bytes, timeout: float = 2) -> Engine:
        path = tmp_path / f"s{len(servers)}"
        servers.append(Canned(path, answer))
        return Engine(str(path), timeout=timeout)

    yield make
    for server in servers:
        server.close()


def test_version(stack: SmallStack) -> None:
    assert stack.engine.version() == "28.5.0"


def test_it_speaks_the_version_that_it_knows(stack: SmallStack) -> None:
    stack.engine.containers("demo")
    stack.engine.containers("demo")
    assert [path.partition("?")[0] for path in stack.docker.requests] == [
        "/version",
        "/v1.41/containers/json",
        "/v1.41/containers/json",
    ]


@pytest.mark.parametrize("oldest", ["1.44", "2.0"])
def test_a_newer_engine_dropped_that_version(stack: SmallStack, oldest: str) -> None:
    """Engine 29 refuses everything before 1.44."""
    stack.docker.api = (oldest, oldest)
    assert stack.engine.containers("demo") == []
    assert stack.docker.requests[-1].startswith(f"/v{oldest}/")
    with pytest.raises(EngineError, match="too old"):
        Engine._document(stack.engine, "/v1.41/containers/json", {})


def test_containers_of_one_project(stack: SmallStack) -> None:
    mine = stack.docker.add("demo", "web", {"image": "web:1"})
    stack.docker.add("demo2", "web", {"image": "web:1"})
    assert [found["Id"] for found in stack.engine.containers("demo")] == [mine.id]


def test_a_container_that_vanishes_between_list_and_look(stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.docker.add("demo", "web", {"image": "web:1"})
    real = stack.docker._document

    def vanish(path: str, query: dict[str, str]) -> object:
        return None if path.endswith("/json") and "/containers/0" in path else real(path, query)

    monkeypatch.setattr(stack.docker, "_document", vanish)
    assert stack.engine.containers("demo") == []


def test_images_and_networks(stack: SmallStack) -> None:
    assert stack.engine.image("reg:5000/a/b:1") is None
    stack.docker.keep_image("reg:5000/a/b:1", "sha256:0a")
    assert stack.engine.image("reg:5000/a/b:1")
    assert stack.engine.image("reg:5000/a/b@sha256:0a")
    assert stack.engine.image("reg:5000/a/b:other@sha256:0a")
    assert stack.engine.image("reg:5000/a/b@sha256:0b") is None
    assert stack.engine.network("demo_back") is None
    stack.docker.networks["demo_back"] = {"Name": "demo_back"}
    found = stack.engine.network("demo_back")
    assert found
    assert found["Name"] == "demo_back"


def test_memory(stack: SmallStack) -> None:
    container = stack.docker.add("demo", "web", {"image": "web:1"})
    assert stack.engine.memory_bytes(container.id) == 40 * 2**20
    assert stack.engine.memory_bytes("none") is None


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        ({}, None),
        ({"memory_stats": {}}, None),
        ({"memory_stats": {"usage": 10}}, 10),
        ({"memory_stats": {"usage": 10, "stats": {"total_inactive_file": 4, "inactive_file": 1}}}, 6),
        ({"memory_stats": {"usage": 10, "stats": {"inactive_file": 11}}}, 0),
    ],
)
def test_memory_as_engines_tell_it(
    stack: SmallStack, monkeypatch: pytest.MonkeyPatch, stats: object, expected: int | None
) -> None:
    monkeypatch.setattr(stack.engine, "get", lambda *_words, **_query: stats)
    assert stack.engine.memory_bytes("x") == expected


def test_logs(stack: SmallStack) -> None:
    stack.docker.behaviours["web"] = Behaviour(log="one\ntwo ä\n")
    container = stack.docker.add("demo", "web", {"image": "web:1"})
    assert stack.engine.logs(container.id) == "one\ntwo ä\n"
    assert stack.engine.logs("none").startswith("(no log: ")


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (b"", b""),
        (b"plain text of a terminal", b"plain text of a terminal"),
        (b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\x01c", b"abc"),
        (b"\x01\0\0\0\0\0\0\x09cut", b"cut"),
        (b"\x01\0\0\0\0\0\0\x01a\x01\0\0", b"a"),
    ],
)
def test_frames_of_a_log(raw: bytes, plain: bytes) -> None:
    assert module._demultiplex(raw) == plain


# ---- nothing there, or nothing good -----------------------------------------------------------------------------


def test_no_socket(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"Docker is not running here.*Fix: systemctl start docker"):
        Engine(str(tmp_path / "none")).version()


def test_a_socket_that_nobody_listens_on(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(EngineError, match="Docker is not running here"):
        Engine(str(path)).version()


def test_not_root(stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_connection: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.UnixConnection, "connect", refuse)
    with pytest.raises(EngineError, match=r"Only root may talk to Docker.*Fix: run it with sudo"):
        stack.engine.version()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "does not answer"),
        (b"garbage\r\n\r\n", "does not answer"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 50\r\n\r\n{", "does not answer"),
        (b"HTTP/1.0 200 OK\r\n\r\n{", "cut off or no JSON"),
        (b"HTTP/1.0 200 OK\r\n\r\n[]", "is no Docker engine"),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", "is no Docker engine"),
        (b"HTTP/1.0 404 X\r\n\r\n{}", ""),
        (b'HTTP/1.0 500 X\r\n\r\n{"message": "boom"}', "boom"),
        (b"HTTP/1.0 500 X\r\n\r\n<html>", "<html>"),
    ],
)
def test_bad_answers_are_one_clear_error(canned: object, answer: bytes, problem: str) -> None:
    assert callable(canned)
    with pytest.raises(EngineError) as caught:
        canned(answer).version()
    assert problem in str(caught.value)


def test_an_engine_that_hangs(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        with pytest.raises(EngineError, match=r"does not answer .*timed out"):
            Engine(str(path), timeout=0.05).version()


def test_not_found_is_its_own_error(stack: SmallStack) -> None:
    with pytest.raises(NotFound, match="no such thing"):
        stack.engine.get("/containers/none/json")


# ---- the command line -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_the_logins_of_the_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    if there:
        (tmp_path / "config.json").write_text(json.dumps({}))
    monkeypatch.setattr(module, "CLIENT_CONFIG", str(tmp_path))
    seen: list[dict[str, str]] = []

    def run(_argv: list[str], *, environment: dict[str, str], **_options: object) -> CommandResult:
        seen.append(environment)
        return CommandResult(0)

    monkeypatch.setattr(module, "run_command", run)
    module.run_docker(["docker", "ps"], environment={"A": "b"})
    assert seen == [{"A": "b", **({"DOCKER_CONFIG": str(tmp_path)} if there else {})}]
