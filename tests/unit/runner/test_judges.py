"""How the parts of scripts/test read what the tools printed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from runner import sanity, scenarios, unit
from runner.outcome import PartError

JUNIT = """<testsuites><testsuite>
<testcase classname="a.b" name="good"><properties><property name="figure" value="refused|a 1 of 2"/>
<property name="other" value="x"/></properties></testcase>
<testcase classname="a.b" name="also good"><properties><property name="figure" value="refused|b 0 of 3"/></properties>
</testcase>
<testcase classname="a.b" name="bad"><failure message="no">x</failure></testcase>
<testcase classname="a.b" name="broken"><error message="no">x</error></testcase>
<testcase classname="a.b" name="left"><skipped message="no engine"/></testcase>
</testsuite></testsuites>"""


class TestUnit:
    def test_counts(self, tmp_path: Path) -> None:
        report = tmp_path / "unit.xml"
        report.write_text(JUNIT)
        outcome = unit.judge(report, 1, ["E assert False"])
        assert outcome.line() == "2 passed, 2 failed, 1 skipped"
        assert outcome.skipped == [("a.b.left", "no engine")]
        assert outcome.figure_lines() == ["refused: a 1 of 2, b 0 of 3"]
        assert outcome.problems[0].lines == ["E assert False"]

    @pytest.mark.parametrize("code", [1, 2, 4, -9])
    def test_no_report_is_a_failure(self, code: int, tmp_path: Path) -> None:
        outcome = unit.judge(tmp_path / "none.xml", code, ["ImportError"])
        assert (outcome.failed, outcome.problems[0].lines) == (1, ["ImportError"])

    def test_all_good_but_a_bad_exit_code_is_a_failure(self, tmp_path: Path) -> None:
        report = tmp_path / "unit.xml"
        report.write_text('<testsuite><testcase classname="a" name="b"/></testsuite>')
        assert unit.judge(report, 3, []).failed == 1

    def test_the_evidence_is_what_was_wrong_and_where(self) -> None:
        report = [
            "....F... [ 50%]",
            "=== FAILURES ===",
            "_____ test_a _____",
            "tests/unit/test_a.py:3: in test_a",
            "    assert x == y",
            *[f"E   line {number}" for number in range(50)],
            "=== short test summary info ===",
            "FAILED tests/unit/test_a.py::test_a - assert",
            "1 failed in 0.1s",
        ]
        assert unit.essence(report) == [
            "_____ test_a _____",
            "tests/unit/test_a.py:3: in test_a",
            *[f"E   line {number}" for number in range(6)],
            "FAILED tests/unit/test_a.py::test_a - assert",
        ]

    def test_evidence_of_another_form_is_left_whole(self) -> None:
        assert unit.essence(["usage: pytest", "no such option"]) == ["usage: pytest", "no such option"]

    def test_nothing_ran(self, tmp_path: Path) -> None:
        assert unit.judge(tmp_path / "none.xml", 5, []).ran == 0


SANITY = """WARNING: Using locale "C.UTF-8" instead of "en_US.UTF-8".
Running sanity test "ansible-doc"
ERROR: Output on stderr
Running sanity test "import" on Python 3.11
WARNING: Location 'x' is ignored
ERROR: Found 1 import issue(s) on python 3.11 which need to be resolved:
ERROR: plugins/a.py:1:0: traceback: ModuleNotFoundError
WARNING: Skipping sanity test "shellcheck" because there is none
Running sanity test "yamllint"
FATAL: The 2 sanity test(s) listed below (out of 3) failed. See error output above for details.
ansible-doc
import --python 3.11
""".splitlines()


class TestSanity:
    def test_counts_and_evidence(self) -> None:
        outcome = sanity.judge(SANITY, 1)
        assert outcome.line() == "1 passed, 2 failed, 1 skipped"
        assert [problem.name for problem in outcome.problems] == ["ansible-doc", "import"]
        assert outcome.problems[1].lines == [SANITY[5], SANITY[6]]
        assert "because there is none" in outcome.skip_lines()[0]

    def test_all_good(self) -> None:
        assert sanity.judge(['Running sanity test "a"', 'Running sanity test "b"'], 0).line() == "2 passed, 0 failed"

    def test_a_crash_is_a_failure_of_the_test_that_ran(self) -> None:
        outcome = sanity.judge(['Running sanity test "a"', 'Running sanity test "b"', "ERROR: pip"], 1)
        assert outcome.line() == "1 passed, 1 failed"
        assert outcome.problems[0].lines[-1] == "ERROR: pip"

    def test_a_crash_before_the_first_test(self) -> None:
        assert sanity.judge(["FATAL: no git"], 1).line() == "0 passed, 1 failed"

    def test_settings_of_pip_become_a_file(self) -> None:
        listed = [
            ":env:.cert='/a.crt'",
            "global.cert='/b.crt'",
            "global.find-links='/wheels'",
            "install.retries='3'",
            "not a setting",
        ]
        parser = sanity.pip_file(listed)
        assert dict(parser["global"]) == {"cert": "/a.crt", "find-links": "/wheels"}
        assert dict(parser["install"]) == {"retries": "3"}

    def test_the_version_of_pip_is_known(self) -> None:
        assert sanity.pip_version().replace(".", "").isdigit()


def log(*lines: str) -> list[str]:
    return [line.replace("S|", "INFO     [default > ") for line in lines]


class TestScenarios:
    def test_steps_and_tests_count(self) -> None:
        lines = log(
            "S|create] Executing",
            "S|create] Executed: Successful",
            "S|verify] Executing",
            "measured  onboarding of a fresh server|28 s",
            "==== 12 passed, 1 skipped in 3.20s ====",
            "SKIPPED [1] tests/test_a.py:7: no real image here",
            "S|verify] Executed: Successful",
            "WARNING  [default > prepare] Executed: Missing playbook (Remove from test_sequence to suppress)",
            "default > create: Executed: Successful",
        )
        outcome = scenarios.judge("default", lines, 0)
        assert outcome.line() == "14 passed, 0 failed, 1 skipped"
        assert outcome.skip_lines() == ["default tests/test_a.py:7: no real image here"]
        assert outcome.figure_lines() == ["onboarding of a fresh server: 28 s"]

    def test_a_failed_step_with_what_stood_before_it(self) -> None:
        lines = log(
            "S|converge] Executing",
            "FAILED  web1  Start Docker",
            "ERROR    [default > converge] Executed: Failed",
            "S|destroy] Executing",
            "S|destroy] Executed: Successful",
        )
        outcome = scenarios.judge("default", lines, 1)
        assert outcome.line() == "1 passed, 1 failed"
        assert outcome.problems[0].name == "scenario default, step converge"
        assert outcome.problems[0].lines == lines[:3]

    def test_failed_tests_count_instead_of_their_step(self) -> None:
        lines = log(
            "S|verify] Executing", "2 failed, 5 passed, 1 error in 9.1s", "ERROR    [default > verify] Executed: Failed"
        )
        assert scenarios.judge("default", lines, 1).line() == "5 passed, 3 failed"

    def test_a_bad_exit_code_alone_is_a_failure(self) -> None:
        assert scenarios.judge("default", log("S|create] Executed: Successful"), 2).line() == "1 passed, 1 failed"

    def test_nothing_ran(self) -> None:
        assert scenarios.judge("default", [], 0).line() == "0 passed, 1 failed"

    def test_scenarios_run_in_alphabetical_order(self, tmp_path: Path) -> None:
        for name in ("update", "default", "shared"):
            (tmp_path / "molecule" / name).mkdir(parents=True)
        for name in ("update", "default"):
            (tmp_path / "molecule" / name / "molecule.yml").touch()
        assert scenarios.chosen(tmp_path, []) == ["default", "update"]
        assert scenarios.chosen(tmp_path, ["update"]) == ["update"]
        with pytest.raises(PartError, match=r"no scenario nope\. There is: default, update"):
            scenarios.chosen(tmp_path, ["nope"])


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="dpkg is not installed")
def test_the_version_of_a_package_is_known() -> None:
    assert (1, 0) < unit.version_of("dpkg") < (2, 0)
    # What is not there is older than anything.
    assert unit.version_of("no-such-package") == ()
    assert unit.version_of("no-such-package") < unit.ALERTMANAGER[1]
