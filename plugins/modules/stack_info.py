#!/usr/bin/python
# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_info
short_description: Read the board of a stack
version_added: 0.1.0
author: The hypercode.deploy authors (@hypercode)
description:
  - Reads every service of the release in use, wanted and actual, from the Docker engine of the host.
  - Changes nothing.
attributes:
  check_mode:
    support: full
    description: Reads only, so check mode is the same.
  diff_mode:
    support: none
    description: Nothing is written.
  idempotent:
    support: full
    description: Reads only.
options:
  project:
    description: Name of the Compose project. Used to find containers before the first release.
    type: str
    default: hypercode
  memory:
    description: Also ask for the memory that each container uses. Takes longer.
    type: bool
    default: false
  require_ready:
    description: Fail when a service is not as the release wants it, or not healthy.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Read the board
  hypercode.deploy.stack_info:
    memory: true
  register: stack

- name: Fail unless every service is healthy
  hypercode.deploy.stack_info:
    require_ready: true
"""

RETURN = r"""
hypercode_board:
  description: A row for each service, with wanted and actual state.
  returned: always
  type: list
  elements: dict
  sample:
    - service: redis
      class: infra
      state: running
      health: healthy
      ready: true
      restarts: 0
      image: redis:7.4.11-bookworm
      memory_bytes: 9437184
      memory_limit_bytes: 536870912
      note: ""
healthy:
  description: True when every service is as the release wants it and healthy.
  returned: always
  type: bool
certificates:
  description: The state of the certificate for each name, as C(hypercode certificates --json) shows it. May be empty.
  returned: when the state of the services could be read
  type: list
  elements: dict
  sample:
    - name: app.example.com
      mode: acme
      state: ok
      good: true
      lifetime_left: 0.83
release:
  description: Id, version and status of the release in use. Empty before the first deploy.
  returned: always
  type: dict
  sample: {"id": "20261123T180000Z-1f2e3d4c", "version": "1.0.0", "status": "done"}
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import stack_state
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.command import board_rows
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.text import render_certificates
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.x509 import CertificateError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.engine import Engine, EngineError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths, ReleaseError, Store
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.command import for_board as soak_for_board


def nothing_there(store: Store) -> str:
    """Say why there is no release in use."""
    lost = store.lost()
    if lost:
        return f"The release in use ({lost}) is gone from the disk. Fix: run site.yml; it writes a new one"
    return "Nothing is deployed on this host yet. Fix: run site.yml for it"


def findings_of(rows: Sequence[stack_state.Row]) -> list[dict[str, str]]:
    """Return what is wrong with which service, and the fix."""
    return [
        {
            "service": row.service,
            "message": row.drift or f"{row.state}, health {row.health}",
            "fix": "run site.yml again; it repairs what it can and says what it cannot"
            if row.drift
            else f"on the host: docker logs {row.container_id[:12]}",
        }
        for row in rows
        if not row.is_good
    ]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "project": {"type": "str", "default": "hypercode"},
            "memory": {"type": "bool", "default": False},
            "require_ready": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    store, engine = Store(Paths()), Engine()
    try:
        release = store.current()
        about = release.read() if release else {}
        project = str(about.get("project", module.params["project"]))
        rows = stack_state.read_board(engine, project, release, memory=module.params["memory"])
    except (EngineError, ReleaseError) as error:
        if module.params["require_ready"] or isinstance(error, ReleaseError):
            module.fail_json(msg=str(error), hypercode_board=[], healthy=False, release={})
        module.exit_json(changed=False, msg=str(error), hypercode_board=[], healthy=False, release={})
    try:
        certificates = board_rows() or []
    except (CertificateError, OSError) as error:
        module.warn(f"The certificates cannot be read: {error}.")
        certificates = []
    summary = [*(render_certificates(certificates).splitlines() if certificates else []), *soak_for_board(Path("/"))[1]]
    healthy = release is not None and bool(rows) and all(row.is_good for row in rows)
    result: dict[str, Any] = {
        "hypercode_board": [row.as_board() for row in rows],
        "healthy": healthy,
        "certificates": certificates,
        # Shown below the board at the end of a run.
        **({"hypercode_summary": summary} if summary else {}),
        "release": {key: about[key] for key in ("id", "version", "status") if key in about},
    }
    if module.params["require_ready"] and not healthy:
        if release is None:
            module.fail_json(msg=nothing_there(store), **result)
        module.fail_json(msg=stack_state.summary(rows), findings=findings_of(rows), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
