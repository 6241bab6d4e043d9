# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module on a host: real nft in a namespace, systemd and sshd played."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.ssh_session import Session
from ansible_collections.hypercode.deploy.plugins.modules import firewall_apply
from fakes import network_lab
from fakes.network_lab import Host, Lab, folder_in_memory

FIRST, SECOND = Session("198.51.100.2", 40000, 22), Session("198.51.100.2", 40001, 22)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    reason = network_lab.missing()
    if reason:
        pytest.skip(f"the module is not tried with real rules: {reason}")
    with Lab() as built:
        yield built


@pytest.fixture
def host(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    lab.rules("table inet hypercode {}\ndelete table inet hypercode\n")
    with folder_in_memory() as root:
        for part in ("etc/systemd/system", "etc/ufw", "run"):
            (root / part).mkdir(parents=True)
        found = Host(lab, root)
        monkeypatch.setattr(firewall_apply, "ROOT", root)
        monkeypatch.setattr(firewall_apply, "_run", found)
        at(monkeypatch, FIRST)
        yield found
    lab.rules("table inet hypercode {}\ndelete table inet hypercode\n")


def at(monkeypatch: pytest.MonkeyPatch, session: Session | None) -> None:
    monkeypatch.setattr(firewall_apply, "_session", lambda: session)


def run(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        firewall_apply.main()
    return dict(json.loads(capsys.readouterr().out))


def settle(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> dict[str, Any]:
    at(monkeypatch, FIRST)
    result = run(capsys, **arguments)
    if "trial" in result:
        at(monkeypatch, SECOND)
        assert run(capsys, phase="confirm", token=result["trial"]["token"], **arguments)["confirmed"]
    return result


def tables(lab: Lab) -> str:
    return lab.run("server", "nft", "list", "tables")


def test_apply_confirm_and_nothing_to_do(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(capsys, open_ports=[{"port": 443}])
    assert (first["changed"], first["ssh_ports"], first["trial"]["seconds"]) == (True, [22], 30)
    token = first["trial"]["token"]
    # A packet of the connection from before passes under any rules: it proves nothing.
    same = run(capsys, phase="confirm", token=token)
    assert (same["confirmed"], same["undone"]) == (False, False)
    assert "ControlPath" in same["reason"]
    other = run(capsys, phase="confirm", token="another")
    assert (other["confirmed"], other["undone"]) == (False, False)
    assert "as after a restart" in other["reason"]
    at(monkeypatch, SECOND)
    assert run(capsys, phase="confirm", token=token)["confirmed"] is True
    # Asked again, since the answer got lost.
    assert run(capsys, phase="confirm", token=token)["confirmed"] is True
    second = run(capsys, open_ports=[{"port": 443}], _ansible_diff=True)
    assert (second["changed"], second["actions"]) == (False, [])
    assert "trial" not in second
    assert "diff" not in second
    programs = [call[:2] for call in host.calls[-6:]]
    assert ["nft", "-f"] not in programs


def test_a_connection_that_is_none_proves_itself(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    # ansible_connection local or docker: there is no network between.
    token = run(capsys)["trial"]["token"]
    assert run(capsys, phase="confirm", token=token, fresh_connection=False)["confirmed"] is True


def test_check_mode_tells_and_touches_nothing(host: Host, lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, open_ports=[{"port": 443}], _ansible_check_mode=True, _ansible_diff=True)
    assert result["changed"] is True
    assert result["actions"][0] == "load the rules"
    assert result["diff"]["before"] == ""
    assert "tcp dport 443 accept" in result["diff"]["after"]
    assert "hypercode" not in tables(lab)
    assert [path for path in host.root.rglob("*") if path.is_file()] == []


def test_check_mode_without_nft(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def bare(argv: Any) -> CommandResult:
        return CommandResult(127) if argv[0] in ("nft", "unshare", "sshd") else host(argv)

    monkeypatch.setattr(firewall_apply, "_run", bare)
    result = run(capsys, _ansible_check_mode=True, _ansible_diff=True)
    assert (result["changed"], result["ssh_ports"]) == (True, [22])
    assert "chain refused_input" in result["diff"]["after"]
    real = run(capsys)
    assert real["failed"] is True
    assert "nft is not installed on" in real["msg"]
    assert "Fix: install the package nftables" in real["msg"]


def test_a_rule_that_was_deleted_by_hand_shows_in_the_difference(
    host: Host, lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(capsys, monkeypatch)
    lab.run("server", "nft", "flush", "chain", "inet", "hypercode", "refused_input")
    result = run(capsys, _ansible_check_mode=True, _ansible_diff=True)
    assert (result["changed"], result["changed_by_hand"], result["actions"]) == (True, True, ["load the rules"])
    assert "hypercode input: " not in result["diff"]["before"]
    assert "hypercode input: " in result["diff"]["after"]
    assert "changed by hand" in str(result["warnings"])


def test_all_that_is_wrong_comes_before_anything_is_done(
    host: Host, lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    (host.root / "etc/ufw/ufw.conf").write_text("ENABLED=yes\n")
    host.enabled.add("ufw.service")
    result = run(capsys, open_ports=[{"port": 22}, {"port": 0}], ssh_from=["192.0.2.0/24"], confirm_timeout=1)
    assert result["failed"] is True
    assert [finding["rule"] for finding in result["findings"]] == [
        "firewall-setting",
        "firewall-setting",
        "other-firewall",
        "overlap",
        "lockout",
    ]
    assert "5 problems" in result["msg"]
    assert "hypercode" not in tables(lab)


def test_another_firewall_is_replaced_when_told_to_and_proved(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = host.root / "etc/ufw/ufw.conf"
    conf.write_text("ENABLED=yes\n")
    host.enabled.add("ufw.service")
    first = run(capsys, replace=["ufw"])
    assert "switch off ufw" in first["actions"]
    assert conf.read_text() == "ENABLED=yes\n"
    at(monkeypatch, SECOND)
    run(capsys, phase="confirm", token=first["trial"]["token"], replace=["ufw"])
    assert conf.read_text() == "ENABLED=no\n"
    assert run(capsys, replace=["ufw"])["changed"] is False


def test_a_lockout_may_be_tried(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, ssh_from=["192.0.2.0/24"], refuse_lockout=False)
    assert "trial" in result


def test_undone_rules_are_reported(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    token = run(capsys)["trial"]["token"]
    assert run(capsys, phase="look", token=token)["undone"] is False
    host(["/bin/sh", str(host.root / "run/hypercode/firewall/undo.sh")])
    assert run(capsys, phase="look", token=token)["undone"] is True
    late = run(capsys, phase="confirm", token=token)
    assert (late["confirmed"], late["undone"]) == (False, True)


def test_absent(host: Host, lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    settle(capsys, monkeypatch)
    assert "hypercode" in tables(lab)
    predicted = run(capsys, state="absent", _ansible_check_mode=True)
    assert predicted["changed"] is True
    assert "hypercode" in tables(lab)
    done = run(capsys, state="absent")
    assert done["actions"] == predicted["actions"]
    assert "hypercode" not in tables(lab)
    assert run(capsys, state="absent")["changed"] is False


def test_a_host_without_systemd(
    host: Host, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    offline = CommandResult(1, "", "System has not been booted with systemd as init system")
    monkeypatch.setattr(firewall_apply, "_run", lambda argv: offline if argv[0] == "systemctl" else host(argv))
    result = run(capsys)
    assert result["failed"] is True
    assert "systemd is not running" in result["msg"]
