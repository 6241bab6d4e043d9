from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils import compose_yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.compose.emit import emit, ordered
from hypothesis import example, given, settings
from hypothesis import strategies as st

TEXT = st.text(max_size=30) | st.text(
    alphabet="a \n:#-'\"\\|>%@`{}[],&*!?~$\t\r\0\x85\u2028\ufeffé0159eE.xo_", max_size=12
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=15
)


@settings(max_examples=200, deadline=None)
@given(JSON)
@example({"a": [[{"b": [[], {}]}], []], "": {"": ""}})
@example({"x" * 2000: {"k": ["v"]}, "y" * 200: ["v"]})
@example(["a\nb", "a\nb\n", "a\n\nb\n\n", " a\nb", "\na", "a \nb", "a\tb\nc", "\n", "a\n b\n"])
@example({"a-": {"b": 1}, "c-": [1]})
def test_a_reader_gets_back_what_was_written(data: Any) -> None:
    text = emit(data)
    assert yaml.safe_load(text) == data
    assert yaml.safe_load(emit(data, ["a comment"])) == data


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        TEXT.filter(lambda key: key != "<<"), TEXT | st.integers(-(2**60), 2**60) | st.booleans(), max_size=4
    )
)
def test_a_yaml_1_2_reader_gets_the_same(data: dict[str, Any]) -> None:
    document = compose_yaml.load(emit(data).encode(), "f")
    assert document.data == data or (data == {} and document.findings == [])


AMBIGUOUS = "yes No on OFF y N true null ~ 1 1.0 1e3 0x1f 0o7 010 22:22 1_000 .5 .inf .nan NaN -1 +1 2024-01-01 << ="
SYNTAX = ["", "- a", "a: b", "a #b", "#a", "a:", " a", "a ", "@a", "`a", "%a", "!a", "&a", "*a", "{a", "[a", "'a", '"a']


@pytest.mark.parametrize("word", [*AMBIGUOUS.split(), *SYNTAX, "|", ">", "?", "$A", "${A}"])
def test_words_that_mean_something_else_are_quoted(word: str) -> None:
    assert emit({"k": word}) == f"k: {json.dumps(word)}\n"


@pytest.mark.parametrize(
    "word",
    ["redis:7.2", "registry:5000/a/b:1@sha256:0f", "/data", "60s", "1m30s", "512M", "1.5G", "on-failure:3", "a b"],
)
def test_common_values_need_no_quotes(word: str) -> None:
    assert emit({"k": word}) == f"k: {word}\n"


def test_layout() -> None:
    data = {"a": {"b": ["x", {"c": 1, "d": [True]}], "e": None}, "f": "line\n  two\n", "g": [], "h": {}, "i": 1e16}
    assert emit(data) == (
        "a:\n  b:\n    - x\n    - c: 1\n      d:\n        - true\n  e: null\n"
        "f: |\n  line\n    two\ng: []\nh: {}\ni: 1.0e+16\n"
    )


@pytest.mark.parametrize("data", [{"a": float("nan")}, {"a": float("inf")}, {"a": object()}, {1: "a"}, {"a": b"x"}])
def test_what_json_cannot_hold_is_refused(data: Any) -> None:
    with pytest.raises(TypeError):
        emit(data)


def test_a_long_safe_looking_text_takes_no_time() -> None:
    assert emit({"k": "a" * 100_000 + '"'}).endswith('\\""\n')


def test_ordered_puts_keys_where_people_look_for_them() -> None:
    project = {
        "volumes": {"b": None, "a": None},
        "services": {"b": {"labels": {}, "x-note": 1, "image": "i", "command": "c"}, "a": {}},
        "zeta": 1,
        "name": "n",
    }
    result = ordered(project)
    assert list(result) == ["name", "services", "volumes", "zeta"]
    assert list(result["services"]) == ["a", "b"]
    assert list(result["services"]["b"]) == ["image", "command", "labels", "x-note"]
    assert list(result["volumes"]) == ["a", "b"]
    assert result == project
