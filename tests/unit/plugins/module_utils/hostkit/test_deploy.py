"""The plan: what a host needs to get to a wanted stack. And the release that is prepared for it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import deploy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.deploy import DeployError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import ReleaseError, lock
from fakes.docker_host import Behaviour
from fakes.small_stack import CANARY, NEEDS, SmallStack, image_of, make_wanted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

START = dict.fromkeys(NEEDS, "start")


# ---- the plan ---------------------------------------------------------------------------------------------------


def test_the_first_release(stack: SmallStack) -> None:
    plan = stack.plan(make_wanted())
    assert (plan.actions, plan.reason, plan.release, plan.blind) == (START, "the first release", None, False)
    assert not stack.store.paths.root.exists()


def test_a_bare_host_without_docker(stack: SmallStack) -> None:
    stack.docker.stop()
    plan = stack.plan(make_wanted())
    assert (plan.actions, plan.rows, plan.blind) == (START, [], True)


def test_as_wanted(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.commands.clear()
    plan = stack.plan(make_wanted())
    assert (plan.actions, plan.reason, plan.release) == ({}, "as wanted", stack.store.current())
    assert [row.is_good for row in plan.rows] == [True] * 3
    assert stack.docker.commands == []


def test_docker_is_down_so_what_runs_is_not_known(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.stop()
    plan = stack.plan(make_wanted())
    assert (plan.actions, plan.blind) == ({}, True)


@pytest.mark.parametrize(
    ("change", "actions"),
    [
        ({"images": {"web": image_of("web", "2")}}, {"web": f"replace: {image_of('web')} -> {image_of('web', '2')}"}),
        ({"environment": {"A": "b"}}, dict.fromkeys(NEEDS, "replace: its configuration changed")),
        ({"needs": {"db": [], "web": ["db"]}}, {"worker": "remove"}),
        ({"needs": {**NEEDS, "more": []}}, {"more": "start"}),
        ({"secret": "another value"}, dict.fromkeys(NEEDS, "replace: the value of DB_PASSWORD changed")),
        (
            {"networks": {"back": {"internal": True}}},
            dict.fromkeys(
                NEEDS,
                "replace: the network demo_back is made anew (internal is false, wanted is true), so it is down for a "
                "moment",
            ),
        ),
        ({"about": "1.1"}, {"(all)": "record: version 1 -> 1.1"}),
    ],
)
def test_what_changes(stack: SmallStack, change: dict[str, Any], actions: dict[str, str]) -> None:
    stack.deploy(make_wanted())
    version = change.pop("about", None)
    wanted = make_wanted(**change)
    if version:
        wanted = with_about(wanted, version=version)
    plan = stack.plan(wanted)
    # What runs is told with its digest: see test_plan_text.py.
    told = {name: re.sub(r" \(sha256:[0-9a-f]{12}\)", "", action) for name, action in plan.actions.items()}
    assert (told, plan.reason, plan.release) == (actions, "a new release", None)
    assert "another value" not in str(plan)


def with_about(wanted: deploy.Wanted, **about: Any) -> deploy.Wanted:
    return deploy.Wanted(**{**vars_of(wanted), "about": {**wanted.about, **about}})


def vars_of(wanted: deploy.Wanted) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in ("model", "services", "order", "secrets", "project", "about")}


def with_model(wanted: deploy.Wanted, **changes: Any) -> deploy.Wanted:
    return deploy.Wanted(**{**vars_of(wanted), "model": {**wanted.model, **changes}})


def test_what_touches_no_service(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    plan = stack.plan(with_model(make_wanted(), volumes={"data": {}}))
    assert plan.actions == {"(all)": "check: volumes changed"}
    stack.deploy(with_model(make_wanted(), volumes={"data": {}}))
    kept = stack.plan(with_model(make_wanted(), volumes={"data": {"driver_opts": {"o": "size=1g"}}, "more": {}}))
    assert kept.actions == {"(all)": "record: other settings for the volume data; Docker keeps a volume as it was made"}
    stack.deploy(make_wanted())
    unused = deploy.Wanted(**{**vars_of(make_wanted()), "secrets": {"DB_PASSWORD": CANARY, "NEW": "x"}})
    assert stack.plan(unused).actions == {"(all)": "record: NEW changed, which no service uses"}


@pytest.mark.parametrize("version", ["1.10", 2, 1.5, None])
def test_a_version_that_yaml_made_a_number(stack: SmallStack, version: object) -> None:
    wanted = with_about(make_wanted(), version=version)
    assert stack.deploy(wanted)["version"] == ("" if version is None else str(version))
    assert stack.plan(wanted).actions == {}


def test_drift(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.containers.pop(stack.docker.of("web").id)
    stack.docker.of("worker").behaviour = Behaviour(exits_after=0.0, exit_code=137)
    stack.docker.add("demo", "extra", {"image": "x:1"})
    assert stack.plan(make_wanted()).actions == {
        "web": "repair: no container",
        "worker": "repair: exited, exit code 137",
        "extra": "repair: not in this release",
    }
    stack.docker.of("worker").behaviour = Behaviour()
    stack.deploy(make_wanted())
    assert stack.plan(make_wanted()).actions == {}
    assert set(stack.docker.running()) == set(NEEDS)


def test_a_second_copy_that_somebody_started(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    web = stack.docker.of("web")
    copy = stack.docker.add("demo", "web", {"image": web.reference}, web.image_id, web.hash)
    assert stack.plan(make_wanted()).actions == {"web": "repair: 2 containers instead of one"}
    stack.deploy(make_wanted())
    assert copy.id not in stack.docker.containers


def test_copies_that_are_wanted(stack: SmallStack) -> None:
    wanted = make_wanted(needs={"db": []})
    wanted.model["services"]["db"]["deploy"] = {"replicas": "2"}
    assert stack.prepare(wanted).read()["services"]["db"]["replicas"] == 2


def test_unhealthy_is_no_drift(stack: SmallStack) -> None:
    """Starting it again would not help, and is not what a plan is for."""
    stack.deploy(make_wanted())
    stack.docker.of("web").behaviour = Behaviour(healthy_after=None)
    plan = stack.plan(make_wanted())
    assert plan.actions == {}
    assert [row.service for row in plan.rows if not row.is_good] == ["web"]


@pytest.mark.parametrize("file", ["release.json", "model.json", "env"])
@pytest.mark.parametrize("text", ["", '{"services": ', "[1]", None])
def test_a_damaged_record_of_the_release_in_use(stack: SmallStack, file: str, text: str | None) -> None:
    """The message says: run site.yml again. So that has to work."""
    first = stack.deploy(make_wanted())
    path = stack.store.get(first["id"]).folder / file
    path.chmod(0o600)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    plan = stack.plan(make_wanted())
    assert set(plan.actions) == set(NEEDS)
    assert plan.release is None
    about = stack.deploy(make_wanted())
    assert about["id"] != first["id"]
    assert stack.plan(make_wanted()).actions == {}


def test_current_leads_nowhere(stack: SmallStack) -> None:
    first = stack.deploy(make_wanted())
    folder = stack.store.get(first["id"]).folder
    folder.rename(folder.with_name("moved"))
    plan = stack.plan(make_wanted())
    assert "which is gone" in plan.reason
    assert set(plan.actions) == set(NEEDS)
    assert stack.deploy(make_wanted())["status"] == "done"


def test_a_torn_old_release_is_in_nobodys_way(stack: SmallStack) -> None:
    old = stack.deploy(make_wanted())
    stack.deploy(make_wanted("2"))
    (stack.store.get(old["id"]).folder / "release.json").write_text("{")
    assert stack.deploy(make_wanted("3"))["status"] == "done"


# ---- what is refused --------------------------------------------------------------------------------------------


def refused(stack: SmallStack, wanted: deploy.Wanted) -> str:
    with pytest.raises(DeployError) as caught:
        stack.plan(wanted)
    assert "Nothing was changed" in str(caught.value)
    assert "Fix: " in str(caught.value)
    assert "Canary" not in str(caught.value)
    assert not stack.store.all()
    return str(caught.value)


@pytest.mark.parametrize("secrets", [{}, {"DB_PASSWORD": ""}, {"OTHER": "x"}])
def test_a_secret_without_a_value(stack: SmallStack, secrets: dict[str, str]) -> None:
    wanted = deploy.Wanted(**{**vars_of(make_wanted()), "secrets": secrets})
    assert "These secrets have no value: DB_PASSWORD" in refused(stack, wanted)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("$$HOME and $${NOT_ME}", ""),
        ("$$$${NOT_ME}", ""),
        ("$$${ME}", "ME"),
        ("${ME}/${YOU}", "ME, YOU"),
        ("${ME:?me is a secret}", "ME"),
        ("${ME:+--password}", ""),
        ("${ME:+${YOU}}", "YOU"),
    ],
)
def test_references(stack: SmallStack, text: str, missing: str) -> None:
    wanted = make_wanted(environment={"X": text})
    if missing:
        assert f"no value: {missing}. " in refused(stack, wanted)
    else:
        assert stack.plan(wanted).actions == START


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"project": "No Good"}, "'No Good' is no name"),
        ({"model": {}}, "has no services"),
        ({"model": {"services": {}}}, "has no services"),
        ({"model": {"services": ["web"]}}, "has no services"),
        ({"services": {}}, "different services: db, web, worker"),
        ({"model": {"services": {"web": None}}, "services": {"web": {}}}, "web is no mapping"),
        ({"model": {"services": {"web": {}}}, "services": {"web": {}}}, "web has no image"),
        ({"model": {"services": {"web": {"image": "${X}/a:1"}}}, "services": {"web": {}}}, "known to Compose only"),
        ({"order": [["db"], ["web"]]}, "differ: worker"),
        ({"order": [["db", "web", "worker", "ghost"]]}, "differ: ghost"),
        ({"order": [["db"], ["db"], ["web", "worker"]]}, "db is twice"),
        ({"order": [["web", "worker"], ["db"]]}, "web does not come after db"),
        ({"order": [["db", "web", "worker"]]}, "does not come after db"),
        ({"order": ["db", "web"]}, "no list of lists"),
        ({"secrets": {"DB_PASSWORD": CANARY, "no good": "x"}}, "'no good' is no name"),
        ({"secrets": {"DB_PASSWORD": f"{CANARY}\0"}}, "DB_PASSWORD holds a NUL"),
    ],
)
def test_what_does_not_hang_together(stack: SmallStack, changes: dict[str, Any], words: str) -> None:
    assert words in refused(stack, deploy.Wanted(**{**vars_of(make_wanted()), **changes}))


@pytest.mark.parametrize("value", [float("nan"), object(), {1: 2}])
def test_what_cannot_be_written(stack: SmallStack, value: object) -> None:
    assert "cannot be written" in refused(stack, with_model(make_wanted(), extra=value))


def test_another_project_while_the_old_one_runs(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    other = deploy.Wanted(**{**vars_of(make_wanted()), "project": "newname"})
    with pytest.raises(DeployError, match=r"is the project 'demo'.*Fix: set stack_project back to 'demo'"):
        stack.plan(other)
    stack.docker.containers.clear()
    assert stack.plan(other).actions
    assert stack.deploy(other)["project"] == "newname"


# ---- preparing --------------------------------------------------------------------------------------------------


def test_a_prepared_release(stack: SmallStack) -> None:
    release = stack.prepare(make_wanted(who="ann", why="because"))
    about = release.read()
    assert (about["who"], about["why"], about["version"], about["status"]) == ("ann", "because", "1", "prepared")
    assert about["order"] == [["db"], ["web", "worker"]]
    assert release.read_env() == f"DB_PASSWORD='{CANARY}'\n"
    assert "Canary" not in stack.everything_written()


def test_nobody_prepares_while_a_rollout_is_at_work(stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "LOCK_WAIT", 0.0)
    plan = stack.plan(make_wanted())
    with (
        lock(stack.store.paths, holder="20270101T000000Z-00000000"),
        pytest.raises(DeployError, match=r"Another rollout is at work on this host \(20270101T000000Z-00000000\)"),
    ):
        deploy.prepare(stack.store, plan, make_wanted())
    assert not stack.store.all()


def test_a_repair_keeps_who_and_when_and_takes_new_settings(stack: SmallStack) -> None:
    first = stack.deploy(make_wanted(who="ann", why="first"))
    stack.docker.containers.clear()
    stack.docker.now += 1000
    about = stack.deploy(make_wanted(who="bob", why="repair", ready_timeout=60))
    assert (about["who"], about["why"], about["created"]) == ("ann", "first", first["created"])
    assert about["ready_timeout"] == 60


def test_settle_writes_only_what_differs(stack: SmallStack) -> None:
    first = stack.deploy(make_wanted())
    release = stack.store.get(first["id"])
    path = release.folder / "release.json"
    before = path.stat().st_mtime_ns
    deploy.settle(stack.store, release, make_wanted())
    assert path.stat().st_mtime_ns == before
    release.update(status="failed", failure={"message": "x"})
    deploy.settle(stack.store, release, make_wanted(ready_timeout=99))
    about = release.read()
    assert (about["status"], about["failure"], about["ready_timeout"]) == ("done", None, 99)
    assert about["services"] == first["services"]


def test_a_file_where_the_releases_should_be(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    plan = stack.plan(make_wanted("2"))
    stack.store.paths.releases.rename(stack.store.paths.home / "away")
    stack.store.paths.releases.write_text("in the way")
    with pytest.raises(ReleaseError, match="releases cannot be read: Not a directory"):
        deploy.prepare(stack.store, plan, make_wanted("2"))


# ---- any two stacks ---------------------------------------------------------------------------------------------

versions = st.dictionaries(st.sampled_from(sorted(NEEDS)), st.sampled_from(["1", "2"]), min_size=1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=versions, second=versions)
def test_the_plan_names_just_what_differs_and_leads_there(
    stack: SmallStack, first: dict[str, str], second: dict[str, str]
) -> None:
    def want(services: dict[str, str]) -> deploy.Wanted:
        return make_wanted(
            needs={name: [] for name in services}, images={name: image_of(name, v) for name, v in services.items()}
        )

    stack.deploy(want(first))
    plan = stack.plan(want(second))
    different = {name for name in {*first, *second} if first.get(name) != second.get(name)}
    assert set(plan.actions) == different
    assert json.dumps(dict(plan.actions))
    if different:
        stack.deploy(want(second))
    assert stack.docker.running() == {name: image_of(name, version) for name, version in sorted(second.items())}
    assert stack.plan(want(second)).actions == {}
