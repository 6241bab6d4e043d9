"""Each alert that can be provoked on a test host, and that test_monitoring.py has no time for. It takes two hours.

Run it with HYPERCODE_LONG=1 ./scripts/test molecule monitoring
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from checks import playbook
from checks.monitoring import Receiver
from checks.stack import root
from checks.web import Load, Site
from testbed.hosts import Bed
from testbed.shell import docker

BED = Bed("molecule-monitoring", playbook.ROOT / ".cache" / "testbed" / "molecule-monitoring", "molecule", "docker")
FILES = Path(__file__).parents[1] / "files"
FAULTS = "/root/faults.sh"
pytestmark = pytest.mark.skipif(
    not os.environ.get("HYPERCODE_LONG"), reason="takes two hours; HYPERCODE_LONG=1 ./scripts/test molecule monitoring"
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
        Fault("ServiceDown", 7),
        Fault("ServiceErrorBudgetBurnsFast", 7),
        Fault("ServiceErrorBudgetBurns", 7, None),
        Fault("EdgeErrorBudgetBurnsFast", 9),
        Fault("EdgeErrorBudgetBurns", 9, None),
        Fault("CertificateUnusable", 20),
        Fault("CertificateRenewalLate", 20),
        Fault("CertificateNearlyExpired", 10),
        Fault("BackupLogLags", 12),
        Fault("BackupLogFailed", 40),
    ),
    (
        Fault("PostgresDown", 6),
        Fault("RedisDown", 6),
        Fault("TargetDown", 16, 16),
        Fault("ProberDown", 16, 16),
        Fault("PrometheusRuleFailures", 12, 16),
        Fault("PrometheusConfigReloadFailed", 9),
        Fault("AlertmanagerConfigReloadFailed", 9),
        Fault("AlertmanagerNotDelivering", 12, 22),
        Fault("CertificatesNotWatched", 20),
    ),
    (
        Fault("BackupShrank", 10),
        Fault("BackupLogGap", 5, None),
        Fault("BackupDamaged", 9),
        Fault("BackupDrillFailed", 9),
        Fault("WatchStale", 6),
        Fault("EdgeStale", 6),
        Fault("RedisRejectsConnections", 9),
        Fault("TargetVanished", 26),
    ),
    # Nothing else can be broken, or mended, while Docker is away.
    (Fault("DockerDown", 9),),
)
# Of what was broken with the first wave: what nobody is woken up for comes when the incident is over.
AFTER = ("EdgeErrorBudgetBurnsSlowly", "ServiceErrorBudgetBurnsSlowly", "ServiceThrottled")


@pytest.fixture(scope="module", autouse=True)
def visitors() -> Iterator[None]:
    """People who visit a site all the time, also while its service is down."""
    with Load(Site(BED.address(0), "down.test"), workers=1, rate=2, path="/health").running():
        yield


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


def told_at(calls: Sequence[dict[str, Any]], alert: str, status: str, since: float) -> float | None:
    """When it came first; or, of `resolved`, when the last of it was over."""
    last: dict[str, tuple[str, float]] = {}
    for call in calls:
        if call["path"] != "/hook" or call["at"] < since - 1:
            continue
        for one in call["body"]["alerts"]:
            if one["labels"]["alertname"] == alert:
                if status == one["status"] == "firing":
                    return float(call["at"])
                last[one["fingerprint"]] = (one["status"], call["at"])
    if status == "firing" or not last or any(state == "firing" for state, _at in last.values()):
        return None
    return max(at for _state, at in last.values())


def missing(
    receiver: Receiver, status: str, broken: dict[str, float], since: dict[str, float], limits: dict[str, float]
) -> dict[str, float]:
    """Wait until each alert has come with that status; return those that did not, with how long was waited."""
    told: dict[str, float] = {}
    while True:
        calls = receiver.calls()
        for alert in limits.keys() - told.keys():
            at = told_at(calls, alert, status, broken[alert])
            if at is not None:
                # What another fault of its wave ends is over before it is mended.
                told[alert] = max(0.0, at - since[alert])
                print(f"{status} {alert} after {told[alert]:.0f} s")
        late = {a: m for a, m in limits.items() if a not in told and time.time() > since[a] + m * 60}
        if len(late) + len(told) == len(limits):
            return late
        time.sleep(5)


@pytest.mark.parametrize("wave", WAVES, ids=["first", "second", "third", "fourth"])
def test_what_takes_long_arrives_and_resolves(
    host: Any, receiver: Receiver, figure: Any, wave: tuple[Fault, ...]
) -> None:
    if not root(host, "ls -A /var/backups/near/snapshots"):
        root(host, "hypercode backup run")
    if wave is WAVES[0]:
        do(host, "break", [Fault("ServiceThrottled", 0)])
    broken = do(host, "break", wave)
    silent = missing(receiver, "firing", broken, broken, {fault.alert: fault.minutes for fault in wave})
    mended = do(host, "mend", wave[::-1])
    wanted = {fault.alert: fault.gone for fault in wave if fault.gone is not None and fault.alert not in silent}
    stuck = missing(receiver, "resolved", broken, mended, wanted)
    figure(
        "alerts provoked, and of these resolved",
        f"{len(wave) - len(silent)} of {len(wave)}, {len(wanted) - len(stuck)}",
    )
    assert not silent, f"these did not come: {silent}"
    assert not stuck, f"these did not resolve: {stuck}"


def test_what_burns_slowly_is_told_when_the_incident_is_over(receiver: Receiver) -> None:
    for alert in ("EdgeErrorBudgetBurns", "ServiceErrorBudgetBurns"):
        receiver.wait("/hook", "resolved", 1800, alertname=alert)
    for alert in AFTER:
        receiver.wait("/hook", "firing", 1800, alertname=alert)
