"""Services that keep a secret, through deploys, rotations, failures and repairs."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import rollback
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.journal import Journal
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.scram import make_verifier
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.wanted import DeployError
from fakes.docker_host import Behaviour, KilledError
from fakes.kept_secrets import ADMIN, ROLE, KeepingStack
from fakes.rollouts import ONE, events, failing, newest
from fakes.small_stack import CANARY, NEEDS, image_of
from fakes.small_stack import make_wanted as make_plain

NEW = "Canary-new-5ecret'"
OTHER = "Canary-by-hand"
make_wanted = functools.partial(make_plain, credentials=[ROLE])
STARTING_UP = CommandResult(2, "", "psql: error: the database system is starting up\n")


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeepingStack]:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    made = KeepingStack(tmp_path / "root")
    yield made
    made.close()


def told(stack: KeepingStack, release: str = "") -> list[dict[str, Any]]:
    name = release or stack.store.all()[-1].id
    return [event for event in Journal(stack.store.paths, name).read() if event["event"] == "password set"]


def nothing_leaked(stack: KeepingStack) -> None:
    seen = json.dumps([stack.docker.commands, stack.docker.environments, [argv for argv, _ in stack.kept.calls]])
    assert "Canary" not in seen
    assert "SCRAM" not in seen
    assert "Canary" not in stack.everything_written()
    assert "SCRAM" not in stack.everything_written()


# ---- it fits already --------------------------------------------------------------------------------------------


def test_a_first_deploy_sets_nothing(stack: KeepingStack) -> None:
    stack.deploy(make_wanted())
    assert stack.kept.accepts(CANARY)
    assert (stack.kept.orders(), told(stack), len(stack.kept.calls)) == (0, [], 1)
    assert newest(stack)["credentials"] == [ROLE]


def test_where_nothing_is_to_do_it_costs_one_look(stack: KeepingStack) -> None:
    stack.deploy(make_wanted())
    stack.kept.calls.clear()
    plan = stack.plan(make_wanted())
    assert (plan.actions, plan.reason, list(plan.unread), len(stack.kept.calls)) == ({}, "as wanted", [], 1)


def test_an_old_form_that_fits_is_left_alone(stack: KeepingStack) -> None:
    stack.kept.roles["app"] = "md5" + hashlib.md5(f"{CANARY}app".encode(), usedforsecurity=False).hexdigest()
    stack.deploy(make_wanted())
    assert stack.kept.orders() == 0
    stack.deploy(make_wanted(secret=NEW))
    assert stack.kept.accepts(NEW)


def test_without_credentials_nobody_is_asked(stack: KeepingStack) -> None:
    stack.deploy(make_plain())
    stack.deploy(make_plain(secret=NEW))
    assert stack.kept.calls == []


# ---- it is another one ------------------------------------------------------------------------------------------


def test_a_first_deploy_on_an_old_volume(stack: KeepingStack) -> None:
    """Upstream's trap: the new password stands everywhere but in the database."""
    stack.kept.roles["app"] = make_verifier(OTHER)
    assert stack.plan(make_wanted()).actions == dict.fromkeys(NEEDS, "start")
    stack.deploy(make_wanted())
    assert stack.kept.accepts(CANARY)
    names = events(stack)
    assert names.index("ready") < names.index("password set") < len(names) - names[::-1].index("up") - 1
    assert told(stack)[0] | {"time": 0} == {
        "time": 0,
        "event": "password set",
        "service": "db",
        "role": "app",
        "secret": "DB_PASSWORD",
    }
    nothing_leaked(stack)


def test_a_rotation(stack: KeepingStack) -> None:
    stack.deploy(make_wanted())
    plan = stack.plan(make_wanted(secret=NEW))
    changed = "replace: the value of DB_PASSWORD changed"
    assert plan.actions == {**dict.fromkeys(NEEDS, changed), "db": f"{changed}; set the password of role app"}
    old_db = stack.docker.of("db").id
    stack.kept.before = lambda argv, text: seen.append(argv[3]) if "ALTER" in text else None
    seen: list[str] = []
    stack.deploy(make_wanted(secret=NEW))
    # The old container is told, so that all who log in after this do so with the new one.
    assert seen == [old_db]
    assert stack.kept.accepts(NEW)
    assert events(stack).index("password set") < events(stack).index("up")
    assert stack.plan(make_wanted(secret=NEW)).actions == {}
    nothing_leaked(stack)


def test_somebody_changed_it_by_hand(stack: KeepingStack) -> None:
    first = stack.deploy(make_wanted())
    before = {service: stack.docker.of(service).id for service in NEEDS}
    stack.kept.roles["app"] = make_verifier(OTHER)
    plan = stack.plan(make_wanted())
    assert plan.actions == {"db": "set the password of role app"}
    assert plan.reason == "a service has another password than the release"
    assert stack.deploy(make_wanted())["id"] == first["id"]
    assert stack.kept.accepts(CANARY)
    assert {service: stack.docker.of(service).id for service in NEEDS} == before
    assert stack.plan(make_wanted()).actions == {}


def test_a_role_without_a_password(stack: KeepingStack) -> None:
    stack.deploy(make_wanted())
    stack.kept.roles["app"] = ""
    stack.deploy(make_wanted())
    assert stack.kept.accepts(CANARY)


def test_a_stopped_database_is_not_asked(stack: KeepingStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.of("db").state = "exited"
    stack.kept.calls.clear()
    assert stack.plan(make_wanted()).actions == {"db": "repair: exited, exit code 0"}
    assert stack.kept.calls == []
    assert stack.deploy(make_wanted())["status"] == "done"


# ---- it goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("knew", [True, False])
def test_the_way_back_puts_the_old_value_back(stack: KeepingStack, knew: bool) -> None:
    stack.deploy(make_wanted() if knew else make_plain())
    stack.docker.by_image[image_of("web", "2")] = Behaviour(exits_after=0.0, log=f"refused {CANARY} and {NEW}\n")
    failing(stack, make_wanted("2", secret=NEW))
    assert newest(stack)["status"] == "reverted"
    assert stack.docker.running() == ONE
    assert stack.kept.accepts(CANARY)
    assert [event["service"] for event in told(stack)] == ["db", "db"]
    names = events(stack)
    back = names[names.index("reverting") :]
    assert back.index("password set") < back.index("up")
    nothing_leaked(stack)


@pytest.mark.parametrize("word", ["db", "worker"])
def test_killed_in_between_and_done_again(stack: KeepingStack, word: str) -> None:
    stack.deploy(make_wanted())
    killed(stack, make_wanted("2", secret=NEW), word)
    assert stack.kept.accepts(NEW)
    assert set(stack.plan(make_wanted("2", secret=NEW)).actions.values()) == {"finish"}
    assert stack.deploy(make_wanted("2", secret=NEW))["status"] == "done"
    assert stack.kept.accepts(NEW)


def killed(stack: KeepingStack, wanted: Any, word: str) -> None:
    def kill(words: list[str]) -> None:
        if word in words and "up" in words:
            raise KilledError

    stack.docker.before = kill
    with pytest.raises(KilledError):
        stack.deploy(wanted)
    stack.docker.before = lambda _words: None


def test_killed_in_between_and_back_to_the_old_one(stack: KeepingStack) -> None:
    stack.deploy(make_wanted())
    killed(stack, make_wanted(secret=NEW), "db")
    assert stack.plan(make_wanted()).actions == {"db": "set the password of role app"}
    stack.deploy(make_wanted())
    assert stack.kept.accepts(CANARY)


def test_killed_in_between_and_started_at_boot(stack: KeepingStack) -> None:
    """The release in use comes back, with its password."""
    first = stack.deploy(make_wanted())
    killed(stack, make_wanted(secret=NEW), "db")
    release = stack.store.get(first["id"])
    assert stack.rollout(stack.store, release, stack.engine).stack(evidence="start").start() == []
    assert stack.kept.accepts(CANARY)


def test_a_database_that_restarts_once_more_is_waited_for(stack: KeepingStack) -> None:
    answers = iter([STARTING_UP, CommandResult(0, ""), STARTING_UP])
    stack.kept.before = lambda _argv, _text: next(answers, None)
    now = stack.docker.now
    assert stack.deploy(make_wanted())["status"] == "done"
    assert len(stack.kept.calls) == 4
    assert 3 <= stack.docker.now - now < 30


def test_a_database_that_never_answers(stack: KeepingStack) -> None:
    stack.kept.before = lambda _argv, _text: STARTING_UP
    error = failing(stack, make_wanted())
    assert "The password of role app in db cannot be read or set" in str(error)
    assert (error.service, newest(stack)["status"]) == ("db", "failed")
    assert set(stack.docker.running()) == {"db"}


def test_a_role_that_is_not_there(stack: KeepingStack) -> None:
    stack.deploy(make_plain())
    error = failing(stack, make_wanted("2", credentials=[{**ROLE, "role": "ghost"}]))
    assert "There is no role ghost in the Postgres of db" in str(error)
    assert newest(stack)["status"] == "reverted"
    assert stack.docker.running() == ONE


def test_a_running_database_that_does_not_answer_is_said_and_nothing_is_claimed(stack: KeepingStack) -> None:
    stack.deploy(make_wanted())
    stack.kept.before = lambda _argv, _text: STARTING_UP
    plan = stack.plan(make_wanted())
    assert plan.actions == {}
    assert "is starting up" in plan.unread[0]


@pytest.mark.parametrize(
    "entry", [{**ROLE, "kind": "mysql"}, {**ROLE, "service": "cache"}, {**ROLE, "secret": "X"}, "x"]
)
def test_what_cannot_be_carried_out_is_refused_before_anything_is_touched(stack: KeepingStack, entry: Any) -> None:
    with pytest.raises(DeployError, match=r"Entry 1 of credentials.*\. Nothing was changed\. Fix: "):
        stack.plan(make_plain(credentials=[entry]))
    assert not stack.store.all()
    assert stack.docker.commands == []


# ---- Grafana ----------------------------------------------------------------------------------------------------


def test_grafana_is_told_when_the_value_changes(stack: KeepingStack) -> None:
    wanted = functools.partial(make_plain, credentials=[ADMIN])
    stack.deploy(wanted())
    assert stack.plan(wanted()).actions == {}
    assert stack.kept.calls == []
    plan = stack.plan(wanted(secret=NEW))
    changed = "replace: the value of DB_PASSWORD changed"
    assert plan.actions["web"] == f"{changed}; set the password of the administrator"
    stack.deploy(wanted(secret=NEW))
    assert (stack.kept.administrator, len(stack.kept.calls)) == (NEW, 1)
    assert stack.kept.calls[0][0][3] == stack.docker.of("web").id
    assert [event["service"] for event in told(stack)] == ["web"]
    stack.deploy(wanted("2", secret=NEW))
    assert len(stack.kept.calls) == 1
    nothing_leaked(stack)


def test_grafana_gets_the_old_value_back(stack: KeepingStack) -> None:
    needs = {**NEEDS, "late": ["web"]}
    stack.docker.push(image_of("late"))
    stack.docker.push(image_of("late", "2"))
    wanted = functools.partial(make_plain, needs=needs, credentials=[ADMIN])
    stack.deploy(wanted())
    stack.docker.by_image[image_of("late", "2")] = Behaviour(exits_after=0.0)
    failing(stack, wanted("2", secret=NEW))
    assert [text.strip() for _, text in stack.kept.calls] == [NEW, CANARY]
    assert newest(stack)["status"] == "reverted"


def test_grafana_that_refuses_the_value(stack: KeepingStack) -> None:
    wanted = functools.partial(make_plain, credentials=[ADMIN])
    stack.deploy(wanted())
    refuse = CommandResult(1, "", f"new password {NEW} is too short\n")
    stack.kept.before = lambda _argv, text: refuse if NEW in text else None
    error = failing(stack, wanted(secret=NEW))
    assert "The password of the administrator in web cannot be set: new password *** is too short" in str(error)
    assert newest(stack)["status"] == "reverted"
    nothing_leaked(stack)


def test_an_image_that_is_no_grafana_is_no_reason_for_the_way_back_to_fail(stack: KeepingStack) -> None:
    wanted = functools.partial(make_plain, credentials=[ADMIN])
    stack.deploy(wanted())
    stack.kept.before = lambda _argv, _text: CommandResult(127, "", "exec: grafana: executable file not found\n")
    error = failing(stack, wanted(secret=NEW))
    assert "Fix: web has to be an image of Grafana that has the command grafana cli" in str(error)
    assert newest(stack)["status"] == "reverted"
    assert "password not set" in events(stack)


@pytest.mark.parametrize("knew", [True, False])
def test_going_back_by_hand_tells_the_value_of_the_older_release(stack: KeepingStack, knew: bool) -> None:
    """Also where only the newer release says that the database keeps it."""
    stack.deploy(make_wanted() if knew else make_plain())
    stack.deploy(make_wanted(secret=NEW))
    assert stack.kept.accepts(NEW)
    request = rollback.Request()
    plan = rollback.make_plan(stack.store, stack.engine, request, tell=stack.kept)
    stack.apply(rollback.prepare(stack.store, rollback.target_of(plan), request))
    assert stack.kept.accepts(CANARY)
    nothing_leaked(stack)
