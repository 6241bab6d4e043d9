"""Forbidden packages, through deploys, updates and changes of the list."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli, deploy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.journal import Journal
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.wanted import DeployError
from fakes.docker_host import KilledError
from fakes.image_contents import LookedIntoStack, installed, make_tar
from fakes.rollouts import ONE, events, failing, newest
from fakes.small_stack import NEEDS, image_of
from fakes.small_stack import make_wanted as make_plain

WITH_JOSE = make_tar({**installed("python-jose", "3.3.0"), **installed("fastapi", "0.115.0")})
WITHOUT = make_tar(installed("fastapi", "0.115.0"))
REASON = "Replaced in 2.1."


def rules(*forbidden: str, allowed: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"package_rules": {"forbidden": list(forbidden), "allowed": allowed or []}}


make_wanted = functools.partial(make_plain, **rules("Python_Jose"))
ALLOWED = rules("python-jose", allowed=[{"package": "PYTHON.jose", "service": "we*", "reason": REASON}])


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LookedIntoStack]:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    made = LookedIntoStack(tmp_path / "root")
    made.host.contents[image_of("web")] = WITHOUT
    made.host.contents[image_of("web", "2")] = made.host.contents[image_of("worker", "2")] = WITH_JOSE
    yield made
    made.close()


# ---- what is let through ----------------------------------------------------------------------------------------


def test_a_release_that_is_clean(stack: LookedIntoStack) -> None:
    about = stack.deploy(make_wanted())
    assert about["status"] == "done"
    assert {name: meta["python_packages"] for name, meta in about["services"].items()} == {
        "db": 0,
        "web": 1,
        "worker": 0,
    }
    assert about["services"]["web"]["watched_packages"] == []
    first = ["started", "pulling", "pulled", "looked into the images", "keeping images", "bringing up"]
    assert events(stack)[:6] == first
    assert len(list(stack.store.paths.images.iterdir())) == 3
    assert stack.host.made == {}


def test_everything_is_looked_into_before_anything_is_touched(stack: LookedIntoStack) -> None:
    stack.deploy(make_wanted())
    kinds = [words[1] for words in stack.docker.commands]
    assert kinds == ["pull"] * 3 + ["create", "rm"] * 3 + ["create"] * 3 + ["compose"] * (len(kinds) - 12)


def test_an_image_is_looked_into_once(stack: LookedIntoStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.commands.clear()
    assert stack.plan(make_wanted()).actions == {}
    assert stack.docker.commands == []
    stack.docker.containers.pop(stack.docker.of("web").id)
    stack.deploy(make_wanted())
    stack.deploy(make_wanted(images={"db": image_of("db", "2")}))
    assert len(stack.host.looks) == 4


def test_two_services_of_one_image_cost_one_look(stack: LookedIntoStack) -> None:
    stack.deploy(make_wanted(images=dict.fromkeys(NEEDS, image_of("web"))))
    assert len(stack.host.looks) == 1


def test_without_a_list_nothing_is_looked_into(stack: LookedIntoStack) -> None:
    about = stack.deploy(make_plain("2"))
    assert stack.host.looks == []
    assert "python_packages" not in about["services"]["web"]
    assert not stack.store.paths.images.exists()


def test_a_damaged_record_of_an_image_is_made_anew(stack: LookedIntoStack) -> None:
    stack.deploy(make_wanted())
    for path in stack.store.paths.images.iterdir():
        path.write_text("{")
    plan = stack.plan(make_wanted())
    assert plan.actions == {"(all)": "check: look into the images of db, web, worker"}
    assert plan.reason == "nobody looked into its images yet"
    stack.deploy(make_wanted())
    assert stack.plan(make_wanted()).actions == {}


# ---- what is refused --------------------------------------------------------------------------------------------


def test_a_release_with_a_forbidden_package(stack: LookedIntoStack) -> None:
    first = stack.deploy(make_wanted())
    ids = sorted(stack.docker.containers)
    stack.docker.commands.clear()
    error = failing(stack, make_wanted("2"))
    for service in ("web", "worker"):
        assert f"{service} ({image_of(service, '2')}) holds python-jose 3.3.0 in /usr/lib/" in str(error)
    assert "Nothing was touched. Fix: build the images without them" in str(error)
    assert "stack_allowed_packages: {package: python-jose, service: web, reason: ...}" in str(error)
    assert newest(stack)["status"] == "failed"
    assert newest(stack)["failure"]["touched"] is False
    assert (stack.docker.running(), sorted(stack.docker.containers)) == (ONE, ids)
    assert not stack.docker.words("compose")
    current = stack.store.current()
    assert current
    assert current.id == first["id"]
    found = [
        event
        for event in Journal(stack.store.paths, newest(stack)["id"]).read()
        if event["event"] == "forbidden package"
    ]
    assert [(event["service"], event["version"]) for event in found] == [("web", "3.3.0"), ("worker", "3.3.0")]


def test_the_first_release_with_a_forbidden_package(stack: LookedIntoStack) -> None:
    error = failing(stack, make_wanted(images={"web": image_of("web", "2")}))
    assert error.service == "web"
    assert stack.docker.containers == {}
    assert stack.store.current() is None
    assert stack.host.made == {}


@pytest.mark.parametrize("damaged", [WITHOUT[:1024], b""])
def test_a_tar_that_ends_early(stack: LookedIntoStack, damaged: bytes) -> None:
    stack.deploy(make_wanted())
    stack.host.contents[image_of("db", "2")] = damaged
    error = failing(stack, make_wanted(images={"db": image_of("db", "2")}))
    assert f"It cannot be told what is in the image {image_of('db', '2')} of db: the list of its files" in str(error)
    assert "Nothing was touched. Fix: see that Docker is well" in str(error)
    assert stack.docker.running() == ONE
    # It was no answer, so it is not kept as one.
    stack.host.contents[image_of("db", "2")] = WITHOUT
    assert stack.deploy(make_wanted(images={"db": image_of("db", "2")}))["status"] == "done"


def test_docker_refuses_the_container(stack: LookedIntoStack) -> None:
    stack.host.refuses = "no space left on device"
    assert "of db: Error response from daemon: no space left on device. Nothing was" in str(
        failing(stack, make_wanted())
    )


def test_killed_while_looking(stack: LookedIntoStack) -> None:
    stack.deploy(make_wanted())
    answer = stack.host.before

    def kill(words: list[str]) -> Any:
        if words[1] == "create" and len(stack.host.looks) == 4:
            raise KilledError
        return answer(words)

    stack.docker.before = kill
    with pytest.raises(KilledError):
        stack.deploy(make_wanted("3"))
    stack.docker.before = answer
    assert stack.deploy(make_wanted("3"))["status"] == "done"
    assert len(stack.host.looks) == 6


# ---- what is allowed --------------------------------------------------------------------------------------------


def test_an_exception_with_its_reason(stack: LookedIntoStack) -> None:
    wanted = make_plain(images={"web": image_of("web", "2")}, **ALLOWED)
    about = stack.deploy(wanted)
    assert about["allowed_packages"] == [
        {"service": "web", "package": "python-jose", "version": "3.3.0", "reason": REASON}
    ]
    assert about["services"]["web"]["watched_packages"] == [{"name": "python-jose", "version": "3.3.0"}]
    assert about["services"]["web"]["python_packages"] == 2
    assert stack.plan(wanted).actions == {}


def test_an_exception_is_for_its_services_only(stack: LookedIntoStack) -> None:
    error = failing(stack, make_plain("2", **ALLOWED))
    assert "worker (" in str(error)
    assert "web (" not in str(error)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (rules("a", allowed=[{"package": "a"}]), "Entry 1 of allowed_packages (a) has no reason"),
        (
            rules("a", allowed=[{"package": "a", "reason": " "}]),
            "has no reason. Nothing was changed. Fix: add 'reason'",
        ),
        (rules("a", allowed=[{"reason": "x"}]), "names no package"),
        (rules("a", allowed=[{"package": "a", "reason": "x", "image": "y"}]), "keys that are not known: image"),
        (rules("a", allowed=[{"package": "a", "reason": "x", "service": 5}]), "a service that is no text"),
        ({"package_rules": {"forbidden": ["a"], "allowed": ["x"]}}, "Entry 1 of allowed_packages is no mapping"),
        ({"package_rules": {"forbidden": "python-jose"}}, "forbidden_python_packages is no list"),
        ({"package_rules": {"forbidden": ["a"], "allowed": "x"}}, "allowed_packages is no list"),
        (rules("a b"), "'a b' in forbidden_python_packages is no name of a package"),
    ],
)
def test_lists_that_make_no_sense(stack: LookedIntoStack, given: dict[str, Any], words: str) -> None:
    with pytest.raises(DeployError) as caught:
        stack.plan(make_plain(**given))
    assert words in str(caught.value)
    assert "Nothing was changed. Fix: " in str(caught.value)


# ---- the list changes, the release does not ---------------------------------------------------------------------


def test_a_list_that_comes_later(stack: LookedIntoStack) -> None:
    """Upstream's case: deployed long ago, forbidden today."""
    plain = make_plain(images={"web": image_of("web", "2")})
    first = stack.deploy(plain)
    wanted = make_wanted(images={"web": image_of("web", "2")})
    assert stack.plan(wanted).actions == {"(all)": "check: look into the images of db, web, worker"}
    assert "holds python-jose 3.3.0" in str(failing(stack, wanted))
    assert stack.docker.running() == {**ONE, "web": image_of("web", "2")}
    # From now on it is known, in check mode too.
    with pytest.raises(
        DeployError, match=r"The release in use is refused\. .*python-jose 3\.3\.0.* Nothing was changed\. "
    ):
        stack.plan(wanted)
    allowed = make_plain(images={"web": image_of("web", "2")}, **ALLOWED)
    plan = stack.plan(allowed)
    assert plan.actions == {}
    deploy.settle(stack.store, stack.store.get(first["id"]), allowed)
    about = newest(stack)
    assert (about["id"], about["status"], about["failure"]) == (first["id"], "done", None)
    assert [entry["reason"] for entry in about["allowed_packages"]] == [REASON]


def test_another_package_is_forbidden_later(stack: LookedIntoStack) -> None:
    stack.deploy(make_wanted())
    looks = len(stack.host.looks)
    with pytest.raises(DeployError, match=r"web \(.*\) holds fastapi 0\.115\.0"):
        stack.plan(make_plain(**rules("python-jose", "FastAPI")))
    assert len(stack.host.looks) == looks


def test_where_nothing_is_to_do_the_record_is_left_alone(stack: LookedIntoStack) -> None:
    wanted = make_plain(images={"web": image_of("web", "2")}, **ALLOWED)
    first = stack.deploy(wanted)
    release = stack.store.get(first["id"])
    before = (release.folder / "release.json").stat()
    deploy.settle(stack.store, release, wanted)
    after = (release.folder / "release.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_list_that_is_given_up(stack: LookedIntoStack) -> None:
    first = stack.deploy(make_plain(images={"web": image_of("web", "2")}, **ALLOWED))
    plain = make_plain(images={"web": image_of("web", "2")}, **rules())
    assert stack.plan(plain).actions == {}
    deploy.settle(stack.store, stack.store.get(first["id"]), plain)
    assert newest(stack)["allowed_packages"] == []


def test_of_an_image_that_is_not_there_yet_nothing_is_said(stack: LookedIntoStack) -> None:
    stack.deploy(make_wanted())
    assert set(stack.plan(make_wanted("2")).actions) == set(NEEDS)


def test_what_no_release_uses_any_more_is_forgotten(stack: LookedIntoStack) -> None:
    for version in ("1", "3", "1", "3"):
        stack.deploy(make_wanted(version, keep_releases=2))
    stack.docker.push(image_of("web", "4"))
    stack.deploy(make_wanted("3", images={"web": image_of("web", "4")}, keep_releases=2))
    assert len(list(stack.store.paths.images.iterdir())) == 4


# ---- hypercode images -------------------------------------------------------------------------------------------


def typed(stack: LookedIntoStack, capsys: pytest.CaptureFixture[str], words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = cli.main(words.split(), cli.Host(stack.store, stack.engine, stack.docker, stack.rollout))
    return code, capsys.readouterr().out


def test_the_command_without_a_release(stack: LookedIntoStack, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(stack, capsys, "images") == (
        1,
        "hypercode: nothing is deployed on this host yet. Next: run site.yml for it\n",
    )
    code, output = typed(stack, capsys, "images --json")
    assert (code, json.loads(output)) == (1, {"release": None, "watched": [], "images": []})


def test_the_command(stack: LookedIntoStack, capsys: pytest.CaptureFixture[str]) -> None:
    about = stack.deploy(make_plain(images={"web": image_of("web", "2")}, **ALLOWED))
    code, output = typed(stack, capsys, "images")
    lines = output.splitlines()
    assert code == 0
    assert lines[0].split() == ["SERVICE", "IMAGE", "PACKAGES", "WATCHED"]
    assert lines[2].split(maxsplit=3) == ["web", image_of("web", "2"), "2", f"python-jose 3.3.0 (allowed: {REASON})"]
    assert lines[-1] == f"release {about['id']}  watched packages: python-jose"
    assert "    fastapi 0.115.0  /usr/lib" in typed(stack, capsys, "images --packages")[1]
    document = json.loads(typed(stack, capsys, "images --json")[1])
    assert (document["release"], document["watched"]) == (about["id"], ["python-jose"])
    web = document["images"][1]
    assert (web["service"], web["python_packages"]) == ("web", 2)
    assert web["watched"] == [{"name": "python-jose", "version": "3.3.0", "reason": REASON}]
    assert "packages" not in web
    document = json.loads(typed(stack, capsys, "images --json --packages")[1])
    assert [package["name"] for package in document["images"][1]["packages"]] == ["fastapi", "python-jose"]


def test_the_command_where_something_is_wrong(stack: LookedIntoStack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.deploy(make_plain(images={"web": image_of("web", "2")}))
    code, output = typed(stack, capsys, "images")
    assert (code, output.count("not looked into")) == (0, 3)
    assert "watched packages: none" in output
    failing(stack, make_wanted(images={"web": image_of("web", "2")}))
    code, output = typed(stack, capsys, "images")
    assert (code, "python-jose 3.3.0 (forbidden)" in output) == (1, True)
