#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_check
short_description: Judge whether a host can carry the stack
version_added: 0.1.0
description:
  - Reads what a host has (operating system, memory, disk, processors, ports in use, clock) and judges it against what
    is needed, in one round trip.
  - Reports everything that is wrong at once, each with its fix.
  - Returns facts about the host that later roles need, so that no other fact gathering is necessary.
  - Where the role backup has been run, names each volume of the stack that holds data and is in no backup.
  - Reads files, and asks Docker which volumes there are. It runs no program and changes nothing.
author: The hypercode.deploy authors (@hypercode)
attributes:
  check_mode:
    support: full
    description: The module changes nothing, so check mode does the same.
  diff_mode:
    support: none
    description: The module changes nothing, so there is no difference to show.
  idempotent:
    support: full
    description: The module changes nothing.
options:
  name:
    description: How messages call the host. The host's own name by default.
    type: str
  os_supported:
    description: Operating systems that are supported. An empty list allows all.
    type: list
    elements: dict
    default: []
    suboptions:
      distribution:
        description: The C(ID) of C(/etc/os-release), such as V(debian).
        type: str
        required: true
      version:
        description: The C(VERSION_ID) of C(/etc/os-release), such as V("13"). Leave it empty to allow every version.
        type: str
        default: ""
  architectures:
    description: Processor types that are supported, as C(uname -m) calls them. An empty list allows all.
    type: list
    elements: str
    default: [x86_64, aarch64]
  memory_min_bytes:
    description:
      - Memory that the host must have in all. In a container with a memory limit, the limit counts.
      - When less than a tenth of it is free, there is a warning.
    type: int
    default: 0
  memory_limits_bytes:
    description: The memory limits of all services, added up. More than the host has is only a warning.
    type: int
    default: 0
  disk_paths:
    description: Folders that need room. Where one does not exist yet, its nearest existing parent is judged.
    type: list
    elements: str
    default: []
  disk_min_bytes:
    description: Room that must be free for each path in O(disk_paths).
    type: int
    default: 0
  disk_min_inodes:
    description: How many more files must fit for each path in O(disk_paths). Not judged where files are not counted.
    type: int
    default: 0
  cpus_min:
    description: How many processors the host must have.
    type: int
    default: 0
  ports:
    description: Ports that must be free, or held by a program of ours.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: The port.
        type: int
        required: true
      proto:
        description: The protocol.
        type: str
        choices: [tcp, udp]
        default: tcp
      owner:
        description: Names of processes or systemd services that may hold the port, because they are our own.
        type: list
        elements: str
        default: []
      setting:
        description: The variable that chooses another port, to be named in the message.
        type: str
        default: ""
  controller_time:
    description:
      - Seconds since the epoch on the controller, taken when the task starts.
      - Without it, the clock is not judged.
    type: float
  clock_skew_max_s:
    description: How many seconds the host's clock may differ from O(controller_time). V(0) does not judge it.
    type: float
    default: 30
  clock_round_trip_max_s:
    description: How many seconds may pass between O(controller_time) and the start of this module on the host.
    type: float
    default: 25
  python_min:
    description: The oldest Python that may run our programs on the host. Empty allows all.
    type: str
    default: "3.11"
  packages:
    description: Debian packages whose installed versions to return.
    type: list
    elements: str
    default: []
  findings:
    description:
      - Findings of an earlier check of the same host, to be reported together with those of this one.
      - Each has C(rule) and C(message). It may have C(name), C(fix) and C(severity), which is V(error) or V(warning).
        By default it is V(error).
    type: list
    elements: dict
    default: []
  fail_on_findings:
    description: Fail when there is a finding of severity V(error).
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Check what the server has
  hypercode.deploy.host_check:
    name: "{{ inventory_hostname }}"
    os_supported:
      - distribution: debian
        version: "13"
    memory_min_bytes: 4000000000
    disk_paths: [/var/lib/docker]
    disk_min_bytes: 10000000000
    ports:
      - port: 80
        owner: [caddy]
    controller_time: "{{ now().timestamp() }}"
    packages: [docker.io]
  register: preflight_check

- name: Read the facts without judging
  hypercode.deploy.host_check:
    fail_on_findings: false
  register: preflight_check
"""

RETURN = r"""
findings:
  description: Everything that is wrong, those in O(findings) first.
  returned: always
  type: list
  elements: dict
  contains:
    rule:
      description: Identifier of the rule.
      type: str
    severity:
      description: V(error) or V(warning).
      type: str
    name:
      description: What is wrong, such as V(port 80/tcp).
      type: str
    message:
      description: What is wrong with it.
      type: str
    fix:
      description: What to do next.
      type: str
  sample:
    - rule: port-taken
      severity: error
      name: port 80/tcp
      message: port 80/tcp is taken by nginx (pid 123, nginx.service) on 0.0.0.0.
      fix: >-
        If nobody needs it, stop it: `systemctl disable --now nginx.service`. Or move that program to another port.
host:
  description: Facts about the host.
  returned: always
  type: dict
  contains:
    distribution:
      description: The C(ID) of C(/etc/os-release).
      type: str
    version:
      description: The C(VERSION_ID) of C(/etc/os-release), empty where there is none.
      type: str
    codename:
      description: The C(VERSION_CODENAME) of C(/etc/os-release).
      type: str
    architecture:
      description: The processor type, as C(uname -m) calls it.
      type: str
    memory_bytes:
      description: Memory in all.
      type: int
    memory_available_bytes:
      description: Memory that is free or can be freed.
      type: int
    cpus:
      description: Processors.
      type: int
    virtualization:
      description: V(container), V(vm) or V(none).
      type: str
    docker:
      description: Whether an engine is C(installed), and the C(version) of its Debian package (null without one).
      type: dict
    packages:
      description: Versions of those of O(packages) that are installed.
      type: dict
    apt_lists:
      description: Whether apt has package indexes.
      type: bool
    apt_lists_age_seconds:
      description: Seconds since the indexes were fetched, null without indexes.
      type: int
    boot_id:
      description: The kernel's name for this boot. Containers share it with their machine.
      type: str
    uptime_s:
      description: Seconds since the kernel started.
      type: int
    pid1_start:
      description: >-
        When the first process started, in clock ticks after the kernel. Together with C(boot_id) it names one boot.
      type: int
    python:
      description: Version of the Python that ran this module.
      type: str
msg:
  description: The host, and how many problems there are.
  returned: always
  type: str
"""

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import capacity, host_reader
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.volumes import find_unplanned
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.finding import (
    errors,
    read_findings,
    summary,
    warnings,
)

# Tests put a made-up host here.
ROOT = Path("/")


def requirements(params: dict[str, Any], python_min: tuple[int, ...]) -> capacity.Requirements:
    """The parameters in the shape in which the rules want them."""
    return capacity.Requirements(
        os_supported=tuple(capacity.SupportedOs(**item) for item in params["os_supported"]),
        architectures=tuple(params["architectures"]),
        memory_min_bytes=params["memory_min_bytes"],
        memory_limits_bytes=params["memory_limits_bytes"],
        disk_min_bytes=params["disk_min_bytes"],
        disk_min_inodes=params["disk_min_inodes"],
        cpus_min=params["cpus_min"],
        ports=tuple(
            capacity.WantedPort(item["port"], item["proto"], tuple(item["owner"]), item["setting"])
            for item in params["ports"]
        ),
        controller_time=params["controller_time"],
        clock_skew_max=params["clock_skew_max_s"],
        clock_round_trip_max=params["clock_round_trip_max_s"],
        python_min=python_min,
    )


def argument_spec() -> dict[str, Any]:
    """The parameters of the module."""
    integers = ("memory_min_bytes", "memory_limits_bytes", "disk_min_bytes", "disk_min_inodes", "cpus_min")
    return {
        "name": {"type": "str"},
        "os_supported": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "distribution": {"type": "str", "required": True},
                "version": {"type": "str", "default": ""},
            },
        },
        "architectures": {"type": "list", "elements": "str", "default": ["x86_64", "aarch64"]},
        **{name: {"type": "int", "default": 0} for name in integers},
        "disk_paths": {"type": "list", "elements": "str", "default": []},
        "ports": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "port": {"type": "int", "required": True},
                "proto": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
                "owner": {"type": "list", "elements": "str", "default": []},
                "setting": {"type": "str", "default": ""},
            },
        },
        "controller_time": {"type": "float"},
        "clock_skew_max_s": {"type": "float", "default": 30},
        "clock_round_trip_max_s": {"type": "float", "default": 25},
        "python_min": {"type": "str", "default": "3.11"},
        "packages": {"type": "list", "elements": "str", "default": []},
        # Judged by read_findings: Ansible reserves "message" as the name of an option.
        "findings": {"type": "list", "elements": "dict", "default": []},
        "fail_on_findings": {"type": "bool", "default": True},
    }


def main() -> None:
    now = time.time()
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    params = module.params
    try:
        wanted = requirements(params, capacity.parse_version(params["python_min"]))
    except ValueError:
        module.fail_json(msg=f"python_min: {params['python_min']!r} is not a version such as 3.11.")
    try:
        earlier = read_findings(params["findings"])
    except ValueError as error:
        module.fail_json(msg=f"findings: {error}.")
    uid = os.geteuid()
    try:
        state = host_reader.read_host(
            ROOT,
            now=now,
            uid=uid,
            user=host_reader.user_name(uid),
            architecture=platform.machine(),
            python=tuple(sys.version_info[:3]),
            disk_paths=params["disk_paths"],
            ports=[(port.proto, port.port) for port in wanted.ports],
            packages=params["packages"],
        )
    except OSError as error:
        module.fail_json(msg=f"The host could not be examined: {error.strerror or error} ({error.filename}).")
    found = earlier + capacity.judge(state, wanted) + find_unplanned(ROOT)
    result = {
        "changed": False,
        "findings": [finding.as_dict() for finding in found],
        "host": state.facts(),
        "msg": summary(found, params["name"] or platform.node()),
    }
    if params["fail_on_findings"]:
        if errors(found):
            module.fail_json(**result)
        for finding in warnings(found):
            module.warn(finding.text())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
