# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real, tiny runs of ansible-playbook with the progress callback, on a pipe and on a terminal."""

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
        if "say" in args:
            self._display.display(args.pop("say"))
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
      emit: {changed: false, say: at work, sleep: "{{ seconds }}"}
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


@pytest.fixture(scope="session")
def canary():
    """The text that tasks with no_log hold."""
    return CANARY


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def runs(project):
    """All runs, a few at a time; each is a future of Done."""
    one, two = ["-i", "web1,", "-c", "local"], ["-i", "web1,web2,", "-c", "local"]
    molecule = {"MOLECULE_FILE": "molecule.yml"}
    slow, who = [*two, "-e", "seconds=2.2", "slow.yml"], [("Who: ", b"me\n")]
    # Once the worker sleeps, a second and more after its last word: Ansible loses a Ctrl-C that comes while it starts a
    # worker, and waits for ever when it comes while the worker tells something.
    steps = [("at work", b""), *[("Take a while", key) for key in (b"", b"", b"\x03")]]
    stop = [*one, "-e", "seconds=20 who=me", "slow.yml"], steps
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
