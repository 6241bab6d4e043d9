"""What is wrong with a new release, or what else it means, is said in words before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import deploy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release_volumes import displaced, written_by
from fakes.docker_extras import with_architecture, with_volumes
from fakes.docker_host import Behaviour
from fakes.rollouts import events, failing, newest
from fakes.small_stack import NEEDS, SmallStack, image_of, make_wanted

DATA = {"type": "volume", "source": "data", "target": "/data"}


def changed(wanted: deploy.Wanted, services: dict[str, dict[str, Any]], **model: Any) -> deploy.Wanted:
    """The same with other keys for some services, and for the project."""
    mine = {name: {**service, **services.get(name, {})} for name, service in wanted.model["services"].items()}
    fields = {name: getattr(wanted, name) for name in ("services", "order", "secrets", "project", "about")}
    return deploy.Wanted(model={**wanted.model, "services": mine, **model}, **fields)


def with_data(service: str, **options: Any) -> deploy.Wanted:
    """A stack in which one service writes the volume data."""
    return changed(make_wanted(**options), {service: {"volumes": [DATA]}}, volumes={"data": {}})


def untouched(stack: SmallStack, before: set[str]) -> bool:
    failure = newest(stack)["failure"]
    return {*stack.docker.containers} == before and failure["touched"] is False and "up" not in events(stack)


# ---- images ------------------------------------------------------------------------------------------------------


def test_an_image_for_another_architecture(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    before = {*stack.docker.containers}
    with_architecture(stack.docker, "amd64", {"web": "arm64"})
    error = failing(stack, make_wanted("2"))
    assert str(error) == (
        "This image is for another architecture than this host, which is amd64: "
        f"{image_of('web', '2')} (arm64). It would not start. Nothing was stopped. "
        "Fix: build and push it for linux/amd64, then run the same command again"
    )
    assert untouched(stack, before)


def test_all_images_for_another_architecture_are_told_at_once(stack: SmallStack) -> None:
    with_architecture(stack.docker, "arm64", {"web": "amd64", "worker": "amd64"})
    said = str(failing(stack, make_wanted()))
    assert f"{image_of('web')} (amd64), {image_of('worker')} (amd64)" in said
    assert "db:" not in said


@pytest.mark.parametrize(
    ("engine", "image", "platform"),
    [
        ("amd64", "amd64", ""),
        ("amd64", "386", ""),
        ("arm64", "arm", ""),
        ("amd64", "arm64", "linux/arm64"),
        ("", "arm64", ""),
        ("amd64", "", ""),
    ],
)
def test_an_image_that_runs_here(stack: SmallStack, engine: str, image: str, platform: str) -> None:
    with_architecture(stack.docker, engine, {"web": image})
    stated = {"web": {"platform": platform}} if platform else {}
    assert stack.deploy(changed(make_wanted(), stated))["status"] == "done"


def test_a_digest_that_the_registry_does_not_have(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    before = {*stack.docker.containers}
    image = f"{image_of('web')}@sha256:{'0' * 64}"
    said = str(failing(stack, make_wanted(images={"web": image})))
    assert image in said
    assert "Fix: correct the digest (stack_images, or the Compose file)" in said
    assert untouched(stack, before)


def test_an_image_that_has_another_digest_than_stated(stack: SmallStack) -> None:
    """As where a mirror answers with something else: what the engine knows of the image counts."""
    stack.deploy(make_wanted())
    before = {*stack.docker.containers}
    stated = f"{image_of('web')}@sha256:{'1' * 64}"

    def pull(words: list[str]) -> CommandResult | None:
        if words[:2] == ["docker", "pull"] and words[-1] == stated:
            stack.docker.keep_image(stated, f"sha256:{'1' * 64}")
            name = f"{image_of('web').rpartition(':')[0]}@sha256:{'1' * 64}"
            stack.docker.images[name]["RepoDigests"] = [f"x@sha256:{'2' * 64}"]
            return CommandResult(0)
        return None

    stack.docker.before = pull
    said = str(failing(stack, make_wanted(images={"web": stated})))
    assert f"has another digest on this host: sha256:{'2' * 64}. Nothing was stopped. Fix: correct the digest" in said
    assert untouched(stack, before)


def test_a_manifest_without_this_architecture(stack: SmallStack) -> None:
    said = "no matching manifest for linux/arm64/v8 in the manifest list entries"
    stack.docker.before = lambda words: CommandResult(1, "", said) if "pull" in words else None
    assert "Fix: build and push it for this host's architecture too" in str(failing(stack, make_wanted()))


# ---- services that go ----------------------------------------------------------------------------------------------


def test_a_service_that_is_dropped_leaves_its_volume(stack: SmallStack) -> None:
    stack.deploy(with_data("worker"))
    without = make_wanted(needs={"db": [], "web": ["db"]})
    assert stack.plan(without).actions == {"worker": "remove: the volume demo_data stays; no deploy removes a volume"}
    stack.docker.commands.clear()
    stack.deploy(without)
    assert "worker" not in stack.docker.running()
    said = [word for words in stack.docker.commands for word in words]
    assert said
    assert not {"volume", "--volumes", "-v", "prune", "down"} & set(said)


def test_a_service_without_volumes_is_just_removed(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    assert stack.plan(make_wanted(needs={"db": [], "web": ["db"]})).actions == {"worker": "remove"}


# ---- services with a new name --------------------------------------------------------------------------------------

RENAMED = {"db": [], "web": ["db"], "jobs": ["db"]}


def renamed(**options: Any) -> deploy.Wanted:
    return make_wanted(needs=RENAMED, images={"jobs": image_of("worker")}, **options)


def test_a_service_with_a_new_name(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    assert stack.plan(renamed()).actions == {
        "jobs": "start: it looks like worker under a new name, with the same image. worker runs until this release is "
        "up, then it is removed. Whoever calls it worker has to use the new name",
        "worker": "remove: jobs takes its place",
    }


def test_a_new_version_under_a_new_name(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    newer = make_wanted(needs=RENAMED, images={"jobs": image_of("worker", "2")})
    assert "it looks like worker under a new name" in stack.plan(newer).actions["jobs"]


def test_another_image_or_command_is_another_service(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    other = make_wanted(needs=RENAMED, images={"jobs": image_of("web")})
    assert stack.plan(other).actions == {"jobs": "start", "worker": "remove"}
    command = changed(renamed(), {"jobs": {"command": ["beat"]}})
    assert stack.plan(command).actions == {"jobs": "start", "worker": "remove"}


def renamed_with_data() -> deploy.Wanted:
    return changed(renamed(), {"jobs": {"volumes": [DATA]}}, volumes={"data": {}})


def test_a_service_with_a_new_name_that_writes_the_same_volume(stack: SmallStack) -> None:
    stack.deploy(with_data("worker"))
    assert stack.plan(renamed_with_data()).actions == {
        "jobs": "start: it looks like worker under a new name, with the same image and the volume demo_data. worker is "
        "stopped before it starts, so it is down for a moment. Whoever calls it worker has to use the new name",
        "worker": "remove: jobs takes its place; the volume demo_data stays; no deploy removes a volume",
    }


def test_two_never_write_one_volume_at_once(stack: SmallStack) -> None:
    """Two databases on the same files break them: the old one has stopped before the new one starts."""
    with_volumes(stack.docker, {"worker": "demo_data", "jobs": "demo_data"})
    stack.deploy(with_data("worker"))
    together: list[set[str]] = []

    def look(_words: list[str]) -> None:
        together.append({"worker", "jobs"} & set(stack.docker.running()))

    stack.docker.before = look
    stack.docker.on_sleep = lambda: look([])
    stack.deploy(renamed_with_data())
    assert {"worker"} in together
    assert {"jobs"} in together
    assert {"worker", "jobs"} not in together


def test_the_way_back_never_has_two_either(stack: SmallStack) -> None:
    with_volumes(stack.docker, {"worker": "demo_data", "jobs": "demo_data"})
    stack.deploy(with_data("worker"))
    stack.docker.behaviours["jobs"] = Behaviour(healthy_after=None)
    together: list[set[str]] = []
    stack.docker.on_sleep = lambda: together.append({"worker", "jobs"} & set(stack.docker.running()))
    failing(stack, renamed_with_data())
    assert newest(stack)["status"] == "reverted"
    assert {"jobs"} in together
    assert {"worker", "jobs"} not in together
    assert set(stack.docker.running()) == set(NEEDS)


def test_an_old_service_that_cannot_be_stopped_lets_no_new_one_start(stack: SmallStack) -> None:
    with_volumes(stack.docker, {"worker": "demo_data", "jobs": "demo_data"})
    stack.deploy(with_data("worker"))
    stack.docker.before = lambda words: CommandResult(1, "", "it hangs") if words[:2] == ["docker", "stop"] else None
    said = str(failing(stack, renamed_with_data()))
    assert "worker cannot be stopped, and jobs is to write demo_data: it hangs. Fix: docker stop" in said
    assert set(stack.docker.running()) == set(NEEDS)


def test_what_a_service_writes() -> None:
    entries = [
        DATA,
        {"type": "volume", "source": "named", "target": "/n"},
        {"type": "volume", "source": "outside", "target": "/o"},
        {"type": "volume", "source": "read", "target": "/r", "read_only": True},
        {"type": "volume", "target": "/anonymous"},
        {"type": "bind", "source": "/srv/files", "target": "/f"},
        {"type": "tmpfs", "target": "/tmp"},
    ]
    volumes = {"data": None, "named": {"name": "shared"}, "outside": {"external": True}}
    model = {"services": {"web": {"volumes": entries}}, "volumes": volumes}
    assert written_by("web", model, "demo") == {"demo_data", "shared", "outside", "/srv/files"}


@pytest.mark.parametrize(
    ("state", "right", "mounted_by", "expected"),
    [
        ("running", True, "worker", ["jobs"]),
        ("exited", True, "worker", []),
        ("running", False, "worker", []),
        # Two that shared it before: the one that stays has it already.
        ("running", True, "jobs", []),
    ],
)
def test_who_is_in_the_way(state: str, right: bool, mounted_by: str, expected: list[str]) -> None:
    def container(service: str) -> dict[str, Any]:
        return {
            "Id": service,
            "Config": {"Labels": {"com.docker.compose.service": service}},
            "State": {"Status": state},
            "Mounts": [{"Type": "bind", "Source": "/srv/data", "RW": right}],
        }

    bind = {"type": "bind", "source": "/srv/data", "target": "/data"}
    model = {"services": {"jobs": {"volumes": [bind]}}}
    containers = [container("worker"), *([container("jobs")] if mounted_by == "jobs" else [])]
    assert [found.by for found in displaced(containers, model, "demo")] == expected


# ---- networks ------------------------------------------------------------------------------------------------------


def test_a_network_that_changes_under_running_containers(stack: SmallStack) -> None:
    stack.deploy(make_wanted(start_first=True))
    wanted = make_wanted(
        start_first=True,
        needs={**NEEDS, "more": []},
        images={"web": image_of("web", "2")},
        networks={"back": {"internal": True}},
    )
    anew = "the network demo_back is made anew (internal is false, wanted is true), so it is down for a moment"
    actions = dict(stack.plan(wanted).actions)
    # It cannot start beside the old one: the network that both would be on goes first.
    web = actions.pop("web")
    assert web.startswith(f"replace: {image_of('web')}")
    assert web.endswith(f"{image_of('web', '2')}; {anew}")
    assert actions == {"db": f"replace: {anew}", "worker": f"replace: {anew}", "more": "start"}


def test_a_change_of_a_network_that_docker_takes_as_it_is(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    plan = stack.plan(make_wanted(networks={"back": {"labels": {"a": "b"}}}))
    assert plan.actions == dict.fromkeys(NEEDS, "check: the network back changed")


def test_without_docker_nobody_knows_the_networks(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.stop()
    plan = stack.plan(make_wanted(networks={"back": {"internal": True}}))
    assert (plan.blind, plan.actions) == (True, dict.fromkeys(NEEDS, "check: the network back changed"))
