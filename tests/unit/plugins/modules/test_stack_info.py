"""The board as a module."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates import command, wanted
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths
from ansible_collections.hypercode.deploy.plugins.modules import stack_info
from fakes.certificates import want
from fakes.docker_host import Behaviour
from fakes.small_stack import SmallStack, make_wanted


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallStack]:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    made = SmallStack(tmp_path / "root", served=True)
    monkeypatch.setattr(stack_info, "Paths", lambda: Paths(tmp_path / "root"))
    monkeypatch.setattr(stack_info, "Engine", lambda: made.engine)
    yield made
    made.close()


@pytest.fixture
def call(stack: SmallStack, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(**arguments: Any) -> Any:
        with patch_module_args({"project": "demo", **arguments}), pytest.raises(SystemExit):
            stack_info.main()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        result = json.loads(output.out)
        assert result.get("changed", False) is False
        return result

    return run


@pytest.mark.parametrize("check", [True, False])
def test_all_is_well(call: Any, stack: SmallStack, check: bool) -> None:
    about = stack.deploy(make_wanted())
    result = call(require_ready=True, memory=True, _ansible_check_mode=check)
    assert result["healthy"] is True
    assert result["release"] == {"id": about["id"], "version": "1", "status": "done"}
    assert [row["memory_bytes"] for row in result["hypercode_board"]] == [40 * 2**20] * 3


def test_the_certificates_stand_below_the_board(
    call: Any, stack: SmallStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.deploy(make_wanted())
    assert (call()["certificates"], "hypercode_summary" in call()) == ([], False)
    monkeypatch.setattr(command, "Paths", lambda: wanted.Paths(tmp_path))
    want(tmp_path, {"name": "app.example.com"})
    result = call()
    assert [row["state"] for row in result["certificates"]] == ["missing"]
    assert result["hypercode_summary"][0] == "certificates: 0 of 1 in order"
    want(tmp_path, {"name": "app.example.com", "mode": "magic"})
    result = call()
    assert result["certificates"] == []
    assert "Fix: run site.yml again" in str(result["warnings"][0])


def test_what_is_wrong_is_named_with_the_fix(call: Any, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.containers.pop(stack.docker.of("db").id)
    web = stack.docker.of("web")
    web.behaviour = Behaviour(healthy_after=None)
    assert call()["healthy"] is False
    result = call(require_ready=True)
    assert result["failed"] is True
    assert result["msg"] == "1 of 3 services healthy; not: db (no container), web (starting)"
    assert result["findings"] == [
        {
            "service": "db",
            "message": "no container",
            "fix": "run site.yml again; it repairs what it can and says what it cannot",
        },
        {
            "service": "web",
            "message": "running, health starting",
            "fix": f"on the host: docker logs {web.id[:12]}",
        },
    ]
    assert len(result["hypercode_board"]) == 3


def test_a_bare_host(call: Any) -> None:
    assert (call()["healthy"], call()["hypercode_board"], call()["release"]) == (False, [], {})
    result = call(require_ready=True)
    assert "Nothing is deployed on this host yet. Fix: run site.yml" in result["msg"]


def test_containers_without_a_release_are_not_healthy(call: Any, stack: SmallStack) -> None:
    """A first deploy that failed leaves some that run."""
    stack.docker.add("demo", "web", {"image": "web:1"})
    stack.docker.now += 10
    result = call(require_ready=True)
    assert (result["failed"], result["healthy"], len(result["hypercode_board"])) == (True, False, 1)


def test_the_release_is_gone(call: Any, stack: SmallStack) -> None:
    about = stack.deploy(make_wanted())
    folder = stack.store.get(about["id"]).folder
    folder.rename(folder.with_name("moved"))
    assert "is gone from the disk. Fix: run site.yml" in call(require_ready=True)["msg"]


def test_without_docker(call: Any, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.stop()
    relaxed = call()
    assert (relaxed["healthy"], relaxed["hypercode_board"]) == (False, [])
    assert "Fix: systemctl start docker" in relaxed["msg"]
    strict = call(require_ready=True)
    assert strict["failed"] is True
    assert "Fix: systemctl start docker" in strict["msg"]


@pytest.mark.parametrize("text", ["", "[]", '{"status": "done"}'])
def test_a_torn_record(call: Any, stack: SmallStack, text: str) -> None:
    about = stack.deploy(make_wanted())
    (stack.store.get(about["id"]).folder / "release.json").write_text(text)
    result = call()
    assert result["failed"] is True
    assert "Fix: run site.yml again" in result["msg"]
