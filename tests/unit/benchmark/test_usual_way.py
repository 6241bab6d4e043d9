"""The usual way that scripts/bench compares with: its tasks for hostkit, and what it covers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from benchmark import usual_way
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[3]
USUAL = ROOT / "tests" / "benchmark" / "usual"


@pytest.fixture
def hostkit(tmp_path: Path) -> Path:
    for name in ("a.py", "sub/b.py", "__pycache__/a.pyc", "sub/old.pyc", "sub/__pycache__/b.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_a_task_for_each_folder_and_each_file_of_hostkit(hostkit: Path) -> None:
    tasks = usual_way.hostkit_tasks(hostkit)
    assert [task["name"] for task in tasks] == [
        "Make /usr/local/lib/hypercode/hostkit",
        "Make /usr/local/lib/hypercode/hostkit/sub",
        "Copy /usr/local/lib/hypercode/hostkit/a.py",
        "Copy /usr/local/lib/hypercode/hostkit/sub/b.py",
    ]
    assert tasks[3]["ansible.builtin.copy"] == {
        "src": str(hostkit / "sub/b.py"),
        "dest": "/usr/local/lib/hypercode/hostkit/sub/b.py",
        "mode": "0644",
        "owner": "root",
        "group": "root",
    }


def test_the_tasks_survive_yaml(hostkit: Path) -> None:
    tasks = usual_way.hostkit_tasks(hostkit)
    assert yaml.safe_load(yaml.safe_dump(tasks)) == tasks


TASKS: list[dict[str, Any]] = [
    {"ansible.builtin.copy": {"src": "/no/source", "dest": "/etc/a.conf"}},
    {"ansible.builtin.template": {"src": "x.j2", "dest": "/etc/certs/{{ item.host }}/ca.crt"}},
    {"ansible.builtin.file": {"path": "/etc/folder", "state": "directory"}},
    {"ansible.builtin.file": {"src": "target", "dest": "/etc/link", "state": "link"}},
    {"ansible.builtin.systemd_service": {"name": "x.service", "enabled": True}},
    {"ansible.builtin.systemd_service": {"name": "y.service", "state": "started"}},
    {"ansible.builtin.command": {"cmd": "true"}},
]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/a.conf",
        "/etc/certs/registry.example:5000/ca.crt",
        "/etc/folder",
        "/etc/link",
        "/etc/systemd/system/docker.service.wants",
        "/etc/systemd/system/docker.service.wants/x.service",
    ],
)
def test_covered(path: str) -> None:
    assert usual_way.not_covered([path], usual_way.managed_patterns(TASKS)) == []


@pytest.mark.parametrize(
    "path",
    [
        "/no/source",
        "/etc/aXconf",
        "/etc/a.conf.d",
        "/prefix/etc/a.conf",
        "/etc/certs/a/b/ca.crt",
        "/etc/folder/in",
        "/etc/systemd/system/docker.service.wants/y.service",
        "/etc/systemd/system/x.service",
    ],
)
def test_not_covered(path: str) -> None:
    assert usual_way.not_covered([path], usual_way.managed_patterns(TASKS)) == [path]


@given(st.from_regex(r"(/[^/{}\n]+){1,4}", fullmatch=True))
def test_a_path_covers_itself_and_nothing_longer(path: str) -> None:
    patterns = usual_way.managed_patterns([{"ansible.builtin.file": {"path": path}}])
    assert usual_way.not_covered([path, f"{path}x", f"{path}/x"], patterns) == [f"{path}x", f"{path}/x"]


def test_tasks_inside_blocks_count(tmp_path: Path) -> None:
    folder = tmp_path / "roles" / "a" / "tasks"
    folder.mkdir(parents=True)
    (folder / "main.yml").write_text("- block: [{name: x}]\n  rescue: [{name: y, block: [{name: z}]}]\n- name: last\n")
    (folder / "empty.yml").write_text("---\n")
    names = [task.get("name") for task in usual_way.tasks_below(tmp_path)]
    assert names == [None, "x", "y", "z", "last"]


class TestAsWrittenDown:
    """The playbook and roles in tests/benchmark/usual, as they are."""

    def test_every_link_leads_to_a_file_of_our_roles(self) -> None:
        links = [path for path in USUAL.rglob("*") if path.is_symlink()]
        assert len(links) >= 8
        for link in links:
            assert link.resolve().is_relative_to(ROOT / "roles"), link
            assert link.resolve().is_file(), link

    def test_every_source_exists(self) -> None:
        tasks = usual_way.tasks_below(USUAL)
        sources = [
            task[module]["src"]
            for task in tasks
            for module in ("ansible.builtin.copy", "ansible.builtin.template")
            if "usual_roles" in str(task.get(module, {}).get("src"))
        ]
        assert len(sources) >= 8
        for source in sources:
            assert (ROOT / str(source).replace("{{ usual_roles }}", "roles")).is_file(), source

    def test_every_template_of_our_roles_is_there(self) -> None:
        text = "".join(path.read_text() for path in USUAL.glob("roles/*/tasks/*.yml"))
        for path in sorted(ROOT.glob("roles/*/templates/tree/**/*")):
            name = path.relative_to(ROOT / "roles")
            # A role that does nothing in the deploys that are compared, such as the edge without sites, has no match.
            if path.is_file() and (USUAL / "roles" / name.parts[0]).is_dir():
                assert str(name) in text, path

    def test_what_sees_a_secret_is_silent(self) -> None:
        tasks = usual_way.tasks_below(USUAL)
        seeing = [task for task in tasks if re.search(r"secrets|auths|config\.json|password|env\.j2", str(task))]
        assert len(seeing) >= 4
        assert [task["name"] for task in seeing if not task.get("no_log")] == []

    def test_no_module_of_ours_is_used(self) -> None:
        for path in USUAL.rglob("*.yml"):
            if not path.is_symlink():
                assert "hypercode.deploy." not in path.read_text(), path
