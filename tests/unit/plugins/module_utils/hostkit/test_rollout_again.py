"""Jobs, networks, a rollout that was cut off, and repairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.outlet import network_name
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout import (
    RolloutError,
)
from fakes.docker_host import Behaviour, KilledError
from fakes.rollouts import ONE, TWO, failing, newest
from fakes.small_stack import NEEDS, SmallStack, image_of, make_wanted

# ---- jobs, paused containers, networks --------------------------------------------------------------------------

MIGRATE = {"db": [], "migrate": ["db"], "web": ["migrate"]}
ONCE = {"migrate": "service_completed_successfully"}


def with_job(stack: SmallStack, version: str = "1", **behaviour: Any) -> Any:
    for number in ("1", "2"):
        stack.docker.push(image_of("migrate", number))
    stack.docker.behaviours["migrate"] = Behaviour(check=False, **({"exits_after": 4.0, "exit_code": 0} | behaviour))
    return make_wanted(version, needs=MIGRATE, conditions=ONCE)


def test_a_job_is_ready_when_it_ended_well(stack: SmallStack) -> None:
    stack.deploy(with_job(stack))
    assert set(stack.docker.running()) == {"db", "web"}
    assert stack.docker.of("web").started - stack.docker.of("migrate").started >= 4
    assert stack.plan(with_job(stack)).actions == {}


def test_a_job_that_fails_stops_the_release(stack: SmallStack) -> None:
    error = failing(stack, with_job(stack, exit_code=2))
    assert "migrate stopped with exit code 2" in str(error)
    assert "web" not in stack.docker.running()


def test_a_job_that_never_ends(stack: SmallStack) -> None:
    assert "migrate did not end its work within 30 s" in str(failing(stack, with_job(stack, exits_after=None)))


def test_a_repair_does_not_run_a_job_again(stack: SmallStack) -> None:
    stack.deploy(with_job(stack))
    job = stack.docker.of("migrate")
    started = job.started
    stack.docker.containers.pop(stack.docker.of("web").id)
    stack.deploy(with_job(stack))
    assert stack.docker.of("migrate").started == started
    assert set(stack.docker.running()) == {"db", "web"}
    stack.deploy(with_job(stack, "2"))
    assert stack.docker.of("migrate").id != job.id


def test_a_paused_container_is_let_go(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.of("web").state = "paused"
    assert stack.plan(make_wanted()).actions == {"web": "repair: paused"}
    stack.deploy(make_wanted())
    assert stack.docker.running() == ONE


def test_a_network_that_changed_is_made_anew(stack: SmallStack) -> None:
    stack.deploy(make_wanted(networks={"back": {}}))
    assert stack.docker.networks["demo_back"]["Internal"] is False
    left = stack.docker.add("demo", "left-over", {"image": "x:1"}, networks=["demo_back"])
    stack.deploy(make_wanted(networks={"back": {"internal": True}}))
    assert stack.docker.networks["demo_back"]["Internal"] is True
    assert stack.docker.running() == ONE
    assert left.id not in stack.docker.containers
    stack.docker.commands.clear()
    stack.deploy(make_wanted("2", networks={"back": {"internal": True}}))
    assert not stack.docker.words("network")


def test_a_network_comes_back_with_the_release_before(stack: SmallStack) -> None:
    stack.deploy(make_wanted(networks={"back": {"internal": True}}))
    stack.docker.by_image[image_of("web", "2")] = Behaviour(exits_after=0.0)
    failing(stack, make_wanted("2", networks={"back": {}}))
    assert stack.docker.networks["demo_back"]["Internal"] is True
    assert stack.docker.running() == ONE


def test_a_network_that_a_foreign_container_uses(stack: SmallStack) -> None:
    stack.deploy(make_wanted(networks={"back": {}}))
    stack.docker.add("other", "guest", {"image": "x:1"}, networks=["demo_back"])
    error = failing(stack, make_wanted(networks={"back": {"internal": True}}))
    assert "The network demo_back cannot be replaced (internal is false, wanted is true)" in str(error)
    assert "docker network inspect demo_back" in str(error)
    assert newest(stack)["status"] == "reverted"
    assert stack.docker.running() == {**ONE, "guest": "x:1"}


def test_an_outlet_that_is_needed_no_more_goes(stack: SmallStack) -> None:
    outlet = {"back": {}, "hypercode-outlet-web": {"name": network_name("web")}}
    stack.deploy(make_wanted(networks=outlet))
    assert network_name("web") in stack.docker.networks
    # Not of this project, and so not ours to remove.
    stack.docker.networks["00-hypercode-outlet-foreign"] = {"Name": "00-hypercode-outlet-foreign", "Labels": {}}
    stack.deploy(make_wanted(networks={"back": {}}))
    assert sorted(stack.docker.networks) == ["00-hypercode-outlet-foreign", "demo_back"]


def test_an_outlet_with_somebody_on_it_stays(stack: SmallStack) -> None:
    stack.deploy(make_wanted(networks={"back": {}, "hypercode-outlet-web": {"name": network_name("web")}}))
    stack.docker.add("other", "guest", {"image": "x:1"}, networks=[network_name("web")])
    stack.deploy(make_wanted(networks={"back": {}}))
    assert network_name("web") in stack.docker.networks
    assert newest(stack)["status"] == "done"


# ---- cut off, and done again ------------------------------------------------------------------------------------


def killed_at(stack: SmallStack, wanted: Any, condition: Callable[[list[str]], bool]) -> None:
    def kill(words: list[str]) -> None:
        if condition(words):
            raise KilledError

    stack.docker.before = kill
    with pytest.raises(KilledError):
        stack.deploy(wanted)
    stack.docker.before = lambda _words: None
    stack.docker.commands.clear()


@pytest.mark.parametrize("first", [True, False])
def test_killed_while_bringing_up(stack: SmallStack, first: bool) -> None:
    if not first:
        stack.deploy(make_wanted())
    killed_at(stack, make_wanted("2"), lambda words: words[-1] == "worker" and "up" in words)
    unfinished = stack.store.unfinished()
    assert unfinished
    assert newest(stack)["status"] == "running"
    # The tag moves meanwhile: what was pulled first counts.
    stack.docker.push(image_of("web", "2"), "moved")
    about = stack.deploy(make_wanted("2"))
    assert about["id"] == unfinished.id
    assert about["status"] == "done"
    assert stack.docker.running() == TWO
    assert not stack.docker.words("pull")


def test_killed_while_pulling(stack: SmallStack) -> None:
    killed_at(stack, make_wanted(), lambda words: words[-1] == image_of("worker"))
    assert stack.docker.containers == {}
    assert stack.deploy(make_wanted())["status"] == "done"
    assert len(stack.docker.words("pull")) == 3


def test_killed_then_the_second_attempt_cannot_pull(stack: SmallStack) -> None:
    """The host stands between two releases, so the way back is right although this attempt touched nothing."""
    stack.deploy(make_wanted())
    killed_at(stack, make_wanted("2"), lambda words: words[-1] == "worker" and "up" in words)
    stack.docker.drop_images()
    stack.docker.keep_image(image_of("db"), stack.docker.registry[image_of("db")])
    stack.docker.keep_image(image_of("web"), stack.docker.registry[image_of("web")])
    stack.docker.keep_image(image_of("worker"), stack.docker.registry[image_of("worker")])
    stack.docker.registry_answers = False
    failing(stack, make_wanted("2"))
    assert newest(stack)["status"] == "reverted"
    assert stack.docker.running() == ONE


def test_an_attempt_that_ended_long_ago_says_nothing_about_this_one(stack: SmallStack) -> None:
    """The release was brought up once; a later attempt that fails before it touches anything reverts nothing."""
    first = stack.deploy(make_wanted())
    stack.deploy(make_wanted("2"))
    again = stack.store.get(first["id"])
    again.update(status="prepared")
    stack.docker.drop_images()
    stack.docker.registry_answers = False
    stack.docker.commands.clear()
    with pytest.raises(RolloutError, match="cannot be pulled"):
        stack.apply(again)
    assert again.read()["status"] == "failed"
    assert not stack.docker.words("compose")


def test_another_release_takes_the_place_of_an_unfinished_one(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    killed_at(stack, make_wanted("2"), lambda words: "up" in words)
    cut = stack.store.all()[-1]
    stack.deploy(make_wanted("3"))
    assert cut.read()["status"] == "abandoned"
    assert set(stack.docker.running().values()) == {image_of(name, "3") for name in NEEDS}


def test_back_to_the_old_release_after_a_cut(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    killed_at(stack, make_wanted("2", needs={**NEEDS, "db": []}), lambda words: words[-1] == "worker" and "up" in words)
    cut = stack.store.all()[-1]
    assert stack.plan(make_wanted()).actions == {"db": "repair: runs another image than the release"}
    stack.deploy(make_wanted())
    assert stack.docker.running() == ONE
    assert cut.read()["status"] == "abandoned"


def test_killed_between_the_switch_and_the_end(stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    release = stack.prepare(make_wanted())

    def kill(_release: Any) -> None:
        raise KilledError

    monkeypatch.setattr(stack.store, "switch", kill)
    with pytest.raises(KilledError):
        stack.apply(release)
    monkeypatch.undo()
    assert stack.deploy(make_wanted())["id"] == release.id


# ---- repair -----------------------------------------------------------------------------------------------------


def test_a_repair_needs_no_registry_and_ignores_a_tag_that_moved(stack: SmallStack) -> None:
    first = stack.deploy(make_wanted())
    for name in NEEDS:
        stack.docker.push(image_of(name), "moved")
    stack.docker.registry_answers = False
    stack.docker.containers.pop(stack.docker.of("web").id)
    stack.docker.commands.clear()
    about = stack.deploy(make_wanted())
    assert about["id"] == first["id"]
    assert about["services"] == first["services"]
    assert not stack.docker.words("pull")
    assert stack.docker.running() == ONE


@pytest.mark.parametrize("status", ["running", "failed", "prepared", "done"])
def test_a_repair_keeps_the_digests_whatever_became_of_the_last_one(stack: SmallStack, status: str) -> None:
    first = stack.deploy(make_wanted())
    current = stack.store.current()
    assert current
    current.update(status=status)
    for name in NEEDS:
        stack.docker.push(image_of(name), "moved")
    stack.docker.containers.pop(stack.docker.of("web").id)
    about = stack.deploy(make_wanted())
    assert about["services"] == first["services"]
    assert about["created"] == first["created"]


def test_a_repair_pulls_by_digest_what_is_missing(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    digest = stack.docker.registry[image_of("web")]
    stack.docker.push(image_of("web"), "moved")
    stack.docker.drop_images()
    stack.docker.commands.clear()
    stack.docker.containers.pop(stack.docker.of("web").id)
    stack.deploy(make_wanted())
    assert f"{image_of('web')}@{digest}" in [words[-1] for words in stack.docker.words("pull")]
    assert stack.docker.of("web").reference.endswith(digest)


def test_a_repair_that_fails_leaves_the_release_in_use(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.containers.pop(stack.docker.of("web").id)
    stack.docker.behaviours["web"] = Behaviour(exits_after=0.0)
    failing(stack, make_wanted())
    assert newest(stack)["status"] == "failed"
    assert stack.store.current() == stack.store.all()[0]
    assert set(stack.docker.running()) == {"db", "worker"}
    stack.docker.of("web").behaviour = Behaviour()
    assert stack.deploy(make_wanted())["status"] == "done"
