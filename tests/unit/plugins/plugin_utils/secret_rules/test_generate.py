"""What is generated is accepted by the judge, always; what cannot be generated is refused with the fix."""

from __future__ import annotations

import base64
import datetime
import os
import re
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.generate import (
    CannotGenerateError,
    can_generate,
    generate,
)
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.judge import Request, judge
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.policy import GENERATED, KINDS, read_policy

TODAY = datetime.date(2026, 11, 24)
# A part of the corpus; more of it with scripts/test corpus.
EACH = int(os.environ.get("SECRETS_CORPUS", "200"))
BATCH = 1000


def made(rule: dict[str, Any], count: int = 1) -> list[str]:
    parsed = read_policy({"A": rule})[0].rule_for("A")
    return [generate(parsed, "A") for _ in range(count)]


@pytest.mark.parametrize("kind", sorted(GENERATED))
def test_the_judge_refuses_none(kind: str, record_property: Callable[..., None]) -> None:
    for start in range(0, EACH, BATCH):
        values = {f"S{start + number}": value for number, value in enumerate(made({"kind": kind}, min(BATCH, EACH)))}
        assert len(set(values.values())) == len(values)
        request = Request(
            secrets=values,
            policy={"S*": {"kind": kind, "max_age_days": 90}},
            environment="production",
            set_on=dict.fromkeys(values, TODAY.isoformat()),
            today=TODAY,
            words=["hypercode", "production"],
        )
        assert judge(request) == []
    record_property("figure", f"generated values refused|{kind} 0 of {EACH}")


def test_every_kind_that_the_policy_generates_can_be_made() -> None:
    assert {kind for kind in KINDS if can_generate(kind)} == GENERATED


@pytest.mark.parametrize("kind", ["token", "password", "jwt_hs256", "hex", "fernet"])
def test_values_need_no_quotes_and_no_encoding(kind: str) -> None:
    for value in made({"kind": kind}, 200):
        assert re.fullmatch(r"[A-Za-z0-9_.=-]+", value)
        if kind != "fernet":
            assert value[0].isalnum()


@pytest.mark.parametrize(
    ("rule", "length"),
    [
        ({"kind": "token"}, 43),
        ({"kind": "token", "length": 30}, 30),
        ({"kind": "token", "bits": 512}, 86),
        ({"kind": "password"}, 24),
        ({"kind": "password", "length": 20}, 20),
        ({"kind": "jwt_hs256"}, 64),
        ({"kind": "hex", "length": 32}, 32),
    ],
)
def test_length(rule: dict[str, Any], length: int) -> None:
    assert {len(value) for value in made(rule, 20)} == {length}


@pytest.mark.parametrize("size", [16, 24, 32])
def test_an_aes_key_has_the_bytes_that_were_asked_for(size: int) -> None:
    assert len(base64.b64decode(made({"kind": "aes_key_base64", "length": size})[0], validate=True)) == size


def test_a_password_has_a_character_of_each_sort() -> None:
    for value in made({"kind": "password"}, 200):
        assert all(re.search(sort, value) for sort in ("[a-z]", "[A-Z]", "[0-9]", "[-_.]"))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"kind": "token", "length": 10}, "at least 22"),
        ({"kind": "password", "length": 12}, "at least 20"),
        ({"kind": "jwt_hs256", "length": 32}, "at least 43"),
        ({"kind": "hex", "bits": 256, "length": 32}, "at least 64"),
        ({"kind": "token", "length": 100_000}, "at most 4096"),
        ({"kind": "aes_key_base64", "length": 20}, "16, 24, 32 bytes, not 20"),
        ({"kind": "url"}, "generate: false"),
    ],
)
def test_a_rule_that_would_make_a_weak_value(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(CannotGenerateError, match=said) as error:
        made(rule)
    assert "Fix: " in str(error.value)
