"""A host with Docker on it, in memory: the engine, the docker client, a registry and time.

The engine can answer HTTP for real (a small server), so that its client is tested as it is. What `docker compose` does
is played on the same state, as Compose 2.26 does it. Time stands still until somebody sleeps.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socketserver
import tempfile
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.envfile import load_env

from . import docker_keepers, unix_http
from .docker_parts import (
    LABEL,
    REFERENCE,
    Behaviour,
    Container,
    KilledError,
    NearEngine,
    config_hash,
    health_check,
    load,
    repository,
    told_hashes,
    without_tag,
)

__all__ = ["Behaviour", "Container", "DockerHost", "KilledError", "NearEngine"]


@dataclass
class DockerHost:
    """The state, and the two ways to it: `socket` for the engine's API, calling it for the command line."""

    socket: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="docker")) / "s")
    now: float = 1000.0
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    by_image: dict[str, Behaviour] = field(default_factory=dict)
    registry: dict[str, str] = field(default_factory=dict)
    registry_answers: bool = True
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    # What was made and never started, by its id: its name, label and image.
    keepers: dict[str, dict[str, Any]] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)
    before: Callable[[list[str]], CommandResult | None] = lambda _argv: None
    on_sleep: Callable[[], None] = lambda: None
    address: str = ""  # Of every container, in every network.
    api: tuple[str, str] = ("1.24", "1.48")
    answers: bool = True
    _server: Any = None
    _count: int = 0

    # ---- time ---------------------------------------------------------------------------------------------------

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep()

    # ---- the engine's API ---------------------------------------------------------------------------------------

    def start(self) -> None:
        self.answers = True
        if self._server:
            self.socket.with_suffix(".off").rename(self.socket)

    def stop(self) -> None:
        self.answers = False
        if self._server:
            self.socket.rename(self.socket.with_suffix(".off"))

    def serve(self) -> None:
        host = self

        class Handler(unix_http.Handler):
            def do_GET(self) -> None:
                status, body = host.answer(self.path)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

        self._server = socketserver.UnixStreamServer(str(self.socket), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()

    def remove(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
        shutil.rmtree(self.socket.parent, ignore_errors=True)

    def answer(self, target: str) -> tuple[int, bytes]:
        self.requests.append(target)
        parsed = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(parsed.query))
        path = urllib.parse.unquote(parsed.path)
        versioned = re.match(r"/v(\d+\.\d+)(/.*)", path)
        if versioned:
            asked = tuple(int(part) for part in versioned[1].split("."))
            if asked < tuple(int(part) for part in self.api[0].split(".")):
                return 400, json.dumps({"message": f"client version {versioned[1]} is too old"}).encode()
            path = versioned[2]
        found = self._document(path, query)
        if isinstance(found, bytes):
            return 200, found
        if found is None:
            return 404, json.dumps({"message": f"no such thing: {path}"}).encode()
        return 200, json.dumps(found).encode()

    def _document(self, path: str, query: dict[str, str]) -> Any:
        if path == "/version":
            return {"Version": "28.5.0", "ApiVersion": self.api[1], "MinAPIVersion": self.api[0]}
        if path == "/containers/json":
            return docker_keepers.listed(self, query)
        kind, _, rest = path.strip("/").partition("/")
        if kind in ("images", "distribution"):
            return docker_keepers.images(self, kind, rest)
        if kind == "networks":
            return self._network(rest) if rest else self._networks(query)
        name, _, what = rest.partition("/")
        container = self.containers.get(name)
        if kind != "containers" or container is None:
            return None
        if what == "json":
            return self.inspect(container)
        if what == "stats":
            return {"memory_stats": {"usage": 50 * 2**20, "stats": {"inactive_file": 10 * 2**20}}}
        text = container.behaviour.log.encode()
        return b"\x01\0\0\0" + len(text).to_bytes(4, "big") + text

    def _networks(self, query: dict[str, str]) -> list[dict[str, Any]]:
        key, _, value = json.loads(query["filters"])["label"][0].partition("=")
        return [found for found in self.networks.values() if found["Labels"].get(key) == value]

    def _network(self, name: str) -> dict[str, Any] | None:
        if name not in self.networks:
            return None
        attached = {
            item.id: {"Name": f"{item.project}-{item.service}-{item.number}"}
            for item in self.containers.values()
            if name in item.networks and item.state != "exited"
        }
        return {**self.networks[name], "Containers": attached}

    def inspect(self, container: Container) -> dict[str, Any]:
        """Return the container as the engine shows it now."""
        age, behaviour = self.now - container.started, container.behaviour
        status, restarts = container.state, 0
        if status == "running" and behaviour.restarts_every:
            restarts = int(age // behaviour.restarts_every)
        if status == "running" and behaviour.exits_after is not None and age >= behaviour.exits_after:
            container.state = status = "exited"
            container.exit_code = behaviour.exit_code
        health = behaviour.health(age)
        labels = {
            f"{LABEL}project": container.project,
            f"{LABEL}service": container.service,
            f"{LABEL}config-hash": container.hash,
            f"{LABEL}oneoff": str(container.oneoff),
        }
        return {
            "Id": container.id,
            "Name": f"/{container.name or f'{container.project}-{container.service}-{container.number}'}",
            "Image": container.image_id,
            "RestartCount": restarts,
            "State": {
                "Status": status,
                "ExitCode": container.exit_code,
                "StartedAt": f"{container.started + restarts * (behaviour.restarts_every or 0):.3f}",
                **({"Health": health} if health else {}),
            },
            "Config": {
                "Image": container.reference,
                "Labels": labels,
                "Env": [f"{key}={value}" for key, value in container.environment.items()],
                "Healthcheck": health_check(container),
            },
            "HostConfig": {"Memory": 2**30, "NanoCpus": 10**9, "RestartPolicy": {"Name": "on-failure"}},
            "NetworkSettings": {"Networks": {name: {"IPAddress": self.address} for name in container.networks}},
        }

    # ---- the registry -------------------------------------------------------------------------------------------

    def push(self, reference: str, content: str = "") -> str:
        """Put an image into the registry; return its digest. The same tag with other content moves the tag."""
        digest = "sha256:" + hashlib.sha256(f"{reference}{content}".encode()).hexdigest()
        self.registry[reference] = digest
        self.registry[repository(reference) + "@" + digest] = digest
        return digest

    def keep_image(self, reference: str, digest: str = "", content: str = "") -> None:
        image_id = "sha256:" + hashlib.sha256(f"id {digest or reference}{content}".encode()).hexdigest()
        names = [f"{repository(reference)}@{digest}"] if digest else []
        document = {"Id": image_id, "RepoDigests": names}
        for name in (reference, *names):
            self.images[without_tag(name)] = document

    def drop_images(self) -> None:
        self.images.clear()

    # ---- the docker client --------------------------------------------------------------------------------------

    def __call__(
        self, argv: Sequence[str], *, timeout: float, environment: Any = None, inherit: bool = True, text: Any = None
    ) -> CommandResult:
        words, self.text = [str(word) for word in argv], text or ""
        self.commands.append(words)
        self.environments.append({**(environment or {}), "inherit": str(inherit)})
        return self.before(words) or self._run(words)

    def _run(self, words: list[str]) -> CommandResult:
        match words:
            case ["docker", "pull", "--quiet", reference]:
                return self._pull(reference)
            case ["docker", "compose", "--project-name", project, "--file", file, "--env-file", env, verb, *rest]:
                return self._compose(project, Path(file), Path(env), verb, rest)
            case ["docker", "network", "rm", name]:
                if (self._network(name) or {}).get("Containers"):
                    return CommandResult(1, "", f"network {name} has active endpoints")
                self.networks.pop(name)
            case ["docker", "unpause", container]:
                self.containers[container].state = "running"
            case ["docker", "stop", *names]:
                for container in names:
                    self.containers[container].state = "exited"
            case ["docker", "rm", *names]:
                for container in (name for name in names if name != "--force"):
                    self.containers.pop(container, None) or self.keepers.pop(container)
            case ["docker", "exec", name, *_]:
                return self.containers[name].behaviour.check_now(self.now - self.containers[name].started)
            case ["docker", "create" | "rmi", *_]:
                return docker_keepers.run(self, words)
            case ["docker", "kill", "--signal", _, container]:
                return CommandResult(0 if container in self.containers else 1, "", "no such container")
            case _:
                raise AssertionError(f"the fake docker does not know: {words}")
        return CommandResult(0)

    def _pull(self, reference: str) -> CommandResult:
        if not self.registry_answers:
            return CommandResult(1, "", "Error response from daemon: dial tcp: connection refused")
        digest = self.registry.get(reference) or self.registry.get(without_tag(reference))
        if digest is None:
            return CommandResult(1, "", f"Error response from daemon: manifest for {reference} not found")
        self.keep_image(reference, digest)
        return CommandResult(0, reference + "\n")

    def _compose(self, project: str, file: Path, env: Path, verb: str, rest: list[str]) -> CommandResult:
        values = load_env(env.read_text(encoding="utf-8"))
        text = REFERENCE.sub(lambda m: "$" if m[0] == "$$" else values.get(m[1], ""), file.read_text(encoding="utf-8"))
        model = load(text)
        options = [word for word in rest if word.startswith("--")]
        scales = [rest[place + 1] for place, word in enumerate(rest) if word == "--scale"]
        names = [word for word in rest if not word.startswith("--") and word != "never" and word not in scales]
        mine = [item for item in self.containers.values() if item.project == project and not item.oneoff]
        if "config" in (verb, *rest):
            return told_hashes(model["services"], rest[-1], self.text)
        if verb == "stop":
            for item in mine:
                item.state = "exited"
            return CommandResult(0)
        if verb == "rm":
            for item in mine:
                if item.service in names:
                    self.containers.pop(item.id)
            return CommandResult(0)
        for name in names or list(model["services"]):
            copies = next((int(word.partition("=")[2]) for word in scales if word.startswith(f"{name}=")), None)
            copies = copies or (model["services"][name].get("deploy") or {}).get("replicas", 1)
            done = self._up(project, model, name, recreate="--no-recreate" not in options, copies=copies)
            if done.code:
                return done
        if "--remove-orphans" in options:
            for item in mine:
                if item.service not in model["services"]:
                    self.containers.pop(item.id, None)
        return CommandResult(0)

    def _up(self, project: str, model: dict[str, Any], name: str, *, recreate: bool, copies: int = 1) -> CommandResult:
        service = model["services"][name]
        image = docker_keepers.find(self, service["image"])
        if image is None:
            return CommandResult(1, "", f"Error response from daemon: No such image: {service['image']}")
        networks = []
        for key in service.get("networks") or ["default"]:
            stated = (model.get("networks") or {}).get(key) or {}
            network = stated.get("name") or f"{project}_{key}"
            networks.append(network)
            # A network that is there stays as it is, whatever the file says.
            self.networks.setdefault(
                network,
                {
                    "Name": network,
                    "Driver": "bridge",
                    "Internal": bool(stated.get("internal")),
                    "Attachable": False,
                    "EnableIPv6": False,
                    "IPAM": {"Config": []},
                    "Labels": {f"{LABEL}project": project, f"{LABEL}network": key},
                },
            )
        config = config_hash(service)
        mine = [item for item in self.containers.values() if item.is_of(project, name)]
        # What is not as the file says goes first.
        mine.sort(key=lambda item: (item.hash, item.image_id) != (config, image["Id"]))
        for surplus in mine[copies:]:
            self.containers.pop(surplus.id)
        if not copies:
            return CommandResult(0)
        for _further in range(copies - max(1, len(mine))):
            self.add(project, name, service, image["Id"], config, networks)
        if mine:
            old = mine[0]
            same = (old.hash, old.image_id) == (config, image["Id"])
            if same or not recreate:
                if old.state == "paused":
                    return CommandResult(1, "", "Error response from daemon: cannot start a paused container")
                if self.inspect(old)["State"]["Status"] != "running":
                    old.state, old.started, old.exit_code = "running", self.now, 0
                return CommandResult(0)
            self.containers.pop(old.id)
        for _copy in range(copies):
            self.add(project, name, service, image["Id"], config, networks)
        return CommandResult(0)

    def add(
        self,
        project: str,
        name: str,
        service: dict[str, Any],
        image_id: str = "",
        config: str = "",
        networks: Sequence[str] = (),
    ) -> Container:
        self._count += 1
        reference = service["image"]
        behaviour = self.by_image.get(reference.partition("@")[0]) or self.behaviours.get(name) or Behaviour()
        environment = {key: str(value) for key, value in (service.get("environment") or {}).items()}
        container = Container(
            id=f"{self._count:04d}{hashlib.sha256(name.encode()).hexdigest()[:60]}",
            project=project,
            service=name,
            reference=reference,
            image_id=image_id,
            hash=config,
            networks=list(networks),
            environment=environment,
            behaviour=behaviour,
            started=self.now,
        )
        self.containers[container.id] = container
        return container

    # ---- for assertions -----------------------------------------------------------------------------------------

    def of(self, service: str) -> Container:
        (found,) = [item for item in self.containers.values() if item.service == service]
        return found

    def running(self) -> dict[str, str]:
        """Return service -> image reference without digest, of what runs."""
        found = sorted(self.containers.values(), key=lambda item: item.service)
        return {
            item.service: item.reference.partition("@")[0]
            for item in found
            if self.inspect(item)["State"]["Status"] == "running"
        }

    def words(self, *wanted: str) -> list[list[str]]:
        return [words for words in self.commands if set(wanted) <= set(words)]

    def ups(self) -> list[list[str]]:
        """The services that each `compose up` of a level named."""
        found = [words for words in self.words("compose", "up") if "--remove-orphans" not in words]
        return [words[words.index("never") + 1 :] for words in found]
