from __future__ import annotations

import contextlib

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.template import (
    TemplateError,
    Variable,
    escape,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("", ()),
        ("plain }", ("plain }",)),
        ("$A", (Variable("A"),)),
        ("x$A.b", ("x", Variable("A"), ".b")),
        ("${A}b", (Variable("A"), "b")),
        ("$$A", ("$A",)),
        ("$$$A", ("$", Variable("A"))),
        ("${A:-}", (Variable("A", ":-"),)),
        ("${A-b c}", (Variable("A", "-", ("b c",)),)),
        ("${A:?no A}", (Variable("A", ":?", ("no A",)),)),
        ("${A?}", (Variable("A", "?"),)),
        ("${A:+x}", (Variable("A", ":+", ("x",)),)),
        ("${A+x}", (Variable("A", "+", ("x",)),)),
        ("${A:-${B-$C}}d", (Variable("A", ":-", (Variable("B", "-", (Variable("C"),)),)), "d")),
        ("${A:-{x}}", (Variable("A", ":-", ("{x",)), "}")),
        ("${a_1}", (Variable("a_1"),)),
    ],
)
def test_parse(text: str, nodes: tuple[object, ...]) -> None:
    assert parse(text) == nodes


@pytest.mark.parametrize(
    "text", ["$", "cost $5", "a$", "${", "${}", "${1}", "${A", "${A:-x", "${A!b}", "${A:=b}", "$ {A}"]
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(TemplateError):
        parse(text)


def test_parse_refuses_deep_nesting_without_recursion_error() -> None:
    with pytest.raises(TemplateError, match="inside each other"):
        parse("${A:-" * 5000 + "}" * 5000)


@given(st.text())
def test_an_escaped_literal_parses_to_itself(text: str) -> None:
    assert "".join(str(node) for node in parse(escape(text))) == text


@given(st.text(alphabet="${}AB:-?+ x"))
def test_parse_raises_nothing_else(text: str) -> None:
    with contextlib.suppress(TemplateError):
        parse(text)
