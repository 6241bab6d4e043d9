"""The module that builds images: what it returns, in check mode and for real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.image_build import Builder, BuildError, Result
from ansible_collections.hypercode.deploy.plugins.modules import stack_build

TAG = "registry.example.com/demo/web:0123456789ab"
ARGUMENTS: dict[str, Any] = {
    "repository": "https://git.example.com/demo.git",
    "contexts": {"web": "agents/web"},
    "registry": "registry.example.com/demo",
}


class Fake(Builder):
    """Remembers how it was asked; answers what it is told to."""

    answer: Result | Exception = Result("0123456789ab", "0123456789ab" + "0" * 28, {TAG: "built"})
    asked: dict[str, Any]

    def build(self, contexts: Any, registry: str, **options: Any) -> Result:
        Fake.asked = {"contexts": contexts, "registry": registry, "ref": self.ref, **options}
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(stack_build, "Builder", Fake)

    def run(answer: Result | Exception | None = None, **arguments: Any) -> Any:
        monkeypatch.setattr(Fake, "answer", answer or Fake.answer)
        with patch_module_args({**ARGUMENTS, **arguments}), pytest.raises(SystemExit):
            stack_build.main()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        return json.loads(output.out)

    return run


def test_built_for_this_machine(call: Any) -> None:
    result = call(arguments={"A": 1})
    assert (result["changed"], result["version"], result["images"]) == (True, "0123456789ab", {TAG: "built"})
    assert result["local_images"] == [TAG]
    assert Fake.asked == {
        "contexts": {"web": "agents/web"},
        "registry": "registry.example.com/demo",
        "ref": "main",
        "push": False,
        "arguments": {"A": "1"},
        "check": False,
    }


def test_pushed_images_are_pulled_by_everybody(call: Any) -> None:
    assert call(push=True)["local_images"] == []
    assert Fake.asked["push"] is True


def test_nothing_to_do(call: Any) -> None:
    assert call(Result("v", "c", {TAG: "present"}))["changed"] is False


def test_check_mode(call: Any) -> None:
    result = call(Result("v", "c", {TAG: "would be built"}), _ansible_check_mode=True)
    assert (result["changed"], Fake.asked["check"]) == (True, True)


def test_check_mode_on_a_machine_without_git(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_build.AnsibleModule, "get_bin_path", lambda *_words, **_options: None)
    result = call(_ansible_check_mode=True, ref="v1")
    assert result["images"] == {"registry.example.com/demo/web:v1": "would be built"}
    assert (result["changed"], result["version"]) == (True, "v1")
    assert "git is not on this host yet" in str(result["warnings"])


@pytest.mark.parametrize("error", [BuildError("X cannot be built. Fix: mend"), EngineError("no Docker. Fix: start")])
def test_a_failure_is_one_message(call: Any, error: Exception) -> None:
    result = call(error)
    assert (result["failed"], result["msg"]) == (True, str(error))


def test_a_login_in_the_address_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = {**ARGUMENTS, "repository": "https://user:to%40ken-5ecret@127.0.0.1:9/x", "cache": str(tmp_path)}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        stack_build.main()
    output = capsys.readouterr().out
    assert json.loads(output)["failed"] is True
    assert "127.0.0.1:9" in output
    assert "5ecret" not in output
