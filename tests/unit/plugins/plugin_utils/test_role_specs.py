"""What the roles say about their variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible.template import is_trusted_as_template
from ansible_collections.hypercode.deploy.plugins.plugin_utils import role_specs
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import Removed, SpecError

SPEC = "argument_specs: {main: {options: {web_port: {type: int}, web_empty: }}}"


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_role_with_defaults_and_internals(tmp_path: Path) -> None:
    put(tmp_path, "web/meta/argument_specs.yml", SPEC)
    put(tmp_path, "web/defaults/main.yml", 'web_port: 80\nweb_url: "x:{{ web_port }}"\nweb_list: ["{{ a }}", {b: 1}]\n')
    put(tmp_path, "web/vars/main.yml", "__web_root: /srv\n")
    put(tmp_path, "bare/tasks/main.yml", "[]")
    put(tmp_path, "README.md", "not a role")
    roles = role_specs.load_roles(tmp_path)
    assert list(roles) == ["web"]
    assert roles["web"].options == {"web_port": {"type": "int"}, "web_empty": {}}
    assert roles["web"].internals == {"__web_root": "/srv"}
    assert roles["web"].defaults == {"web_port": 80, "web_url": "x:{{ web_port }}", "web_list": ["{{ a }}", {"b": 1}]}


def test_only_our_own_templates_are_trusted(tmp_path: Path) -> None:
    put(tmp_path, "web/meta/argument_specs.yml", SPEC)
    put(tmp_path, "web/defaults/main.yml", 'web_a: "{{ x }}"\nweb_b: !unsafe "{{ x }}"\nweb_c: !vault |\n  $ANSIBLE\n')
    defaults = role_specs.load_roles(tmp_path)["web"].defaults
    assert is_trusted_as_template(defaults["web_a"])
    assert not is_trusted_as_template(defaults["web_b"])
    assert defaults["web_b"] == "{{ x }}"
    assert defaults["web_c"].startswith("$ANSIBLE")


def test_file_is_parsed_once_and_again_when_it_changes(tmp_path: Path) -> None:
    path = put(tmp_path, "a.yml", "x: 1")
    first = role_specs.load_yaml(path)
    assert role_specs.load_yaml(path) is first
    path.write_text("x: 2")
    os.utime(path, (1, 1))
    assert role_specs.load_yaml(path) == {"x": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("argument_specs: {main: [", r"argument_specs.yml:\d+ cannot be read"),
        ("- a list", "the file must be a mapping"),
        ("argument_specs: 5", "argument_specs must be a mapping"),
        ("argument_specs: {main: 5}", "argument_specs.main must be a mapping"),
        ("argument_specs: {main: {options: [a]}}", "options must be a mapping"),
        ("argument_specs: {main: {options: {web_a: text}}}", "option web_a must be a mapping"),
        ("argument_specs: {main: {options: {5: {}}}}", "must be a mapping of names"),
        ("\x00", "cannot be read"),
    ],
)
def test_broken_spec_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    put(tmp_path, "web/meta/argument_specs.yml", text)
    with pytest.raises(SpecError, match=message):
        role_specs.load_roles(tmp_path)


@pytest.mark.parametrize("text", ["", "argument_specs:", "argument_specs: {other: {}}", "argument_specs: {main: }"])
def test_spec_without_options_is_a_role_without_variables(tmp_path: Path, text: str) -> None:
    put(tmp_path, "web/meta/argument_specs.yml", text)
    roles = role_specs.load_roles(tmp_path)
    assert not text or roles["web"].options == {}


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is not a folder with roles"):
        role_specs.load_roles(tmp_path / "roles")


def test_removed_variables(tmp_path: Path) -> None:
    path = put(
        tmp_path, "r.yml", "- {name: web_old, since: 0.3, use: web_new, note: Same values.}\n- {name: x, since: 1}"
    )
    assert role_specs.load_removed(path) == {
        "web_old": Removed("web_old", "0.3", "web_new", "Same values."),
        "x": Removed("x", "1"),
    }
    assert role_specs.load_removed(tmp_path / "none.yml") == {}
    assert role_specs.load_removed(put(tmp_path, "empty.yml", "---\n[]\n")) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1", "must be a list"),
        ("- name: x", "entry 1 needs"),
        ("- text", "entry 1 must be"),
        ("- {since: 1}", "needs"),
    ],
)
def test_broken_table_of_removed_variables(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        role_specs.load_removed(put(tmp_path, "r.yml", text))


def test_table_of_this_collection_can_be_read() -> None:
    table = Path(role_specs.__file__).resolve().parents[2] / "meta" / "removed_variables.yml"
    assert table.is_file()
    role_specs.load_removed(table)


@pytest.mark.parametrize("name", ["db_password", "API_KEY", "authToken", "client-secret", "pass_phrase_passphrase"])
def test_secret_names(name: str) -> None:
    assert role_specs.SECRET_NAME.search(name)
