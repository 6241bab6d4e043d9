# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Applying, confirming, undoing, drift and removal: real nft in a namespace, real undo scripts; systemd is played."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.apply import (
    Difference,
    Firewall,
    Wanted,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.nft import FirewallError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.read import read_settings
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.render import render, render_fallback
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.settings import HostView
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.firewall.unit import NAME, UNIT, Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.trial import Trial
from fakes.network_lab import Host, Lab, folder_in_memory

TRIAL = Trial("t1", "hypercode-firewall-undo-t1", "198.51.100.2 40000 22", 30)


def wanted(**options: Any) -> Wanted:
    settings, findings = read_settings(options)
    assert findings == []
    return Wanted(render(settings, HostView()), render_fallback(HostView()))


class Bench:
    """A firewall on the server of the lab, its files below a folder."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.scratch = lab, folder / "scratch"
        self.scratch.mkdir()
        self.root = folder / "root"
        for part in ("etc/systemd/system", "run/hypercode"):
            (self.root / part).mkdir(parents=True)
        self.host = Host(lab, self.root)
        self.paths = Paths(self.root)
        self.firewall = Firewall(self.host, "web1", self.paths)

    def look(self, want: Wanted) -> Difference:
        return self.firewall.look(want, self.firewall.states(), self.scratch)

    def begin(self, want: Wanted, trial: Trial = TRIAL) -> None:
        self.firewall.begin(want, trial, self.look(want).loaded)

    def settle(self, want: Wanted) -> None:
        self.begin(want)
        assert self.firewall.confirm(TRIAL)

    def nft(self, *words: str) -> str:
        return self.lab.run("server", "nft", *words)

    def loaded(self) -> str:
        return self.firewall.nft.listing() or ""

    def wait_for_undo(self) -> None:
        deadline = time.monotonic() + 5
        while not self.firewall.trials.undone(TRIAL.token):
            assert time.monotonic() < deadline, "the rules were not undone"
            time.sleep(0.01)
        time.sleep(0.15)  # The mark comes before the rules are back.


@pytest.fixture
def bench(lab: Lab) -> Iterator[Bench]:
    lab.rules("table inet hypercode {}\ndelete table inet hypercode\n")
    with folder_in_memory() as folder:
        yield Bench(lab, folder)
    lab.rules("table inet hypercode {}\ndelete table inet hypercode\n")


def test_first_time_then_nothing_to_do(bench: Bench) -> None:
    first = bench.look(wanted())
    assert (first.loaded, first.rules, first.unit, first.by_hand) == (None, True, True, False)
    assert first.actions() == [
        "load the rules",
        "write /etc/hypercode/firewall/fallback.nft",
        "write /etc/hypercode/firewall/rules.nft",
        f"write /etc/systemd/system/{NAME}",
        f"enable and start {NAME}",
    ]
    bench.begin(wanted())
    assert "dport 443" not in bench.loaded()
    assert "chain refused_input" in bench.loaded()
    # The boot is not touched by what is not proved.
    assert not bench.paths.rules.exists()
    assert not bench.paths.unit.exists()
    assert bench.firewall.confirm(TRIAL)
    assert bench.paths.rules.read_text() == wanted().rules
    assert bench.paths.unit.read_text() == UNIT
    assert oct(bench.paths.rules.stat().st_mode)[-3:] == "600"
    assert (NAME in bench.host.enabled, NAME in bench.host.active) == (True, True)
    assert not bench.paths.candidate.exists()
    second = bench.look(wanted())
    assert (second.any, second.actions()) == (False, [])


def test_looking_changes_nothing(bench: Bench) -> None:
    before = sorted(bench.root.rglob("*"))
    bench.look(wanted())
    assert "hypercode" not in bench.nft("list", "tables")
    assert sorted(bench.root.rglob("*")) == before


def test_a_change_by_hand_is_seen_and_repaired(bench: Bench) -> None:
    bench.settle(wanted())
    good = bench.loaded()
    table = ("inet", "hypercode")
    for change in (
        ("flush", "chain", *table, "ssh"),
        ("insert", "rule", *table, "input", "tcp", "dport", "3306", "accept"),
        ("add", "chain", *table, "extra"),
        ("chain", *table, "input", "{ policy accept; }"),
        ("delete", "table", *table),
    ):
        bench.nft(*change)
        seen = bench.look(wanted())
        assert (seen.rules, seen.by_hand) == (True, change[0] != "delete"), change
        bench.lab.rules(wanted().rules)
        assert bench.loaded() == good
    assert not bench.look(wanted()).any


def test_sources_that_connect_are_no_change(bench: Bench) -> None:
    bench.settle(wanted())
    bench.nft("add", "element", "inet", "hypercode", "ssh_seen4", "{ 192.0.2.1 timeout 50s }")
    assert not bench.look(wanted()).any


@pytest.mark.parametrize("before", [None, {"open_ports": [{"port": 443}]}])
def test_without_confirmation_the_old_rules_come_back(bench: Bench, before: dict[str, Any] | None) -> None:
    if before is not None:
        bench.settle(wanted(**before))
    old, files = bench.loaded(), sorted(bench.paths.folder.glob("*")) if before else []
    bench.host.speed = 5
    bench.begin(wanted(ssh_from=["192.0.2.1"]), replace(TRIAL, seconds=1))
    assert bench.loaded() != old
    bench.wait_for_undo()
    assert bench.loaded() == old
    assert ("hypercode" in bench.nft("list", "tables")) == (before is not None)
    # Too late to confirm, and the next boot loads what it would have loaded before.
    assert not bench.firewall.confirm(TRIAL)
    if before is not None:
        assert bench.paths.rules.read_text() == wanted(**before).rules
        assert set(files) <= set(bench.paths.folder.glob("*"))


def test_what_someone_did_by_hand_comes_back_too(bench: Bench) -> None:
    bench.settle(wanted())
    bench.nft("insert", "rule", "inet", "hypercode", "input", "tcp", "dport", "3306", "accept")
    old = bench.loaded()
    bench.host.speed = 5
    bench.begin(wanted(ssh_rate=0), replace(TRIAL, seconds=1))
    bench.wait_for_undo()
    assert bench.loaded() == old


def test_confirmed_rules_are_not_undone(bench: Bench) -> None:
    bench.begin(wanted(), replace(TRIAL, seconds=1))
    new = bench.loaded()
    assert bench.firewall.confirm(TRIAL)
    assert f"{TRIAL.timer}.timer" not in bench.host.active
    # Even when the timer had already started its script.
    bench.host(["/bin/sh", str(bench.paths.trial / "undo.sh")])
    assert bench.loaded() == new


def test_what_was_confirmed_and_not_yet_written_is_finished(bench: Bench) -> None:
    bench.begin(wanted())
    assert bench.firewall.trials.confirm(TRIAL)
    assert bench.firewall.trials.confirmed(TRIAL.token)
    assert not bench.firewall.trials.confirmed("another")
    assert not bench.paths.rules.exists()
    bench.firewall.finish()
    bench.firewall.finish()
    assert not bench.look(wanted()).any


def test_a_second_run_during_a_trial_is_refused(bench: Bench) -> None:
    bench.begin(wanted())
    with pytest.raises(FirewallError, match=r"Another run is trying rules out on web1.*Fix: wait 30 s"):
        bench.firewall.trials.clear()


def test_a_trial_whose_timer_got_lost_is_undone_first(bench: Bench) -> None:
    bench.begin(wanted())
    bench.host.active.clear()
    assert bench.firewall.trials.clear() is True
    assert bench.loaded() == ""
    assert bench.firewall.trials.clear() is False


def test_without_a_timer_nothing_is_loaded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.host, "_timer", lambda _argv: (_ for _ in ()).throw(AssertionError))
    real = bench.host.__call__

    def broken(argv: Any) -> CommandResult:
        return CommandResult(1, "", "Failed to connect to bus") if argv[0] == "systemd-run" else real(argv)

    firewall = Firewall(broken, "web1", bench.paths)
    with pytest.raises(FirewallError, match=r"did not start on web1, so the new ones were not loaded.*connect to bus"):
        firewall.begin(wanted(), TRIAL, None)
    assert bench.loaded() == ""
    assert firewall.trials.pending() is None


def test_files_alone_need_no_trial(bench: Bench) -> None:
    bench.settle(wanted())
    bench.paths.rules.write_text("# mine now\n")
    bench.host.enabled.clear()
    seen = bench.look(wanted())
    assert (seen.rules, seen.files, seen.unit) == (False, ["/etc/hypercode/firewall/rules.nft"], True)
    bench.firewall.keep(wanted())
    assert not bench.look(wanted()).any


def test_removal_takes_all_of_ours_and_nothing_else(bench: Bench) -> None:
    bench.nft("add", "table", "inet", "neighbour")
    bench.settle(wanted())
    states = bench.firewall.states()
    assert bench.firewall.traces(states) == [
        "the table inet hypercode",
        NAME,
        str(bench.paths.unit),
        str(bench.paths.folder),
    ]
    bench.firewall.remove(states)
    tables = bench.nft("list", "tables")
    assert "hypercode" not in tables
    assert "neighbour" in tables
    assert [path for path in bench.root.rglob("*") if path.is_file()] == []
    assert (bench.host.enabled, bench.host.active) == (set(), set())
    assert bench.firewall.traces(bench.firewall.states()) == []
    bench.nft("delete", "table", "inet", "neighbour")


def test_the_unit_loads_the_fallback_when_the_rules_cannot_be_loaded(bench: Bench) -> None:
    bench.settle(wanted())
    (line,) = [line for line in UNIT.splitlines() if line.startswith("ExecStart=")]
    script = line.partition("sh -c '")[2].rstrip("'").replace("/etc/", f"{bench.root}/etc/")
    assert bench.host(["sh", "-c", script]).code == 0
    bench.paths.rules.write_text("table inet hypercode { nonsense }\n")
    bench.nft("delete", "table", "inet", "hypercode")
    assert bench.host(["sh", "-c", script]).code == 1
    assert "tcp dport 22 accept" in bench.loaded()
    assert "policy drop" in bench.loaded()


def test_rules_that_nft_refuses_change_nothing(bench: Bench) -> None:
    with pytest.raises(FirewallError, match=r"nft on web1 refuses the rules: .*Nothing was changed"):
        bench.look(Wanted("table inet hypercode { nonsense }\n", ""))
    assert bench.loaded() == ""


def test_a_host_without_nft(bench: Bench) -> None:
    def bare(argv: Any) -> CommandResult:
        return CommandResult(127, "", "not found") if argv[0] in ("nft", "unshare") else bench.host(argv)

    firewall = Firewall(bare, "web1", bench.paths)
    seen = firewall.look(wanted(), firewall.states(), bench.scratch)
    assert (seen.expected, seen.any, seen.actions()[0]) == (None, True, "load the rules")
