# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bad input: a clear finding, never an exception, never a pass."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.judge import Request, judge
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.values import LONGEST, Unreadable
from hypothesis import given, settings
from hypothesis import strategies as st

from .conftest import Judge

GOOD = "vT4kQz9LmXc2Rw7NpJ5bYd8G"


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (None, "secret-empty"),
        ("", "secret-empty"),
        (" \n\t", "secret-empty"),
        (12345678, "secret-not-text"),
        (1.5, "secret-not-text"),
        (True, "secret-not-text"),
        ([GOOD], "secret-not-text"),
        ({"a": GOOD}, "secret-not-text"),
        ({GOOD}, "secret-not-text"),
        (object(), "secret-not-text"),
        (b"\x00\x01", "secret-binary"),
        (bytearray(b"abc"), "secret-binary"),
        (GOOD + "\x00", "secret-characters"),
        (GOOD + "\x1b[0m", "secret-characters"),
        (GOOD + "\x85" + GOOD, "secret-characters"),
        (GOOD[:5] + "\u200b" + GOOD, "secret-characters"),
        ("\ufeff" + GOOD, "secret-characters"),
        (GOOD[:5] + "\u202e" + GOOD, "secret-characters"),
        (GOOD[:5] + "\ufffd" + GOOD, "secret-characters"),
        ("\udc80" + GOOD, "secret-characters"),
        (GOOD[:5] + "\n" + GOOD, "secret-characters"),
        (GOOD[:5] + "\t" + GOOD, "secret-characters"),
        ("x" * (LONGEST + 1), "secret-too-long"),
        (Unreadable("cannot be decrypted.", "Give the password."), "secret-unreadable"),
    ],
)
@pytest.mark.parametrize("environment", ["production", "test"])
def test_what_is_no_text_to_judge(judged: Judge, value: Any, rule: str, environment: str) -> None:
    (finding,) = judged({"A": value}, {}, environment)
    assert (finding.secret, finding.rule, finding.severity) == ("A", rule, "error")


@pytest.mark.parametrize("value", [f" {GOOD}", f"{GOOD}\n", f"\t{GOOD}\r\n", f"{GOOD}\u00a0"])
def test_white_space_around_a_value_is_a_warning(judged: Judge, value: str) -> None:
    (finding,) = judged({"A": value})
    assert (finding.rule, finding.severity) == ("secret-whitespace", "warning")


def test_white_space_hides_nothing(judged: Judge) -> None:
    assert [finding.rule for finding in judged({"A": " changeme\n"})] == ["secret-placeholder", "secret-whitespace"]


def test_letters_of_other_alphabets_are_fine(judged: Judge) -> None:
    assert judged({"A": "żółw-Qz9Lm-ąęć-Xc2Rw7-ńśźÖ-pJ5b"}) == []


def test_a_structure_that_holds_itself(judged: Judge) -> None:
    loop: dict[str, Any] = {"A": GOOD}
    loop["B"] = loop
    ring: list[Any] = []
    ring.append(ring)
    loop["C"] = ring
    assert [finding.rule for finding in judged({**loop})] == ["secret-not-text"] * 2
    assert judged({"A": GOOD}, related={"loop": loop["C"], "deep": loop["B"]}) == []
    nested = {"password": loop["C"]}
    assert [finding.rule for finding in judged({"A": GOOD}, {"A": {"embeds": nested, "same_as": ring}})] == [
        "policy-invalid"
    ] * 2


def test_huge_values_and_many_of_them_take_no_time(judged: Judge) -> None:
    kinds = ["token", "password", "url", "hex", "pem_private_key", "password_hash"]
    values = ["x", "<", "{{", "a:", "${A", "-----BEGIN ", "AAA/"]
    start = time.perf_counter()
    for kind in kinds:
        secrets = {f"S{number}": (value * LONGEST)[: LONGEST - 1] for number, value in enumerate(values)}
        secrets["HUGE"] = "Zq3" * 350_000
        findings = judged(secrets, {"*": {"kind": kind}})
        assert "secret-too-long" in {finding.rule for finding in findings}
    # Measured: 1 s. What takes quadratic time would take hours.
    assert time.perf_counter() - start < 60


@settings(max_examples=30)
@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=60) | st.binary() | st.integers() | st.none()))
def test_nothing_raises(secrets: dict[str, Any]) -> None:
    for kind in ("token", "password", "url", "pem_private_key", "hex", "fernet", "password_hash", "discord_token"):
        judge(Request(secrets=secrets, policy={"*": {"kind": kind}}, environment="production", related=secrets))
