"""What a soak breaks on purpose comes back, and a load test within it is known of. It takes ten minutes.

Run it with HYPERCODE_LONG=1 ./scripts/test molecule soak
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from checks import playbook
from checks.monitoring import until
from checks.stack import root
from testbed import hosts
from testbed.hosts import Bed
from testbed.shell import docker

BED = Bed("molecule-soak", playbook.ROOT / ".cache" / "testbed" / "molecule-soak", "molecule", "docker")
REPORTS = playbook.ROOT / ".cache" / "testbed" / "molecule-soak" / "reports"
SOAK = {
    "soak_name": "faults",
    "soak_duration": "8m",
    "soak_warmup": "5s",
    "soak_interval": "1s",
    "soak_probe_interval": "0.25s",
    # A small machine with other work answers late now and then.
    "soak_limits": {"p95_ms": 1200},
    "soak_faults": {"kill": True, "reboot": True},
    "soak_report_folder": str(REPORTS),
}
# Without a site, so by way of SSH.
LOAD = {
    "load_test_profile": "http",
    "load_test_service": "slow",
    "load_test_port": 8000,
    "load_test_rate": 10,
    "load_test_seconds": 10,
    "load_test_p95_ms": 2000,
}
AGENTS = {"steady", "leaky", "slow", "failing", "crashing", "greedy"}
pytestmark = pytest.mark.skipif(
    not os.environ.get("HYPERCODE_LONG"), reason="takes ten minutes; HYPERCODE_LONG=1 ./scripts/test molecule soak"
)


def start_again_when_it_reboots(seconds: float) -> None:
    """A container that reboots has ended; a machine would start by itself."""
    name, end = BED.container("web1"), time.monotonic() + seconds
    while time.monotonic() < end:
        if docker("inspect", "--format", "{{.State.Running}}", name).strip() == "false":
            docker("start", name)
            return
        time.sleep(0.5)


def test_what_is_broken_on_purpose_comes_back(host: Any, inventory: Path, figure: Any) -> None:
    if json.loads(root(host, "hypercode soak status --json", ok=False)).get("running"):
        root(host, "hypercode soak stop --reason 'the tests have theirs'", ok=False)
    words = json.dumps(SOAK)
    outcome = playbook.play("--tags", "start", "-e", words, inventory=inventory, playbook="playbooks/soak.yml")
    assert outcome.code == 0, outcome.output
    machine = threading.Thread(target=start_again_when_it_reboots, args=(480,))
    machine.start()
    load = playbook.play("-e", json.dumps(LOAD), inventory=inventory, playbook="playbooks/load_test.yml")
    assert load.code == 0, load.output
    machine.join()
    hosts.wait_booted(BED, "web1")
    until(lambda: root(host, "systemctl is-active hypercode-soak", ok=False).strip() == "active", 60, "it is back")
    outcome = playbook.play(
        "--tags", "wait,report", "-e", words, inventory=inventory, playbook="playbooks/soak.yml", timeout=600
    )
    assert outcome.code == 0, outcome.output
    report = json.loads((REPORTS / "web1" / "report.json").read_text())
    assert report["verdict"] == "PASS", report["reason"]
    checks = {check["id"]: check for check in report["checks"]}
    recovered = {row["subject"]: row for row in checks["recovery"]["subjects"]}
    figure("recovery", "; ".join(f"{name}: {row['observed']}" for name, row in sorted(recovered.items())))
    for agent in AGENTS:
        assert any(agent in name for name in recovered), recovered
    assert len(recovered) == len(AGENTS) + 1, recovered
    assert checks["load_test"]["verdict"] == "PASS", checks["load_test"]
    figure("coverage with a reboot in eight minutes", f"{report['coverage']:.4f}")
