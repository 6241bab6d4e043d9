# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After a rollout: what does harm is noticed and taken back, what was so before is not."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge import layout
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge.answers import ACCESS_LOG, Answers
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.journal import Journal
from fakes.docker_host import Behaviour, KilledError
from fakes.rollouts import ONE, TWO, events, failing, newest
from fakes.small_stack import SmallStack, image_of, make_wanted

FIRST: dict[str, Any] = {"start_first": True, "min_healthy": 3, "drain_timeout": 0, "bake": 60}
BAKED = {"watching", "watched"}


def line(status: int, host: str = "app.example.com", ts: float | None = None, uri: str = "/") -> str:
    entry = {"ts": time.time() if ts is None else ts, "status": status, "request": {"host": host, "uri": uri}}
    return json.dumps(entry) + "\n"


class Log:
    """The access log of the edge of a host."""

    def __init__(self, root: Path) -> None:
        manifest = layout.Paths(root).at(layout.MANIFEST)
        manifest.parent.mkdir(parents=True, exist_ok=True)
        doors = {"web": [[80, "app.example.com", "/"], [80, "*.board.example.com", "/"]], "db": [[80, "db.test", "/"]]}
        manifest.write_text(json.dumps({"doors": doors, "project": "other", "binary": "caddy", "upstreams": {}}))
        self.path = layout.Paths(root).at(ACCESS_LOG)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()

    def add(self, *statuses: int, **about: Any) -> None:
        with self.path.open("a") as stream:
            stream.write("".join(line(status, **about) for status in statuses))


def during_the_bake(stack: SmallStack, do: Any) -> None:
    """Call at each look while the release is watched, with the seconds since that began."""
    began: list[float] = []

    def look() -> None:
        if "watching" in events(stack):
            began.append(stack.docker.now)
            do(stack.docker.now - began[0])

    stack.docker.on_sleep = look


def test_a_good_release_is_watched_for_that_long_and_done(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    assert not BAKED & set(events(stack)), "there was none to go back to"
    began = stack.docker.now
    stack.deploy(make_wanted("2", **FIRST))
    assert stack.docker.now - began > 60
    assert [event for event in events(stack) if event in BAKED] == ["watching", "watched"]
    assert newest(stack)["status"] == "done"


def test_what_moves_nothing_is_not_watched(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    stack.deploy(make_wanted("9", images=ONE, **FIRST))
    assert newest(stack)["version"] == "9"
    assert not BAKED & set(events(stack))


def after(seconds: float, behaviour: Behaviour, stack: SmallStack) -> None:
    """Let web go bad so long after the watch began."""

    def turn(since: float) -> None:
        for container in stack.docker.containers.values():
            if since >= seconds and container.reference.startswith(image_of("web", "2")):
                container.behaviour = behaviour

    during_the_bake(stack, turn)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Behaviour(exits_after=0), "web stopped with exit code 1"),
        (Behaviour(restarts_every=1), "web crashed and was started again|web crashes over and over"),
        (Behaviour(fails_by_hand=(0, 1e9), probe="no db"), "web is not trusted: its health check failed .* no db"),
    ],
)
def test_one_that_goes_bad_while_it_is_watched_takes_all_back(
    stack: SmallStack, behaviour: Behaviour, said: str
) -> None:
    stack.deploy(make_wanted(**FIRST))
    first = stack.store.current()
    after(10, behaviour, stack)
    error = failing(stack, make_wanted("2", **FIRST))
    assert re.search(said, str(error))
    assert stack.docker.running() == ONE
    assert newest(stack)["status"] == "reverted"
    assert stack.store.current() == first
    assert "web.log" in [path.name for path in (stack.store.paths.evidence / newest(stack)["id"]).glob("*")]


def test_errors_that_the_edge_gives_out_take_the_release_back(stack: SmallStack) -> None:
    log = Log(stack.store.paths.root)
    stack.deploy(make_wanted(**FIRST))
    first = stack.store.current()
    log.add(*[200] * 100)
    during_the_bake(stack, lambda _since: log.add(*[200] * 50, 500, 502))
    error = failing(stack, make_wanted("2", **FIRST))
    assert re.search(
        r"app.example.com answers with errors since the rollout: 6 of 156 requests failed \(3.8%; before", str(error)
    )
    assert stack.docker.running() == ONE
    assert stack.store.current() == first
    assert newest(stack)["failure"]["evidence"]


@pytest.mark.parametrize(
    ("before", "news"),
    [
        # 1.2 %: below the bound.
        ([200] * 10, [[200] * 82 + [500]] * 20),
        # Few failures say nothing.
        ([200] * 10, [[500, 500], [503, 504]]),
        # As bad as it was.
        ([200] * 9 + [500], [[200] * 9 + [500]] * 20),
        # Not found is the client's.
        ([200] * 10, [[404] * 10] * 20),
    ],
)
def test_what_is_no_harm_of_the_release_is_let_be(stack: SmallStack, before: list[int], news: list[list[int]]) -> None:
    log = Log(stack.store.paths.root)
    stack.deploy(make_wanted(**FIRST))
    log.add(*before)
    todo = iter(news)
    during_the_bake(stack, lambda _since: log.add(*next(todo, [200])))
    stack.deploy(make_wanted("2", **FIRST))
    assert stack.docker.running() == TWO
    watched = [event for event in Journal(stack.store.paths, newest(stack)["id"]).read() if event["event"] == "watched"]
    assert watched[0]["requests"] >= sum(map(len, news))


def test_another_site_is_judged_by_itself(stack: SmallStack) -> None:
    log = Log(stack.store.paths.root)
    stack.deploy(make_wanted(**FIRST))

    def ask(_since: float) -> None:
        log.add(*[200] * 1000)
        log.add(200, 500, 500, host="one.board.example.com:443")

    during_the_bake(stack, ask)
    assert "one.board.example.com answers with errors" in str(failing(stack, make_wanted("2", **FIRST)))


def test_a_site_that_has_nothing_to_do_with_what_moved_is_let_be(stack: SmallStack) -> None:
    log = Log(stack.store.paths.root)
    stack.deploy(make_wanted(**FIRST))
    during_the_bake(stack, lambda _since: log.add(*[500] * 9, host="db.test"))
    stack.deploy(make_wanted(images={"web": image_of("web", "2")}, **FIRST))
    assert newest(stack)["status"] == "done"


def test_a_site_that_needs_what_moved_is_judged(stack: SmallStack) -> None:
    log = Log(stack.store.paths.root)
    stack.deploy(make_wanted(**FIRST))
    during_the_bake(stack, lambda _since: log.add(*[500] * 9))
    assert "app.example.com answers" in str(failing(stack, make_wanted(images={"db": image_of("db", "2")}, **FIRST)))


def test_what_a_load_balancer_is_told_does_not_count(stack: SmallStack) -> None:
    log = Log(stack.store.paths.root)
    manifest = layout.Paths(stack.store.paths.root).at(layout.MANIFEST)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"health_path": "/edge-health"}))
    stack.deploy(make_wanted(**FIRST))
    during_the_bake(stack, lambda _since: log.add(*[503] * 9, uri="/edge-health?a"))
    stack.deploy(make_wanted("2", **FIRST))
    assert newest(stack)["status"] == "done"


def test_what_was_answered_on_the_way_does_not_count(stack: SmallStack) -> None:
    log = Log(stack.store.paths.root)
    stack.deploy(make_wanted(**FIRST))
    stack.docker.on_sleep = lambda: "watching" in events(stack) or log.add(*[503] * 9)
    stack.deploy(make_wanted("2", **FIRST))
    assert newest(stack)["status"] == "done"


def test_a_job_that_is_over_is_not_asked(stack: SmallStack) -> None:
    settings: dict[str, Any] = {"conditions": {"db": "service_completed_successfully"}, **FIRST}
    stack.docker.behaviours["db"] = Behaviour(exits_after=1.0, exit_code=0)
    stack.deploy(make_wanted(**settings))
    stack.deploy(make_wanted("2", **settings))
    assert newest(stack)["status"] == "done"
    asked = [words[2] for words in stack.docker.words("exec")]
    assert not set(asked) & {item.id for item in stack.docker.containers.values() if item.service == "db"}


def test_a_service_that_has_nothing_to_do_with_what_moved_may_restart(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))

    def flap(since: float) -> None:
        if since >= 10:
            stack.docker.of("worker").started = stack.docker.now - 5

    during_the_bake(stack, flap)
    stack.deploy(make_wanted(images={"web": image_of("web", "2")}, **FIRST))
    assert newest(stack)["status"] == "done"


def cut_off(stack: SmallStack, wanted: Any, seconds: float = 10) -> None:
    """Kill the rollout so long after the watch began."""

    def kill(since: float) -> None:
        if since >= seconds:
            raise KilledError

    during_the_bake(stack, kill)
    with pytest.raises(KilledError):
        stack.deploy(wanted)
    stack.docker.on_sleep = lambda: None


def test_one_that_was_cut_off_is_watched_again_and_may_still_go_back(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    first = stack.store.current()
    cut_off(stack, make_wanted("2", **FIRST))
    assert stack.store.current() != first
    plan = stack.plan(make_wanted("2", **FIRST))
    assert plan.actions == {"(all)": "check: it was cut off while it was still being watched"}
    after(5, Behaviour(exits_after=0), stack)
    failing(stack, make_wanted("2", **FIRST))
    assert stack.docker.running() == ONE
    assert stack.store.current() == first
    assert not newest(stack).get("in_use_since")


def test_one_that_was_cut_off_proves_itself_the_second_time(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    cut_off(stack, make_wanted("2", **FIRST))
    stack.deploy(make_wanted("2", **FIRST))
    assert newest(stack)["status"] == "done"
    assert events(stack).count("watched") == 1
    assert not stack.plan(make_wanted("2", **FIRST)).actions


def test_one_that_was_cut_off_was_in_use_all_the_same(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    cut_off(stack, make_wanted("2", **FIRST))
    second = stack.store.current()
    stack.deploy(make_wanted("3", **FIRST))
    assert second
    assert (second.status, second.was_in_use) == ("done", True)


def test_docker_away_for_a_moment_is_no_harm(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))

    def away(since: float) -> None:
        stack.docker.answers = not 10 <= since < 20

    during_the_bake(stack, away)
    stack.deploy(make_wanted("2", **FIRST))
    assert newest(stack)["status"] == "done"


# ---- the log ------------------------------------------------------------------------------------------------------


def test_the_log_is_followed_over_its_rotation(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.add(200, 200, 500, ts=50.0)
    log.add(200, ts=150.0)
    answers = Answers(layout.Paths(tmp_path))
    assert answers.before(100.0).requests == {"app.example.com": 1}
    log.add(200, 503)
    torn = line(500)
    with log.path.open("a") as stream:
        stream.write(torn[:20])
    assert answers.news().requests == {"app.example.com": 2}
    with log.path.open("a") as stream:
        stream.write(torn[20:])
    log.path.rename(log.path.with_suffix(".old"))
    log.path.write_text(line(404) + "no JSON\n" + '{"status": 1}\n')
    tally = answers.news()
    assert (tally.requests["app.example.com"], tally.failures["app.example.com"]) == (2, 1)
    log.add(500)
    assert answers.news().failures["app.example.com"] == 1
    assert not answers.news().requests
    answers.close()


def test_without_a_log_nothing_was_asked(tmp_path: Path) -> None:
    answers = Answers(layout.Paths(tmp_path))
    assert not answers.news().requests
    assert not answers.before(0).requests
    Log(tmp_path).add(500)
    assert answers.news().failures["app.example.com"] == 1
    answers.close()
