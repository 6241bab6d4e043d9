# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import units
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.units import (
    Systemd,
    UnitError,
    UnitPlan,
    UnitState,
    WantedUnit,
    apply_units,
    parse_show,
    parse_wanted,
)
from hypothesis import given, settings
from hypothesis import strategies as st


class FakeSystemd:
    """Answers systemctl and journalctl as systemd 252 does, for units given as a dict of their properties."""

    def __init__(self, **states: dict[str, str]) -> None:
        self.units = {name.replace("__", "@").replace("_", "."): dict(state) for name, state in states.items()}
        self.calls: list[str] = []
        self.fails: dict[str, str] = {}
        self.dies: set[str] = set()

    def __call__(self, argv: Sequence[str]) -> CommandResult:
        program, *arguments = argv
        if program == "journalctl":
            assert arguments[2:] == ["-n", "20", "--no-pager", "-o", "cat"]
            return CommandResult(0, f"last words of {arguments[1]}\n")
        verb, names = arguments[0], arguments[arguments.index("--") + 1 :] if "--" in arguments else []
        self.calls.append(" ".join([verb, *names]))
        if self.calls[-1] in self.fails:
            return CommandResult(1, "", self.fails[self.calls[-1]])
        if verb == "show":
            return CommandResult(0, "\n".join(self._show(name) for name in names))
        if verb == "daemon-reload":
            for unit in self.units.values():
                unit.pop("NeedDaemonReload", None)
        for name in names:
            self._act(verb, name)
        return CommandResult(0, "", f"{verb} is done")

    def _show(self, name: str) -> str:
        state = {"LoadState": "loaded", "ActiveState": "inactive", "SubState": "dead", "UnitFileState": "disabled"}
        missing = {**state, "LoadState": "not-found", "UnitFileState": ""}
        found = {**state, **self.units[name]} if name in self.units else missing
        return "".join(f"{key}={value}\n" for key, value in {"Id": name, **found}.items())

    def _act(self, verb: str, name: str) -> None:
        if verb == "mask":
            self.units.setdefault(name, {}).update(LoadState="masked", UnitFileState="masked")
            return
        unit = self.units[name]
        if verb in ("start", "restart"):
            unit["ActiveState"] = "failed" if name in self.dies else "active"
        elif verb == "stop":
            unit["ActiveState"] = "inactive"
        elif verb in ("enable", "disable"):
            unit["UnitFileState"] = f"{verb}d"
        elif verb == "unmask":
            unit.update(LoadState="loaded", UnitFileState="disabled")


RUNNING = {"ActiveState": "active", "SubState": "running", "UnitFileState": "enabled", "CanReload": "yes"}


def apply(fake: FakeSystemd, *wanted: dict[str, Any], **options: Any) -> list[UnitPlan]:
    return apply_units(parse_wanted(wanted), Systemd(fake, "web1"), host="web1", **options)


def acted(fake: FakeSystemd) -> list[str]:
    return [call for call in fake.calls if not call.startswith("show")]


class TestNames:
    @pytest.mark.parametrize(
        ("name", "full"),
        [
            ("cron", "cron.service"),
            ("cron.service", "cron.service"),
            ("apt-daily.timer", "apt-daily.timer"),
            ("docker.socket", "docker.socket"),
            ("getty@tty1", "getty@tty1.service"),
            ("backup@db.1.timer", "backup@db.1.timer"),
            ("my.app", "my.app.service"),
            ("timer", "timer.service"),
            ("mnt-my\\x2ddata.mount", "mnt-my\\x2ddata.mount"),
        ],
    )
    def test_full_name(self, name: str, full: str) -> None:
        assert units.unit_name(name) == full

    @pytest.mark.parametrize("name", ["", "*", "a b", "../x", "--all", "cron*.service", "a\n", ".service", "a" * 300])
    def test_refuses_what_is_no_unit(self, name: str) -> None:
        with pytest.raises(UnitError, match="not the name of a unit"):
            units.unit_name(name)

    @pytest.mark.parametrize("name", ["getty@", "getty@.service", "x@.timer"])
    def test_refuses_a_template_without_an_instance(self, name: str) -> None:
        with pytest.raises(UnitError, match=r"is a template: name an instance of it, like .*@NAME"):
            units.unit_name(name)

    @given(st.text(max_size=20))
    def test_any_text_is_a_safe_argument_or_an_error(self, name: str) -> None:
        try:
            full = units.unit_name(name)
        except UnitError:
            return
        assert full.isascii()
        assert not full.startswith("-")
        assert not set(full) & set(" */\n\0")


class TestWanted:
    @pytest.mark.parametrize(
        ("items", "words"),
        [
            ([{"name": "cron"}, {"name": "cron.service"}], r"cron\.service is listed twice"),
            ([{"name": "cron", "state": "running"}], "state 'running' is unknown: use one of started"),
            ([{"name": "cron", "masked": True, "enabled": True}], "neither enabled nor started"),
            ([{"name": "cron", "masked": True, "state": "restarted"}], "neither enabled nor started"),
        ],
    )
    def test_refuses(self, items: list[dict[str, Any]], words: str) -> None:
        with pytest.raises(UnitError, match=words):
            parse_wanted(items)


class TestShow:
    def test_blocks_in_order(self) -> None:
        text = "LoadState=loaded\nActiveState=active\nNeedDaemonReload=yes\nCanReload=yes\n\nLoadState=not-found\n"
        states = parse_show(text, ["a.service", "b.timer"])
        assert states["a.service"] == UnitState("loaded", "active", "", "", stale=True, can_reload=True)
        assert not states["b.timer"].exists

    def test_values_may_hold_an_equals_sign(self) -> None:
        assert parse_show("Id=a=b\nLoadState=loaded\n", ["x.service"])["x.service"].exists

    def test_a_wrong_number_of_answers_is_an_error(self) -> None:
        with pytest.raises(UnitError, match="answered for 0 units instead of 1"):
            parse_show("", ["a.service"])


class TestApply:
    def test_everything_in_place_is_one_call(self) -> None:
        fake = FakeSystemd(cron_service=RUNNING, apt_timer=RUNNING)
        plans = apply(
            fake, {"name": "cron", "enabled": True, "state": "started"}, {"name": "apt.timer", "masked": False}
        )
        assert [plan.steps for plan in plans] == [[], []]
        assert fake.calls == ["show cron.service apt.timer"]

    def test_enables_together_and_starts_in_order(self) -> None:
        fake = FakeSystemd(b_service={}, a_timer={}, c__1_socket={"UnitFileState": "enabled"})
        wanted = [{"name": name, "enabled": True, "state": "started"} for name in ("b", "a.timer", "c@1.socket")]
        plans = apply(fake, *wanted)
        assert acted(fake) == ["enable b.service a.timer", "start b.service", "start a.timer", "start c@1.socket"]
        assert [plan.after.active for plan in plans] == ["active"] * 3
        fake.calls.clear()
        assert not any(plan.steps for plan in apply(fake, *wanted))
        assert acted(fake) == []

    def test_stops_disables_and_masks(self) -> None:
        fake = FakeSystemd(a_service=RUNNING, b_service=RUNNING)
        wanted = [
            {"name": "a", "enabled": False, "state": "stopped"},
            {"name": "b", "state": "stopped", "masked": True},
            {"name": "nothere", "masked": True},
        ]
        apply(fake, *wanted)
        assert acted(fake) == [
            "disable a.service",
            "stop a.service",
            "stop b.service",
            "mask b.service nothere.service",
        ]
        assert not any(plan.steps for plan in apply(fake, *wanted))

    def test_unmasks_before_it_starts(self) -> None:
        fake = FakeSystemd(a_service={"LoadState": "masked", "UnitFileState": "masked"})
        apply(fake, {"name": "a", "masked": False, "enabled": True, "state": "started"})
        assert acted(fake) == ["unmask a.service", "enable a.service", "start a.service"]

    def test_restart_and_reload_always_act(self) -> None:
        fake = FakeSystemd(a_service=RUNNING, b_service=RUNNING, c_service={}, d_service={})
        states = {"a": "restarted", "b": "reloaded", "c": "reloaded", "d": "restarted"}
        wanted = [{"name": name, "state": state} for name, state in states.items()]
        for _run in range(2):
            fake.units["c.service"]["ActiveState"] = "inactive"
            fake.calls.clear()
            apply(fake, *wanted)
            assert acted(fake) == ["restart a.service", "reload b.service", "start c.service", "restart d.service"]

    def test_none_leaves_a_side_alone(self) -> None:
        fake = FakeSystemd(a_service={"ActiveState": "failed", "UnitFileState": "disabled"})
        assert apply(fake, {"name": "a"})[0].steps == []
        assert apply(fake, {"name": "a", "enabled": None, "state": "stopped"})[0].steps == []

    @pytest.mark.parametrize("state", ["static", "generated", "transient", "alias", ""])
    def test_nothing_to_enable_is_no_change(self, state: str) -> None:
        fake = FakeSystemd(a_service={"UnitFileState": state})
        plans = [apply(fake, {"name": "a", "enabled": enabled})[0] for enabled in (True, False)]
        assert [plan.steps for plan in plans] == [[], []]
        assert len(units.warnings_for(plans)) == (2 if state == "static" else 0)

    @pytest.mark.parametrize("state", ["disabled", "indirect", "linked", "enabled-runtime"])
    def test_not_enabled_for_good(self, state: str) -> None:
        fake = FakeSystemd(a_service={"UnitFileState": state})
        assert apply(fake, {"name": "a", "enabled": True}, check_mode=True)[0].steps == ["enable"]

    @pytest.mark.parametrize(
        ("state", "steps"),
        [
            ("enabled", ["disable"]),
            ("enabled-runtime", ["disable"]),
            ("disabled", []),
            ("indirect", []),
            ("masked", []),
        ],
    )
    def test_what_has_to_be_disabled(self, state: str, steps: list[str]) -> None:
        fake = FakeSystemd(a_service={"UnitFileState": state})
        assert apply(fake, {"name": "a", "enabled": False}, check_mode=True)[0].steps == steps

    @pytest.mark.parametrize(
        ("active", "sub", "steps"),
        [
            ("active", "exited", []),
            ("reloading", "reload", []),
            ("activating", "start", []),
            ("activating", "auto-restart", ["start"]),
            ("deactivating", "stop-sigterm", ["start"]),
            ("failed", "failed", ["start"]),
            ("inactive", "dead", ["start"]),
        ],
    )
    def test_what_counts_as_running(self, active: str, sub: str, steps: list[str]) -> None:
        fake = FakeSystemd(a_service={"ActiveState": active, "SubState": sub})
        assert apply(fake, {"name": "a", "state": "started"}, check_mode=True)[0].steps == steps

    def test_reads_unit_files_anew_when_told(self) -> None:
        fake = FakeSystemd(a_service=RUNNING)
        assert apply(fake, {"name": "a", "state": "started"}, daemon_reload=True)[0].steps == []
        assert fake.calls == ["daemon-reload", "show a.service"]
        fake.calls.clear()
        apply(fake, daemon_reload=True)
        assert fake.calls == ["daemon-reload"]

    def test_reads_unit_files_anew_when_one_changed_on_disk(self) -> None:
        fake = FakeSystemd(a_service={**RUNNING, "NeedDaemonReload": "yes"})
        apply(fake, {"name": "a", "state": "restarted"})
        assert fake.calls[:3] == ["show a.service", "daemon-reload", "show a.service"]

    @pytest.mark.parametrize("check_mode", [False, True])
    def test_a_unit_that_is_only_meant_if_present(self, check_mode: bool) -> None:
        fake = FakeSystemd(there_service={"ActiveState": "active", "UnitFileState": "enabled"})
        off = {"state": "stopped", "masked": True, "if_present": True}
        wanted = ({"name": "there", **off}, {"name": "gone", **off})
        plans = apply(fake, *wanted, check_mode=check_mode)
        assert [(plan.wanted.name, plan.steps) for plan in plans] == [("there.service", ["stop", "mask"])]
        assert acted(fake) == ([] if check_mode else ["stop there.service", "mask there.service"])
        assert "gone.service" not in fake.units


class TestCheckMode:
    def test_changes_nothing(self) -> None:
        fake = FakeSystemd(a_service={"NeedDaemonReload": "yes"})
        plans = apply(fake, {"name": "a", "enabled": True, "state": "restarted"}, daemon_reload=True, check_mode=True)
        assert plans[0].steps == ["enable", "restart"]
        assert fake.calls == ["show a.service"]

    def test_a_unit_that_is_not_there_yet_would_be_enabled_and_started(self) -> None:
        fake = FakeSystemd()
        plans = apply(
            fake,
            {"name": "new", "enabled": True, "state": "started"},
            {"name": "reloaded", "state": "reloaded"},
            {"name": "gone", "enabled": False, "state": "stopped"},
            check_mode=True,
        )
        assert [plan.steps for plan in plans] == [["enable", "start"], ["start"], []]
        assert plans[0].before.text == "does not exist, inactive"
        assert plans[0].after.text == "enabled, active"


STATES = st.fixed_dictionaries(
    {
        "LoadState": st.just("loaded"),
        "ActiveState": st.sampled_from(["active", "inactive", "failed"]),
        "UnitFileState": st.sampled_from(["enabled", "disabled", "static", "indirect"]),
    }
)
WANTED = st.fixed_dictionaries(
    {
        "name": st.just("a.service"),
        "enabled": st.sampled_from([None, True, False]),
        "state": st.sampled_from([None, "started", "stopped"]),
    }
)


@settings(max_examples=60, deadline=None)
@given(state=STATES, wanted=WANTED)
def test_prediction_is_what_happens_and_the_second_run_is_quiet(state: dict[str, str], wanted: dict[str, Any]) -> None:
    fake = FakeSystemd(a_service=state)
    (predicted,) = apply(fake, wanted, check_mode=True)
    assert acted(fake) == []
    (done,) = apply(fake, wanted)
    assert done.steps == predicted.steps
    assert acted(fake) == [f"{step} a.service" for step in done.steps]
    (now,) = Systemd(fake, "web1").states(["a.service"]).values()
    if done.steps:
        assert (now.file, now.active) == (predicted.after.file, predicted.after.active)
    assert apply(fake, wanted)[0].steps == []


class TestErrors:
    def test_missing_unit_names_host_and_fix_and_nothing_is_touched(self) -> None:
        fake = FakeSystemd(a_service={})
        with pytest.raises(UnitError, match=r"nope.timer does not exist on web1. Fix: install.*\nNo unit was changed"):
            apply(fake, {"name": "a", "state": "started"}, {"name": "nope.timer", "enabled": True})
        assert acted(fake) == []

    def test_missing_unit_is_as_good_as_stopped(self) -> None:
        assert apply(FakeSystemd(), {"name": "gone", "enabled": False, "state": "stopped"})[0].steps == []

    @pytest.mark.parametrize("check_mode", [True, False])
    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ({"LoadState": "masked", "UnitFileState": "masked"}, "a.service is masked on web1.*masked: false"),
            ({"LoadState": "bad-setting"}, "refuses the file of a.service.*systemd-analyze verify"),
            ({**RUNNING, "CanReload": "no"}, "cannot be reloaded.*use restarted"),
        ],
    )
    def test_what_cannot_work_is_said_beforehand(self, check_mode: bool, state: dict[str, str], words: str) -> None:
        fake = FakeSystemd(a_service=state, b_service={})
        with pytest.raises(UnitError, match=words):
            apply(fake, {"name": "b", "state": "started"}, {"name": "a", "state": "reloaded"}, check_mode=check_mode)
        assert acted(fake) == []

    def test_failed_start_shows_the_journal_and_what_was_done(self) -> None:
        fake = FakeSystemd(a_service={}, b_service={}, c_service={})
        fake.fails["start b.service"] = (
            "Job for b.service failed because the control process exited with error code.\nSee"
        )
        with pytest.raises(
            UnitError,
            match=r"b.service did not start on web1: Job for .* code\.\nLast lines .*\nlast words of b.service",
        ) as caught:
            apply(fake, *({"name": name, "enabled": True, "state": "started"} for name in "abc"))
        done = ["enable a.service", "enable b.service", "enable c.service", "start a.service"]
        assert caught.value.done == done
        assert "start c.service" not in fake.calls

    def test_a_service_that_dies_right_after_its_start(self) -> None:
        fake = FakeSystemd(a_service={})
        fake.dies.add("a.service")
        with pytest.raises(UnitError, match=r"a.service was started on web1, but died at once\n.*\nlast words"):
            apply(fake, {"name": "a", "state": "started"})

    def test_failed_enable(self) -> None:
        fake = FakeSystemd(a_service={})
        fake.fails["enable a.service"] = "Failed to enable unit: File exists"
        with pytest.raises(UnitError, match=r"systemctl enable a.service failed on web1: Failed to enable unit: File"):
            apply(fake, {"name": "a", "enabled": True})

    def test_failed_daemon_reload(self) -> None:
        fake = FakeSystemd()
        fake.fails["daemon-reload"] = "No space left"
        with pytest.raises(UnitError, match="daemon-reload failed on web1: No space left"):
            apply(fake, daemon_reload=True)

    @pytest.mark.parametrize(
        "result",
        [
            CommandResult(127, "", "systemctl: command not found"),
            CommandResult(
                1, "", "System has not been booted with systemd as init system (PID 1). Can't operate.\nFailed"
            ),
            CommandResult(1, "", "Failed to connect to bus: No such file or directory"),
        ],
    )
    @pytest.mark.parametrize("check_mode", [True, False])
    def test_systemd_is_not_running(self, result: CommandResult, check_mode: bool) -> None:
        systemd = Systemd(lambda argv: result, "web1")
        with pytest.raises(UnitError, match=r"systemd is not running on web1.*Fix: deploy to a host that booted"):
            apply_units([WantedUnit("a.service")], systemd, host="web1", check_mode=check_mode)

    def test_journal_that_cannot_be_read(self) -> None:
        assert "journalctl -u a" in Systemd(lambda argv: CommandResult(1), "web1").journal("a")
