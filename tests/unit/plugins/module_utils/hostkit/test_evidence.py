"""What a failed step leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.evidence import collect
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.redact import Redactor
from fakes.docker_host import Behaviour
from fakes.small_stack import CANARY, SmallStack


def test_log_and_state_but_no_environment(stack: SmallStack, tmp_path: Path) -> None:
    stack.docker.behaviours["web"] = Behaviour(log="started\nlog in as Canary-5ecret/@:?\n")
    stack.docker.add("demo", "web", {"image": "web:1", "environment": {"PASSWORD": CANARY}}, networks=["demo_back"])
    folder = tmp_path / "a" / "b"
    written = collect(
        stack.engine, "demo", ["web", "missing"], folder, redact=Redactor([CANARY]), notes={"compose": f"x {CANARY}"}
    )
    assert written == ["compose.txt", "web.log", "web.json"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(written)
    assert (folder / "web.log").read_text() == "started\nlog in as ***\n"
    facts = json.loads((folder / "web.json").read_text())
    assert (facts["image"], facts["networks"], facts["memory_bytes"]) == ("web:1", ["demo_back"], 2**30)
    assert facts["state"]["Status"] == "running"
    assert "Env" not in facts
    assert "Canary" not in "".join(path.read_text() for path in folder.iterdir())
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_file_for_each_copy(stack: SmallStack, tmp_path: Path) -> None:
    for _ in range(2):
        stack.docker.add("demo", "web", {"image": "web:1"})
    assert collect(stack.engine, "demo", ["web"], tmp_path) == ["web.log", "web.json", "web-2.log", "web-2.json"]


def test_without_an_engine(stack: SmallStack, tmp_path: Path) -> None:
    stack.docker.stop()
    assert collect(stack.engine, "demo", ["web"], tmp_path) == ["engine.txt"]
    assert "Docker is not running here" in (tmp_path / "engine.txt").read_text()


def test_it_never_stands_in_the_way(stack: SmallStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    collect(stack.engine, "demo", [], tmp_path / "file" / "folder", notes={"a": "b"})
    (tmp_path / "folder" / "a.txt").mkdir(parents=True)
    collect(stack.engine, "demo", [], tmp_path / "folder", notes={"a": "b"})
    said = capsys.readouterr().err
    assert said.count("hypercode: no evidence: ") == 2
