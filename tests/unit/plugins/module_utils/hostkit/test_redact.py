"""Secrets do not survive in text that others wrote."""

from __future__ import annotations

import json
import urllib.parse

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.envfile import write_env
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.redact import MASK, Redactor
from hypothesis import given
from hypothesis import strategies as st

VALUE = 'pa"ss\\word/@:?ä'


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        json.dumps(VALUE),
        json.dumps(VALUE, ensure_ascii=False),
        urllib.parse.quote(VALUE, safe=""),
        urllib.parse.quote_plus(VALUE),
    ],
)
def test_however_it_is_written(written: str) -> None:
    redact = Redactor([VALUE])
    assert "word" not in redact(f"redis://:{written}@db")
    assert redact(f"a {written} b").startswith("a ")


def test_the_longer_one_first() -> None:
    assert Redactor(["secret", "secret-and-more"])("x secret-and-more y secret") == f"x {MASK} y {MASK}"


def test_a_key_of_several_lines() -> None:
    key = "-----BEGIN-----\nabcdefghijkl\nmnopqrstuvwx\n-----END-----\n"
    assert "mnop" not in Redactor([key])("cannot read mnopqrstuvwx")


def test_what_is_too_short_would_hide_everything() -> None:
    assert Redactor(["", "a", "abc"])("a cab of abc") == "a cab of abc"
    assert Redactor()("text") == "text"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\1"), min_size=4))
def test_an_env_file_gives_its_values(value: str) -> None:
    assert Redactor.of_env(write_env({"NAME": value}))(f"a\1{value}\1b") == f"a\1{MASK}\1b"


def test_a_torn_env_file_counts_as_far_as_it_goes() -> None:
    assert Redactor.of_env("A='first-value'\nB='second-va")("first-value second-va") == f"{MASK} {MASK}"
