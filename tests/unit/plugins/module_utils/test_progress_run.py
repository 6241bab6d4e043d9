# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a run stands: phases, hosts, counts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.progress_run import BAD, CHANGED, GOOD, PLAIN, Run


@pytest.fixture
def made():
    """A run with a clock that stands at ``now`` and the lines it said."""
    state = SimpleNamespace(now=100.0, said=[])

    def start(*, announce: bool = True, check: bool = False) -> Run:
        state.run = Run(lambda: state.now, lambda *line: state.said.append(line), announce=announce, check=check)
        state.run.start_play("Deploy", ["web1", "web2"])
        return state.run

    state.start = start
    return state


def test_phases_are_announced_timed_and_counted(made):
    run = made.start()
    run.start_task("1", "docker : Install", "docker")
    run.finish("web1", "1", ran=True, changed=True)
    made.now += 12
    run.start_task("2", "docker : Restart", None)
    run.start_task("3", "stack : Start", "stack")
    run.finish("web1", "3", ran=False)
    run.end_phase()
    run.end_phase()
    assert made.said == [
        ("start  docker  on 2 hosts", PLAIN),
        ("done  docker  12 s, 1 changed", CHANGED),
        ("start  stack  on 2 hosts", PLAIN),
        ("done  stack  0 s, nothing to do", GOOD),
    ]


def test_check_mode_and_failures_have_their_own_words(made):
    run = made.start(announce=False, check=True)
    run.start_task("1", "docker : Install", "docker")
    run.finish("web1", "1", ran=True, changed=True)
    run.fail("web2")
    run.end_phase()
    run.say_recap({"web1": {"ok": 1}, "web2": {"failures": 1}}, ["web2"])
    assert made.said[0] == ("failed  docker  0 s, 1 to change, 1 host failed", BAD)
    assert made.said[-1][0] == "Failed after 0 s, 1 task on 2 hosts. tasks=1 (check: nothing was changed)"


def test_others_are_awaited_unless_they_failed_before(made):
    run = made.start()
    run.start_task("1", "a", "a")
    run.finish("web1", "1", ran=True)
    run.fail("web1")
    assert run.others_pending()
    run.finish("web2", "1", ran=True)
    assert not run.others_pending()
    run.start_task("2", "b", "a")
    run.finish("web2", "2", ran=True)
    assert not run.others_pending()


def test_a_rescued_host_is_awaited_again(made):
    run = made.start()
    run.start_task("1", "a", "a")
    run.finish("web1", "1", ran=True)
    run.fail("web1")
    run.start_task("2", "rescue", "a")
    run.start_host("web1")
    run.finish("web2", "2", ran=True)
    assert run.others_pending()


def test_the_live_line_names_the_host_that_is_still_busy(made):
    run = made.start()
    assert run.compose(80, unicode=True) == ""
    run.start_task("1", "docker : Install", "docker")
    run.start_host("web1")
    run.start_host("web2")
    run.detail("try 2 of 9")
    made.now += 5
    assert run.compose(80, unicode=True) == "docker · 2 hosts · Install (try 2 of 9) · 5 s"
    run.finish("web1", "1", ran=True)
    assert run.compose(80, unicode=False) == "docker | web2 | Install (try 2 of 9) | 5 s"


def test_each_task_counts_once_for_all_hosts_and_again_in_the_next_batch(made):
    run = made.start()
    for batch in ("web1", "web2"):
        run.start_play("Deploy", [batch])
        run.start_task("1", "a", "a")
        run.finish(batch, "1", ran=True)
        run.finish("other", "1", ran=True)
        run.finish(batch, "2", ran=False)
    run.say_recap({"web1": {}}, [])
    assert made.said[-1][0] == "Done in 0 s, 2 tasks on 1 host. tasks=2"


def test_a_stopped_run_says_where_and_what_next(made):
    run = made.start()
    run.start_task("1", "docker : Install", "docker")
    made.now += 61
    run.say_stopped(by_user=False)
    assert [text for text, _style in made.said[-2:]] == [
        "Stopped before the end after 1 min 1 s, in docker : Install.",
        "Next: Fix the above and run the same command again.",
    ]
