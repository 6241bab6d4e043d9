"""Which inventory was chosen, and the command line that chooses a better one."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import Finding
from ansible_collections.hypercode.deploy.plugins.plugin_utils import inventory_selection as selection
from ansible_collections.hypercode.deploy.plugins.plugin_utils.inventory_selection import Chosen, Project
from hypothesis import given
from hypothesis import strategies as st

COMMAND = ["ansible-playbook", "site.yml"]
PROJECT = Project(("inventories/prod", "inventories/sandbox"), "inventories/example", "./scripts/sandbox")
ONLY_EXAMPLE = Project((), "inventories/example", "./scripts/sandbox")
GROUPS = {"all": ["web1", "db1"], "ungrouped": [], "hypercode": ["web1"], "db": ["db1"]}


def judge(project: Project = PROJECT, command: list[str] | None = None, **chosen: Any) -> list[Finding]:
    known: dict[str, Any] = {"sources": ("inventories/prod",), "groups": GROUPS}
    return selection.judge_selection(["hypercode"], Chosen(**{**known, **chosen}), project, command or COMMAND)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def make_project(root: Path, *files: str) -> Path:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return root


def test_usable_inventory_has_no_findings() -> None:
    assert judge() == []
    assert judge(limit="web1", limited=frozenset({"web1"})) == []


def test_no_inventory_lists_each_with_its_command() -> None:
    found = only(judge(sources=(), groups={"all": [], "ungrouped": []}))
    assert found.rule == "no-inventory"
    assert found.fix.splitlines()[1:] == [
        "  ansible-playbook site.yml -i inventories/prod",
        "  ansible-playbook site.yml -i inventories/sandbox",
    ]


def test_only_the_example_says_copy_and_sandbox() -> None:
    fix = only(judge(ONLY_EXAMPLE, sources=(), groups={})).fix
    assert "cp -r inventories/example inventories/production" in fix
    assert "ansible-playbook site.yml -i inventories/production" in fix
    assert "./scripts/sandbox up" in fix


def test_no_project_at_all_still_has_a_fix() -> None:
    found = only(judge(Project(), sources=(), groups={}))
    assert "-i inventories/production" in found.fix


def test_inventory_without_hosts_is_named() -> None:
    found = only(judge(groups={"all": [], "hypercode": []}))
    assert found.rule == "inventory-empty"
    assert found.message == "The inventory inventories/prod has no hosts."
    assert "-i inventories/sandbox" in found.fix
    assert "-i inventories/prod\n" not in found.fix


def test_inventory_without_hosts_and_nothing_else() -> None:
    found = only(judge(Project(("inventories/prod",)), groups={}))
    assert found.fix == "Write your server into inventories/prod, under the group 'hypercode'."


def test_misspelt_group_is_recognized() -> None:
    found = only(judge(groups={"all": ["a"], "ungrouped": [], "hypecode": ["a"], "db": ["a"]}))
    assert found.rule == "group-missing"
    assert "has no group 'hypercode'. Its groups are: db, hypecode. Did you mean 'hypecode'?" in found.message
    assert found.fix.startswith("Rename the group 'hypecode' to 'hypercode' in inventories/prod.")
    assert "Or choose an inventory of this project:" in found.fix


def test_missing_group_shows_what_to_write() -> None:
    found = only(judge(groups={"all": ["a"], "ungrouped": [], "db": ["a"]}))
    assert "Did you mean" not in found.message
    assert "  hypercode:\n    hosts:\n      server1:" in found.fix


def test_host_list_is_not_a_file_to_write_into() -> None:
    found = only(judge(sources=("web1,",), groups={"all": ["web1"], "ungrouped": ["web1"]}))
    assert "no groups" in found.message
    assert found.fix.startswith("Use an inventory file")


def test_empty_group_is_named() -> None:
    found = only(judge(groups={"all": ["db1"], "hypercode": [], "db": ["db1"]}))
    assert found.rule == "group-empty"
    assert "The group 'hypercode' of inventories/prod has no hosts." in found.message


def test_limit_with_an_unknown_part_suggests_the_near_one() -> None:
    command = [*COMMAND, "-i", "inventories/prod", "--limit", "db1,wbe1"]
    found = only(judge(command=command, limit="db1,wbe1", limited=frozenset({"db1"}), unmatched=("wbe1",)))
    assert found.rule == "limit-unknown"
    assert "Did you mean 'web1'? Hosts: db1, web1." in found.message
    assert found.fix == "ansible-playbook site.yml -i inventories/prod --limit db1,web1"


def test_limit_with_nothing_near_is_dropped() -> None:
    found = only(judge(command=[*COMMAND, "-lzzzz"], limit="zzzz", limited=frozenset(), unmatched=("zzzz",)))
    assert found.fix == "ansible-playbook site.yml"


def test_limit_outside_the_group_leaves_nothing() -> None:
    found = only(judge(command=[*COMMAND, "--limit=db1"], limit="db1", limited=frozenset({"db1"})))
    assert found.rule == "limit-leaves-nothing"
    assert found.fix == "ansible-playbook site.yml --limit web1"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ([], "-i x"),
        (["-i", "old"], "-i x"),
        (["-iold"], "-i x"),
        (["--inventory", "old", "--check"], "--check -i x"),
        (["--inventory=old"], "-i x"),
        (["--inventory-file", "old"], "-i x"),
        (["--inv", "old", "-i", "older"], "-i x"),
        (["--tags", "stack", "-v"], "--tags stack -v -i x"),
        (["-i"], "-i x"),
    ],
)
def test_corrected_command_replaces_the_inventory(typed: list[str], expected: str) -> None:
    assert selection.corrected([*COMMAND, *typed], inventory="x") == f"ansible-playbook site.yml {expected}"


def test_corrected_command_quotes_what_a_shell_would_read() -> None:
    assert selection.corrected(COMMAND, limit="all,!web1").endswith("--limit 'all,!web1'")


@pytest.mark.parametrize(
    "typed",
    [
        ["-e", "db_password=canary"],
        ["-e", '{"API_KEY": "canary"}'],
        ["-edb_secret=canary x=1"],
        ["--extra-vars", "a=b token='ca canary'"],
        ["--extra-vars=api_key=canary"],
        ["--extra", "my_passphrase=canary"],
    ],
)
def test_secret_in_the_command_is_not_shown(typed: list[str]) -> None:
    shown = selection.corrected([*COMMAND, *typed], inventory="x")
    assert "canary" not in shown
    assert "..." in shown


@pytest.mark.parametrize(
    "typed", [["-e", "stack_enabled=false"], ["-e", "@secrets.yml"], ["--private-key", "/home/me/.ssh/id_key"]]
)
def test_harmless_options_stay(typed: list[str]) -> None:
    assert selection.corrected([*COMMAND, *typed]) == shlex.join([*COMMAND, *typed])


@given(st.lists(st.text(min_size=1, max_size=12), max_size=6))
def test_command_is_always_one_that_a_shell_reads(arguments: list[str]) -> None:
    shown = selection.corrected([*COMMAND, *arguments], inventory="inv", limit="web1")
    assert shlex.split(shown)[-4:] == ["-i", "inv", "--limit", "web1"]


@pytest.mark.parametrize(
    ("part", "matches"),
    [
        ("web1", True),
        ("web*", True),
        ("web[0]", True),
        ("hypercode[0:1]", True),
        ("hypercode[-1]", True),
        ("~web\\d", True),
        ("~(", False),
        ("nope", False),
        ("web", False),
        ("w[ef]b1", True),
        ("2001:db8::1", True),
    ],
)
def test_part_of_a_limit(part: str, matches: bool) -> None:
    assert selection.names_something(part, ["web1", "hypercode", "2001:db8::1", "web[0]"]) is matches


def test_project_lists_folders_that_hold_hosts(tmp_path: Path) -> None:
    make_project(
        tmp_path,
        "inventories/prod/hosts.yml",
        "inventories/ini/01-hosts.ini",
        "inventories/dyn/inventory.aws_ec2.yml",
        "inventories/example/hosts.yml",
        "inventories/notes/hosts.md",
        "inventories/vars/group_vars/hosts.yml",
        "inventories/hidden/.hosts.yml",
        "inventories/hosts.yml",
        "scripts/sandbox",
    )
    (tmp_path / "inventories/empty").mkdir()
    assert selection.find_project([tmp_path / "nowhere", tmp_path], tmp_path) == Project(
        ("inventories/dyn", "inventories/ini", "inventories/prod"), "inventories/example", "./scripts/sandbox"
    )


def test_paths_are_as_one_types_them(tmp_path: Path) -> None:
    make_project(tmp_path, "a/inventories/prod/hosts", "a/playbooks/site.yml", "scripts/sandbox")
    found = selection.find_project([tmp_path / "a"], tmp_path / "a/playbooks")
    assert found.inventories == ("../inventories/prod",)
    assert found.sandbox == ""
    assert selection.as_typed(tmp_path / "x", tmp_path / "a/b/c/d") == str(tmp_path / "x")


def test_no_project(tmp_path: Path) -> None:
    assert selection.find_project([tmp_path], tmp_path) == Project()
