"""The images of the releases that can be gone back to survive pruning; those that none needs go. On a fake host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.image_keeper import NAME_PREFIX, images_of
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.prune_filter import FILTER, add_filter
from fakes import docker_keepers
from fakes.docker_host import Behaviour
from fakes.rollouts import ONE, TWO, events, failing
from fakes.small_stack import NEEDS, SmallStack, image_of, make_wanted


def ids(stack: SmallStack, version: str) -> set[str]:
    """The ids of the images of a version that are on the host."""
    names = {image_of(name, version) for name in NEEDS}
    return {found["Id"] for name, found in stack.docker.images.items() if name in names}


def kept(stack: SmallStack) -> set[str]:
    return {keeper["ImageID"] for keeper in stack.docker.keepers.values()}


def deploy(stack: SmallStack, version: str, **about: Any) -> dict[str, Any]:
    return stack.deploy(make_wanted(version, keep_releases=2, **about))


# ---- kept ------------------------------------------------------------------------------------------------------------


def test_pruning_images_takes_only_what_no_kept_release_needs(stack: SmallStack) -> None:
    stack.docker.keep_image("registry.example.com:5000/other:1", "sha256:" + "7" * 64)
    for version in ("1", "2"):
        deploy(stack, version)
    assert kept(stack) == ids(stack, "1") | ids(stack, "2")
    docker_keepers.prune_images(stack.docker)
    assert not any("other" in name for name in stack.docker.images)
    assert len(ids(stack, "1")) == len(ids(stack, "2")) == 3


def test_a_keeper_has_no_network_no_volume_and_is_nobodys_service(stack: SmallStack) -> None:
    made = []

    def look(words: list[str]) -> None:
        if words[:2] == ["docker", "create"]:
            made.append(words)
        if words[:2] == ["docker", "pull"] and len(stack.docker.images) > 1:
            for document in stack.docker.images.values():
                document["Config"] = {"Volumes": {"/data": {}}}

    stack.docker.before = look
    deploy(stack, "1")
    words = next(words for words in made if "--tmpfs" in words)
    assert words[words.index("--tmpfs") + 1] == "/data"
    assert words[words.index("--network") + 1] == "none"
    assert words[words.index("--name") + 1].startswith(NAME_PREFIX)
    # What an image brings along by `docker compose build` is taken away.
    assert [word for word in words if "compose" in word] == [
        *("com.docker.compose.project=", "com.docker.compose.service=")
    ]
    assert set(stack.docker.running()) == set(NEEDS)
    assert stack.plan(make_wanted("1")).actions == {}


def test_they_are_made_once_and_again_when_somebody_took_them(stack: SmallStack) -> None:
    deploy(stack, "1")
    deploy(stack, "2")
    assert len(stack.docker.words("create")) == 6
    stack.docker.keepers.clear()
    deploy(stack, "2", why="another configuration")
    stack.docker.of("web").state = "exited"
    deploy(stack, "2")
    assert kept(stack) == ids(stack, "1") | ids(stack, "2")


def test_an_image_that_is_gone_is_said_and_stops_nothing(stack: SmallStack) -> None:
    deploy(stack, "1")
    stack.docker.keepers.clear()
    stack.docker.images = {}
    assert deploy(stack, "2")["status"] == "done"
    assert events(stack).count("image not kept") == 3
    assert kept(stack) == ids(stack, "2")


def test_docker_refusing_to_make_them_stops_nothing(stack: SmallStack) -> None:
    refusal = CommandResult(1, "", "Error response from daemon: no space left on device")
    stack.docker.before = lambda words: refusal if words[1] == "create" else None
    assert deploy(stack, "1")["status"] == "done"
    assert "image not kept" in events(stack)


# ---- let go ----------------------------------------------------------------------------------------------------------


def test_the_images_of_a_release_that_is_pruned_go_with_it(stack: SmallStack) -> None:
    for version in ("1", "2", "3"):
        deploy(stack, version)
    assert [release.read()["version"] for release in stack.store.all()] == ["2", "3"]
    assert kept(stack) == ids(stack, "2") | ids(stack, "3")
    assert ids(stack, "1") == set()
    assert stack.docker.words("--force", "rmi") == []


def test_what_a_kept_release_still_uses_stays(stack: SmallStack) -> None:
    same = {"db": image_of("db", "1")}
    for version in ("1", "2", "3"):
        stack.deploy(make_wanted(version, images=same, keep_releases=2))
    assert {found["Id"] for name, found in stack.docker.images.items() if name == image_of("db", "1")} <= kept(stack)
    assert image_of("db", "1") in stack.docker.images
    assert image_of("web", "1") not in stack.docker.images


def test_what_a_release_that_never_came_up_uses_stays_with_it(stack: SmallStack) -> None:
    deploy(stack, "1")
    stack.docker.by_image[image_of("web", "3")] = Behaviour(healthy_after=None)
    failing(stack, make_wanted("3", images={"db": image_of("db", "1")}))
    deploy(stack, "2")
    del stack.docker.by_image[image_of("web", "3")]
    deploy(stack, "2", environment={"MORE": "yes"})
    assert "1" not in [release.read()["version"] for release in stack.store.all()]
    assert image_of("db", "1") in stack.docker.images
    assert image_of("worker", "1") not in stack.docker.images


def test_what_several_releases_used_goes_with_the_last(stack: SmallStack) -> None:
    same = {"db": image_of("db", "1")}
    for version, images in (("1", same), ("2", same), ("3", None), ("2", None)):
        stack.deploy(make_wanted(version, images=images, keep_releases=2))
    assert image_of("db", "1") not in stack.docker.images


def test_an_image_that_was_here_before_stays(stack: SmallStack) -> None:
    digest = stack.docker.registry[image_of("db", "1")]
    stack.docker.keep_image(image_of("db", "1"), digest)
    for version in ("1", "2", "3"):
        deploy(stack, version)
    assert image_of("db", "1") in stack.docker.images
    assert image_of("web", "1") not in stack.docker.images


@pytest.mark.parametrize("was_here", [False, True])
def test_what_a_pull_brought_that_did_not_get_all_goes_with_its_release(stack: SmallStack, was_here: bool) -> None:
    deploy(stack, "1")
    two, one = image_of("db", "2"), image_of("db", "1")
    if was_here:
        stack.docker.keep_image(two, stack.docker.registry[two])
    failing(stack, make_wanted("2", images={"web": image_of("web", "nowhere")}))
    assert two in stack.docker.images
    # Three that never came up, of which the newest two are kept.
    for number in "ab":
        failing(stack, make_wanted(number, images={"db": one, "web": image_of("web", f"nowhere-{number}")}))
    deploy(stack, "3")
    assert (two in stack.docker.images, one in stack.docker.images) == (was_here, True)


def test_an_image_that_another_container_uses_stays(stack: SmallStack) -> None:
    deploy(stack, "1")
    image_id = stack.docker.images[image_of("web", "1")]["Id"]
    stack.docker.add("other", "tool", {"image": image_of("web", "1")}, image_id)
    for version in ("2", "3"):
        deploy(stack, version)
    assert image_of("web", "1") in stack.docker.images
    assert image_of("db", "1") not in stack.docker.images


def test_a_tag_that_stands_for_another_image_now_stays(stack: SmallStack) -> None:
    deploy(stack, "1")
    for version in ("2", "3"):
        stack.docker.keep_image(image_of("web", "1"), "sha256:" + "8" * 64)
        deploy(stack, version)
    assert image_of("web", "1") in stack.docker.images


def test_what_was_built_here_goes_too(stack: SmallStack) -> None:
    for version in ("1", "2", "3"):
        local = f"localhost/hypercode/web:{version}"
        stack.docker.keep_image(local)
        deploy(stack, version, images={"web": local}, local_images=[local])
    assert [name for name in stack.docker.images if "localhost" in name] == [
        "localhost/hypercode/web:2",
        "localhost/hypercode/web:3",
    ]


def test_a_release_that_never_came_up_is_not_kept_for(stack: SmallStack) -> None:
    deploy(stack, "1")
    stack.docker.by_image[image_of("web", "2")] = Behaviour(healthy_after=None)
    failing(stack, make_wanted("2"))
    deploy(stack, "3")
    assert kept(stack) == ids(stack, "1") | ids(stack, "3")


def test_docker_failing_while_it_is_tidied_up_fails_no_release(stack: SmallStack) -> None:
    deploy(stack, "1")

    is_up = []

    def note(words: list[str]) -> None:
        if "--remove-orphans" in words:
            is_up.append(True)

    stack.docker.before = note
    real = stack.engine.get

    def refuse(path: str, **query: object) -> Any:
        if is_up and "keep-image" in str(query):
            raise EngineError("Docker does not answer")
        return real(path, **query)

    stack.engine.get = refuse  # type: ignore[method-assign]
    assert deploy(stack, "2")["status"] == "done"
    assert "images not removed" in events(stack)


# ---- going back to them ----------------------------------------------------------------------------------------------


def test_an_image_that_lost_its_name_is_taken_by_its_id(stack: SmallStack) -> None:
    """Of an image with two names, `docker image prune --all` takes one, and no registry is there to give it back."""
    deploy(stack, "1")
    deploy(stack, "2")
    first = stack.store.all()[0]
    web = next(found for found in images_of(first) if found.image == ONE["web"])
    stack.docker.registry_answers = False
    document = stack.docker.images.pop(ONE["web"])
    del stack.docker.images[docker_keepers.without_tag(web.reference)]
    stack.docker.images["another/name:1"] = document
    stack.apply(first)
    assert stack.docker.of("web").image_id == web.image_id
    assert first.read()["services"]["web"]["digest"] == web.reference.partition("@")[2]
    assert f"image: {web.image_id}" in first.compose_file.read_text(encoding="utf-8").replace('"', "")


def test_one_that_is_gone_for_good_is_said(stack: SmallStack) -> None:
    deploy(stack, "1")
    deploy(stack, "2")
    stack.docker.drop_images()
    stack.docker.registry_answers = False
    with pytest.raises(Exception, match=r"cannot be pulled.*It was on this host, and somebody removed it"):
        stack.apply(stack.store.all()[0])
    assert stack.docker.running() == TWO


# ---- the filter of root's client -------------------------------------------------------------------------------------


def test_the_filter_is_set_by_a_rollout(stack: SmallStack) -> None:
    deploy(stack, "1")
    path = stack.store.paths.root / "root/.docker/config.json"
    assert json.loads(path.read_text(encoding="utf-8")) == {"pruneFilters": [FILTER]}
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_filter_is_added_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "root/.docker/config.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"auths": {"r": {"auth": "eA=="}}, "pruneFilters": ["until=1h"]}', encoding="utf-8")
    path.chmod(0o640)
    assert add_filter(tmp_path) == ""
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found == {"auths": {"r": {"auth": "eA=="}}, "pruneFilters": ["until=1h", FILTER]}
    assert path.stat().st_mode & 0o777 == 0o640
    before = path.stat()
    assert add_filter(tmp_path) == ""
    assert path.stat() == before


@pytest.mark.parametrize("text", ["{", "[]", '{"pruneFilters": 3}'])
def test_what_cannot_be_read_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "root/.docker/config.json"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert "config.json is not what the docker client writes" in add_filter(tmp_path)
    assert path.read_text(encoding="utf-8") == text
