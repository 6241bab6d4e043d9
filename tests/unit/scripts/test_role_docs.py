"""scripts/role_docs: what it makes of a specification, and that it never loses what a person wrote."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[3]


def script() -> ModuleType:
    """Import a script that has no extension."""
    loader = importlib.machinery.SourceFileLoader("role_docs", str(ROOT / "scripts" / "role_docs"))
    spec = importlib.util.spec_from_loader("role_docs", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


docs = script()


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("Written to C(/etc/x).", "Written to `/etc/x`."),
        ("V(docker) is pinned to O(docker_version).", "`docker` is pinned to `docker_version`."),
        (r"A path C(a\)b).", "A path `a)b`."),
        ("A call C(f(x)).", "A call `f(x)`."),
        ("See L(the manual, https://example.org/a).", "See [the manual](https://example.org/a)."),
        ("At U(https://example.org).", "At <https://example.org>."),
        ("TOPIC(x) is no markup.", "TOPIC(x) is no markup."),
        (["One.", "Two\n  lines."], "One. Two lines."),
    ],
)
def test_markup(markup: str | list[str], text: str) -> None:
    assert docs.text_of(markup) == text


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"default": True}, "`true`"),
        ({"default": ""}, '`""`'),
        ({"default": 0}, "`0`"),
        ({"default": ["a" * 50]}, docs.ELSEWHERE),
        ({"required": True}, "**required**"),
        ({}, docs.ELSEWHERE),
    ],
)
def test_default(spec: dict[str, Any], text: str) -> None:
    assert docs.default_of("known", spec, {"known": "somewhere"}) == text


def test_a_variable_without_any_default() -> None:
    assert docs.default_of("unknown", {}, {"known": 1}) == ""


def test_keys_of_a_variable_get_rows_of_their_own() -> None:
    options = {
        "x_list": {"type": "list", "elements": "dict", "options": {"a": {"type": "int", "required": True}}},
        "x_dict": {"type": "dict", "options": {"b": {"choices": ["p", "q"], "description": "Left | right."}}},
    }
    lines = list(docs.rows(options, {}))
    assert [line.split("|")[1].strip() for line in lines] == ["`x_list`", "`x_list[].a`", "`x_dict`", "`x_dict.b`"]
    assert r"Left \| right. One of `p`, `q`." in lines[3]


@given(st.text())
def test_no_text_breaks_the_table(text: str) -> None:
    (row,) = docs.rows({"x": {"type": "str", "description": text}}, {})
    assert "\n" not in row
    assert row.replace("\\|", "").count("|") == 5


def role(folder: Path, readme: str | None = None) -> Path:
    options = "{x_a: {type: int, default: 3}}"
    for name, content in {
        "meta/argument_specs.yml": f"argument_specs: {{main: {{short_description: Does it, options: {options}}}}}",
        "meta/main.yml": 'galaxy_info: {min_ansible_version: "2.19", platforms: [{name: Debian, versions: [trixie]}]}',
        "defaults/main.yml": "x_a: 3",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    if readme is not None:
        (folder / "README.md").write_text(readme)
    return folder


def test_a_new_readme_ends_with_a_place_for_traps(tmp_path: Path) -> None:
    text = docs.readme_of(role(tmp_path / "x"))
    assert text.startswith("# Role `x`\n\nDoes it.\n")
    assert "| `x_a` | int | `3` |  |" in text
    assert text.endswith("## Known traps\n\nNone yet.\n")


def test_what_a_person_wrote_stays(tmp_path: Path) -> None:
    old = f"# old\n{docs.MARKER}\n\n## Known traps\n\n- Mine.\n"
    text = docs.readme_of(role(tmp_path / "x", old))
    assert "# old" not in text
    assert text.endswith(f"{docs.MARKER}\n\n## Known traps\n\n- Mine.\n")
    (tmp_path / "x" / "README.md").write_text(text)
    assert docs.readme_of(tmp_path / "x") == text
