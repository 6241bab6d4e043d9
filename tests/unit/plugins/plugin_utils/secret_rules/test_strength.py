# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Strength: length times alphabet, without what is easy to guess; and not by chance."""

from __future__ import annotations

import random
import string

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_rules.strength import (
    alphabet,
    measure,
    measure_bytes,
)
from hypothesis import given
from hypothesis import strategies as st

RANDOM = "vT4kQz9LmXc2Rw7NpJ5bYd8G"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("80517392046182", 10),
        ("9f3c01ab77e2", 16),
        ("9F3C01AB77E2", 16),
        ("qmzvtplkwxhr", 26),
        ("k3vz9qw1", 36),
        ("k3vz9qW1", 62),
        ("k3vz/9qW1+", 64),
        ("k3vz-9qW1_", 64),
        ("k3vz!9qW1", 94),
        ("k3vz!9qW1é", 222),
    ],
)
def test_the_alphabet_is_that_of_the_classes_in_use(text: str, size: int) -> None:
    assert alphabet(text) == size


def test_a_class_that_may_be_missing_by_chance_is_no_weakness() -> None:
    # 16 random bytes in base64 without padding: every 40th has no digit, and would seem to have 125 bits.
    assert measure("qTzVkXwRmPLbHcNdYsJfGw").bits >= 128
    # 24 letters and digits, none of them a capital: once in 500,000. Two letters less is too weak.
    assert measure("q7zvk3xwrm9plb2hcn6dysj8").bits >= 128
    assert measure("q7zvk3xwrm9plb2hcn6dys").bits < 128
    # For 31 hexadecimal digits there is no doubt.
    assert measure("9f3c01ab77e24d5806bfe19a2c7d43e").bits < 128
    assert measure("9f3c01ab77e24d5806bfe19a2c7d43e5").bits == 128


def test_a_word_inside_of_a_strong_value_counts_for_nothing_and_costs_nothing() -> None:
    assert measure(RANDOM).bits > 140
    assert measure(RANDOM[:11] + "test" + RANDOM[11:]).bits > 140
    assert measure("my-secret-" + RANDOM).bits > 128
    left = measure("my-secret-" + RANDOM[:14]).bits
    assert 60 < left < 100


@pytest.mark.parametrize(
    "text",
    [
        "abcabcabcabcabcabcabcabcabcabcabc",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "97531975319753197531975319753197531",
        "qwertyuiopasdfghjklzxcvbnmqwertyuiop",
        "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
        "C0rr3ct-H0rs3-B4tt3ry-St4pl3",
        "drowssapterceskcatsgnola",
        "19841985198619871988198919901991",
        "asdkjhaskdjhaskjdhaksjdhaksjdhkajsd",
    ],
)
def test_patterns_are_discounted(text: str) -> None:
    strength = measure(text)
    assert strength.plain > 100
    assert strength.bits < 120
    assert strength.explained


def test_own_words_are_known() -> None:
    text = "zorbquixel-plimventor-zorbquixel"
    assert measure(text, frozenset({"zorbquixel", "plimventor"})).bits < 20 < measure(text).bits


@given(st.text(max_size=300))
def test_any_text_has_a_strength_between_nothing_and_its_length(text: str) -> None:
    strength = measure(text)
    assert 0 <= strength.bits <= strength.plain + 1e-6
    assert 0 <= strength.left <= strength.plain + 1e-6


@given(st.text(alphabet="ab1-", min_size=1, max_size=40), st.integers(2, 6))
def test_repeating_a_text_adds_next_to_nothing(text: str, times: int) -> None:
    assert measure(text * times).bits <= measure(text).plain + 24 + 40


def test_a_long_value_takes_no_longer_than_its_beginning_and_end() -> None:
    source = random.Random(1)  # noqa: S311 - no secret.
    text = "".join(source.choices(string.ascii_letters, k=60_000))
    assert 128 < measure(text).plain < 256 * 6.6


def test_raw_bytes() -> None:
    assert measure_bytes(bytes(32)) < 30
    assert measure_bytes(bytes(range(32))) < 40
    assert measure_bytes(b"0123456789abcdef0123456789abcdef") < 128
    assert measure_bytes(random.Random(3).randbytes(16)) == 128  # noqa: S311 - no secret.
