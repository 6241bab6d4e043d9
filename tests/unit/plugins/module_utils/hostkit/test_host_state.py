# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is in force on a host that is a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.host_state import (
    command_findings,
    jail_findings,
    sysctl_findings,
    unit_findings,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.units import Systemd, WantedUnit


def setting(root: Path, path: str, text: str) -> None:
    (root / "proc/sys" / path).parent.mkdir(parents=True, exist_ok=True)
    (root / "proc/sys" / path).write_text(text)


def test_kernel_settings_are_compared_as_loaded(tmp_path: Path) -> None:
    setting(tmp_path, "net/ipv4/ip_forward", "1\n")
    setting(tmp_path, "net/ipv4/tcp_rmem", "4096\t131072\t6291456\n")
    setting(tmp_path, "net/ipv4/conf/eth0.1/rp_filter", "2\n")
    good = {"net.ipv4.ip_forward": 1, "net.ipv4.tcp_rmem": "4096 131072 6291456", "net/ipv4/conf/eth0.1/rp_filter": "2"}
    assert sysctl_findings(tmp_path, good, "web1") == []
    (found,) = sysctl_findings(tmp_path, {"net.ipv4.ip_forward": 0}, "web1")
    assert found.message == "net.ipv4.ip_forward is 1 on web1 instead of 0."


def test_a_setting_that_does_not_exist(tmp_path: Path) -> None:
    wanted = {"kernel.nonsense": 1, "net.ipv4.nonsense": 1, "net.ipv6.conf.all.accept_redirects": 0}
    names = [finding.name for finding in sysctl_findings(tmp_path, wanted, "web1")]
    assert names == ["kernel.nonsense", "net.ipv4.nonsense"]


def test_in_a_container_only_its_network_counts(tmp_path: Path) -> None:
    (tmp_path / ".dockerenv").touch()
    setting(tmp_path, "kernel/sysrq", "438\n")
    setting(tmp_path, "net/ipv4/ip_forward", "0\n")
    wanted = {"kernel.sysrq": 0, "net.ipv4.nonsense": 1, "net.ipv4.ip_forward": 1}
    assert [finding.name for finding in sysctl_findings(tmp_path, wanted, "web1")] == ["net.ipv4.ip_forward"]


def systemctl(state: str) -> Systemd:
    return Systemd(lambda _argv: CommandResult(0, f"Id=x\n{state}\n"), "web1")


@pytest.mark.parametrize(
    ("state", "unit", "words"),
    [
        ("LoadState=loaded\nActiveState=active\nUnitFileState=enabled", WantedUnit("a.service", True, "started"), ""),
        (
            "LoadState=loaded\nActiveState=inactive\nUnitFileState=enabled",
            WantedUnit("a.service", True, "started"),
            "start",
        ),
        (
            "LoadState=loaded\nActiveState=active\nUnitFileState=enabled",
            WantedUnit("a.service", None, "stopped", True),
            "stop, mask",
        ),
        ("LoadState=not-found\nActiveState=inactive", WantedUnit("a.service", None, "stopped", True, True), ""),
        ("LoadState=not-found\nActiveState=inactive", WantedUnit("a.service", True, "started"), "enable, start"),
    ],
)
def test_units(state: str, unit: WantedUnit, words: str) -> None:
    found = unit_findings([unit], systemctl(state), "web1")
    assert [finding.message.partition("To do: ")[2] for finding in found] == ([f"{words}."] if words else [])


def test_jails() -> None:
    def client(argv: Sequence[str]) -> CommandResult:
        return (
            CommandResult(0) if argv[-1] == "sshd" else CommandResult(255, "", "Sorry but the jail 'x' does not exist")
        )

    (found,) = jail_findings(["sshd", "x"], client, "web1")
    assert "The jail x of fail2ban is not up on web1: Sorry but" in found.message


def test_commands() -> None:
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str]) -> CommandResult:
        asked.append(argv)
        return CommandResult(0) if argv[0] == "works" else CommandResult(127, "", "broken: command not found")

    (found,) = command_findings(["works --version", "broken --version"], run, "web1")
    assert found.message == "'broken --version' does not work on web1: broken: command not found."
    assert asked == [["works", "--version"], ["broken", "--version"]]


def test_units_are_asked_for_all_at_once() -> None:
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str]) -> CommandResult:
        asked.append(argv)
        shown = [f"Id={name}\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n" for name in ("a", "b")]
        return CommandResult(0, "\n".join(shown))

    units = [WantedUnit(name, enabled=True, state="started") for name in ("a.service", "b.service")]
    assert unit_findings(units, Systemd(run, "web1"), "web1") == []
    assert len(asked) == 1
