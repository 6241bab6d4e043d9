"""A backup before data is touched: when it is made, what is said of it, and that nothing happens without it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import BackupError, Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.facts import alone, write_facts
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.deploy import DeployError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.restore_point import back_up, plan_lines
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollback import Request, make_plan
from fakes.docker_host import Behaviour, KilledError
from fakes.rollouts import ONE, events, failing, newest
from fakes.small_stack import SmallStack, image_of, make_wanted

VOLUME = {"type": "volume", "source": "data", "target": "/data"}
HOOKS = {"before_rollout": [{"service": "web", "command": ["true"], "timeout": 5}]}


def with_data(version: str = "1", **more: Any) -> Any:
    """db has data, in this version; the others have none and are always in the first one."""
    wanted = make_wanted(images={"db": image_of("db", version), **more.pop("images", {})}, start_first=True, **more)
    wanted.model["services"]["db"]["volumes"] = [VOLUME]
    return wanted


@pytest.fixture
def made(stack: SmallStack) -> list[dict[str, str]]:
    """Backups are set up; what ran whenever one was made."""
    config = Paths(stack.store.paths.root).config
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text("{}", encoding="utf-8")
    found: list[dict[str, str]] = []

    def note(_root: Path, _engine: Engine) -> str:
        found.append(stack.docker.running())
        return f"run-{len(found)}"

    stack.back_up = note
    return found


def test_one_is_made_before_data_is_touched(stack: SmallStack, made: list[dict[str, str]]) -> None:
    stack.deploy(with_data())
    # There was nothing yet.
    assert made == []
    about = stack.deploy(with_data("2"))
    assert made == [ONE]
    assert about["restore_point_run"] == "run-1"
    happened = events(stack)
    assert happened.index("restore point") < happened.index("bringing up")


def test_none_where_no_data_is_touched(stack: SmallStack, made: list[dict[str, str]]) -> None:
    stack.deploy(with_data())
    stack.deploy(with_data(images={"web": image_of("web", "2")}))
    stack.deploy(with_data(images={"web": image_of("web", "2")}))
    assert made == []


def test_one_before_a_hook_and_before_a_release_that_cannot_be_left_backwards(
    stack: SmallStack, made: list[dict[str, str]]
) -> None:
    stack.deploy(with_data())
    stack.deploy(with_data(images={"web": image_of("web", "2")}, reversible=False))
    assert len(made) == 1


def test_a_rollback_over_such_a_release_names_it(stack: SmallStack, made: list[dict[str, str]]) -> None:
    stack.deploy(with_data())
    first, _second = stack.store.all()[0], stack.deploy(with_data("2", reversible=False))
    with pytest.raises(DeployError, match=r"is the backup run-1 \(hypercode backup list\)"):
        make_plan(stack.store, stack.engine, Request(to=first.id))


def test_without_one_nothing_is_touched(stack: SmallStack, made: list[dict[str, str]]) -> None:
    stack.deploy(with_data())

    def fail(_root: Path, _engine: Engine) -> str:
        raise BackupError("the repository 'here' is full")

    stack.back_up = fail
    error = failing(stack, with_data("2"))
    assert "The restore point could not be made (db changes and has data): the repository 'here' is full" in str(error)
    assert "No service was touched. Fix: " in str(error)
    assert stack.docker.running() == ONE
    assert newest(stack)["status"] == "failed"


def test_it_can_be_done_without(stack: SmallStack, made: list[dict[str, str]]) -> None:
    stack.deploy(with_data())
    stack.deploy(with_data("2", restore_point=False))
    assert made == []


def test_where_no_backups_are_set_up_the_journal_says_so(stack: SmallStack) -> None:
    stack.deploy(with_data())
    about = stack.deploy(with_data("2"))
    assert "no restore point" in events(stack)
    assert "restore_point_run" not in about


def test_one_that_was_made_before_a_cut_counts(stack: SmallStack, made: list[dict[str, str]]) -> None:
    stack.deploy(with_data())

    def kill(words: list[str]) -> None:
        if "up" in words:
            raise KilledError

    stack.docker.before = kill
    with pytest.raises(KilledError):
        stack.deploy(with_data("2"))
    stack.docker.before = lambda _words: None
    stack.deploy(with_data("2"))
    assert len(made) == 1


def test_one_of_an_earlier_attempt_does_not_count(stack: SmallStack, made: list[dict[str, str]]) -> None:
    stack.deploy(with_data())
    stack.docker.by_image[image_of("db", "2")] = Behaviour(healthy_after=None)
    failing(stack, with_data("2"))
    stack.docker.by_image.clear()
    about = stack.deploy(with_data("2"))
    assert (len(made), about["restore_point_run"]) == (2, "run-2")


def test_a_way_back_waits_for_none(stack: SmallStack, made: list[dict[str, str]]) -> None:
    stack.deploy(with_data())
    stack.deploy(with_data("2"))
    first = stack.store.all()[0]

    def fail(_root: Path, _engine: Engine) -> str:
        raise BackupError("the store is away")

    stack.back_up = fail
    stack.apply(first)
    assert stack.docker.running() == ONE


def test_the_plan_says_whether_there_is_to_be_one(tmp_path: Path) -> None:
    services = with_data().model["services"]
    actions = {"db": "replace: a -> b (in place: it writes the volume data)", "web": "replace: c -> d"}
    assert plan_lines({"web": "replace: c -> d"}, services, {}, tmp_path) == []
    (said,) = plan_lines(actions, services, {}, tmp_path)
    assert said == "no restore point, since no backups are set up on this host: db changes and has data"
    Paths(tmp_path).config.parent.mkdir(parents=True)
    Paths(tmp_path).config.touch()
    (said,) = plan_lines(actions, services, {}, tmp_path)
    assert said == "first a restore point, a backup of all: db changes and has data"
    assert plan_lines(actions, services, {"restore_point": False}, tmp_path) == []
    assert "a hook runs" in plan_lines({}, services, {"hooks": HOOKS}, tmp_path)[0]


class Made:
    """Takes the place of a backup: writes down its run as one does, and fails where it is told to."""

    def __init__(self, failures: list[str]) -> None:
        self.failures = failures

    def __call__(self, _config: object, paths: Paths, _engine: Engine) -> Made:
        self.paths = paths
        return self

    def run(self) -> list[str]:
        write_facts(self.paths, {"last": {"id": "20261129T020000Z-ab12", "ended": 1.0, "failures": []}})
        return self.failures


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    config = Paths(tmp_path).config
    config.parent.mkdir(parents=True)
    config.write_text('{"project": "demo", "repositories": [{"name": "a", "url": "/a", "password_file": "/p"}]}')
    return tmp_path


def test_a_restore_point_is_a_run_of_the_backup(configured: Path, stack: SmallStack) -> None:
    assert back_up(configured, stack.engine, make=Made([])) == "20261129T020000Z-ab12"
    with pytest.raises(BackupError, match="db is stopped"):
        back_up(configured, stack.engine, make=Made(["db is stopped"]))


def test_a_backup_that_is_at_work_is_waited_for(configured: Path, stack: SmallStack) -> None:
    now, other = [0.0], contextlib.ExitStack()
    other.enter_context(alone(Paths(configured), "run"))

    def sleep(seconds: float) -> None:
        now[0] += seconds
        if now[0] > 60:
            other.close()

    assert back_up(configured, stack.engine, make=Made([]), clock=lambda: now[0], sleep=sleep)
    assert now[0] > 60


def test_one_that_never_ends_is_not_waited_for_for_ever(configured: Path, stack: SmallStack) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with alone(Paths(configured), "run"), pytest.raises(BackupError, match="at work on this host"):
        back_up(configured, stack.engine, make=Made([]), clock=lambda: now[0], sleep=sleep)
