# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import grp
import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.file_tree import pack
from ansible_collections.hypercode.deploy.plugins.modules import template_tree

USER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name
HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def payload(**contents: str) -> str:
    """A tree of files /<name> with these contents."""
    files = [
        {
            "path": f"/{name}",
            "content": text.encode(),
            "mode": 0o644,
            "owner": USER,
            "group": GROUP,
            "sensitive": name == "secret",
        }
        for name, text in contents.items()
    ]
    for file in files:
        if file["path"] == "/checked":
            file["validate"] = "grep -q good %s"
    return pack({"files": files, "folders": [], "links": [], "absent": []})


class Shell:
    def __init__(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._tmp, self._capsys = tmp_path / "root", tmp_path / "tmp", capsys
        self.root.mkdir()
        self._tmp.mkdir()
        self.output = ""

    def run(self, *, check: bool = False, diff: bool = False, **arguments: Any) -> dict[str, Any]:
        internal = {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_tmpdir": str(self._tmp)}
        with (
            patch_module_args({"name": "base", "root": str(self.root), **arguments, **internal}),
            pytest.raises(SystemExit),
        ):
            template_tree.main()
        self.output = self._capsys.readouterr().out
        assert list(self._tmp.iterdir()) == [], "nothing stays behind"
        return dict(json.loads(self.output))


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def test_check_then_real_then_again(shell: Shell) -> None:
    wanted = payload(a="1\n", b="2\n")
    predicted = shell.run(check=True, _payload=wanted)
    assert predicted["changed_paths"] == ["/a", "/b"]
    assert list(shell.root.iterdir()) == []
    done = shell.run(_payload=wanted)
    assert {key: done[key] for key in ("changed", "changed_paths", "created", "updated", "removed", "kept")} == {
        "changed": True,
        "changed_paths": ["/a", "/b"],
        "created": ["/a", "/b"],
        "updated": [],
        "removed": [],
        "kept": [],
    }
    assert shell.run(_payload=wanted)["changed"] is False
    assert shell.run(_payload=payload(a="1\n"))["removed"] == ["/b"]


def test_diff_only_when_asked_for(shell: Shell) -> None:
    assert "diff" not in shell.run(check=True, _payload=payload(a="1\n"))
    (diff,) = shell.run(check=True, diff=True, _payload=payload(a="1\n"))["diff"]
    assert diff["after"] == "1\n"


def test_content_is_never_in_the_result(shell: Shell) -> None:
    wanted = payload(secret="CANARY-content")
    shell.run(diff=True, _payload=wanted)
    assert "CANARY" not in shell.output
    assert wanted not in shell.output
    # From ansible-core 2.21 on, a result does not say how its module was called.
    called = json.loads(shell.output).get("invocation", {"module_args": {}})["module_args"]
    assert called.get("_payload", HIDDEN) == HIDDEN


def test_kept_files_give_a_warning(shell: Shell) -> None:
    shell.run(_payload=payload(a="1"))
    (shell.root / "a").write_text("by hand")
    result = shell.run(_payload=payload())
    assert (result["kept"], result["changed"]) == (["/a"], False)
    assert "rm /a" in str(result["warnings"])


def test_validate_really_runs(shell: Shell) -> None:
    result = shell.run(_payload=payload(checked="bad", other="x"))
    assert result["failed"] is True
    assert "`grep -q good /checked` ended with 1" in result["msg"]
    assert list(shell.root.iterdir()) == []
    assert shell.run(_payload=payload(checked="good"))["changed"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "call it as a task"),
        ({"_payload": "nonsense"}, "did not arrive whole"),
        ({"_payload": "eA==", "name": "Not Good"}, "did not arrive whole|lower-case"),
        ({"_payload": "x", "root": "/no/such/root"}, "is not a folder on this host"),
        ({"_payload": "x", "unknown": 1}, "Unsupported parameters"),
    ],
)
def test_bad_input(shell: Shell, arguments: dict[str, Any], words: str) -> None:
    result = shell.run(**arguments)
    assert result["failed"] is True
    assert any(word in result["msg"] for word in words.split("|"))


def test_problems_are_listed(shell: Shell) -> None:
    (shell.root / "a").mkdir()
    result = shell.run(_payload=payload(a="1", b="2"))
    assert result["problems"] == ["/a has to be a file, but a folder is there. Fix: move it away (mv /a …)"]
    assert (result["changed"], result["changed_paths"]) == (False, [])
    assert not (shell.root / "b").exists()
