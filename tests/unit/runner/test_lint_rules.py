"""The rules of this repository: each one finds what it is for, and leaves the rest alone."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest
from runner import lint, lint_rules
from runner.files import is_python, tracked
from runner.outcome import PartError


def write(root: Path, files: dict[str, str]) -> list[str]:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return list(files)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    return root


class TestFiles:
    def test_only_what_is_or_would_be_under_version_control(self, repository: Path) -> None:
        write(repository, {"a.py": "", "b/c": "", "ignored/d": "", ".gitignore": "ignored/\n"})
        (repository / "link").symlink_to("b")
        (repository / "gone").symlink_to("nowhere")
        assert tracked(repository) == [".gitignore", "a.py", "b/c"]

    def test_outside_of_a_clone_the_fix_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
        with pytest.raises(PartError, match="Fix: run this in a git clone"):
            tracked(tmp_path)

    @pytest.mark.parametrize(
        ("name", "content", "expected"),
        [
            ("a.py", "", True),
            ("run", "#!/usr/bin/env python3\n", True),
            ("run", "#!/bin/sh\n", False),
            ("a.yml", "#!python", False),
        ],
    )
    def test_python_by_name_or_first_line(self, name: str, content: str, expected: bool, tmp_path: Path) -> None:
        write(tmp_path, {name: content})
        assert is_python(tmp_path, name) is expected


class TestFileLength:
    def test_limits(self, tmp_path: Path) -> None:
        names = write(
            tmp_path,
            {
                "plugins/good.py": "x\n" * 400,
                "plugins/long.py": "x\n" * 401,
                "notes.txt": "x\n" * 900,
                "roles/good/tasks/main.yml": "x\n" * 250,
                "roles/long/tasks/main.yml": "x\n" * 150,
                "roles/long/tasks/other.yml": "x\n" * 101,
                "roles/good/templates/tree/big": "x\n" * 900,
            },
        )
        found = lint_rules.file_length(tmp_path, names)
        assert [line.partition(":")[0] for line in found] == ["plugins/long.py", "roles/long/tasks"]


class TestAddresses:
    @pytest.mark.parametrize(
        "line",
        [
            "deb http://deb." + "debian.org/debian trixie main",
            "https://security." + "debian.org",
            "index = https://pypi" + ".org/simple",
            "https://files.PythonHosted" + ".org/x",
            "registry.npmjs" + ".org",
        ],
    )
    def test_a_package_index_is_found(self, line: str, tmp_path: Path) -> None:
        (found,) = lint_rules.addresses(tmp_path, write(tmp_path, {"a.txt": f"first\n{line}\n"}))
        assert found.startswith("a.txt:2:")

    def test_the_path_of_the_checkout_is_found(self, tmp_path: Path) -> None:
        names = write(tmp_path, {"a.txt": f"cd {tmp_path}/scripts\n{tmp_path}-other\n{tmp_path}\n"})
        assert [line.split(":")[1] for line in lint_rules.addresses(tmp_path, names)] == ["1", "3"]

    def test_other_names_are_left_alone(self, tmp_path: Path) -> None:
        text = "debian.example\nhttps://download.docker.com/linux/debian\npypistats.example\n"
        assert lint_rules.addresses(tmp_path, write(tmp_path, {"a.txt": text})) == []


PROJECT = '[project]\ndependencies = ["Some.Thing>=2"]\n[dependency-groups]\ntest = ["other"]\n'
HASH = " \\\n    --hash=sha256:aa\n"


class TestLock:
    def judge(self, tmp_path: Path, text: str) -> list[str]:
        write(tmp_path, {"pyproject.toml": PROJECT, "requirements.lock": text})
        return lint_rules.lock(tmp_path)

    def test_in_step(self, tmp_path: Path) -> None:
        text = f"some-thing==2.1 ; python_version < '3.12'{HASH}    # via x\nsome-thing==3{HASH}other==1{HASH}"
        assert self.judge(tmp_path, text) == []

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (f"some-thing==2.1{HASH}", "other is missing"),
            (f"some-thing==1.9{HASH}other==1{HASH}", "1.9 does not fit"),
            (f"some-thing==2.1{HASH}other==1\n", "other has no hash"),
            (f"--index-url https://x.example\nsome-thing==2.1{HASH}other==1{HASH}", "is no pinned requirement"),
            (f"some-thing>=2.1{HASH}other==1{HASH}", "is no pinned requirement"),
        ],
    )
    def test_out_of_step(self, text: str, message: str, tmp_path: Path) -> None:
        found = self.judge(tmp_path, text)
        assert any(message in line and "Fix: scripts/test lock" in line for line in found), found


class TestCommands:
    def test_modes_and_help(self, repository: Path) -> None:
        write(
            repository,
            {
                "scripts/good": "#!/bin/sh\necho usage\n",
                "scripts/mute": "#!/bin/sh\nexit 0\n",
                "scripts/bad": "#!/bin/sh\necho usage; echo trouble >&2; exit 3\n",
                "scripts/plain": "echo\n",
                "scripts/mode": "#!/bin/sh\necho usage\n",
                ".ci/run": "#!/bin/sh\nexit 1\n",
            },
        )
        for name in ("scripts/good", "scripts/mute", "scripts/bad", "scripts/plain", ".ci/run"):
            (repository / name).chmod(0o755)
        found = dict(line.split(": ", 1) for line in lint_rules.commands(repository))
        assert sorted(found) == ["scripts/bad", "scripts/mode", "scripts/mute", "scripts/plain"]
        assert "trouble" in found["scripts/bad"]
        assert "chmod +x" in found["scripts/mode"]


class TestTarball:
    def test_only_and_all_that_belongs(self, repository: Path) -> None:
        write(repository, {"README.md": "", "secret": "", ".gitignore": "secret\n"})
        archive = repository / "x.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            for name in ("README.md", "secret", "MANIFEST.json"):
                tar.addfile(tarfile.TarInfo(name), io.BytesIO())
        found = lint_rules.tarball(repository, archive)
        assert found[0].startswith("secret is in the collection")
        assert any(line.startswith("playbooks/site.yml is missing") for line in found)
        assert not any("README.md" in line or "MANIFEST" in line for line in found)


def test_mypy_never_walks_into_the_link_back() -> None:
    names = ["plugins/modules/a.py", "tests/unit/test_a.py", "scripts/test", "molecule/shared/testbed/hosts.py"]
    assert lint.typed(names) == [
        "collections/ansible_collections/hypercode/deploy/plugins/modules/a.py",
        "molecule/shared/testbed/hosts.py",
        "scripts/test",
    ]
