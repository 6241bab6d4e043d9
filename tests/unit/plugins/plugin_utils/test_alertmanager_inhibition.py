# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a real Alertmanager keeps back with our settings, of all our alerts, and what not."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakes.alert_receivers import until
from fakes.alert_scene import ALERTS, QUIET, Scene, alert, names
from fakes.alertmanager import Api, needed

pytestmark = needed

# What each keeps back.
KEPT_BACK = {
    "HostDown": set(ALERTS) - {"HostDown", "Watchdog"},
    "DockerDown": {"ServiceDown", "ServiceUnhealthy", "ServiceCrashLooping", "ServiceRestarting", "ServiceHealGivenUp"},
    "DiskAlmostFull": {"DiskFullSoon"},
    "PostgresConnectionsUsedUp": {"PostgresConnectionsNearLimit"},
    "BackupOld": {"BackupFailed"},
    "EdgeErrorBudgetBurnsFast": {"EdgeErrorBudgetBurnsSlowly"},
    "EdgeErrorBudgetBurns": {"EdgeErrorBudgetBurnsSlowly"},
    "ServiceErrorBudgetBurnsFast": {"ServiceErrorBudgetBurnsSlowly"},
    "ServiceErrorBudgetBurns": {"ServiceErrorBudgetBurnsSlowly"},
    "TargetDown": {"CertificatesNotWatched"},
    "TargetVanished": {"CertificatesNotWatched"},
}
# All labels by which alerts are told apart, and which of them has to be the same, or of this value, beside the host.
LABELS = {
    "project": "hypercode",
    "service": "web",
    "instance": "db:9187",
    "job": "node",
    "mountpoint": "/srv",
    "repository": "far",
    "name": "app.example.com",
}
SAME = {
    "DiskAlmostFull": "mountpoint",
    "PostgresConnectionsUsedUp": "instance",
    "BackupOld": "repository",
    "ServiceErrorBudgetBurnsFast": "service",
    "ServiceErrorBudgetBurns": "service",
}
OF_SOURCE = {"TargetDown": "job", "TargetVanished": "job"}


def as_rule(name: str, **labels: str) -> dict[str, str]:
    """An alert as its rule makes it, with all labels that there are."""
    return {**LABELS, **ALERTS[name]["labels"], "alertname": name, **labels}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(tmp_path, stack)


@pytest.fixture
def api(scene: Scene) -> Api:
    return scene.start()


def kept_back(api: Api) -> set[tuple[str, str]]:
    """The host and the name of each that is kept back."""
    return {(labels["host"], labels["alertname"]) for labels in api.inhibited() if "host" in labels}


def test_what_each_alert_keeps_back_on_its_host_and_nothing_else(api: Api) -> None:
    """Each that keeps back has a host with all the others, two of them have one, and the others have one."""
    quiet = ALERTS.keys() - KEPT_BACK.keys()
    hosts = {"quiet": quiet, **{source: quiet | {source} for source in KEPT_BACK}}
    hosts |= {f"{one}/{other}": {one, other} for one, other in itertools.combinations(KEPT_BACK, 2)}
    api.fire(*(as_rule(name, host=host) for host, alerts in hosts.items() for name in alerts))
    wanted = {
        (host, target)
        for host, alerts in hosts.items()
        for source in alerts & KEPT_BACK.keys()
        for target in KEPT_BACK[source] & alerts
    }
    until(lambda: kept_back(api) == wanted)
    time.sleep(QUIET)
    assert kept_back(api) == wanted
    api.fire(*(as_rule(source, host=source) for source in KEPT_BACK), over=True)
    until(
        lambda: (
            {host for host, _name in kept_back(api)}
            == {f"HostDown/{other}" for other in KEPT_BACK if other != "HostDown"}
        )
    )


def test_what_is_about_something_else_is_not_kept_back(api: Api) -> None:
    pairs = [(source, target) for source, targets in KEPT_BACK.items() for target in targets]
    for source, target in pairs:
        api.fire(as_rule(source, host=f"{source}-here"), as_rule(target, host=f"{target}-there"))
        label = SAME.get(source)
        if label:
            host = f"{source}-{label}"
            api.fire(as_rule(source, host=host), as_rule(target, host=host, **{label: "another"}))
        if source in OF_SOURCE:
            host = f"{source}-{OF_SOURCE[source]}"
            api.fire(as_rule(source, host=host, **{OF_SOURCE[source]: "another"}), as_rule(target, host=host))
    # So that it is known when all of the above has been looked at.
    api.fire(as_rule("HostDown", host="last"), as_rule("ServiceDown", host="last"))
    until(lambda: ("last", "ServiceDown") in kept_back(api))
    time.sleep(QUIET)
    assert kept_back(api) == {("last", "ServiceDown")}


def test_what_has_lost_its_labels_keeps_nothing_back(api: Api) -> None:
    """A label that both lack counts as the same: by one rule without a host, all that has none would be lost."""
    for name in ALERTS:
        api.fire({"alertname": name, **ALERTS[name]["labels"]})
    api.fire(as_rule("HostDown", host="last"), as_rule("HostDown", host="other"), as_rule("ServiceDown", host="last"))
    until(lambda: kept_back(api) == {("last", "ServiceDown")})
    time.sleep(QUIET)
    assert api.inhibited() == [as_rule("ServiceDown", host="last")]


def test_the_end_of_what_is_kept_back_is_not_told(scene: Scene) -> None:
    """As docs/alerts.md says. Should a later Alertmanager tell it, so much the better: then the page has to change."""
    api = scene.start(scene.hook("all"))
    down = alert("HostDown", inhibits="host")
    api.fire(alert("ServiceDown"))
    until(lambda: scene.web.calls)
    api.fire(down)
    until(lambda: names(scene.web.calls) == {"HostDown", "ServiceDown"})
    api.fire(alert("ServiceDown"), over=True)
    time.sleep(QUIET)
    api.fire(down, over=True)
    until(lambda: scene.web.calls[-1].body["status"] == "resolved")
    time.sleep(QUIET)
    assert {
        told["labels"]["alertname"]
        for call in scene.web.calls
        for told in call.body["alerts"]
        if told["status"] == "resolved"
    } == {"HostDown"}


def test_what_is_kept_back_is_told_when_it_is_still_there_afterwards(scene: Scene) -> None:
    api = scene.start(scene.hook("all"))
    down = alert("HostDown", inhibits="host")
    api.fire(down)
    until(lambda: scene.web.calls)
    api.fire(alert("ServiceDown"), alert("DiskFullSoon", "warning"), {**alert("ServiceDown"), "host": "web2"})
    until(lambda: [call for call in scene.web.calls if call.body["groupLabels"]["host"] == "web2"])
    time.sleep(QUIET)
    assert names([call for call in scene.web.calls if call.body["groupLabels"]["host"] == "web1"]) == {"HostDown"}
    api.fire(down, over=True)
    until(lambda: names(scene.web.calls) == {"HostDown", "ServiceDown", "DiskFullSoon"})
