"""The filter that adds percent-encoded twins of secrets."""

from __future__ import annotations

import urllib.parse
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.hypercode.deploy.plugins.filter.with_urlencoded import FilterModule, with_urlencoded
from hypothesis import given
from hypothesis import strategies as st


def test_a_password_that_breaks_a_url() -> None:
    assert with_urlencoded({"DB": "a@b:c/d?e#f"}) == {"DB": "a@b:c/d?e#f", "DB_URLENCODED": "a%40b%3Ac%2Fd%3Fe%23f"}


def test_nothing_in_nothing_out() -> None:
    assert with_urlencoded({}) == {}


def test_numbers_become_text() -> None:
    assert with_urlencoded({"PIN": 1234}) == {"PIN": "1234", "PIN_URLENCODED": "1234"}


def test_an_explicit_twin_wins() -> None:
    assert with_urlencoded({"DB": "a/b", "DB_URLENCODED": "mine"})["DB_URLENCODED"] == "mine"


@given(st.text())
def test_the_twin_means_the_same_and_is_safe_in_a_url(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return
    twin = with_urlencoded({"S": value})["S_URLENCODED"]
    assert urllib.parse.unquote(twin) == value
    assert urllib.parse.urlsplit(f"redis://:{twin}@redis:6379/0").hostname == "redis"


@pytest.mark.parametrize("wrong", ["text", ["a"], None, 3])
def test_refuses_what_is_no_mapping(wrong: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="wants a mapping"):
        with_urlencoded(wrong)


@pytest.mark.parametrize("value", [None, ["x"], {"a": "b"}, 1.5, True, False, "lone \ud800 surrogate"])
def test_names_the_secret_that_is_no_text_but_never_its_value(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="GOOD_NAME") as caught:
        with_urlencoded({"GOOD_NAME": value, "OTHER": "CANARY"})
    assert "CANARY" not in str(caught.value)
    assert "Fix" in str(caught.value)


def test_names_of_any_kind_can_be_told() -> None:
    with pytest.raises(AnsibleFilterError, match="not text: 3, A"):
        with_urlencoded({"A": None, 3: None})


def test_ansible_finds_it_by_its_name() -> None:
    assert FilterModule().filters() == {"with_urlencoded": with_urlencoded}
