"""Names as people write them, and as the DNS has them."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.hypercode.deploy.plugins.plugin_utils.dns.names import (
    NameProblem,
    in_zone,
    to_ascii,
    zone_of,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("Example.COM.", "example.com"),
        ("bücher.example.com", "xn--bcher-kva.example.com"),
        ("BÜCHER.example.com", "xn--bcher-kva.example.com"),
        ("xn--bcher-kva.example.com", "xn--bcher-kva.example.com"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("*.example.com", "*.example.com"),
        ("_acme-challenge.example.com", "_acme-challenge.example.com"),
    ],
)
def test_a_name_has_one_form(written: str, plain: str) -> None:
    assert to_ascii(written) == plain


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "empty"),
        ("a..b", "two dots"),
        ("www.*.example.com", "not at the beginning"),
        ("my site.example.com", "other characters"),
        ("-x.example.com", "other characters"),
        (f"{'a' * 64}.com", "63 are possible"),
        (".".join(["a" * 60] * 5), "253 are possible"),
        ("xn--a.example.com", "no IDN name"),
        ("☃️\u200b.example.com", "no IDN name"),
    ],
)
def test_a_name_that_cannot_be_says_why(written: str, words: str) -> None:
    with pytest.raises(NameProblem, match=words):
        to_ascii(written)


@given(st.text(max_size=40))
def test_whatever_is_typed_ends_in_a_name_or_a_reason(text: str) -> None:
    name = ""
    with contextlib.suppress(NameProblem):
        name = to_ascii(text)
    assert name.isascii()
    assert not name or to_ascii(name) == name


@pytest.mark.parametrize(
    ("written", "whole"),
    [
        ("@", "example.com"),
        ("", "example.com"),
        ("www", "www.example.com"),
        ("www.example.com", "www.example.com"),
        ("www.example.com.", "www.example.com"),
        ("a.b", "a.b.example.com"),
        ("example.com", "example.com"),
    ],
)
def test_a_name_in_a_zone(written: str, whole: str) -> None:
    assert in_zone(written, "example.com") == whole


def test_a_whole_name_of_another_zone_is_refused() -> None:
    with pytest.raises(NameProblem, match=r"not in the zone example\.com"):
        in_zone("www.example.net.", "example.com")


def test_the_nearest_zone_has_a_name() -> None:
    zones = ["example.com", "lab.example.com"]
    assert zone_of("a.lab.example.com", zones) == "lab.example.com"
    assert zone_of("b.example.com", zones) == "example.com"
    assert zone_of("badexample.com", zones) == ""
