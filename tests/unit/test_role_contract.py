"""What holds for every role, module and playbook (DESIGN: role contract)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
FILES = (
    *("defaults/main.yml", "handlers/main.yml", "meta/argument_specs.yml", "meta/main.yml", "README.md"),
    *("tasks/main.yml", "tasks/validate.yml", "tasks/verify.yml", "tasks/remove.yml"),
)
TASK_FILES = sorted(
    str(path.relative_to(ROOT)) for path in ROOT.glob("roles/*/*/*.yml") if path.parts[-2] in ("tasks", "handlers")
)
PLAYBOOKS = sorted(f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml"))
MODULES = sorted(path.name for path in (ROOT / "plugins" / "modules").glob("*.py"))
OTHER_PLUGINS = sorted(
    str(path.relative_to(ROOT)) for kind in ("callback", "filter") for path in (ROOT / "plugins" / kind).glob("*.py")
)
# A name begins with one of these. Where another verb says it better, add it.
VERBS = frozenset(
    re.findall(
        r"\w+",
        """
        Add Allow Apply Ask Back Boot Build Check Clean Collect Compare Configure Copy Create Delete Deploy Disable
        Download Enable Ensure Fail Fetch Find Generate Install Leave Limit Link Load Log Look Make Measure Move Open
        Prepare Print Protect Prove Pull Push Read Refuse Register Reload Remove Render Report Resolve Restart Restore
        Roll Rotate Run Save Select Send Set Show Start Stop Store Switch Take Tell Test Turn Undo Unpack Update Upgrade
        Validate Verify Wait Warn Write
        """,
    )
)


def load(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def spec_of(role: str) -> dict[str, Any]:
    return load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]


def defaults_of(role: str) -> dict[str, Any]:
    return load(f"roles/{role}/defaults/main.yml")


def tasks_in(entries: list[dict[str, Any]] | None) -> Iterator[dict[str, Any]]:
    """Give every task, blocks and what is inside of them too."""
    for entry in entries or []:
        yield entry
        for part in ("block", "rescue", "always"):
            yield from tasks_in(entry.get(part))


def tasks_of(name: str) -> list[dict[str, Any]]:
    return list(tasks_in(load(name)))


def documentation_of(path: Path) -> dict[str, Any]:
    """Return what stands in DOCUMENTATION."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            getattr(target, "id", "") == "DOCUMENTATION" for target in node.targets
        ):
            return yaml.safe_load(ast.literal_eval(node.value))
    raise AssertionError(f"{path} has no DOCUMENTATION")


@pytest.mark.parametrize("role", ROLES)
class TestRole:
    def test_has_the_same_files_as_every_other(self, role: str) -> None:
        missing = [name for name in FILES if not (ROOT / "roles" / role / name).is_file()]
        assert not missing

    def test_files_for_the_host_lie_as_on_the_host(self, role: str) -> None:
        folder = ROOT / "roles" / role
        uses_it = any(
            "hypercode.deploy.template_tree" in task
            for path in folder.glob("tasks/*.yml")
            for task in tasks_of(str(path))
        )
        assert (folder / "templates" / "tree").is_dir() == uses_it

    def test_every_default_is_documented(self, role: str) -> None:
        assert set(defaults_of(role)) - set(spec_of(role)) == set()

    def test_every_documented_default_exists(self, role: str) -> None:
        assert {name for name, option in spec_of(role).items() if "default" in option} - set(defaults_of(role)) == set()

    def test_what_is_required_has_no_default(self, role: str) -> None:
        required = {name for name, option in spec_of(role).items() if option.get("required")}
        assert required & set(defaults_of(role)) == set()

    def test_documented_defaults_are_the_real_ones(self, role: str) -> None:
        real = defaults_of(role)
        stated = {name: option["default"] for name, option in spec_of(role).items() if "default" in option}
        assert stated == {name: real.get(name) for name in stated}

    def test_every_variable_has_a_type_and_a_description(self, role: str) -> None:
        poor = [
            name for name, option in spec_of(role).items() if not option.get("type") or not option.get("description")
        ]
        assert not poor

    def test_variables_begin_with_the_name_of_the_role(self, role: str) -> None:
        strangers = [name for name in {*defaults_of(role), *spec_of(role)} if not name.startswith(f"{role}_")]
        assert not strangers

    def test_internal_variables_say_so(self, role: str) -> None:
        path = ROOT / "roles" / role / "vars" / "main.yml"
        strangers = [name for name in (load(str(path)) if path.exists() else {}) if not name.startswith(f"__{role}_")]
        assert not strangers

    def test_can_be_left_out(self, role: str) -> None:
        name = f"{role}_enabled"
        assert defaults_of(role)[name] is True
        assert spec_of(role)[name]["type"] == "bool"
        assert name in (ROOT / "roles" / role / "tasks" / "main.yml").read_text(encoding="utf-8")

    def test_every_default_has_a_comment(self, role: str) -> None:
        lines = (ROOT / "roles" / role / "defaults" / "main.yml").read_text(encoding="utf-8").splitlines()
        groups = "\n".join(lines).split("\n\n")
        bare = [
            group.splitlines()[0] for group in groups if re.search(r"^\w+:", group, re.MULTILINE) and "#" not in group
        ]
        assert not bare

    def test_roles_do_not_call_roles(self, role: str) -> None:
        calls = [
            task["name"]
            for path in (ROOT / "roles" / role).glob("tasks/*.yml")
            for task in tasks_of(str(path))
            if {"ansible.builtin.include_role", "ansible.builtin.import_role"} & set(task)
        ]
        assert not calls
        assert load(f"roles/{role}/meta/main.yml").get("dependencies") == []


@pytest.mark.parametrize("name", TASK_FILES)
class TestTasks:
    def test_names_are_sentences_that_begin_with_a_verb(self, name: str) -> None:
        wrong = [
            task.get("name", "(no name)") for task in tasks_of(name) if task.get("name", "").split(" ")[0] not in VERBS
        ]
        assert not wrong, f"{name}: begin the name with a verb. Is it one? Then add it to VERBS in this test."

    def test_no_failure_is_ignored(self, name: str) -> None:
        assert not [task["name"] for task in tasks_of(name) if task.get("ignore_errors")]

    def test_failed_when_false_says_what_a_failure_means(self, name: str) -> None:
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        silent = [
            number
            for number, line in enumerate(lines, 1)
            if re.match(r"\s*failed_when:\s*(false|no|never)\b", line, re.IGNORECASE)
            and not lines[number - 2].lstrip().startswith("#")
        ]
        assert not silent, f"{name}: put a comment above failed_when in these lines"

    def test_facts_are_read_as_facts(self, name: str) -> None:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.findall(
            r"\bansible_(?:distribution|os_family|hostname|fqdn|memtotal_mb|virtualization\w*|default_ipv4)\b", text
        )


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_a_play_ends_with_the_first_host_that_fails(name: str) -> None:
    # A play on the controller alone has no share of hosts to lose.
    plays = [play for play in load(name) if "hosts" in play and play["hosts"] != "localhost"]
    assert not [play.get("name", play["hosts"]) for play in plays if "max_fail_percentage" not in play]


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_every_play_has_a_name(name: str) -> None:
    assert not [play for play in load(name) if not play.get("name")]


@pytest.mark.parametrize("name", MODULES)
class TestModule:
    def test_says_since_when_and_how_it_behaves(self, name: str) -> None:
        documentation = documentation_of(ROOT / "plugins" / "modules" / name)
        assert documentation.get("version_added")
        attributes = documentation.get("attributes", {})
        assert {"check_mode", "diff_mode", "idempotent"} <= set(attributes)
        for attribute, facts in attributes.items():
            assert facts.get("support") in ("full", "partial", "none", "N/A"), attribute
            assert facts.get("description"), attribute

    def test_is_called_what_its_file_is_called(self, name: str) -> None:
        assert documentation_of(ROOT / "plugins" / "modules" / name)["module"] == name.removesuffix(".py")


@pytest.mark.parametrize("name", OTHER_PLUGINS)
def test_a_plugin_says_since_when(name: str) -> None:
    assert documentation_of(ROOT / name).get("version_added")


def descriptions_in(node: Any) -> Iterator[Any]:
    """Give every sentence of the descriptions, however deep."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("description", "short_description", "notes") and isinstance(value, str | list):
                yield from [value] if isinstance(value, str) else value
            else:
                yield from descriptions_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from descriptions_in(value)


@pytest.mark.parametrize("name", [f"plugins/modules/{name}" for name in MODULES] + OTHER_PLUGINS)
def test_documentation_is_text(name: str) -> None:
    # A colon with a space after it makes a mapping of an unquoted sentence, and ansible-doc then fails.
    assert [words for words in descriptions_in(documentation_of(ROOT / name)) if not isinstance(words, str)] == []


@pytest.mark.parametrize("role", ROLES)
def test_documentation_of_a_role_is_text(role: str) -> None:
    specs = load(f"roles/{role}/meta/argument_specs.yml")
    assert [words for words in descriptions_in(specs) if not isinstance(words, str)] == []


def test_every_action_has_a_module_that_documents_it() -> None:
    actions = {path.name for path in (ROOT / "plugins" / "action").glob("*.py")}
    assert actions - set(MODULES) - {"__init__.py"} == set()


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_plugin_names_its_licence(path: Path) -> None:
    head = path.read_text(encoding="utf-8").splitlines()[:4]
    assert "# Copyright: the hypercode.deploy authors" in head
    assert any("GNU General Public License v3.0+" in line for line in head)


def test_the_contract_looks_at_something() -> None:
    assert ROLES
    assert TASK_FILES
    assert PLAYBOOKS
    assert MODULES
