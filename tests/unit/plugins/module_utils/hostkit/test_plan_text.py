# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan says what comes when, and how long it will take."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.plan_text import plan_text
from fakes.small_stack import SmallStack, image_of, make_wanted

ORDER = [["db"], ["web", "worker"]]
ABOUT = {"min_healthy": 10, "drain_timeout": 30, "bake": 600}


def test_in_the_order_of_the_work() -> None:
    actions = {
        "old": "remove",
        "web": "replace: a -> b (the new one starts first)",
        "db": "replace: a -> b (in place: x)",
    }
    assert plan_text(actions, "a new release", ORDER, ABOUT).splitlines() == [
        "plan (a new release):",
        "1. db: replace: a -> b (in place: x)",
        "2. web: replace: a -> b (the new one starts first)",
        "old: remove",
        # db 5 + 5, web 5 + 10, and up to 30 to drain.
        "expected: 25 s to 55 s, then it is watched for 10 min",
    ]


@pytest.mark.parametrize(
    ("actions", "last"),
    [
        ({"(all)": "record: version 1 -> 2"}, "(all): record: version 1 -> 2"),
        ({"db": "start", "web": "start", "worker": "start"}, "expected: 20 s"),
        ({"db": "repair: no container"}, "expected: 10 s"),
    ],
)
def test_what_is_not_to_be_expected_is_not_said(actions: dict[str, str], last: str) -> None:
    assert plan_text(actions, "why", ORDER, ABOUT).splitlines()[-1] == last


def test_the_digest_that_runs_is_told(stack: SmallStack) -> None:
    settings: dict[str, Any] = {"start_first": True}
    stack.deploy(make_wanted(**settings))
    digest = stack.docker.registry[image_of("web")]
    actions = stack.plan(make_wanted(images={"web": image_of("web", "2")}, **settings)).actions
    old = f"{image_of('web')} ({digest[:19]})"
    assert actions == {"web": f"replace: {old} -> {image_of('web', '2')} (the new one starts first)"}
