"""What is watched has data, and what goes wrong reaches a person. The tests are one story, told in order."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checks import playbook
from checks.dashboards import Expression, expressions
from checks.monitoring import Receiver, ask, until, values
from checks.stack import SERVICES, board, containers, python_in, root
from checks.web import Load, Site
from testbed.hosts import Bed

BED = Bed("molecule-monitoring", playbook.ROOT / ".cache" / "testbed" / "molecule-monitoring", "molecule", "docker")
CORE, DOWN = (Site(BED.address(0), f"{name}.test") for name in ("core", "down"))
MONITORS = ("alertmanager", "node-exporter", "blackbox-exporter", "postgres-exporter", "redis-exporter")
JOBS = {"prometheus", "alertmanager", "node", "postgres", "redis", "hypercode-core"}
DASHBOARDS = playbook.ROOT / "roles/monitoring/files/grafana/dashboards"
# Stopped: it is down. Frozen: it is unhealthy.
STOPPED, FROZEN = "devops-engineer", "qa-engineer"
# The watch heals after a minute; an alert that has waited for half of it is out by then. What is Docker's comes on top.
TOLD_WITHIN = 90
# What has happened here by the time the panels are asked: those that wait for it have data then.
HAPPENED = (
    "a request to a site",
    "a site of the edge",
    "the first backup",
    "the first check of a repository",
    "the first restore drill",
    "a Postgres whose log is kept",
    "a key that is asked for",
    "an alert that fires",
)
# A test of its own holds its connections open in the background.
CONNECTIONS = """
import os, time, psycopg2
held = [psycopg2.connect(os.environ['HYPERCODE_DB_URL']) for _ in range(95)]
time.sleep(600)
"""
# Two sessions that wait for each other, over and over. What goes wrong in a thread goes wrong here.
DEADLOCKS = """
import os, threading, time, psycopg2, psycopg2.errors
from concurrent.futures import ThreadPoolExecutor
def connect(tries=20):
    try:
        return psycopg2.connect(os.environ['HYPERCODE_DB_URL'])
    except psycopg2.OperationalError:
        if not tries:
            raise
        time.sleep(1)
        return connect(tries - 1)
def run(first, second):
    connection, deadlocks = connect(), 0
    for _ in range(8):
        try:
            cursor = connection.cursor()
            cursor.execute('UPDATE locked SET n = n + 1 WHERE id = %s', (first,))
            barrier.wait(20)
            cursor.execute('UPDATE locked SET n = n + 1 WHERE id = %s', (second,))
            connection.commit()
        except psycopg2.errors.DeadlockDetected:
            deadlocks += 1
            connection.rollback()
    return deadlocks
connection = connect()
connection.cursor().execute('CREATE TABLE IF NOT EXISTS locked AS SELECT id, 0 AS n FROM generate_series(1, 2) id')
connection.commit()
barrier = threading.Barrier(2)
with ThreadPoolExecutor(2) as pool:
    assert sum(pool.map(run, (1, 2), (2, 1))) > 5
"""


def container(host: Any, service: str) -> str:
    return str(containers(host)[service]["Id"])


def redis(host: Any, words: str) -> str:
    return root(host, f"docker exec {container(host, 'redis')} sh -c 'REDISCLI_AUTH=$REDIS_PASSWORD redis-cli {words}'")


@pytest.fixture(autouse=True)
def story(host: Any) -> None:
    """Every test has to do with the host: testinfra then leaves them in their order."""


@pytest.fixture(scope="module", autouse=True)
def visitors() -> Iterator[None]:
    """People who ask the edge all the time, also while it is away."""
    with Load(CORE, workers=1, rate=2, path="/health").running():
        yield


@pytest.fixture(scope="module")
def receiver() -> Receiver:
    return Receiver(BED.container("registry"), Path(__file__).parents[1] / "files/receiver.py")


@pytest.fixture(scope="module")
def panels() -> dict[Expression, Any]:
    """What each panel had found when it was asked last and found something."""
    return {}


def ask_panels(host: Any, panels: dict[Expression, Any]) -> None:
    asked = list(expressions(DASHBOARDS))
    for one, found in zip(asked, ask(host, [one.expr for one in asked]), strict=True):
        assert not isinstance(found, str), (one, found)
        panels[one] = found or panels.get(one)


def still_empty(host: Any, panels: dict[Expression, Any]) -> list[str]:
    """Ask all panels again; those that have never had data, though what they wait for has happened."""
    ask_panels(host, panels)
    return [
        f"{one.dashboard}: {one.panel} ({one.ref})"
        for one, found in panels.items()
        if not found and (not one.event or one.event.startswith(HAPPENED))
    ]


@pytest.fixture(scope="module")
def frozen_at() -> dict[str, float]:
    """When what happened, which later tests measure from."""
    return {}


def test_all_that_watches_runs_and_is_on_the_board(host: Any) -> None:
    until(lambda: all(row["health"] in ("healthy", "none") for row in board(host).values()), 90, "all healthy")
    assert set(board(host)) == {*SERVICES, *MONITORS}
    # Meanwhile, as in the night: a backup, its check, and a drill.
    backup = "hypercode backup run && hypercode backup verify && hypercode backup drill && touch /run/drilled"
    root(host, f"setsid sh -c '{backup}' > /run/backup.log 2>&1 < /dev/null &")


def test_prometheus_asks_everybody_and_all_answer(host: Any, receiver: Receiver, figure: Any) -> None:
    def all_up() -> bool:
        up = values(host, 'up{job!="probe"}', "job")
        return set(up) == JOBS and set(up.values()) == {1.0}

    until(all_up, 60, "all targets are up")
    # Agents without metrics are probed: none of them is a target that is red for ever.
    probes = until(lambda: values(host, "probe_success", "service"), 40, "probes")
    assert set(probes.values()) == {1.0}, probes
    assert {"qa-engineer", "crew-orchestrator", "hypercode-core"} <= set(probes)
    assert values(host, 'count by (job) ({job="edge"})', "job")["edge"] > 0
    slowest = values(host, "max(scrape_duration_seconds)", "")[""]
    rules = values(host, "sum(prometheus_rule_group_last_duration_seconds)", "")[""]
    figure("slowest scrape, all rules once", f"{slowest:.3f} s, {rules:.3f} s")
    (loaded,) = ask(host, ["count(ALERTS) or vector(0)"])
    assert loaded


def test_the_dead_mans_switch_is_called_and_nobody_else_hears_of_it(receiver: Receiver) -> None:
    receiver.wait("/switch", "firing", 60, alertname="Watchdog")
    assert not [call for call in receiver.calls() if call["path"] != "/switch"]


def test_settings_that_are_refused_never_replace_working_ones(host: Any, inventory: Path) -> None:
    before = root(host, "sha256sum /etc/hypercode/stack/prometheus/prometheus.yml")
    bad = json.dumps({"stack_scrape": [{"job": "node", "targets": ["twice:9100"]}]})
    outcome = playbook.play("--tags", "stack", "-e", bad, inventory=inventory)
    assert outcome.code != 0
    assert "prometheus would refuse prometheus.yml, so it stays as it was" in outcome.output.replace("\n", " ")
    assert root(host, "sha256sum /etc/hypercode/stack/prometheus/prometheus.yml") == before
    assert values(host, 'up{job="node"}', "job") == {"node": 1.0}


def test_secrets_of_receivers_are_in_files_that_only_alertmanager_reads(host: Any) -> None:
    folder = "/etc/hypercode/monitoring/alertmanager"
    assert "8900" not in root(host, f"cat {folder}/alertmanager.yml")
    modes = root(host, f"stat -c '%a %u %n' {folder}/secrets {folder}/secrets/*").splitlines()
    assert modes[0].startswith("500 65534 ")
    assert len(modes) == 4
    assert all(line.startswith("400 65534 ") for line in modes[1:])


def test_panels_are_asked_while_all_is_well(host: Any, panels: dict[Expression, Any]) -> None:
    # Of what is away later nothing is to be seen then. Two looks at the edge have to see that it is visited.
    visited = 'rate(caddy_http_requests_total{handler="subroute"}[5m]) > 0'
    until(lambda: values(host, visited, "server"), 60, "visits that are counted")
    ask_panels(host, panels)


def test_things_go_wrong(host: Any, frozen_at: dict[str, float]) -> None:
    # First what takes longest to be told.
    root(host, f"docker stop --time 1 {container(host, STOPPED)}")
    root(host, "systemctl stop caddy && sleep 1")
    root(host, f'docker exec --detach {container(host, "hypercode-core")} python -c "{CONNECTIONS}"')
    redis(host, "config set maxmemory-policy noeviction")
    redis(host, "config set maxmemory 1")
    # Somebody goes on trying: a counter that is 1 when it is seen first has not grown.
    root(
        host,
        f"docker exec --detach {container(host, 'redis')} sh -c '"
        "export REDISCLI_AUTH=$REDIS_PASSWORD; "
        "for _ in $(seq 120); do redis-cli set key value; redis-cli get key; sleep 2; done'",
    )
    # The kernel kills what takes more than the service may have; its first process goes on.
    root(
        host,
        f"docker exec {container(host, 'security-engineer')} python -c 'x = bytearray(3 << 30)' || true",
    )
    pid = containers(host)[FROZEN]["State"]["Pid"]
    root(host, f"kill -STOP {pid}")
    until(lambda: containers(host)[FROZEN]["State"]["Health"]["Status"] == "unhealthy", 60, "unhealthy")
    frozen_at["unhealthy"] = time.time()


def test_an_unhealthy_agent_is_told_of_within_90_seconds(
    receiver: Receiver, frozen_at: dict[str, float], figure: Any
) -> None:
    at, alert = receiver.wait("/pager", "firing", 120, alertname="ServiceUnhealthy", service=FROZEN)
    took = at - frozen_at["unhealthy"]
    figure("from Docker's word `unhealthy` to the receiver", f"{took:.0f} s")
    assert took <= TOLD_WITHIN
    assert alert["annotations"]["runbook_url"].endswith("containers.md#serviceunhealthy")


def test_every_panel_has_data(host: Any, panels: dict[Expression, Any], figure: Any) -> None:
    until(lambda: root(host, "ls /run/drilled", ok=False), 120, "a backup, its check and a drill")
    until(lambda: values(host, "hypercode_backup_drill_success == 1", ""), 60, "their figures")
    # Some look at whole minutes: what has just begun they show a minute later.
    deadline = time.monotonic() + 90
    while (empty := still_empty(host, panels)) and time.monotonic() < deadline:
        time.sleep(5)
    figure(
        "questions of panels", f"{sum(map(bool, panels.values()))} of {len(panels)} have data, others wait for an event"
    )
    assert not empty, empty


@pytest.mark.parametrize(
    ("alert", "labels"),
    [
        ("ServiceOomKilled", {"service": "security-engineer"}),
        ("RedisRejectsWrites", {}),
        ("PostgresConnectionsUsedUp", {}),
        ("EdgeDown", {}),
        ("ServiceDown", {"service": STOPPED}),
        ("ServiceErrorBudgetBurnsFast", {"service": STOPPED}),
    ],
)
def test_what_is_provoked_arrives(receiver: Receiver, alert: str, labels: dict[str, str]) -> None:
    _at, found = receiver.wait("/hook", "firing", 240, alertname=alert, **labels)
    critical = found["labels"]["severity"] == "critical"
    assert bool(receiver.alerts("/pager", "firing", alertname=alert)) == critical


def test_the_board_shows_what_fires(host: Any) -> None:
    shown = json.loads(root(host, "hypercode alerts --json", ok=False))["alerts"]
    assert {"ServiceDown", "EdgeDown"} <= {alert["name"] for alert in shown}
    assert "alert: critical: " in root(host, "hypercode status", ok=False)
    before = json.loads(root(host, "hypercode alerts --since 1h --json", ok=False))["alerts"]
    assert {alert["name"] for alert in shown} <= {alert["name"] for alert in before}


def test_the_watch_has_healed_the_frozen_one(host: Any) -> None:
    until(lambda: containers(host)[FROZEN]["State"]["Health"]["Status"] == "healthy", 120, "healed")


def test_what_is_mended_resolves(host: Any, receiver: Receiver) -> None:
    root(host, f"docker start {container(host, STOPPED)}")
    root(host, "systemctl start caddy")
    root(host, f"docker restart --time 1 {container(host, 'hypercode-core')}")
    redis(host, "config set maxmemory 0")
    python_in(host, "celery-worker", DEADLOCKS.strip().replace('"', "'"))
    for alert in ("ServiceUnhealthy", "EdgeDown", "ServiceDown", "PostgresConnectionsUsedUp"):
        receiver.wait("/hook", "resolved", 240, alertname=alert)
    until(lambda: CORE.get("/health").status == 200, 60, "the edge answers")


def test_deadlocks_arrive(receiver: Receiver) -> None:
    receiver.wait("/hook", "firing", 240, alertname="PostgresDeadlocks")
