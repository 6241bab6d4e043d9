# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""New containers on trial: their own check by hand, the doors of the edge, and the way back for what has moved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.edge import layout
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.journal import Journal
from fakes.docker_host import Behaviour
from fakes.rollouts import ONE, TWO, events, failing, newest
from fakes.small_stack import SmallStack, image_of, make_wanted

FIRST: dict[str, Any] = {"start_first": True, "min_healthy": 10, "drain_timeout": 0}
WEB_2 = image_of("web", "2")


def with_edge(stack: SmallStack) -> None:
    """Have an edge on the host that leads to web."""
    path = layout.Paths(stack.store.paths.root).at(layout.MANIFEST)
    path.parent.mkdir(parents=True)
    doors = {"web": [[8000, "app.example.com", "/"], [8000, "app.example.com", "/api"]]}
    path.write_text(json.dumps({"doors": doors, "project": "other", "binary": "caddy", "upstreams": {}}))
    stack.docker.address = "10.0.0.7"


def web_to_2(stack: SmallStack) -> Any:
    return make_wanted(images={"web": WEB_2}, **FIRST)


def test_a_new_one_whose_check_fails_by_hand_is_refused_and_the_old_one_stays(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    old = stack.docker.of("web").id
    # Docker looked once, long before the next time.
    stack.docker.by_image[WEB_2] = Behaviour(fails_by_hand=(0, 1000), probe="redis: connection refused")
    began = stack.docker.now
    error = failing(stack, web_to_2(stack))
    assert "web is not trusted: its health check failed when it was run once more: redis: connection refused" in str(
        error
    )
    assert stack.docker.of("web").id == old
    assert stack.docker.now - began < 30
    assert (stack.store.paths.evidence / newest(stack)["id"] / "web.log").exists()


def test_checks_have_to_be_passed_in_a_row(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    # One failure in between: all three count anew.
    stack.docker.by_image[WEB_2] = Behaviour(fails_by_hand=(8, 11))
    began = stack.docker.now
    stack.deploy(web_to_2(stack))
    assert stack.docker.running()["web"] == WEB_2
    # Ready after 2 s, checks at 2 and 6 passed, 10 failed, 14, 18 and 22 passed.
    assert stack.docker.now - began >= 22


@pytest.mark.parametrize(("status", "said"), [(500, "answers GET / with 500"), (0, "gives no answer to GET /")])
def test_what_answers_worse_than_the_old_one_gets_no_request(stack: SmallStack, status: int, said: str) -> None:
    with_edge(stack)
    stack.deploy(make_wanted(**FIRST))
    old = stack.docker.of("web").id
    stack.ask = lambda _address, _door: 200 if len(stack.docker.containers) == 3 else status
    error = failing(stack, web_to_2(stack))
    assert f"web is not trusted: it {said} (as app.example.com), where the old one answers 200" in str(error)
    assert stack.docker.of("web").id == old


def test_what_was_broken_before_is_nothing_to_judge_by(stack: SmallStack) -> None:
    with_edge(stack)
    stack.deploy(make_wanted(**FIRST))
    asked = []

    def ask(address: str, door: Any) -> int:
        asked.append((address, door.port, door.path))
        return 502 if door.path == "/api" else 404

    stack.ask = ask
    stack.deploy(web_to_2(stack))
    assert stack.docker.running()["web"] == WEB_2
    # The old one twice, the new one only where the old one is well.
    assert asked.count(("10.0.0.7", 8000, "/api")) == 1
    assert asked.count(("10.0.0.7", 8000, "/")) >= 4


def test_health_that_is_not_known_for_a_while_is_no_fall(stack: SmallStack) -> None:
    """As it is after the engine was started again."""
    stack.deploy(make_wanted(**FIRST))
    behaviour = stack.docker.by_image[WEB_2] = Behaviour()
    began = stack.docker.now

    def look() -> None:
        behaviour.healthy_after = 15.0 if 6 <= stack.docker.now - began < 9 else 2.0

    stack.docker.on_sleep = look
    stack.deploy(web_to_2(stack))
    assert stack.docker.running()["web"] == WEB_2
    assert newest(stack)["status"] == "done"


def test_a_check_says_no_secret(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    stack.docker.by_image[WEB_2] = Behaviour(fails_by_hand=(0, 1000), probe="no login with Canary-5ecret/@:?")
    error = failing(stack, web_to_2(stack))
    assert "Canary" not in str(error)
    assert "Canary" not in stack.everything_written()


# ---- the way back -------------------------------------------------------------------------------------------------


def test_what_has_moved_goes_back_as_gently_last_to_first(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    stack.docker.by_image[image_of("worker", "2")] = Behaviour(healthy_after=None)
    down = []

    def look() -> None:
        running = {item.service for item in stack.docker.containers.values() if item.state == "running"}
        down.extend({"db", "web", "worker"} - running)

    stack.docker.on_sleep = look
    failing(stack, make_wanted("2", **FIRST))
    assert stack.docker.running() == ONE
    assert newest(stack)["status"] == "reverted"
    assert not down
    moved = [event["services"] for event in journal(stack) if event["event"] == "moved"]
    assert moved == [["db"], ["db"]]
    assert "not moved back" not in events(stack)


def test_three_levels_go_back_in_reverse_order(stack: SmallStack) -> None:
    needs = {"db": [], "web": ["db"], "worker": ["web"]}
    stack.deploy(make_wanted(needs=needs, **FIRST))
    stack.docker.by_image[image_of("worker", "2")] = Behaviour(healthy_after=None)
    failing(stack, make_wanted("2", needs=needs, **FIRST))
    moved = [event["services"] for event in journal(stack) if event["event"] == "moved"]
    assert moved == [["db"], ["web"], ["web"], ["db"]]
    assert stack.docker.running() == ONE


def test_one_that_does_not_get_ready_beside_is_put_back_in_place(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    stack.docker.by_image[image_of("worker", "2")] = Behaviour(healthy_after=None)
    tried = []

    def refuse(words: list[str]) -> Any:
        if "--scale" in words and any(word.startswith("db=") for word in words):
            tried.append(words)
            if len(tried) > 1:
                stack.docker.behaviours["db"] = Behaviour(restarts_every=1.0)
        elif "up" in words and len(tried) > 1:
            stack.docker.behaviours.pop("db", None)

    stack.docker.before = refuse
    failing(stack, make_wanted("2", **FIRST))
    assert "not moved back" in events(stack)
    assert stack.docker.running() == ONE
    assert newest(stack)["status"] == "reverted"


def journal(stack: SmallStack) -> list[dict[str, Any]]:
    return Journal(stack.store.paths, stack.store.all()[-1].id).read()


# ---- room ---------------------------------------------------------------------------------------------------------


def test_where_there_is_little_memory_they_move_one_by_one(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    # Each of them takes 40 MiB.
    stack.free_memory = (64 + 70) * 2**20
    stack.deploy(make_wanted("2", **FIRST))
    moved = [event["services"] for event in journal(stack) if event["event"] == "moved"]
    assert moved == [["db"], ["web"], ["worker"]]
    assert stack.docker.running() == TWO


def test_where_there_is_no_memory_for_a_second_one_it_is_replaced_in_place(stack: SmallStack) -> None:
    stack.deploy(make_wanted(**FIRST))
    stack.free_memory = 64 * 2**20
    stack.deploy(make_wanted("2", **FIRST))
    said = [event for event in journal(stack) if event["event"] == "replaced in place"]
    assert [event["services"] for event in said] == [["db"], ["web", "worker"]]
    assert said[0]["reason"] == "there is no memory for a second one"
    assert stack.docker.running() == TWO
