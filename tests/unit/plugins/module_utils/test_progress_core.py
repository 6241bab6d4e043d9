# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the progress callback says."""

from __future__ import annotations

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.board_text import text_width
from ansible_collections.hypercode.deploy.plugins.module_utils.progress_core import (
    Closing,
    FailureLog,
    failure_lines,
    format_seconds,
    live_text,
    login,
    recap_lines,
    unreachable_lines,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds, text):
    assert format_seconds(seconds) == text


def test_the_live_line_has_everything_when_there_is_room():
    line = live_text("docker", "web1", "Install the engine", 42, 80, width=120)
    assert line == "docker · web1 · Install the engine · 42 s · about 1 min 20 s left"
    assert live_text("docker", "web1", "Install", 42, 0.2, width=120, unicode=False).endswith("| 42 s | nearly done")


def test_the_task_gives_way_first_then_the_time_left():
    task = "Wait until every service of the stack is healthy"
    assert live_text("stack", "web1", task, 5, 60, width=60) == (
        "stack · web1 · Wait until every se… · 5 s · about 1 min left"
    )
    assert live_text("stack", "web1", task, 5, 60, width=40) == "stack · web1 · Wait until every s… · 5 s"


@given(
    st.tuples(st.text(), st.text(), st.text()),
    st.integers(0, 10**5),
    st.none() | st.floats(0, 1e5),
    st.integers(1, 150),
)
def test_the_live_line_always_fits_and_is_one_line(words, elapsed, left, width):
    line = live_text(*words, elapsed, left, width=width)
    assert text_width(line) <= width
    assert "\n" not in line
    assert "\x1b" not in line


def test_recap_has_the_words_that_tools_search_for():
    stats = {"a": {"ok": 10, "changed": 0, "skipped": 1, "failures": 2}, "long-name": {"ok": 1, "changed": 3}}
    assert recap_lines(stats) == [
        "a         : ok=10 changed=0 unreachable=0 failed=2 skipped=1 rescued=0 ignored=0",
        "long-name : ok=1 changed=3 unreachable=0 failed=0 skipped=0 rescued=0 ignored=0",
    ]


def test_a_failure_with_findings_and_evidence():
    result = {
        "msg": "Task failed: 2 things to mend\nin compose.yaml",
        "findings": [
            {"service": "redis", "rule": "no-limit", "severity": "warning", "message": "has no limit", "fix": "a\nb"},
            {"name": "x", "message": "is bad", "hint": "do y", "file": "compose.yaml", "line": 7},
            {"rule": "only-a-rule"},
            "a plain one",
        ],
        "evidence": ["/var/lib/a", "/var/lib/b"],
    }
    assert failure_lines(result) == [
        "2 things to mend",
        "in compose.yaml",
        "- redis: has no limit (no-limit, warning)",
        "  fix: a",
        "       b",
        "- x: is bad",
        "  at: compose.yaml:7",
        "  fix: do y",
        "- only-a-rule",
        "- a plain one",
        "evidence: /var/lib/a",
        "evidence: /var/lib/b",
    ]


def test_a_failed_command_shows_the_end_of_its_error_output():
    result = {"msg": "non-zero return code", "rc": 3, "stderr": "\n".join(map(str, range(1, 41))), "stdout": "never"}
    lines = failure_lines(result)
    assert lines[:3] == ["non-zero return code", "exit code: 3", "stderr (last 15 of 40 lines):"]
    assert lines[3:] == [f"  {number}" for number in range(26, 41)]
    assert failure_lines({"msg": "m", "rc": 1, "stderr": "\n\n", "stdout": "out"}) == [
        "m",
        "exit code: 1",
        "stdout:",
        "  out",
    ]


@pytest.mark.parametrize("result", [{}, {"msg": None, "findings": 3, "evidence": {}, "rc": "x"}, {"msg": ""}])
def test_a_result_without_a_message_still_says_something(result):
    assert failure_lines(result)[0] == "The task failed and gave no message."


def test_a_censored_result_gives_only_the_censor_text():
    assert failure_lines({"censored": "hidden", "changed": False}) == ["hidden"]


def test_an_assertion_names_what_is_not_true():
    result = {"msg": "Assertion failed", "assertion": "a == b", "evaluated_to": False}
    assert failure_lines(result) == ["Assertion failed", "not true: a == b"]


def test_unreachable_gives_the_command_to_try():
    where = {"address": "192.0.2.7", "port": 2222, "user": "deploy"}
    assert unreachable_lines("web1", where, "Connection refused") == [
        "web1 cannot be reached at 192.0.2.7, port 2222, as user deploy.",
        "Connection refused",
        "try: ssh -p 2222 deploy@192.0.2.7",
    ]
    more = {**where, "key": "/home/a b/key", "options": "-o ProxyJump=gate", "connection": "ansible.builtin.ssh"}
    assert unreachable_lines("web1", more, "")[-1] == (
        "try: ssh -p 2222 deploy@192.0.2.7 -i '/home/a b/key' -o ProxyJump=gate"
    )
    assert unreachable_lines("web1", {}, None) == ["web1 cannot be reached at web1, port 22.", "try: ssh -p 22 web1"]
    assert "try:" not in "\n".join(unreachable_lines("c1", {"connection": "community.docker.docker"}, "gone"))


def test_the_login_takes_variables_first_and_survives_a_broken_template():
    variables = {"ansible_host": "192.0.2.7", "ansible_ssh_port": 22}

    def find(name: str) -> object:
        if name == "ansible_user":
            raise ValueError("undefined")
        return variables.get(name)

    found = login(find, "admin", "/key", "ssh")
    assert (found["address"], found["port"], found["user"], found["key"]) == ("192.0.2.7", 22, "admin", "/key")


def test_the_same_failure_is_told_once_with_all_its_hosts():
    log = FailureLog()
    log.add("FAILED", "web2", "docker : Start", ["no space"])
    log.add("FAILED", "web1", "docker : Start", ["no space"])
    log.add("FAILED", "web3", "docker : Start", ["other"])
    assert log.drain() == [
        ("FAILED  web1, web2  docker : Start", ["no space"]),
        ("FAILED  web3  docker : Start", ["other"]),
    ]
    log.add("FAILED", "web4", "docker : Start", ["no space"])
    assert log.drain() == [("FAILED  web4  docker : Start  (same as on web1, web2)", [])]
    assert log.drain() == []


def test_closing_keeps_the_latest_board_and_every_line_once():
    closing = Closing()
    closing.remember("web1", {"hypercode_board": [{"service": "a", "state": "exited"}], "hypercode_summary": ["one"]})
    closing.remember(
        "web1", {"hypercode_board": [{"service": "a", "state": "running"}], "hypercode_summary": ["one", "two"]}
    )
    closing.remember("web2", {"hypercode_summary": "alone", "hypercode_next": ["ssh web1"]})
    closing.remember("web3", {"hypercode_board": "no list", "hypercode_next": ["ssh web1"]})
    first, second = closing.blocks(width=80, unicode=True)
    assert first.startswith("web1: 1 of 1 services healthy")
    assert first.endswith("\n  one\n  two")
    assert second == "web2:\n  alone"
    assert closing.next_lines([]) == ["Next:", "  ssh web1"]


def test_next_after_a_failure_is_one_line():
    closing = Closing()
    closing.remember("web1", {"hypercode_next": ["ssh web1"]})
    closing.remember("web1", {"next_step": "Free some disk."}, failed=True)
    closing.remember("web2", {"next_step": "never: it was rescued"}, failed=True)
    assert closing.next_lines(["web1"]) == ["Next: Free some disk."]
    assert closing.next_lines(["web9"]) == ["Next: Fix the above and run the same command again."]
