"""A soak of a minute or two survives what it has to, finds what is broken for real, and says so. One story."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from checks import playbook
from checks.monitoring import until
from checks.stack import containers, root
from testbed import hosts
from testbed.hosts import Bed
from testbed.shell import docker

BED = Bed("molecule-soak", playbook.ROOT / ".cache" / "testbed" / "molecule-soak", "molecule", "docker")
REPORTS = playbook.ROOT / ".cache" / "testbed" / "molecule-soak" / "reports"
SOAK = "playbooks/soak.yml"
# What is quick for a day is a second here: a sample each second, two requests a second on each way.
# A small machine with other work answers late now and then.
LIMITS = {"least_requests": 60, "p95_ms": 1200}
QUICK = {"soak_interval": "1s", "soak_probe_interval": "0.25s", "soak_limits": LIMITS}
# Of this story's first soak: what happens in it is planned.
CALM = {**QUICK, "soak_name": "calm", "soak_duration": "120s", "soak_warmup": "5s"}
PLANNED = [
    {"what": "dockerd", "begins": "0", "ends": "25s"},
    {"what": "reboot", "begins": "25s", "ends": "60s"},
]
ILL = {**QUICK, "soak_name": "ill", "soak_duration": "80s", "soak_warmup": "8s", "soak_keep_going": True}
# A small disk of its own.
DISK = """
command -v mkfs.ext4 > /dev/null || apt-get install --yes --quiet e2fsprogs > /dev/null
truncate --size 64M /var/tmp/disk && mkfs.ext4 -q /var/tmp/disk && mkdir -p /mnt/disk
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
loop=$(losetup --find | cut --delimiter ' ' --fields 1) && { [ -e $loop ] || mknod $loop b 7 ${loop#/dev/loop}; }
losetup $loop /var/tmp/disk && mount $loop /mnt/disk
"""
FAKETIME = """
[Service]
Environment=LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
Environment=FAKETIME_TIMESTAMP_FILE=/etc/test-clock FAKETIME_CACHE_DURATION=1 DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
"""


@pytest.fixture(autouse=True)
def story(host: Any) -> None:
    """Every test has to do with the host: testinfra then leaves them in their order."""


def soak(inventory: Path, tags: str, variables: dict[str, Any], timeout: float = 200) -> playbook.Outcome:
    words = json.dumps({**variables, "soak_report_folder": str(REPORTS)})
    return playbook.play("--tags", tags, "-e", words, inventory=inventory, playbook=SOAK, timeout=timeout)


def status(host: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(root(host, "hypercode soak status --json", ok=False))
    return found


def journal(host: Any, folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in root(host, f"cat {folder}/journal.jsonl").splitlines()]


def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((REPORTS / "web1" / "report.json").read_text())
    return found


def make_ill(host: Any, service: str, **how: float) -> None:
    address = next(iter(containers(host, "shop")[service]["NetworkSettings"]["Networks"].values()))["IPAddress"]
    ask = "import sys, urllib.request as u; u.urlopen(sys.argv[1], sys.argv[2].encode(), timeout=9)"
    root(host, f"python3 -c '{ask}' http://{address}:8000/ill '{json.dumps(how)}'")


def evaluate(host: Any, folder: str, tmp_path: Path) -> tuple[int, str]:
    """Judge a copy of the journal here, where there is no Docker to ask and nothing of the host."""
    copy = tmp_path / "journal.jsonl"
    copy.write_text(root(host, f"cat {folder}/journal.jsonl"))
    library = playbook.ROOT / "plugins/module_utils"
    code = "from hostkit.cli import main; import sys; sys.exit(main(['soak', 'evaluate', sys.argv[1]]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(copy)],
        env={"PYTHONPATH": str(library), "PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_first_deploy_has_started_one(host: Any) -> None:
    found = status(host)
    assert found["running"]
    assert found["duration"] == 86400
    root(host, "hypercode soak stop --reason 'the tests have theirs'", ok=False)
    assert status(host)["verdict"] == "INCONCLUSIVE"


def test_it_starts_by_playbook_and_starting_it_again_changes_nothing(host: Any, inventory: Path) -> None:
    # The clocks of what records and of what watches can be set, without that of this machine.
    root(host, "apt-get install --yes --quiet libfaketime > /dev/null && echo +0 > /etc/test-clock")
    for unit in ("soak", "watch"):
        folder = f"/etc/systemd/system/hypercode-{unit}.service.d"
        root(host, f"mkdir -p {folder} && cat > {folder}/clock.conf <<'END'{FAKETIME}END")
    root(host, "systemctl daemon-reload && systemctl restart hypercode-watch")
    outcome = soak(inventory, "start", {**CALM, "soak_expect": PLANNED})
    assert outcome.code == 0, outcome.output
    again = soak(inventory, "start", {**CALM, "soak_expect": PLANNED})
    assert again.code == 0, again.output
    assert "changed=0" in again.output.split("web1 ")[-1]
    assert status(host)["running"]


def test_a_second_one_is_refused(host: Any, inventory: Path) -> None:
    outcome = soak(inventory, "start", {**CALM, "soak_duration": "90s"})
    assert outcome.code != 0
    assert "is under way on this host already. Fix: " in outcome.output.replace("\n", " ")


def test_it_goes_on_without_its_controller_docker_or_its_own_process(host: Any, inventory: Path) -> None:
    run = status(host)["run"]
    waiting = playbook.start("--tags", "wait", inventory=inventory, playbook=SOAK)
    time.sleep(4)
    for process in (*playbook.descendants(waiting.pid), waiting.pid):
        subprocess.run(["kill", "-9", str(process)], check=False)
    waiting.wait(10)
    root(host, "systemctl restart docker")
    root(host, "systemctl kill --signal SIGKILL hypercode-soak")
    before = status(host)["samples"]
    until(lambda: status(host)["samples"] > before + 2, 20, "it goes on")
    assert status(host)["run"] == run
    root(host, "echo +7200 > /etc/test-clock")
    until(lambda: "clock" in {line.get("reason") for line in journal(host, status(host)["folder"])}, 20, "it is seen")


def test_it_goes_on_after_a_reboot(host: Any) -> None:
    run = status(host)["run"]
    until(lambda: status(host)["elapsed"] > 26, 40, "the time for which it is planned")
    hosts.reboot(BED, "web1")
    until(lambda: root(host, "systemctl is-active hypercode-soak", ok=False).strip() == "active", 60, "it is back")
    found = status(host)
    assert found["run"] == run
    assert found["running"]


def test_it_is_waited_for_from_anywhere_and_passes(host: Any, inventory: Path, tmp_path: Path, figure: Any) -> None:
    outcome = soak(inventory, "wait,report", {})
    assert outcome.code == 0, outcome.output
    found = report()
    failed = [(check["id"], check["observed"]) for check in found["checks"] if check["verdict"] == "FAIL"]
    assert found["verdict"] == "PASS", (found["reason"], failed)
    gaps = {gap["reason"]: gap for gap in found["gaps"]}
    assert gaps["boot"]["planned"]
    assert {"soak", "boot", "clock"} <= set(gaps)
    away = gaps["boot"]["to"] - gaps["boot"]["from"]
    figure(
        "coverage through a reboot; it was away", f"{found['coverage']:.4f}; {away:.0f} s, of a day {away / 864:.3f} %"
    )
    assert found["coverage"] >= 0.99
    assert {path.name for path in (REPORTS / "web1").iterdir()} == {
        "report.json",
        "report.html",
        "report.md",
        "junit.xml",
    }
    # The verdict is where people and programs look.
    assert ": PASS. See hypercode soak status" in root(host, "hypercode status", ok=False)
    assert 'verdict="PASS"} 1' in root(host, "cat /var/lib/hypercode/metrics/soak.prom")
    assert json.loads(root(host, "cat /opt/hypercode/current/release.json"))["soak"]["verdict"] == "PASS"
    root(host, "echo +0 > /etc/test-clock")
    code, said = evaluate(host, status(host)["folder"], tmp_path)
    assert code == 0, said
    own = [
        line["self"] for line in journal(host, status(host)["folder"]) if line["kind"] == "sample" and "self" in line
    ]
    figure("memory of the recorder, at most", f"{max(one['memory'] for one in own) / 2**20:.1f} MiB")


def test_what_is_ill_is_found(host: Any, inventory: Path, tmp_path: Path, figure: Any) -> None:
    root(host, DISK)
    assert soak(inventory, "start", ILL).code == 0
    until(lambda: status(host)["samples"] >= 12, 40, "samples")
    make_ill(host, "leaky", leak=4_000_000)
    make_ill(host, "slow", slower=0.05)
    make_ill(host, "failing", errors=0.3)
    ids = {name: found["Id"] for name, found in containers(host, "shop").items()}
    fill = "for i in $(seq 90); do dd if=/dev/zero of=/mnt/disk/$i bs=600K count=1 status=none; sleep 1; done"
    root(host, f"setsid sh -c '{fill}' > /dev/null 2>&1 < /dev/null &")
    root(
        host,
        f"docker exec {ids['greedy']} python3 -c 'x = bytearray(8 << 30)' || true; "
        f"docker exec {ids['cache']} sh -c 'REDISCLI_AUTH=$REDIS_PASSWORD redis-cli flushall'",
    )
    for _ in range(3):
        root(host, f"kill -9 $(docker inspect --format '{{{{.State.Pid}}}}' {ids['crashing']})")
        time.sleep(2)
    outcome = soak(inventory, "wait,report", {})
    root(host, "umount --detach-loop /mnt/disk; rm /var/tmp/disk")
    for service in ("leaky", "slow", "failing"):
        make_ill(host, service, errors=0, slower=0, leak=0)
    assert outcome.code != 0
    found = report()
    verdicts = {check["id"]: check["verdict"] for check in found["checks"]}
    figure("found of what is ill", ", ".join(sorted(name for name, verdict in verdicts.items() if verdict == "FAIL")))
    assert found["verdict"] == "FAIL"
    wanted = {"memory_leak", "latency", "probe_errors", "oom", "restarts", "canary", "disk_full"}
    assert {name for name in wanted if verdicts.get(name) == "FAIL"} == wanted, verdicts
    about = {
        check["id"]: {row["subject"] for row in check["subjects"] if row["verdict"] == "FAIL"}
        for check in found["checks"]
    }
    assert about["memory_leak"] == {"leaky"}
    assert "steady" not in set().union(*about.values())
    code, said = evaluate(host, status(host)["folder"], tmp_path)
    assert code == 1, said


def test_it_ends_as_soon_as_it_is_clear(host: Any, inventory: Path) -> None:
    crashing = containers(host, "shop")["crashing"]["Id"]
    began = time.monotonic()
    assert soak(inventory, "start", {**QUICK, "soak_name": "short", "soak_duration": "10m"}).code == 0
    for _ in range(3):
        root(host, f"kill -9 $(docker inspect --format '{{{{.State.Pid}}}}' {crashing})")
        time.sleep(2)
    until(lambda: not status(host)["running"], 60, "it has ended")
    assert status(host)["verdict"] == "FAIL"
    assert time.monotonic() - began < 120


def test_a_reboot_that_nobody_planned_leaves_it_open(host: Any, inventory: Path) -> None:
    assert soak(inventory, "start", {**QUICK, "soak_name": "open", "soak_duration": "45s"}).code == 0
    time.sleep(8)
    docker("kill", "--signal", signal.SIGKILL.name, BED.container("web1"))
    docker("start", BED.container("web1"))
    hosts.wait_booted(BED, "web1")
    outcome = soak(inventory, "wait,report", {})
    assert outcome.code != 0
    found = report()
    assert found["verdict"] == "INCONCLUSIVE", found["reason"]
    assert "reboot" in found["reason"]
