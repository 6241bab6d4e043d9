# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The policy: which rule counts, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.policy import (
    DEFAULT_RULE,
    Rule,
    read_policy,
)


def test_the_exact_name_wins_then_the_first_glob_that_fits_then_the_default() -> None:
    policy, findings = read_policy(
        {"*_KEY": {"kind": "hex"}, "API_*": {"kind": "text"}, "API_KEY": {"kind": "password"}, "api_key": {"bits": 9}}
    )
    assert findings == []
    kinds = {name: policy.rule_for(name).kind for name in ("API_KEY", "API_X_KEY", "API_URL", "OTHER")}
    assert kinds == {"API_KEY": "password", "API_X_KEY": "hex", "API_URL": "text", "OTHER": "token"}
    assert policy.rule_for("Api_Key") is DEFAULT_RULE
    assert policy.names("API_URL")
    assert not policy.names("OTHER")


def test_a_glob_makes_no_name_required() -> None:
    policy, findings = read_policy({"*": {"required": True}, "A": {}, "B": {"required": False}, "C[1]": {}})
    assert findings == []
    assert policy.required == ["A"]


def test_defaults_by_kind() -> None:
    policy, _ = read_policy({"J": {"kind": "jwt_hs256"}, "T": {}, "P": {"kind": "anthropic_key"}, "H": {"bits": 200}})
    assert policy.rule_for("J").minimum_bits == 256
    assert policy.rule_for("T") == Rule(required=True)
    assert (policy.rule_for("T").minimum_bits, policy.rule_for("H").minimum_bits) == (128, 200)
    assert (policy.rule_for("T").generate, policy.rule_for("P").generate) == (True, False)


def test_every_key_is_read() -> None:
    raw = {
        "kind": "url",
        "required": False,
        "bits": 130,
        "max_age_days": 90,
        "same_as": ["B"],
        "embeds": {"password": "P", "username": "U"},
        "certificate": "C",
        "generate": True,
        "length": 40,
        "rotate": {"kind": "postgres_role", "service": "postgres", "role": "hypercode", "database": "postgres"},
        "description": "What it is for",
    }
    policy, findings = read_policy({"A": raw})
    assert findings == []
    rule = policy.rule_for("A")
    assert {**rule.__dict__, "same_as": list(rule.same_as)} == raw


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"kind": "tokn"}, "Did you mean token?"),
        ({"kind": ["token"]}, "kind must be one of"),
        ({"max_age": 3}, "there is no key max_age. Did you mean max_age_days?"),
        ({"max_age_days": "90"}, "max_age_days must be a whole number"),
        ({"bits": True}, "bits must be a whole number"),
        ({"bits": 0}, "bits must be a whole number of 1 or more"),
        ({"required": "no"}, "required must be true or false"),
        ({"same_as": "B"}, "same_as must be a list"),
        ({"embeds": {"passwort": "B"}}, "embeds must be a mapping"),
        ({"embeds": ["B"]}, "embeds must be a mapping"),
        ({"rotate": {"kind": "mysql"}}, "rotate must be a mapping whose kind"),
        ({"rotate": {"kind": "grafana_admin", "role": "x"}}, "rotate must be a mapping, with texts for"),
        ({"certificate": 3}, "certificate must be text"),
        ({1: 2}, "there is no key 1"),
        ("token", "its rule must be a mapping"),
        (None, "its rule must be a mapping"),
    ],
)
def test_a_wrong_rule_is_an_error_and_counts_as_not_said(rule: Any, words: str) -> None:
    policy, findings = read_policy({"A": rule})
    (finding,) = findings
    assert (finding.secret, finding.rule, finding.severity) == ("A", "policy-invalid", "error")
    assert words in finding.message
    assert policy.rule_for("A") == Rule(required=True)


@pytest.mark.parametrize("raw", ["token", [1], 3])
def test_a_policy_that_is_no_mapping(raw: Any) -> None:
    policy, findings = read_policy(raw)
    assert [finding.rule for finding in findings] == ["policy-invalid"]
    assert policy.rule_for("A") is DEFAULT_RULE


def test_a_name_that_is_no_text() -> None:
    _policy, findings = read_policy({1: {}, "A": {}})
    assert [finding.rule for finding in findings] == ["policy-invalid"]
