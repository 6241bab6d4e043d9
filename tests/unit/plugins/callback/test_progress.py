# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The progress callback in real, tiny runs of ansible-playbook, on a pipe and on a terminal."""

from __future__ import annotations

import concurrent.futures
import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[4]
PLAYBOOK = shutil.which("ansible-playbook", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
CANARY = "canary-5f1c"

# Returns what it is told, at once and without a module on the host.
EMIT = """
import time
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = dict(self._task.args)
        time.sleep(float(args.pop("sleep", 0)))
        result.update(args)
        return result
"""
DOCKER = """
- name: Install the engine
  emit: {changed: true}
  notify: Restart the engine
- name: Write the configuration
  emit: {changed: true, diff: {before: "old\\n", after: "new\\n", before_header: daemon.json}}
- name: Nothing to do here
  emit: {changed: false}
- name: Make the folders
  emit: {changed: "{{ item == 'b' }}"}
  loop: [a, b]
- name: Not for this host
  emit: {changed: true}
  when: false
- name: Hide the password
  emit: {changed: true, msg: "CANARY"}
  no_log: true
- name: Wait for the engine
  emit: {changed: false}
  register: __answer
  until: __answer.attempts | default(1) >= 3
  retries: 4
  delay: 0
"""
BOARD = [
    {"service": "redis", "state": "running", "health": "healthy", "memory_bytes": 50 * 1024**2},
    {"service": "core", "state": "exited", "health": "", "note": "exit code 137"},
]
GOOD = f"""
- name: Deploy
  hosts: all
  gather_facts: false
  roles: [docker]
- name: For nobody
  hosts: absent
  tasks: []
- name: Finish
  hosts: all
  gather_facts: false
  strategy: free
  tasks:
    - name: Read the board
      emit:
        hypercode_board: {json.dumps(BOARD)}
        hypercode_summary: [release 7 is current]
        hypercode_next: [ssh web1, hypercode status]
    - name: Explain
      ansible.builtin.debug: {{msg: "changed\\nsecond"}}
"""
BAD = f"""
- name: Check the inventory
  hosts: all
  gather_facts: false
  tasks:
    - name: Rescued
      block:
        - name: Break
          emit: {{failed: true, msg: broken, next_step: never this}}
      rescue:
        - name: Mend
          emit: {{changed: false}}
    - name: Change
      emit: {{changed: true}}
    - name: Ignored
      emit: {{failed: true, msg: does not matter}}
      ignore_errors: true
    - name: Loop
      emit: {{failed: "{{{{ item == 'two' }}}}", msg: "{{{{ item }}}} is bad"}}
      loop: [one, two]
      ignore_errors: true
    - name: Secret
      emit: {{failed: true, msg: {CANARY}, stderr: {CANARY}, rc: 1}}
      no_log: true
      ignore_errors: true
    - name: Judge
      emit:
        failed: true
        msg: |-
          There are two things to mend.
          Nothing was changed.
        findings:
          - {{service: redis, rule: no-limit, message: has no memory limit, fix: set mem_limit}}
        evidence: /var/lib/hypercode/evidence
        next_step: Edit compose.yaml and run it again.
"""
SLOW = """
- name: Slow
  hosts: all
  gather_facts: false
  vars_prompt:
    - {name: who, prompt: Who, private: false}
  tasks:
    - name: Greet
      emit: {changed: true, msg: "{{ who }}"}
    - name: Take a while
      emit: {changed: false, sleep: "{{ seconds }}"}
    - name: Warn
      emit: {changed: false, warnings: [mind the gap]}
"""


class Done(NamedTuple):
    """A finished run."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.split("\n")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the playbooks."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "ansible.cfg").write_text("[defaults]\n")
    (folder / "action_plugins").mkdir()
    (folder / "action_plugins" / "emit.py").write_text(EMIT)
    tasks, handlers = folder / "roles/docker/tasks", folder / "roles/docker/handlers"
    tasks.mkdir(parents=True)
    handlers.mkdir(parents=True)
    (tasks / "main.yml").write_text(DOCKER.replace("CANARY", CANARY))
    (handlers / "main.yml").write_text("- name: Restart the engine\n  emit: {changed: true}\n")
    for name, text in (("good", GOOD), ("bad", BAD), ("slow", SLOW)):
        (folder / f"{name}.yml").write_text(text)
    (folder / "dead.yml").write_text(
        "- hosts: all\n  gather_facts: false\n  tasks: [{name: Knock, ansible.builtin.raw: 'true'}]\n"
    )
    (folder / "dead.ini").write_text(
        "[all]\ndead ansible_host=127.0.0.1 ansible_port=1 ansible_user='{{ admin }}'\n[all:vars]\nadmin=deploy\n"
    )
    return folder


def environment(folder: Path, **extra: str) -> dict[str, str]:
    kept = {
        key: value for key, value in os.environ.items() if not re.match(r"ANSIBLE|MOLECULE|HYPERCODE|CI$|NO_COL", key)
    }
    return {
        **kept,
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / ".ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "collections"),
        "ANSIBLE_STDOUT_CALLBACK": "hypercode.deploy.progress",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_SSH_ARGS": "-o StrictHostKeyChecking=no",
        "TERM": "xterm",
        "LC_ALL": "C.UTF-8",
        **extra,
    }


def on_pipe(project: Path, arguments: list[str], **extra: str) -> Done:
    """Run without a terminal."""
    done = subprocess.run(
        [str(PLAYBOOK), *arguments],
        cwd=project,
        env=environment(project, **extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def on_terminal(project: Path, arguments: list[str], answers: list[tuple[str, bytes]], **extra: str) -> Done:
    """Run under a terminal of 60 columns; each answer is typed once its text has appeared."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    # A session leader that opens a terminal gets it as its own, so that Ctrl-C reaches it.
    start = (
        "import os, sys; [os.dup2(os.open(sys.argv[1], 2), n) for n in (0, 1, 2)]; os.execv(sys.argv[2], sys.argv[2:])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start, os.ttyname(slave), str(PLAYBOOK), *arguments],
        cwd=project,
        env=environment(project, **extra),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )
    seen, mark, end = b"", 0, time.monotonic() + 30
    while time.monotonic() < end:
        ended = process.poll() is not None
        if select.select([master], [], [], 0.05)[0]:
            seen += os.read(master, 65536)
        elif ended:
            break
        if answers and answers[0][0].encode() in seen[mark:]:
            mark = len(seen)
            os.write(master, answers.pop(0)[1])
    process.kill()
    code = process.wait()
    os.close(slave)
    os.close(master)
    return Done(code, seen.decode(), "")


@pytest.fixture(scope="module")
def runs(project):
    """All runs, a few at a time; each is a future of Done."""
    one, two = ["-i", "web1,", "-c", "local"], ["-i", "web1,web2,", "-c", "local"]
    molecule = {"MOLECULE_FILE": "molecule.yml"}
    slow, who = [*two, "-e", "seconds=2.2", "slow.yml"], [("Who: ", b"me\n")]
    # Not while Ansible starts the worker: it can lose a Ctrl-C then.
    stop = [*one, "-e", "seconds=20 who=me", "slow.yml"], [("Take a while", key) for key in (b"", b"", b"\x03")]
    in_ci = [*one, "-e", "seconds=0 who=me", "slow.yml"]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        yield {
            "good": pool.submit(on_pipe, project, [*two, "--diff", "good.yml"], ANSIBLE_FORCE_COLOR="1"),
            "live": pool.submit(on_terminal, project, slow, who, NO_COLOR="1"),
            "bad": pool.submit(on_pipe, project, [*two, "bad.yml"]),
            "deep": pool.submit(on_pipe, project, [*one, "--check", "-vvv", "bad.yml"]),
            "molecule": pool.submit(on_pipe, project, [*one, "--diff", "good.yml"], **molecule),
            "list": pool.submit(on_pipe, project, [*one, "--list-tasks", "good.yml"]),
            "dead": pool.submit(on_pipe, project, ["-i", "dead.ini", "dead.yml"], **molecule),
            "stop": pool.submit(on_terminal, project, *stop),
            "ci": pool.submit(on_terminal, project, in_ci, [], CI="true"),
        }


def screen(text: str) -> list[str]:
    """What the terminal shows in the end: carriage return, erase to the end of the line, newline."""
    rows, column = [""], 0
    for part in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.|\n", text, re.DOTALL):
        if part == "\r":
            column = 0
        elif part == "\n":
            rows.append("")
        elif part == "\x1b[K":
            rows[-1] = rows[-1][:column]
        elif not part.startswith("\x1b"):
            rows[-1] = rows[-1][:column].ljust(column) + part + rows[-1][column + 1 :]
            column += 1
    return rows


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


def test_hidden_results_stay_hidden(runs):
    for name in ("good", "bad", "deep"):
        done = runs[name].result()
        assert CANARY not in done.out + done.err
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


def test_a_terminal_has_one_live_line_and_ends_clean(runs):
    done = runs["live"].result()
    assert done.code == 0, done.out
    # It goes on counting while nothing happens.
    assert len(set(re.findall(r"\r\x1b\[KSlow · 2 hosts · Take a while · (\d+) s", done.out))) >= 2
    assert not re.findall(r"\x1b\[[0-9;]*m", done.out)
    assert all(len(row) <= 59 for row in re.findall(r"\r\x1b\[K(Slow ·[^\r]*)", done.out))
    rows = screen(done.out)
    assert rows[0] == "Who: me"
    assert "[WARNING]: mind the gap" in " ".join(rows)
    assert any(re.fullmatch(r"done  Slow  \d+ s, 2 changed", row) for row in rows)
    assert not [row for row in rows if " · " in row]
    assert re.fullmatch(r"Done in \d+ s, 3 tasks on 2 hosts\. tasks=3", rows[-2])
    assert rows[-1] == ""


def test_ctrl_c_leaves_a_clean_terminal_and_says_what_next(runs):
    done = runs["stop"].result()
    assert done.code == 99, done.out
    rows = screen(done.out)
    assert not [row for row in rows if " · " in row]
    assert re.fullmatch(r"Stopped by Ctrl-C after \d+ s, in Take a while\.", rows[-3])
    assert rows[-2:] == ["Next: Run the same command again.", ""]
    assert "\x1b[?25l" not in done.out
    assert "Traceback" not in done.out


def test_a_terminal_of_ci_gets_plain_lines(runs):
    done = runs["ci"].result()
    assert done.code == 0, done.out
    assert "start  Slow  on web1\r\n" in done.out
    assert "\x1b[K" not in done.out
