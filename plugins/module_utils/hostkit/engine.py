# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small client of the Docker Engine API over its Unix socket, and of the docker command line.

Reading goes through the socket (one round trip for a container); what Compose alone knows how to do goes through the
command line. Source of paths and fields: Docker Engine API v1.41, of engine 20.10.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .command import CommandResult, run_command
from .unix_http import UnixConnection

SOCKET = "/var/run/docker.sock"
# What is used here means the same from this version of the API on. Newer engines drop old versions: 29 begins at 1.44.
API = (1, 41)
# Registry logins of the deployment, apart from those of whoever works on the host.
CLIENT_CONFIG = "/etc/hypercode/docker"
# How often one looks for an engine that is away.
AWAY_POLL = 0.5
# What the docker client says when the engine went away under it.
_AWAY = re.compile(
    r"Cannot connect to the Docker daemon|error during connect|unexpected EOF|broken pipe", re.IGNORECASE
)
TRIES = 3
# How much of what is heard is taken at once, in bytes.
_PIECE = 65536


class EngineError(Exception):
    """The engine refused something or does not answer. The text names it and, where known, the fix."""


class EngineAway(EngineError):
    """Nothing answers, as while the engine is started again."""


class NotFound(EngineError):
    """There is no such container or image."""


def run_docker(
    argv: Sequence[str],
    *,
    timeout: float = 600,
    environment: Mapping[str, str] | None = None,
    inherit: bool = True,
    text: str | None = None,
) -> CommandResult:
    """Run a docker command with the logins of the deployment."""
    environment = {**client_environment(), **(environment or {})}
    return run_command(argv, timeout=timeout, environment=environment, inherit=inherit, text=text)


def patient_runner(run: Callable[..., CommandResult], engine: Engine) -> Callable[..., CommandResult]:
    """Run docker commands as ``run`` does. One under which the engine went away is run again when it is back.

    All that this is used for can be done twice: what is there already is left alone.
    """

    def patiently(argv: Sequence[str], **options: Any) -> CommandResult:
        if _verb(argv) == "run":
            # A command of the operator's, in a container: it may be none that can be done twice.
            return run(argv, **options)
        for _again in range(TRIES - 1):
            done = run(argv, **options)
            if done.code == 0 or not _AWAY.search(done.stderr):
                return done
            try:
                engine.version()
            except EngineError:
                return done
        return run(argv, **options)

    return patiently


def _verb(argv: Sequence[str]) -> str:
    """Return what docker, or docker compose, is told to do. Each option before it has a value, as we write them."""
    words = iter(argv[2:] if list(argv[1:2]) == ["compose"] else argv[1:])
    for word in words:
        if not word.startswith("-"):
            return word
        if "=" not in word:
            next(words, "")
    return ""


def client_environment() -> dict[str, str]:
    """Return what makes the docker client use the logins of the deployment, where the role docker wrote any."""
    return {"DOCKER_CONFIG": CLIENT_CONFIG} if os.path.exists(f"{CLIENT_CONFIG}/config.json") else {}  # noqa: PTH110


class Engine:
    """The Docker engine of this host. One that is away is waited for, for as many seconds as ``patience`` has."""

    def __init__(
        self,
        path: str = SOCKET,
        timeout: float = 30,
        *,
        patience: float = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._path = path
        self._timeout = timeout
        self.patience = patience
        self._clock, self._sleep = clock, sleep
        self._prefix: str | None = None

    def get(self, path: str, **query: object) -> Any:
        """GET a JSON document. Raises NotFound on 404, EngineError on anything else that is not 2xx."""
        try:
            return self._document(self._api_prefix() + path, query)
        except NotFound:
            raise
        except EngineError:
            # It may be another version by now, that dropped the one that was talked in.
            self._prefix = None
            raise

    def _api_prefix(self) -> str:
        """Return the version of the API to talk in, as the beginning of a path; the engine is asked once."""
        if self._prefix is None:
            stated = str(self._about().get("MinAPIVersion") or "")
            oldest = tuple(int(number) for number in stated.split(".")) if re.fullmatch(r"\d+\.\d+", stated) else API
            self._prefix = "/v{}.{}".format(*max(API, oldest))
        return self._prefix

    def _about(self) -> Mapping[str, Any]:
        # The one path that every engine answers without a version.
        about = self._document("/version", {})
        if not isinstance(about, dict) or "Version" not in about:
            raise EngineError(f"What answers on {self._path} is no Docker engine. Fix: systemctl status docker")
        return about

    def _document(self, target: str, query: Mapping[str, object]) -> Any:
        body = self._get_raw(target, query)
        try:
            return json.loads(body) if body else None
        except ValueError as error:
            raise EngineError(
                f"Docker's answer to {target} is cut off or no JSON. Fix: systemctl status docker, then run it again"
            ) from error

    def _get_raw(self, path: str, query: Mapping[str, object]) -> bytes:
        words = {key: json.dumps(value) if isinstance(value, dict) else str(value) for key, value in query.items()}
        status, body = self._patiently(path + (f"?{urllib.parse.urlencode(words)}" if words else ""))
        if status == 404:
            raise NotFound(_message(body))
        if status >= 300:
            raise EngineError(f"Docker refused {path}: {_message(body)}")
        return body

    @contextlib.contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """While inside, wait for the engine for that long where it is away."""
        before, self.patience = self.patience, seconds
        try:
            yield
        finally:
            self.patience = before

    def _patiently(self, target: str) -> tuple[int, bytes]:
        began = self._clock()
        while True:
            try:
                return self._exchange(target)
            except EngineAway:
                if self._clock() - began >= self.patience:
                    raise
                self._sleep(AWAY_POLL)

    def _exchange(
        self, target: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", timeout: float = 0
    ) -> tuple[int, bytes]:
        """Send one request; return status and body."""
        connection = UnixConnection(self._path, timeout or self._timeout)
        try:
            connection.request(method, target, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise EngineAway(
                f"Docker is not running here: nothing answers on {self._path}. Fix: systemctl start docker"
            ) from error
        except PermissionError as error:
            raise EngineError(
                f"Only root may talk to Docker ({self._path}). Fix: run it with sudo; in a playbook, become: true"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise EngineAway(
                f"Docker does not answer on {self._path} ({error}). "
                "Fix: systemctl status docker, then systemctl restart docker"
            ) from error
        finally:
            connection.close()

    def version(self) -> str:
        """Return the engine's version; EngineError when there is none that answers."""
        return str(self._about()["Version"])

    def architecture(self) -> str:
        """Return what this engine runs, in the words of images, such as amd64; empty when it does not say."""
        return str(self._about().get("Arch") or "")

    def containers(self, project: str) -> list[dict[str, Any]]:
        """Inspect every container of a Compose project, running or not; one that vanishes meanwhile is left out."""
        listed = self.get("/containers/json", all="1", filters={"label": [f"com.docker.compose.project={project}"]})
        found = []
        for item in listed:
            try:
                found.append(self.get(f"/containers/{item['Id']}/json"))
            except NotFound:
                continue
        return found

    def image(self, reference: str) -> dict[str, Any] | None:
        """Inspect an image that is on this host; None when it is not."""
        try:
            document: dict[str, Any] = self.get(f"/images/{urllib.parse.quote(reference, safe='/:@')}/json")
        except NotFound:
            return None
        return document

    def registry_digest(self, image: str, login: Mapping[str, str]) -> str:
        """Ask the registry of an image for its digest, and pull nothing. EngineError where it does not tell.

        ``login`` has username, password and serveraddress; it may be empty.
        """
        words = base64.urlsafe_b64encode(json.dumps(dict(login)).encode()).decode()
        path = f"{self._api_prefix()}/distribution/{urllib.parse.quote(image, safe='/:@')}/json"
        status, body = self._exchange(path, {"X-Registry-Auth": words})
        if status >= 300:
            raise EngineError(f"The registry does not tell the digest of {image}: {_message(body)}")
        try:
            return str(json.loads(body)["Descriptor"]["digest"])
        except (KeyError, TypeError, ValueError) as error:
            raise EngineError(f"Docker's answer about {image} has no digest") from error

    def image_ids(self) -> frozenset[str]:
        """Return the ids of all images on this host."""
        return frozenset(str(image["Id"]) for image in self.get("/images/json"))

    def network(self, name: str) -> dict[str, Any] | None:
        """Inspect a network, with the running containers on it; None when there is none of that name."""
        try:
            document: dict[str, Any] = self.get(f"/networks/{urllib.parse.quote(name, safe='')}")
        except NotFound:
            return None
        return document

    def networks(self, project: str) -> list[dict[str, Any]]:
        """List the networks of a Compose project, without who is on them."""
        found: list[dict[str, Any]] = self.get(
            "/networks", filters={"label": [f"com.docker.compose.project={project}"]}
        )
        return found

    def restart(self, container_id: str, *, patience: float) -> None:
        """Restart a container; it has its own time to stop. The answer comes when it runs. Raises EngineError.

        ``patience`` is in seconds, for all of it.
        """
        path = f"{self._api_prefix()}/containers/{container_id}/restart"
        status, body = self._exchange(path, method="POST", timeout=patience)
        if status >= 300:
            raise (NotFound if status == 404 else EngineError)(f"Docker did not restart it: {_message(body)}")

    def events(self, filters: Mapping[str, Any], *, patience: float) -> Iterator[bool]:
        """Listen from now on: True for each event that fits, the end after ``patience`` quiet seconds.

        Raises EngineError, also when Docker ends.
        """
        connection, answer = self._listen({"filters": json.dumps(filters)})
        return self._heard(connection, answer, patience)

    def event_stream(self, filters: Mapping[str, Any], *, since: str, patience: float) -> Iterator[bytes]:
        """Listen: the bytes as they come, JSON lines cut anywhere; the end after ``patience`` quiet seconds.

        Docker remembers a few of those before: it begins with what was later than ``since``, seconds since 1970 with
        up to nine digits after the point. Raises EngineError, also when Docker ends.
        """
        connection, answer = self._listen({"filters": json.dumps(filters), "since": since})
        return self._pieces(connection, answer, patience)

    def _pieces(self, connection: UnixConnection, answer: http.client.HTTPResponse, patience: float) -> Iterator[bytes]:
        with self._hearing(connection, answer, patience):
            while piece := answer.read1(_PIECE):
                yield piece
            raise EngineError("Docker has ended. Fix: systemctl status docker")

    def _listen(self, query: Mapping[str, str]) -> tuple[UnixConnection, http.client.HTTPResponse]:
        words, prefix = urllib.parse.urlencode(query), self._api_prefix()
        connection = UnixConnection(self._path, self._timeout)
        try:
            connection.request("GET", f"{prefix}/events?{words}")
            answer = connection.getresponse()
            if answer.status >= 300:
                self._prefix = None
                raise EngineError(f"Docker does not tell what happens: {_message(answer.read())}")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise EngineError(
                f"Docker does not answer on {self._path} ({error}). Fix: systemctl status docker"
            ) from error
        return connection, answer

    def _heard(self, connection: UnixConnection, answer: http.client.HTTPResponse, patience: float) -> Iterator[bool]:
        with self._hearing(connection, answer, patience):
            while answer.readline():
                yield True
            raise EngineError("Docker has ended. Fix: systemctl status docker")

    @contextlib.contextmanager
    def _hearing(self, connection: UnixConnection, answer: http.client.HTTPResponse, patience: float) -> Iterator[None]:
        """While inside, silence of so many seconds is the end. Raises EngineError when Docker breaks off."""
        try:
            connection.sock.settimeout(patience)
            yield
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(f"Docker broke off ({error}). Fix: systemctl status docker") from error
        finally:
            answer.close()
            connection.close()

    def memory_bytes(self, container_id: str) -> int | None:
        """Memory in use without the page cache, as `docker stats` shows it; None when the container is not running."""
        try:
            stats = self.get(f"/containers/{container_id}/stats", stream="0", **{"one-shot": "1"})
        except EngineError:
            return None
        memory = stats.get("memory_stats") or {}
        if "usage" not in memory:
            return None
        detail = memory.get("stats") or {}
        # total_inactive_file is cgroup v1's name, inactive_file v2's.
        cache = int(detail.get("total_inactive_file", detail.get("inactive_file", 0)))
        return max(0, int(memory["usage"]) - cache)

    def logs(self, container_id: str, lines: int = 50) -> str:
        """Return the last lines of a container's output, standard output and error together."""
        try:
            path = f"{self._api_prefix()}/containers/{container_id}/logs"
            raw = self._get_raw(path, {"stdout": 1, "stderr": 1, "tail": lines})
        except EngineError as error:
            return f"(no log: {error})"
        return _demultiplex(raw).decode(errors="replace")

    def lines_since(self, container_id: str, since: float, lines: int, most: int) -> bytes:
        """Output of a container since a moment (seconds since 1970): the last ``lines`` of it, ``most`` bytes at most.

        Raises EngineError.
        """
        words = f"stdout=1&stderr=1&tail={lines}&since={since:.9f}"
        connection = UnixConnection(self._path, self._timeout)
        try:
            connection.request("GET", f"{self._api_prefix()}/containers/{container_id}/logs?{words}")
            answer = connection.getresponse()
            if answer.status >= 300:
                raise EngineError(f"Docker does not show the output: {_message(answer.read(_PIECE))}")
            return _demultiplex(answer.read(most))
        except (OSError, http.client.HTTPException) as error:
            raise EngineAway(f"Docker breaks off ({error}). Fix: systemctl status docker") from error
        finally:
            connection.close()


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body).get("message", ""))
    except (ValueError, AttributeError):
        return body.decode(errors="replace")[:300]


def _demultiplex(raw: bytes) -> bytes:
    """Strip the 8-byte frame headers that the engine puts before each piece of a log without a terminal."""
    pieces, position = [], 0
    while position + 8 <= len(raw):
        if raw[position] not in (0, 1, 2) or raw[position + 1 : position + 4] != b"\0\0\0":
            return raw
        size = int.from_bytes(raw[position + 4 : position + 8], "big")
        pieces.append(raw[position + 8 : position + 8 + size])
        position += 8 + size
    return b"".join(pieces)
