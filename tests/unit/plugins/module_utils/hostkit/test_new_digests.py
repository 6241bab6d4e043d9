"""Which digest a new image has, as a plan tells it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine, EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.new_digests import (
    login,
    registry_of,
    with_new_digests,
)
from fakes.small_stack import SmallStack, image_of, make_wanted


def plan(stack: SmallStack, **options: Any) -> dict[str, str]:
    stack.deploy(make_wanted())
    wanted = make_wanted(images={"web": image_of("web", "2"), "worker": image_of("worker", "2")})
    actions = stack.plan(wanted).actions
    return with_new_digests(actions, wanted.model["services"], stack.engine, **options)


def test_each_new_image_has_its_digest(stack: SmallStack) -> None:
    found = plan(stack)
    digest = stack.docker.registry[image_of("web", "2")]
    assert f" -> {image_of('web', '2')} ({digest[:19]})" in found["web"]
    assert " -> " in found["worker"]


def test_nothing_is_pulled_for_it(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    before = len(stack.docker.words("docker", "pull"))
    wanted = make_wanted("2")
    with_new_digests(stack.plan(wanted).actions, wanted.model["services"], stack.engine)
    assert len(stack.docker.words("docker", "pull")) == before


def test_a_registry_that_does_not_tell_is_asked_once(stack: SmallStack) -> None:
    stack.docker.registry_answers = True
    stack.deploy(make_wanted())
    stack.docker.registry_answers = False
    wanted = make_wanted("2")
    actions = stack.plan(wanted).actions
    stack.docker.requests.clear()
    assert with_new_digests(actions, wanted.model["services"], stack.engine) == actions
    assert len([path for path in stack.docker.requests if "/distribution/" in path]) == 1


def test_what_is_built_here_is_in_no_registry(stack: SmallStack) -> None:
    found = plan(stack, local_images=[image_of("web", "2")])
    assert found["web"].count("sha256") == 1
    assert found["worker"].count("sha256") == 2


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("registry.example.com:5000/demo/web:1", "registry.example.com:5000"),
        ("localhost/web:1", "localhost"),
        ("grafana/grafana:12", "docker.io"),
        ("redis:7", "docker.io"),
        ("docker.io/library/redis:7", "docker.io"),
    ],
)
def test_the_registry_of_an_image(image: str, registry: str) -> None:
    assert registry_of(image) == registry


def test_the_login_of_the_deployment_is_used(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    assert login(config, "r:5000") == {}
    word = base64.b64encode(b"me:pass:word").decode()
    config.write_text(json.dumps({"auths": {"r:5000": {"auth": word}, "broken": {"auth": "%"}}}), encoding="utf-8")
    assert login(config, "r:5000") == {"username": "me", "password": "pass:word", "serveraddress": "r:5000"}
    assert login(config, "broken") == {}
    assert login(config, "other") == {}


def test_the_engine_is_given_the_login(stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []
    plain = type(stack.engine)._exchange

    def exchange(self: Engine, target: str, headers: Any = None) -> tuple[int, bytes]:
        seen.append(headers or {})
        return plain(self, target)

    monkeypatch.setattr(type(stack.engine), "_exchange", exchange)
    stack.engine.registry_digest(image_of("web"), {"username": "me", "password": "secret", "serveraddress": "r"})
    assert json.loads(base64.urlsafe_b64decode(seen[-1]["X-Registry-Auth"]))["username"] == "me"
    with pytest.raises(EngineError, match="does not tell the digest of nowhere/x:1"):
        stack.engine.registry_digest("nowhere/x:1", {})
