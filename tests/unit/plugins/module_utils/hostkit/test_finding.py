"""Findings as data and as one line."""

from __future__ import annotations

import json

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import (
    ERROR,
    WARNING,
    Finding,
    errors,
    read_findings,
    refusal,
    summary,
    warnings,
)


class Tagged(str):
    """As Ansible hands strings over: a subclass."""


def finding(severity: str = ERROR) -> Finding:
    return Finding("rule", severity, "thing", "It is broken.", "Mend it.")


def test_as_dict_is_plain_json() -> None:
    data = Finding("rule", ERROR, Tagged("thing"), Tagged("text"), "fix").as_dict()
    assert json.loads(json.dumps(data)) == {
        "rule": "rule",
        "severity": "error",
        "name": "thing",
        "message": "text",
        "fix": "fix",
    }
    assert {type(value) for value in data.values()} == {str}


@pytest.mark.parametrize(
    ("file", "line", "place"),
    [("compose.yaml", "3", "compose.yaml:3"), ("compose.yaml", "", "compose.yaml"), ("", "", "")],
)
def test_a_finding_says_where_it_stands(file: str, line: str, place: str) -> None:
    one = Finding("rule", ERROR, "thing", "text", "fix", file, line)
    assert one.place() == place
    assert read_findings([one.as_dict()]) == [one]


def test_errors_and_warnings_part_the_findings() -> None:
    listed = [finding(), finding(WARNING), finding()]
    assert len(errors(listed)) == 2
    assert len(warnings(listed)) == 1


@pytest.mark.parametrize(
    ("severities", "text"),
    [
        ([], "web1: no problems."),
        ([WARNING, WARNING], "web1: no problems, 2 warnings."),
        ([ERROR], "web1: 1 problem. Nothing was changed."),
        ([ERROR, ERROR, WARNING], "web1: 2 problems, 1 warning. Nothing was changed."),
    ],
)
def test_summary_counts(severities: list[str], text: str) -> None:
    assert summary([finding(severity) for severity in severities], "web1") == text


def test_findings_are_read_back_as_they_were_told() -> None:
    told = [finding(), finding(WARNING)]
    assert read_findings([one.as_dict() for one in told]) == told


def test_what_a_finding_may_leave_out() -> None:
    assert read_findings([{"rule": "r", "message": "m"}, {"rule": "r", "message": "m", "name": None, "fix": 1}]) == [
        Finding("r", ERROR, "", "m", ""),
        Finding("r", ERROR, "", "m", "1"),
    ]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({}, "entry 2 lacks rule and message"),
        ({"rule": "r", "message": None}, "entry 2 lacks message"),
        ({"rule": "r", "message": "m", "servity": "error"}, "entry 2 has servity; it may have rule, severity, name"),
        ({"rule": "r", "message": "m", "severity": "fatal"}, "entry 2: severity must be error or warning"),
    ],
)
def test_what_is_no_finding(item: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_findings([finding().as_dict(), item])


@pytest.mark.parametrize(("number", "counted"), [(1, "1 problem"), (2, "2 problems")])
def test_a_refusal_says_everything_at_once(number: int, counted: str) -> None:
    result = refusal([finding()] * number, "sshd on web1 was not changed")
    assert result["msg"].split("\n") == [
        f"sshd on web1 was not changed: {counted}.",
        *["- It is broken. Fix: Mend it."] * number,
    ]
    assert (result["changed"], result["actions"], len(result["findings"])) == (False, [], number)
