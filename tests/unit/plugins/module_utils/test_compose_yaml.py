from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils import compose_yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.compose_yaml import FileReader, load, mask, resolve
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(params=["libyaml", "python"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both parsers of PyYAML; machines without libyaml have the second one only."""
    name: str = request.param
    if name == "python":
        monkeypatch.setattr(compose_yaml, "_LOADER", yaml.SafeLoader)
    return name


@pytest.mark.parametrize(
    ("text", "line", "problem", "fix"),
    [
        ("a: 1\nb:\n\t- x\n", 3, "a tab stands here", "replace the tab by spaces"),
        ("a: b: c\n", 1, "a second ': ' stands where only a value fits", "quote the value"),
        ("services:\n  db\n    image: x\n", 3, "a second ': '", "missing colon of the line above"),
        ('a: 1\nb: "x\nc: 1\nd: 2\n', 2, "the quote that opens here is never closed", "close the quote"),
        ("a: [1, 2\nb: 3\n", 2, "a bracket here is not closed", "close it"),
        ("a: {b: 1\nc: 3\n", 2, "a bracket here is not closed", "close it"),
        ("a: *x\n", 1, "has no anchor", "define &name"),
        ("services:\n  web:\n    image: x\n   ports: []\n", 4, "indented unlike its neighbours", "align"),
        ("a:\n  - b\n c: 1\n", 3, "indented unlike its neighbours", "align"),
        ("a: @x\n", 1, "no value can begin with @", "in quotes"),
        ("a: %x\n", 1, "no value can begin with %", "in quotes"),
        ("a: 1\n---\nb: 2\n", 2, "a second document", "remove the line ---"),
        ('a: "\\q"\n', 1, "no escape that YAML knows", "single quotes"),
        ("a\n", 1, "holds no mapping", "begin it with services:"),
        ("a: 1\nb\n", 2, "this key has no colon", "key: value"),
    ],
)
def test_syntax_errors_in_plain_words(loader: str, text: str, line: int, problem: str, fix: str) -> None:
    document = load(text.encode(), "compose.yaml")
    assert document.data == {}
    (finding,) = document.findings
    assert (finding.rule, finding.severity, finding.file) == ("yaml-syntax", "error", "compose.yaml")
    assert problem in finding.message
    assert fix in finding.fix
    assert abs((finding.line or 0) - line) <= (1 if problem.startswith("this key has no colon") else 0)


def test_the_offending_line_is_shown_but_no_secret_on_it(loader: str) -> None:
    (finding,) = load(b"a:\n  image: x: y\n", "f").findings
    assert "line 2, column 11: " in finding.message
    assert 'The line is "image: x: y".' in finding.message
    (finding,) = load(b"a:\n  - DB_PASSWORD: canary: x\n", "f").findings
    assert "canary" not in finding.text()
    assert "DB_PASSWORD: …" in finding.message
    assert mask("- API_TOKEN=canary") == "- API_TOKEN=…"
    assert len(mask("x" * 999)) == 200


def test_duplicate_keys(loader: str) -> None:
    document = load(b"services:\n  web:\n    image: a\n    ports: []\n    image: b\n  web: {}\nx: 1\n", "f")
    assert [(f.rule, f.line) for f in document.findings] == [("yaml-duplicate-key", 5), ("yaml-duplicate-key", 6)]
    assert "'image' stands here a second time (first in line 3)" in document.findings[0].message
    # The rest of the file is still there to be checked.
    assert document.data == {"services": {"web": {"image": "a", "ports": []}}, "x": 1}


def test_aliases_are_copies_and_merge_keys_lose_against_own_keys(loader: str) -> None:
    text = b"x: &x {a: 1, b: {c: 2}}\ny: &y {a: 5, e: 6}\nz:\n  a: 9\n  <<: [*x, *y]\nw: *x\n'<<': text\n"
    document = load(text, "f")
    assert document.findings == []
    assert document.data["z"] == {"a": 9, "b": {"c": 2}, "e": 6}
    assert document.data["<<"] == "text"
    document.data["w"]["b"]["c"] = "changed"
    assert document.data["x"]["b"]["c"] == 2


def test_alias_bombs_are_bounded(loader: str) -> None:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"{n}: &{n} [{','.join([f'*{p}'] * 10)}]" for p, n in zip("abcdefg", "bcdefgh", strict=True)]
    (finding,) = load("\n".join(lines).encode(), "f").findings
    assert (finding.rule, "more than 100000 values" in finding.message) == ("yaml-alias", True)


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: &a\n  <<: *a\n", "a: &a {b: [{c: *a}]}"])
def test_recursive_aliases_are_refused(loader: str, text: str) -> None:
    (finding,) = load(text.encode(), "f").findings
    assert finding.rule == "yaml-alias"
    assert "alias to itself" in finding.message


@pytest.mark.parametrize(
    "text", ["[" * 200_000, '{"a":' * 5000, "- " * 5000, "a:\n" + "".join(" " * n + "- \n" for n in range(1, 80))]
)
def test_deep_nesting_ends_in_a_finding(loader: str, text: str) -> None:
    (finding,) = load(text.encode(), "f").findings
    assert "levels inside each other" in finding.message


@pytest.mark.parametrize(
    ("data", "rule", "words"),
    [
        (b"a: \xff\n", "yaml-encoding", "line 1: this is no UTF-8 text"),
        (b"a: 1\nb: \xe9\n", "yaml-encoding", "line 2"),
        ("a: 1".encode("utf-16"), "yaml-encoding", "UTF-16"),
        (b"", "yaml-syntax", "is empty"),
        (b"# only a comment\n", "yaml-syntax", "is empty"),
        (b"- a\n", "yaml-syntax", "no mapping"),
        (b"a: 1\nb: \x01\n", "yaml-syntax", "line 2: the character 0x1"),
        (b"? [a]\n: b\n", "yaml-syntax", "a key must be one word"),
        (b"<<: 5\n", "yaml-syntax", "takes an alias of a mapping"),
        (b"a: !env X\n", "not-supported", "the tag !env is not known"),
        (b"a:\n  - !reset x\n", "not-supported", "on an item of a list"),
        (b"a: " + b"x" * (3 * 1024 * 1024), "yaml-syntax", "more than 2097152"),
    ],
)
def test_files_that_are_no_compose_files(loader: str, data: bytes, rule: str, words: str) -> None:
    document = load(data, "f")
    (finding,) = document.findings
    assert finding.rule == rule
    assert words in finding.message
    assert finding.fix
    assert document.data == {}


def test_a_byte_order_mark_and_windows_lines_are_fine(loader: str) -> None:
    assert load(b"\xef\xbb\xbfa: 1\r\nb: x\r\n", "f").data == {"a": 1, "b": "x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("22:22", "22:22"),
        ("2024-01-01", "2024-01-01"),
        ("0440", 0o440),
        ("0o17", 15),
        ("0x1F", 31),
        ("08", 8),
        ("-5", -5),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("~", None),
        ("", None),
        ("null", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("!!str true", "true"),
        ("|-\n  5", "5"),
        ("=", "="),
        ("9" * 30, "9" * 30),
    ],
)
def test_values_are_read_as_compose_reads_them(loader: str, text: str, value: Any) -> None:
    document = load(f"a: {text}\n".encode(), "f")
    assert document.findings == []
    assert document.data["a"] == value
    assert type(document.data["a"]) is type(value)


def test_lines_and_tags() -> None:
    text = b"services:\n  web:\n    image: x\n    ports: !override\n      - 80\n      - 90\n    command: !reset null\n"
    document = load(text, "f")
    assert document.lines["services.web.ports[1]"] == 6
    assert document.lines["services.web.image"] == 3
    assert document.tags == {"services.web.ports": "override", "services.web.command": "reset"}


def test_keys_are_text() -> None:
    assert load(b"1: a\ntrue: b\nno: c\n", "f").data == {"1": "a", "true": "b", "no": "c"}


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="ab:-&*!<?[]{}'\"|>#\n\t %@,~", max_size=40))
def test_no_text_makes_it_raise(text: str) -> None:
    document = load(text.encode("utf-8", "surrogatepass"), "f")
    assert document.findings or isinstance(document.data, dict)
    assert all(f.fix and f.message for f in document.findings)


@given(st.text(alphabet="0123456789+-.eExXoOabc_:", max_size=8))
def test_plain_scalars_never_raise(text: str) -> None:
    assert isinstance(resolve(text), str | int | float | None)


def test_reading_files(tmp_path: Path) -> None:
    reader = FileReader()
    (tmp_path / "a.yaml").write_text("a: 1\n")
    (tmp_path / "bad.env").write_bytes(b"\xff")
    (tmp_path / "bom.env").write_bytes(b"\xef\xbb\xbfA=1")
    assert reader.document(str(tmp_path / "a.yaml")).data == {"a": 1}
    for path in (tmp_path / "missing.yaml", tmp_path):
        (finding,) = reader.document(str(path)).findings
        assert finding.rule == "file-missing"
        assert str(path) in finding.message
    assert reader.text(str(tmp_path / "missing.env")) is None
    assert reader.text(str(tmp_path / "bom.env")) == "A=1"
    for bad in (tmp_path / "bad.env", tmp_path):
        with pytest.raises(ValueError, match=r"UTF-8|directory"):
            reader.text(str(bad))
