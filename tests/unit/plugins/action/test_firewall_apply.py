# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof over a new connection: what the controller does with what the host answers. The clock is made up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.errors import AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.action import firewall_apply
from ansible_collections.hypercode.deploy.plugins.action.firewall_apply import ActionModule
from ansible_collections.hypercode.deploy.plugins.modules import firewall_apply as stub
from ansible_collections.hypercode.deploy.plugins.plugin_utils import proved_action
from ansible_collections.hypercode.deploy.plugins.plugin_utils.role_specs import trusted
from fakes.documented import options_of

APPLIED = {"changed": True, "findings": [], "actions": ["load the rules"], "trial": {"token": "t1", "seconds": 30}}
PROVED = {"changed": True, "confirmed": True, "undone": False}
SAME = {"changed": False, "confirmed": False, "undone": False, "reason": "the connection from before was used again"}
UNDONE = {"changed": False, "confirmed": False, "undone": True}
GONE = AnsibleConnectionFailure("Connection timed out")


class World:
    """A host that answers as told, and a clock that goes when someone waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Callable[[str, float], Any], transport: str) -> None:
        self.time, self.steps = 0.0, list[tuple[str, float, dict[str, Any]]]()
        self.answer = answer
        self.connection = MagicMock(transport=transport)
        monkeypatch.setattr(proved_action, "now", lambda: self.time)
        monkeypatch.setattr(proved_action, "sleep", self.wait)

    def wait(self, seconds: float) -> None:
        self.time += seconds

    def execute(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        phase = module_args["phase"]
        self.steps.append((phase, self.time, module_args))
        answer = self.answer(phase, self.time)
        if isinstance(answer, Exception):
            self.time += 10  # The time-out of a connection.
            raise answer
        return dict(answer)


def run(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[str, float], Any], transport: str = "ssh", **args: Any
) -> tuple[dict[str, Any], World]:
    world = World(monkeypatch, answer, transport)
    task = MagicMock(args=args, async_val=0, check_mode=False, diff=False)
    templar = Templar(loader=DataLoader())
    action = ActionModule(task, world.connection, MagicMock(), DataLoader(), templar, MagicMock())
    action._execute_module = world.execute
    result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "web1"})
    json.dumps(result)
    return result, world


def test_new_rules_are_confirmed_over_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    result, world = run(monkeypatch, lambda phase, _time: APPLIED if phase == "apply" else PROVED, ssh_rate=5)
    assert (result["changed"], result["confirmed"]) == (True, True)
    assert "trial" not in result
    assert [step[0] for step in world.steps] == ["apply", "confirm"]
    world.connection.reset.assert_called_once_with()
    confirmed = world.steps[1][2]
    assert (confirmed["token"], confirmed["fresh_connection"], confirmed["ssh_rate"]) == ("t1", True, 5)


def test_nothing_to_do_is_one_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    result, world = run(monkeypatch, lambda _phase, _time: {"changed": False, "findings": [], "actions": []})
    assert result["changed"] is False
    assert len(world.steps) == 1
    world.connection.reset.assert_not_called()


def test_a_first_try_that_fails_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    result, world = run(monkeypatch, lambda phase, time: APPLIED if phase == "apply" else GONE if time < 5 else PROVED)
    assert result["confirmed"] is True
    assert [step[0] for step in world.steps] == ["apply", "confirm", "confirm"]


def test_a_cut_off_is_told_once_the_host_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(phase: str, time: float) -> Any:
        return APPLIED if phase == "apply" else GONE if time < 35 else {"changed": False, "undone": True}

    result, world = run(monkeypatch, answer)
    assert (result["failed"], result["changed"], result["confirmed"], result["undone"]) == (True, False, False, True)
    assert result["msg"].startswith("web1 could not be reached over a new connection within 30 s")
    assert "put the old rules back by itself" in result["msg"]
    assert "Connection timed out" in result["msg"]
    assert "Fix: check firewall_ssh_from" in result["msg"]
    assert world.steps[-1][0] == "look"


def test_the_host_was_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _world = run(monkeypatch, lambda phase, _time: APPLIED if phase == "apply" else UNDONE)
    assert (result["failed"], result["undone"]) == (True, True)


def test_a_host_that_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    result, world = run(monkeypatch, lambda phase, _time: APPLIED if phase == "apply" else GONE)
    assert (result["failed"], result["undone"], result["changed"]) == (True, False, True)
    assert "has not answered since" in result["msg"]
    assert 90 <= world.time <= 120


def test_an_old_connection_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(phase: str, time: float) -> Any:
        return {"apply": APPLIED, "confirm": SAME}.get(phase, {"undone": time > 31})

    result, _world = run(monkeypatch, answer)
    assert (result["failed"], result["confirmed"], result["undone"]) == (True, False, True)
    assert "the connection from before was used again" in result["msg"]


def test_an_error_while_confirming_is_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"failed": True, "msg": "no space left"}
    result, world = run(monkeypatch, lambda phase, _time: APPLIED if phase == "apply" else broken)
    assert (result["failed"], result["msg"], result["confirmed"]) == (True, "no space left", False)
    assert len(world.steps) == 2


@pytest.mark.parametrize(("transport", "fresh"), [("ssh", True), ("paramiko", True), ("local", False)])
def test_what_kind_of_connection_proves_something(monkeypatch: pytest.MonkeyPatch, transport: str, fresh: bool) -> None:
    _result, world = run(monkeypatch, lambda phase, _time: APPLIED if phase == "apply" else PROVED, transport)
    assert world.steps[1][2]["fresh_connection"] is fresh


def never(_phase: str, _time: float) -> Any:
    raise AssertionError("connected")


def test_bad_settings_are_refused_before_the_host_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    result, _world = run(monkeypatch, never, open_ports=[{"port": 0}], confirm_timeout=1)
    assert result["failed"] is True
    assert [finding["name"] for finding in result["findings"]] == [
        "firewall_open_ports[0].port",
        "firewall_confirm_timeout",
    ]
    assert result["msg"].startswith("The firewall of web1 was not changed: 2 problems.")


def test_validated_connects_to_nothing_and_fails_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, never, state="validated")[0]["findings"] == []
    result, _world = run(monkeypatch, never, state="validated", ssh_from=["x"])
    assert not result.get("failed")
    assert len(result["findings"]) == 1
    for args in ({"ssh_form": "any"}, {"refuse_lockout": "perhaps"}):
        (finding,) = run(monkeypatch, never, state="validated", **args)[0]["findings"]
        assert finding["rule"] == "option"
        assert next(iter(args)) in finding["message"]


def test_a_variable_that_cannot_be_evaluated_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    templar = Templar(loader=DataLoader(), variables={})
    raw = {"ssh_from": "{{ nope }}", "open_ports": "{{ [{'port': 0}] }}", "ping": "{{ 1 / 0 }}"}
    args = {name: ActionModule.finalize_task_arg(name, trusted(value), templar, None) for name, value in raw.items()}
    result, _world = run(monkeypatch, never, state="validated", **args)
    assert [finding["name"] for finding in result["findings"]] == [
        "firewall_ssh_from",
        "firewall_ping",
        "firewall_open_ports[0].port",
    ]
    assert "'nope' is undefined" in result["findings"][0]["message"]


def test_the_documentation_covers_every_option_and_result() -> None:
    options = options_of(stub)
    assert options.keys() == stub.ARGUMENTS.keys()
    for name, spec in stub.ARGUMENTS.items():
        for key in ("type", "default", "choices"):
            assert options[name].get(key) == spec.get(key), (name, key)
    for example in yaml.safe_load(stub.EXAMPLES):
        assert set(example["hypercode.deploy.firewall_apply"]) <= set(options)
    assert {"findings", "actions", "confirmed", "undone"} <= set(yaml.safe_load(stub.RETURN))


def test_in_ansible_itself_on_a_host_that_does_not_answer(tmp_path: Path) -> None:
    root = Path(firewall_apply.__file__).resolve().parents[2]
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(root / "collections"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "tmp"),
    }
    args = {"state": "validated", "open_ports": "{{ ports }}", "ssh_rate": "{{ 1 + 1 }}"}
    command = [sys.executable, "-m", "ansible.cli.adhoc", "-i", "host.invalid,", "all"]
    command += ["-e", json.dumps({"ports": [{"port": "99999"}]}), "-m", "hypercode.deploy.firewall_apply"]
    done = subprocess.run(
        [*command, "-a", json.dumps(args)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    out = json.loads(done.stdout.partition("SUCCESS => ")[2])
    assert [finding["name"] for finding in out["findings"]] == ["firewall_open_ports[0].port"]
