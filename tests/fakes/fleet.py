"""A fleet on this machine: playbooks/update.yml and rollback.yml as they are; hosts, stack and rollouts are made up.

A host is a folder. Its `version` is what it runs, `broken` the version that it refuses, `gone-at` the step (a word of
the log) at which it stops answering. `log` has a line for each thing that was done.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
HEAD = """
import json, os, sys, time
from pathlib import Path
from ansible.module_utils.basic import AnsibleModule
home = Path(os.environ['FLEET_HOST'])
def log(text):
    with (home / 'log').open('a') as stream:
        stream.write(text + chr(10))
    with (home.parent / 'log').open('a') as stream:
        stream.write(home.name + ' ' + text + chr(10))
    if (home / 'gone-at').exists() and (home / 'gone-at').read_text() in text:
        (home / 'gone').touch()
def release(version):
    return {'id': 'id-' + version, 'version': version, 'status': 'done'}
version = (home / 'version').read_text()
"""
INFO = """
module = AnsibleModule({'project': {}, 'require_ready': {'type': 'bool', 'default': False}}, supports_check_mode=True)
if module.params['require_ready'] and (home / 'unhealthy').exists() and (home / 'unhealthy').read_text() == version:
    module.fail_json(msg='app is not healthy', release=release(version))
module.exit_json(changed=False, release=release(version) if version else {})
"""
ROLLOUT = """
module = AnsibleModule({'version': {}}, supports_check_mode=True)
wanted = module.params['version']
plan = {} if wanted == version else {'app': 'replace: its image changed'}
if module.check_mode:
    module.exit_json(changed=bool(plan), plan=plan, release=release(version))
if plan:
    log('rollout ' + wanted)
    time.sleep(float((home / 'slow').read_text()) if (home / 'slow').exists() else 0)
    if (home / 'broken').exists() and (home / 'broken').read_text() == wanted:
        module.fail_json(msg='app did not get healthy', plan=plan)
    (home / 'version').write_text(wanted)
module.exit_json(changed=bool(plan), plan=plan, release=release(wanted))
"""
ROLLBACK = """
spec = {'to': {}, 'reason': {}, 'project': {}, 'accept_data': {'type': 'bool'}, 'timeout': {'type': 'int'}}
module = AnsibleModule(spec, supports_check_mode=True)
if (home / 'busy').exists():
    (home / 'busy').unlink()
    module.fail_json(msg='Another rollout is at work on this host')
wanted = module.params['to'].removeprefix('id-')
if (home / 'not-here').exists():
    module.fail_json(msg='This host has no version ' + wanted)
if module.check_mode:
    module.exit_json(changed=wanted != version, plan={}, release=release(wanted), note='back to release id-' + wanted)
log('rollback ' + wanted)
if (home / 'no-way-back').exists():
    module.fail_json(msg='the disk is full')
(home / 'version').write_text(wanted)
module.exit_json(changed=wanted != version, plan={}, release=release(wanted))
"""
# What is asked for on the host, until the host is gone.
SSH = """#!/bin/sh
[ -e "{home}/gone" ] && {{ echo "ssh: connect to host: No route to host" >&2; exit 255; }}
for word; do last=$word; done
export FLEET_HOST={home} PATH={programs}:$PATH
case "$*" in *-O*) exit 0;; esac
sh -c "$last"
code=$?
[ -e "{home}/gone" ] && {{ echo "ssh: closed by remote host" >&2; exit 255; }}
exit $code
"""
HYPERCODE = """#!/bin/sh
echo "$*" >> $FLEET_HOST/log
echo "$(basename $FLEET_HOST) $*" >> $FLEET_HOST/../log
[ -e $FLEET_HOST/gone-at ] || exit 0
case "$*" in *"$(cat $FLEET_HOST/gone-at)"*) touch $FLEET_HOST/gone;; esac
"""
PLAN = """---
- hypercode.deploy.stack_rollout: {version: "{{ stack_version }}"}
  check_mode: true
  diff: false
  register: __stack_rollout
"""
MAIN = """---
- ansible.builtin.debug: {msg: files}
  register: __stack_tree
- hypercode.deploy.stack_rollout: {version: "{{ stack_version }}"}
  register: __stack_rollout
"""


@dataclass(frozen=True)
class Ended:
    """One run: exit code and output."""

    code: int
    output: str


@dataclass
class Fleet:
    """Hosts below a folder, and a copy of the collection in which what would touch them is made up."""

    folder: Path
    versions: dict[str, str]
    variables: dict[str, Any] = field(default_factory=dict)
    # Variables of single hosts.
    own: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._write_collection()
        programs = self.folder / "programs"
        self._script(programs / "hypercode", HYPERCODE)
        for host, version in self.versions.items():
            home = self.home(host)
            home.mkdir(parents=True)
            (home / "version").write_text(version)
            self._script(home / "ssh", SSH.format(home=home, programs=programs))

    def home(self, host: str) -> Path:
        return self.folder / "hosts" / host

    def put(self, host: str, name: str, text: str = "") -> None:
        (self.home(host) / name).write_text(text)

    def now(self) -> dict[str, str]:
        """The version of each host."""
        return {host: (self.home(host) / "version").read_text() for host in self.versions}

    def log(self) -> list[str]:
        """What was done on which host, in order."""
        path = self.folder / "hosts" / "log"
        return path.read_text().splitlines() if path.exists() else []

    def leases(self) -> list[str]:
        """The hosts that are locked."""
        return sorted(path.parents[1].name for path in (self.folder / "hosts").glob("*/fleet/lease.json"))

    def lease(self, host: str, *, age: float, seconds: int = 600) -> None:
        """Have another run hold a host, that renewed its lock so many seconds ago."""
        renewed = time.time() - age
        document = {"owner": "x", "who": "alice@laptop", "since": renewed, "renewed": renewed, "seconds": seconds}
        (self.home(host) / "fleet").mkdir(exist_ok=True)
        self.put(host, "fleet/lease.json", json.dumps(document))

    def start(self, *words: str, version: str = "2", playbook: str = "update") -> subprocess.Popen[str]:
        hosts = {
            host: {
                "ansible_host": f"{host}.invalid",
                "ansible_ssh_executable": str(self.home(host) / "ssh"),
                "ansible_ssh_args": "",
                "ansible_pipelining": True,
                **self.own.get(host, {}),
            }
            for host in self.versions
        }
        variables = {
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            "ansible_remote_tmp": str(self.folder / "tmp"),
            **self.variables,
        }
        inventory = self.folder / "hosts.yml"
        inventory.write_text(json.dumps({"hypercode": {"hosts": hosts, "vars": variables}}))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment = {
            **kept,
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
            "ANSIBLE_HOME": str(self.folder / ".ansible"),
            "CI": "true",
            "COLUMNS": "200",
        }
        program = Path(sys.executable).with_name("ansible-playbook")
        return subprocess.Popen(
            [
                program,
                "-i",
                inventory,
                self.collection / "playbooks" / f"{playbook}.yml",
                "-e",
                f"{'rollback_to' if playbook == 'rollback' else 'stack_version'}={version}",
                *words,
            ],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def rollback(self, *words: str, version: str) -> Ended:
        return self.update(*words, version=version, playbook="rollback")

    def update(self, *words: str, version: str = "2", playbook: str = "update") -> Ended:
        process = self.start(*words, version=version, playbook=playbook)
        output, _ = process.communicate(timeout=240)
        return Ended(process.returncode, output)

    @property
    def collection(self) -> Path:
        return self.folder / "collections" / "ansible_collections" / "hypercode" / "deploy"

    def _write_collection(self) -> None:
        plugins = self.collection / "plugins"
        (plugins / "modules").mkdir(parents=True)
        for name in ("galaxy.yml", "meta"):
            (self.collection / name).symlink_to(REPOSITORY / name)
        for path in (REPOSITORY / "plugins").iterdir():
            if path.name != "modules" and not path.name.startswith("__"):
                (plugins / path.name).symlink_to(path)
        for name, text in (("stack_info", INFO), ("stack_rollout", ROLLOUT), ("stack_rollback", ROLLBACK)):
            (plugins / "modules" / f"{name}.py").write_text(HEAD + text)
        real = (REPOSITORY / "plugins" / "modules" / "fleet_lock.py").read_text()
        # The same module, whose leases lie in the folder of the host.
        made = real.replace("Leases(host=", "Leases(Path(os.environ['FLEET_HOST']) / 'fleet', host=")
        assert made != real
        (plugins / "modules" / "fleet_lock.py").write_text(
            made.replace("import platform", "import os\nimport platform\nfrom pathlib import Path")
        )
        (self.collection / "playbooks").mkdir()
        for name in ("vars", "tasks"):
            (self.collection / "playbooks" / name).symlink_to(REPOSITORY / "playbooks" / name)
        # Ansible looks beside a playbook itself, not beside a link to it.
        for name in ("update.yml", "rollback.yml"):
            (self.collection / "playbooks" / name).write_text((REPOSITORY / "playbooks" / name).read_text())
        (self.collection / "playbooks" / "preflight.yml").write_text("---\n- hosts: hypercode\n  gather_facts: false\n")
        role = self.collection / "roles" / "stack"
        for name, text in (
            ("tasks/plan", PLAN),
            ("tasks/main", MAIN),
            ("defaults/main", "stack_project: demo\n"),
            ("vars/main", "__stack_version: '{{ stack_version }}'\n"),
        ):
            (role / name).parent.mkdir(parents=True, exist_ok=True)
            (role / f"{name}.yml").write_text(text)

    @staticmethod
    def _script(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
