# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The judge: the worst case where something is not known, and the rules that look at more than one value."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.across import FileFacts

from .conftest import TODAY, Judge

GOOD = "vT4kQz9LmXc2Rw7NpJ5bYd8G"
OTHER = "hR8wZc3NfKq6Xv1TjPm5LsYb"


def rules(findings: Any) -> list[tuple[str, str, str]]:
    return [(finding.secret, finding.rule, finding.severity) for finding in findings]


def test_good_secrets_give_nothing(judged: Judge) -> None:
    assert judged({"A": GOOD, "B": OTHER}, {"A": {"kind": "password"}}, " Production ") == []


@pytest.mark.parametrize("environment", ["prod", "dev", "", None, 3, ["production"], "produktion", "tests"])
def test_an_unknown_environment_is_judged_as_production(judged: Judge, environment: Any) -> None:
    assert rules(judged({"A": "changeme"}, {}, environment)) == [
        ("A", "secret-placeholder", "error"),
        ("", "environment-unknown", "warning"),
    ]
    assert "rotate <env> A" in judged({"A": "changeme"}, {}, environment)[0].hint


@pytest.mark.parametrize("environment", ["development", "TEST"])
def test_strength_is_a_warning_in_development_and_test_and_the_rest_stays(judged: Judge, environment: str) -> None:
    secrets = {"A": "changeme", "B": "changeme", "C": "zq81", "D": 3, "E": "", "F": "x", "G": GOOD}
    policy = {"F": {"kind": "fernet"}, "M": {}, "G": {"max_age_days": 1}}
    findings = judged(secrets, policy, environment, set_on={"G": "2026-01-01"})
    errors = {finding.rule for finding in findings if finding.severity == "error"}
    warnings = {finding.rule for finding in findings if finding.severity == "warning"}
    assert errors == {"secret-not-text", "secret-empty", "secret-malformed", "secret-missing"}
    assert warnings == {"secret-placeholder", "secret-weak", "secret-duplicate", "secret-old"}


def test_staging_is_as_strict_as_production(judged: Judge) -> None:
    assert rules(judged({"A": "changeme"}, {}, "staging")) == [("A", "secret-placeholder", "error")]


def test_a_missing_secret_says_how_to_get_it(judged: Judge) -> None:
    policy = {"A": {"description": "for the API"}, "K": {"kind": "openai_key"}, "O": {"required": False}, "*": {}}
    made, given = judged({}, policy)
    assert rules([made, given]) == [("A", "secret-missing", "error"), ("K", "secret-missing", "error")]
    assert made.hint == "Run: scripts/secrets init production. It is: for the API."
    assert given.hint == "Get it from where it is issued, then run: scripts/secrets edit production."


def test_the_hint_for_a_weak_secret_is_one_command(judged: Judge) -> None:
    (weak,) = judged({"A": "zq81"})
    assert weak.hint == "Run: scripts/secrets rotate production A"
    (given,) = judged({"A": "zq81"}, {"A": {"generate": False}})
    assert given.hint.endswith("scripts/secrets edit production")


@pytest.mark.parametrize("secrets", [None, {}])
def test_no_secrets_at_all(judged: Judge, secrets: Any) -> None:
    assert rules(judged(secrets, {"A": {}})) == [("A", "secret-missing", "error")]


@pytest.mark.parametrize("secrets", ["A=b", ["A"], 3, True])
def test_secrets_that_are_no_mapping(judged: Judge, secrets: Any) -> None:
    assert rules(judged(secrets)) == [("", "secrets-invalid", "error")]
    assert rules(judged({}, related=secrets, set_on=secrets)) == [("", "input-invalid", "error")] * 2


def test_a_name_that_is_no_text(judged: Judge) -> None:
    assert rules(judged({1: GOOD, "A": GOOD})) == [("", "secrets-invalid", "error")]


def test_the_same_value_twice(judged: Judge) -> None:
    secrets = {"A": GOOD, "B": GOOD, "C": f" {GOOD}\n", "D": OTHER}
    found = [finding for finding in judged(secrets) if finding.rule == "secret-duplicate"]
    assert rules(found) == [("B", "secret-duplicate", "error"), ("C", "secret-duplicate", "error")]
    assert "the same value as A" in found[0].message
    assert judged({"A": GOOD, "B": GOOD}, {"B": {"same_as": ["A"]}}) == []
    assert judged({"A": GOOD, "B": GOOD}, {"A": {"same_as": ["B"]}}) == []
    assert judged({"A": "someone", "B": "someone"}, {"*": {"kind": "text"}}) == []


def test_the_percent_encoded_twin_is_no_second_secret(judged: Judge) -> None:
    secrets = {"A": GOOD + "@/", "A_URLENCODED": GOOD + "%40%2F", "B": OTHER, "B_URLENCODED": OTHER}
    assert judged(secrets, {"A": {"max_age_days": 9}}, set_on={"A": TODAY}) == []
    wrong = judged({**secrets, "A_URLENCODED": OTHER + "x"})
    assert rules(wrong) == [("A_URLENCODED", "secret-url-mismatch", "error")]
    # Without the secret that it belongs to, it is one like any other.
    assert rules(judged({"A_URLENCODED": "changeme"})) == [("A_URLENCODED", "secret-placeholder", "error")]


def test_the_same_value_in_another_environment(judged: Judge) -> None:
    others = {"staging": {"X": GOOD, "Y": "someone", "Z": 3, "U": "redis://redis:6379/0"}, "test": {"A": "else"}}
    secrets = {"A": GOOD, "USER": "someone", "URL": "redis://redis:6379/0"}
    policy = {"USER": {"kind": "text"}, "URL": {"kind": "url"}}
    for environment in ("production", "development"):
        (finding,) = judged(secrets, policy, environment, others=others)
        assert rules([finding]) == [("A", "secret-shared-with-environment", "error")]
        assert "X in the environment staging" in finding.message


@pytest.mark.parametrize(
    ("since", "rule", "severity"),
    [
        ("2026-11-24", None, None),
        ("2026-08-26", None, None),
        ("2026-08-25", "secret-old", "warning"),
        ("2026-05-28", "secret-old", "warning"),
        (datetime.date(2016, 1, 1), "secret-old", "warning"),
        (datetime.datetime(2026, 11, 1, 3, 4), "", None),
        ("2026-11-01T10:00:00Z", "", None),
        (None, "secret-age-unknown", "warning"),
        ("", "secret-age-unknown", "warning"),
        ("last week", "secret-age-unknown", "warning"),
        (20260101, "secret-age-unknown", "warning"),
        ("2027-01-01", "secret-age-unknown", "warning"),
    ],
)
def test_age(judged: Judge, since: Any, rule: str | None, severity: str | None) -> None:
    findings = judged({"A": GOOD}, {"A": {"max_age_days": 90}}, set_on={"A": since})
    assert rules(findings) == ([("A", rule, severity)] if rule else [])


def test_unknown_days_are_said_once(judged: Judge) -> None:
    (finding,) = judged({"A": GOOD, "B": GOOD[::-1]}, {"?": {"max_age_days": 90}})
    assert rules([finding]) == [("", "secret-age-unknown", "warning")]
    assert "A, B" in finding.message


def test_no_age_is_asked_where_the_policy_has_none(judged: Judge) -> None:
    assert judged({"A": GOOD}, {"A": {}}, set_on={"A": "1999-01-01", "GONE": 1}) == []


@pytest.mark.parametrize(
    ("mode", "encrypted", "rule"),
    [
        (0o600, False, None),
        (0o640, False, None),
        (0o644, False, "file-readable-by-others"),
        (0o644, True, None),
        (0o602, False, "file-writable-by-others"),
        (0o646, True, "file-writable-by-others"),
    ],
)
def test_files(judged: Judge, mode: int, encrypted: bool, rule: str | None) -> None:
    findings = judged({}, files=[FileFacts("/srv/vault.yml", mode, encrypted)])
    assert [finding.rule for finding in findings] == ([rule] if rule else [])
    for finding in findings:
        assert finding.hint == "Run: chmod 600 /srv/vault.yml"


def test_errors_come_first_and_nothing_comes_twice(judged: Judge) -> None:
    findings = judged({"A": f" {GOOD}", "B": "zq81", "C": ""}, {"A": {"max_age_days": 1}})
    severities = [finding.severity for finding in findings]
    assert severities == sorted(severities)
    assert len(set(findings)) == len(findings)


def test_the_names_of_the_project_count_as_known(judged: Judge) -> None:
    value = "zorbquixel-plimventor-zorbquixel-9"
    assert judged({"A": value + "-kresmawolbertun"}) == []
    assert rules(judged({"A": value + "-kresmawolbertun"}, words=["zorbquixel", "Plimventor"]))[0][0] == "A"
    assert rules(judged({"ZORBQUIXEL_KEY": "zorbquixel"}))[0][1] == "secret-placeholder"
