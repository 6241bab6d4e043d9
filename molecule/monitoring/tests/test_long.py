"""Each alert that can be provoked on a test host, and that test_monitoring.py has no time for. It takes 80 minutes.

Run it with HYPERCODE_LONG=1 ./scripts/test molecule monitoring
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from checks import playbook
from checks.monitoring import Receiver
from checks.stack import root
from testbed.hosts import Bed
from testbed.shell import docker

BED = Bed("molecule-monitoring", playbook.ROOT / ".cache" / "testbed" / "molecule-monitoring", "molecule", "docker")
FILES = Path(__file__).parents[1] / "files"
FAULTS = "/root/faults.sh"
pytestmark = pytest.mark.skipif(
    not os.environ.get("HYPERCODE_LONG"), reason="takes 80 minutes; HYPERCODE_LONG=1 ./scripts/test molecule monitoring"
)


@dataclass(frozen=True)
class Fault:
    """`alert` has to come within `minutes` of its fault, and be over within `gone` minutes of its mending.

    None where it looks back for an hour or a day.
    """

    alert: str
    minutes: float
    gone: float | None = 12


# Each row is broken at once. What is in a later one would hide something of an earlier one.
WAVES: tuple[tuple[Fault, ...], ...] = (
    (
        Fault("ServiceCrashLooping", 18, 20),
        Fault("ServiceRestarting", 14, None),
        Fault("ServiceHealedOften", 14, None),
        Fault("ServiceHealGivenUp", 35),
        Fault("ServiceMemoryNearLimit", 16),
        Fault("ServiceProcessesNearLimit", 16),
        Fault("DiskAlmostFull", 10),
        Fault("DiskInodesLow", 20),
        Fault("DiskReadOnly", 6),
        Fault("TextfileBroken", 9),
        Fault("TextfileVanished", 20, None),
        Fault("WatchJournalErrors", 5, 22),
        Fault("PostgresConnectionsNearLimit", 16),
        Fault("RedisMemoryNearLimit", 16),
        Fault("RedisEvicts", 12, 25),
        Fault("RedisCannotSave", 16),
    ),
    (
        Fault("ServiceDown", 7),
        Fault("PostgresDown", 6),
        Fault("RedisDown", 6),
        Fault("TargetDown", 16, 16),
        Fault("ProberDown", 16, 16),
        Fault("PrometheusRuleFailures", 12, 16),
        Fault("PrometheusConfigReloadFailed", 9),
        Fault("AlertmanagerConfigReloadFailed", 9),
    ),
    (
        Fault("BackupDamaged", 9),
        Fault("BackupDrillFailed", 9),
        Fault("WatchStale", 6),
        Fault("EdgeStale", 6),
        Fault("RedisRejectsConnections", 9),
        Fault("TargetVanished", 26),
    ),
)


@pytest.fixture(scope="module")
def receiver() -> Receiver:
    return Receiver(BED.container("registry"), FILES / "receiver.py")


def do(host: Any, what: str, wave: Sequence[Fault]) -> dict[str, float]:
    """Break or mend a whole wave; return when each was."""
    docker("cp", str(FILES / "faults.sh"), f"{BED.container('web1')}:{FAULTS}")
    times = {}
    for fault in wave:
        times[fault.alert] = time.time()
        print(f"{what} {fault.alert}", root(host, f"bash {FAULTS} {what} {fault.alert} 2>&1", ok=False))
    return times


def missing(receiver: Receiver, status: str, since: dict[str, float], limits: dict[str, float]) -> dict[str, float]:
    """Wait until each alert has come with that status; return those that did not, with how long was waited."""
    told: dict[str, float] = {}
    while True:
        calls = receiver.calls()
        for alert in limits.keys() - told.keys():
            came = [
                call["at"]
                for call in calls
                if call["path"] == "/hook"
                and call["at"] >= since[alert] - 1
                and any(
                    one["status"] == status and one["labels"]["alertname"] == alert for one in call["body"]["alerts"]
                )
            ]
            if came:
                told[alert] = came[0] - since[alert]
                print(f"{status} {alert} after {told[alert]:.0f} s")
        late = {a: m for a, m in limits.items() if a not in told and time.time() > since[a] + m * 60}
        if len(late) + len(told) == len(limits):
            return late
        time.sleep(5)


@pytest.mark.parametrize("wave", WAVES, ids=["first", "second", "third"])
def test_what_takes_long_arrives_and_resolves(
    host: Any, receiver: Receiver, figure: Any, wave: tuple[Fault, ...]
) -> None:
    if not root(host, "ls -A /var/backups/near/snapshots"):
        root(host, "hypercode backup run")
    broken = do(host, "break", wave)
    silent = missing(receiver, "firing", broken, {fault.alert: fault.minutes for fault in wave})
    mended = do(host, "mend", wave[::-1])
    wanted = {fault.alert: fault.gone for fault in wave if fault.gone is not None and fault.alert not in silent}
    stuck = missing(receiver, "resolved", mended, wanted)
    figure(
        "alerts provoked, and of these resolved",
        f"{len(wave) - len(silent)} of {len(wave)}, {len(wanted) - len(stuck)}",
    )
    assert not silent, f"these did not come: {silent}"
    assert not stuck, f"these did not resolve: {stuck}"
