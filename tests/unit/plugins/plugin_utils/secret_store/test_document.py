"""A file of secrets keeps its comments and other variables, and what cannot be kept is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.document import DATES, Document
from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[5]
RICH = b"""\
# The head.
---
stack_secrets:
  # About A.
  A: ''   # short
  B: "b: # not a comment"
  C:

vault_list:
  - one   # first
  - "two"
vault_map: {x: 1, y: [2, 3]}
vault_text: |
  several
    lines
vault_unsafe: !unsafe "{{ as it is }}"
vault_long: %s
# The foot.
""" % (b"word " * 60)


def test_only_what_was_set_changes() -> None:
    document = Document(RICH, "vault.yml")
    document.set("A", "new")
    document.set("C", "{{ # '\" : true")
    document.set("D", "123e4")
    expected = RICH.replace(b"A: ''   #", b'A: "new"   #').replace(
        b"  C:\n", b'  C: "{{ # \'\\" : true"\n  D: "123e4"\n'
    )
    assert [line.split() for line in document.text().splitlines() if line] == [
        line.split() for line in expected.splitlines() if line
    ]


def test_nothing_set_is_the_same_file_to_the_byte() -> None:
    assert Document(RICH, "vault.yml").text() == RICH


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"---\n",
        b"# a comment\n",
        b"# a\n---\n# b\n",
        b"# a\n--- # c\n\nother: 1\n",
        b"stack_secrets:\n",
        b"other: 1\n",
    ],
)
def test_a_file_without_secrets(text: bytes) -> None:
    document = Document(text, "vault.yml")
    document.set("A", "x")
    result = document.text()
    assert yaml.safe_load(result)["stack_secrets"] == {"A": "x"}
    assert all(line in result for line in text.splitlines() if line.startswith(b"#") or b"other" in line)


@settings(max_examples=40)
@given(st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), st.text(), min_size=1, max_size=4))
def test_any_text_comes_back_as_it_was_or_is_refused(values: dict[str, str]) -> None:
    document = Document(RICH, "vault.yml")
    for name, value in values.items():
        document.set(name, value)
    try:
        result = document.text()
    except StoreError:
        return
    again = Document(result, "vault.yml")
    assert {name: again.values[name] for name in values} == values


@pytest.mark.parametrize(
    "value", ["plain", "two\nlines", "tab\there", "ünïcode 🐦", " spaces ", "", "null", "#", "- a", "'"]
)
def test_values_that_people_have_come_back(value: str) -> None:
    document = Document(RICH, "vault.yml")
    document.set("A", value)
    assert Document(document.text(), "vault.yml").values["A"] == value


def test_numbers_as_names_are_refused_when_written_not_lost() -> None:
    document = Document(b"stack_secrets:\n  1: a\n", "vault.yml")
    document.set("B", "x")
    with pytest.raises(StoreError, match="cannot change without harm"):
        document.text()


def test_the_dates_have_a_section_of_their_own() -> None:
    document = Document(b"# d\n---\n", "secrets_dates.yml", DATES)
    document.set("A", "2026-11-24")
    assert document.text() == b'# d\n---\nstack_secrets_set_on:\n  A: "2026-11-24"\n'


@pytest.mark.parametrize(
    ("value", "has"), [("''", False), ("' '", False), ("", False), ("~", False), ("x", True), ("0", True), ("[]", True)]
)
def test_what_counts_as_no_value(value: str, has: bool) -> None:
    assert Document(f"stack_secrets:\n  A: {value}\n".encode(), "vault.yml").has("A") is has


def test_the_example_of_this_project_can_be_filled() -> None:
    path = ROOT / "inventories" / "example" / "group_vars" / "hypercode" / "vault.yml"
    document = Document(path.read_bytes(), path.name)
    assert not any(document.has(name) for name in document.values)
