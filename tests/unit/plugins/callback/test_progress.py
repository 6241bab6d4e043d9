# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the progress callback prints where there is no terminal: lines, failures, the end."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.playbook

REPOSITORY = Path(__file__).resolve().parents[4]


def test_plain_lines_phase_by_phase(runs):
    done = runs["good"].result()
    assert done.code == 0, done
    assert done.lines[0] == "start  docker  on 2 hosts"
    for host in ("web1", "web2"):
        assert f"changed  {host}  docker : Install the engine" in done.lines
        assert f"changed  {host}  docker : Make the folders  (item: b)" in done.lines
        assert f"changed  {host}  docker : Restart the engine" in done.lines
    assert re.search(r"^done  docker  \d+ s, 10 changed$", done.out, re.MULTILINE)
    assert "start  Finish  on 2 hosts" in done.lines
    for quiet in ("Nothing to do here", "Not for this host", "item: a", "Read the board", "TASK ["):
        assert quiet not in done.out
    assert "    changed\n    second\n" in done.out


def test_no_escape_sequences_on_a_pipe_even_when_colour_is_forced(runs):
    assert "\x1b" not in runs["good"].result().out
    assert "\r" not in runs["good"].result().out


def test_diffs_follow_their_line(runs):
    lines = runs["good"].result().lines
    place = lines.index("changed  web1  docker : Write the configuration")
    assert lines[place + 1 : place + 6] == [
        "    --- before: daemon.json",
        "    +++ after",
        "    @@ -1 +1 @@",
        "    -old",
        "    +new",
    ]


def test_hidden_results_stay_hidden(runs, canary):
    for name in ("good", "bad", "deep"):
        done = runs[name].result()
        assert canary not in done.out + done.err
    assert "changed  web1  docker : Hide the password" in runs["good"].result().lines


def test_a_wait_shows_in_a_log_with_growing_pauses(runs):
    tries = re.findall(r"retry  web1  docker : Wait for the engine  \(try (\d+) of", runs["good"].result().out)
    assert tries
    assert set(tries) <= {"1", "2", "4"}


def test_the_end_board_recap_and_next(runs):
    done = runs["good"].result()
    end = done.out[done.out.index("web1: 1 of 2 services healthy; not healthy: core") :]
    assert "✓  redis    running  healthy  50 MiB" in end
    assert re.search(r"✗  core +exited +- +exit code 137", end)
    assert "\n  release 7 is current\n" in end
    assert "web2: 1 of 2 services healthy" in end
    assert re.search(
        r"\nweb1 : ok=9 changed=5 unreachable=0 failed=0 skipped=1 rescued=0 ignored=0\n"
        r"web2 : ok=9 changed=5 unreachable=0 failed=0 skipped=1 rescued=0 ignored=0\n"
        r"Done in \d+ s, 9 tasks on 2 hosts\. tasks=9\n"
        r"Next:\n  ssh web1\n  hypercode status\n$",
        end,
    )


def test_a_failure_is_one_block_with_all_its_hosts(runs):
    done = runs["bad"].result()
    assert done.code == 2
    assert (
        "FAILED  web1, web2  Judge\n"
        "    There are two things to mend.\n"
        "    Nothing was changed.\n"
        "    - redis: has no memory limit (no-limit)\n"
        "      fix: set mem_limit\n"
        "    evidence: /var/lib/hypercode/evidence\n"
    ) in done.out
    assert done.out.count("has no memory limit") == 1
    assert "{" not in done.out
    assert "[ERROR]" not in done.out + done.err
    assert re.search(r"^failed  Check the inventory  \d+ s, 2 changed, 2 hosts failed$", done.out, re.MULTILINE)
    assert re.search(r"^Failed after .* tasks=7$", done.out, re.MULTILINE)
    assert done.lines[-2] == "Next: Edit compose.yaml and run it again."
    assert done.out.count("Next:") == 1


def test_ignored_failures_are_one_line(runs):
    done = runs["bad"].result()
    assert "ignored  web1  Ignored: does not matter" in done.lines
    assert "ignored  web1  Loop  (item: two): two is bad" in done.lines
    assert "(item: one)" not in done.out
    assert "never this" not in done.out


def test_check_mode_says_so_and_very_verbose_shows_whole_results(runs):
    done = runs["deep"].result()
    assert "check: nothing will be changed" in done.lines
    assert "would change  web1  Change" in done.lines
    assert "ok  web1  Mend" in done.lines
    assert "\nchanged  " not in done.out
    assert done.lines[-3].endswith("(check: nothing was changed)")
    assert '"evidence": "/var/lib/hypercode/evidence"' in done.out
    assert re.search(r"^    at: .*/bad\.yml:\d+$", done.out, re.MULTILINE)


def test_molecule_finds_what_is_not_idempotent(runs):
    idempotence = pytest.importorskip("molecule.command.idempotence").Idempotence
    changed = runs["molecule"].result().out
    assert idempotence._is_idempotent(None, changed) is False
    assert "* [web1] => docker : Install the engine" in idempotence._non_idempotent_tasks(None, changed)
    assert "* [web1] => docker : Restart the engine" in idempotence._non_idempotent_tasks(None, changed)
    assert len(idempotence._non_idempotent_tasks(None, changed)) == 5
    calm = runs["dead"].result().out
    assert "changed=0" in calm
    assert idempotence._is_idempotent(None, calm) is True
    assert idempotence._non_idempotent_tasks(None, calm) == []


def test_listing_tasks_is_ansibles_own(runs):
    done = runs["list"].result()
    assert done.code == 0
    assert "docker : Install the engine" in done.out
    assert "tasks=" not in done.out


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh client")
def test_an_unreachable_host_comes_with_the_command_to_try(runs):
    done = runs["dead"].result()
    assert done.code == 4
    assert "UNREACHABLE  dead  Knock" in done.lines
    assert "    dead cannot be reached at 127.0.0.1, port 1, as user deploy." in done.lines
    assert "    try: ssh -p 1 deploy@127.0.0.1" in done.lines
    assert "Next: Fix the above and run the same command again." in done.lines


def test_a_play_without_hosts_is_named(runs):
    assert "skipped  For nobody  (no hosts matched)" in runs["good"].result().lines


def test_timings_are_kept_beside_the_configuration(runs, project):
    assert runs["good"].result().code == 0
    path = project / ".cache" / "progress.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["runs"]


def test_the_documentation_is_sound():
    text = (REPOSITORY / "plugins/callback/progress.py").read_text()
    documentation = yaml.safe_load(re.search(r'DOCUMENTATION = r"""\n(.*?)"""', text, re.DOTALL)[1])
    assert set(documentation["options"]) == {"mode", "timings_file"}
    assert all(option["env"] and option["ini"] for option in documentation["options"].values())
