# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is sshd's own of the proof over a new connection. The proof itself: test_firewall_apply.py."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.hypercode.deploy.plugins.action.host_users import ActionModule as UsersAction
from ansible_collections.hypercode.deploy.plugins.action.sshd_apply import ActionModule
from ansible_collections.hypercode.deploy.plugins.modules import host_users, sshd_apply
from ansible_collections.hypercode.deploy.plugins.plugin_utils import proved_action
from fakes.documented import options_of

CANARY = "$6$canarysalt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g."


def action(kind: type[Any], **args: Any) -> Any:
    task = MagicMock(args=args, async_val=0, check_mode=False, diff=False)
    templar = Templar(loader=DataLoader())
    return kind(task, MagicMock(transport="ssh"), MagicMock(), DataLoader(), templar, MagicMock())


def test_a_cut_off_is_told_in_the_words_of_sshd(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(proved_action, "now", lambda: clock[0])
    monkeypatch.setattr(proved_action, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))

    def execute(module_args: dict[str, Any], **_rest: Any) -> dict[str, Any]:
        if module_args["phase"] == "apply":
            return {"changed": True, "trial": {"token": "t1", "seconds": 30}}
        if clock[0] < 35:
            clock[0] += 5
            raise AnsibleConnectionFailure("Permission denied (publickey).")
        return {"undone": True}

    applied = action(ActionModule, allow_users=["alice"])
    applied._execute_module = execute
    result = applied.run(task_vars={"inventory_hostname": "web1"})
    assert (result["failed"], result["undone"], result["changed"]) == (True, True, False)
    assert result["msg"].startswith(
        "web1 could not be reached over a new connection within 30 s of changing how one logs in. It has put the old"
        " settings of sshd back by itself, and is as reachable as before."
    )
    assert "Permission denied" in result["msg"]
    assert "Fix: log in by hand" in result["msg"]


def test_bad_settings_are_refused_before_the_host_is_asked() -> None:
    refused = action(ActionModule, root_login="yes")
    refused._execute_module = MagicMock(side_effect=AssertionError)
    result = refused.run(task_vars={"inventory_hostname": "web1"})
    assert result["msg"].startswith("sshd on web1 was not changed: 1 problem.")
    users = action(UsersAction, users=[{"name": "alice", "keys": ["-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0"]}])
    users._execute_module = MagicMock(side_effect=AssertionError)
    result = users.run(task_vars={"inventory_hostname": "web1"})
    assert "keys[0] is a private key" in result["msg"]
    assert "c2VjcmV0" not in str(result)


@pytest.mark.parametrize(("password", "known"), [("x", True), (None, False)])
def test_whether_the_password_of_sudo_is_known(password: str | None, known: bool) -> None:
    users = action(UsersAction, users=[{"name": "alice", "password_hash": CANARY}])
    users._connection.become.get_option.return_value = password
    users._execute_module = MagicMock(return_value={"changed": False, "invocation": {"module_args": CANARY}})
    result = users.run(task_vars={})
    assert users._execute_module.call_args.kwargs["module_args"]["sudo_password_known"] is known
    assert CANARY not in str(result)


def test_validated_connects_to_nothing() -> None:
    for kind in (ActionModule, UsersAction):
        judged = action(kind, state="validated", users=[{"name": "alice"}])
        judged._execute_module = MagicMock(side_effect=AssertionError)
        assert judged.run(task_vars={})["findings"] == []


@pytest.mark.parametrize("stub", [host_users, sshd_apply])
def test_the_documentation_covers_every_option(stub: Any) -> None:
    options = options_of(stub)
    assert options.keys() == stub.ARGUMENTS.keys()
    for name, spec in stub.ARGUMENTS.items():
        for key in ("type", "default", "choices"):
            assert options[name].get(key) == spec.get(key), (name, key)
